//! The `#!` line.

use crate::elf::ReadAt;
use std::io;

/// Longest line the kernel reads (`BINPRM_BUF_SIZE`).
const LINE_BYTES: usize = 256;

/// Where `env NAME` is looked for: the path that `init` gives services which set none.
pub(super) const PATH: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

/// What a script is run by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// The program named on the first line.
    pub(super) program: Vec<u8>,
    /// With `env`: the name that it looks for.
    pub(super) searched: Option<Vec<u8>>,
}

/// Reads the `#!` line; `None` for a file that has none.
pub(super) fn interpreter<R: ReadAt + ?Sized>(file: &R) -> io::Result<Option<Interpreter>> {
    let mut head = [0u8; LINE_BYTES];
    let mut got = 0;
    while got < head.len() {
        match file.read_at(got as u64, &mut head[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(parse(&head[..got]))
}

fn parse(head: &[u8]) -> Option<Interpreter> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|&b| b == b'\n' || b == 0).next()?;
    let mut words = line
        .split(|b| b.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let program = words.next()?.to_vec();
    let is_env = program.ends_with(b"/env");
    let searched = is_env.then(|| {
        // Options of env, and variables that it sets, come before the name.
        words
            .find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
            .map(<[u8]>::to_vec)
    });
    Some(Interpreter {
        program,
        searched: searched.flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (text, expected) in [
            ("#!/bin/sh\nx", Some(("/bin/sh", None))),
            ("#! /bin/sh -e", Some(("/bin/sh", None))),
            (
                "#!/usr/bin/env python3\n",
                Some(("/usr/bin/env", Some("python3"))),
            ),
            (
                "#!/usr/bin/env -S A=1 perl -w\n",
                Some(("/usr/bin/env", Some("perl"))),
            ),
            ("#!\n/bin/sh", None),
            ("# !/bin/sh", None),
            ("", None),
        ] {
            let got = interpreter(text.as_bytes()).unwrap();
            let expected = expected.map(|(program, searched): (&str, Option<&str>)| Interpreter {
                program: program.into(),
                searched: searched.map(Into::into),
            });
            assert_eq!(got, expected, "{text:?}");
        }
    }
}
