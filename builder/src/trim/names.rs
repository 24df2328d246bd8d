//! Paths and programs that bytes name: commands, configuration, scripts, strings of programs.

use std::collections::BTreeSet;

/// Shortest and longest string of a program that is taken for a path, in bytes.
const STRING_BYTES: std::ops::RangeInclusive<usize> = 4..=255;

/// Programs that run what they read as commands.
const SHELLS: [&[u8]; 7] = [b"sh", b"ash", b"dash", b"bash", b"ksh", b"mksh", b"zsh"];

/// Whether a command runs a shell, by its words.
pub(super) fn is_shell(command: &[impl AsRef<[u8]>]) -> bool {
    let name = |at: usize| {
        let word = command.get(at).map(AsRef::as_ref).unwrap_or_default();
        word.rsplit(|&b| b == b'/').next().unwrap_or_default()
    };
    let applet = usize::from(name(0) == b"busybox");
    SHELLS.contains(&name(applet))
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._+-@%~*?".contains(&byte)
}

/// The text without lines that are comments.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b'\n').filter(|line| {
        let begin = line.trim_ascii_start();
        !begin.starts_with(b"#") && !begin.starts_with(b";")
    })
}

/// Absolute paths in a text; those with `*` or `?` are patterns.
pub(super) fn paths(text: &[u8]) -> BTreeSet<&[u8]> {
    let mut found = BTreeSet::new();
    for line in lines(text) {
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            let before = at.checked_sub(1).and_then(|at| line.get(at)).copied();
            // Behind these it goes on from something that only a run knows, or is an address.
            let goes_on = before.is_some_and(|b| is_of_path(b) || b"$})".contains(&b));
            let rest = line.get(at..).unwrap_or_default();
            if byte != b'/' || goes_on || rest.starts_with(b"//") {
                at += 1;
                continue;
            }
            let length = rest.iter().take_while(|b| is_of_path(**b)).count();
            at += length;
            let mut path = rest.get(..length).unwrap_or_default();
            while let Some(shorter) = path.strip_suffix(b".").or(path.strip_suffix(b"/")) {
                path = shorter;
            }
            if path.len() > 1 {
                found.insert(path);
            }
        }
    }
    found
}

/// Words of a script that could be names of programs.
pub(super) fn words(text: &[u8]) -> BTreeSet<&[u8]> {
    let mut found = BTreeSet::new();
    for line in lines(text) {
        let comment = line.windows(2).position(|pair| pair == b" #");
        let line = line
            .get(..comment.unwrap_or(line.len()))
            .unwrap_or_default();
        let parts = line.split(|b| !is_of_path(*b));
        found.extend(parts.filter(|word| !word.is_empty() && !word.contains(&b'/')));
    }
    found
}

/// Whole strings of a program, each ended by a zero byte, that are absolute paths.
pub(super) fn strings(program: &[u8]) -> BTreeSet<&[u8]> {
    program
        .split(|&b| b == 0)
        .filter(|string| string.first() == Some(&b'/') && STRING_BYTES.contains(&string.len()))
        .filter(|string| {
            string
                .iter()
                .all(|b| is_of_path(*b) && *b != b'%' && *b != b'*')
        })
        .map(|string| string.strip_suffix(b"/").unwrap_or(string))
        .collect()
}

/// Whether a program has a text in it.
pub(super) fn has(program: &[u8], text: &[u8]) -> bool {
    program.windows(text.len().max(1)).any(|part| part == text)
}

/// Those of `files` (absolute paths, sorted) that stand in a program, of several that begin at one
/// place the longest. Go and Rust let one string begin where another ends, so where a path ends only
/// a file tells.
pub(super) fn runs<'f>(program: &[u8], files: &'f [Vec<u8>]) -> BTreeSet<&'f [u8]> {
    let slashes = program.iter().enumerate().filter(|(_, b)| **b == b'/');
    let runs = slashes.filter_map(|(at, _)| {
        let rest = program.get(at..)?;
        rest.get(..rest.len().min(*STRING_BYTES.end()))
    });
    runs.filter_map(|run| longest(run, files)).collect()
}

/// The longest file whose path `text` begins with.
fn longest<'f>(mut text: &[u8], files: &'f [Vec<u8>]) -> Option<&'f [u8]> {
    loop {
        let after = files.partition_point(|file| file.as_slice() <= text);
        let file = files.get(after.checked_sub(1)?)?;
        if text.starts_with(file) {
            return (file.len() >= *STRING_BYTES.start()).then_some(file);
        }
        // It comes before the text, so they part before the text ends: it becomes shorter.
        let same = text.iter().zip(file).take_while(|(a, b)| a == b).count();
        text = text.get(..same)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(found: &BTreeSet<&[u8]>) -> String {
        let found: Vec<_> = found.iter().map(|f| String::from_utf8_lossy(f)).collect();
        found.join(" ")
    }

    #[test]
    fn paths_of_a_configuration() {
        let text = b"include /etc/nginx/mime.types;\n# /etc/comment\n  ; /etc/comment2\n\
            include=\"/etc/nginx/conf.d/*.conf\" listen unix:/run/x.sock; http://host/path\n\
            a=/etc/a:/etc/b, /etc/c. $dir/etc/d ${dir}/etc/e x/etc/f / /etc/g/\n";
        assert_eq!(
            show(&paths(text)),
            "/etc/a /etc/b /etc/c /etc/g /etc/nginx/conf.d/*.conf /etc/nginx/mime.types /run/x.sock"
        );
        assert_eq!(show(&paths(b"--config=/etc/x.conf")), "/etc/x.conf");
        assert_eq!(show(&paths(b"")), "");
    }

    #[test]
    fn words_of_a_script() {
        let text =
            b"#!/bin/sh\nset -e # never jq\nx=$(curl -s \"$1\"|sed s/a/b/)\nexec /bin/nginx\n";
        assert_eq!(show(&words(text)), "-e -s 1 curl exec sed set x");
    }

    #[test]
    fn strings_of_a_program() {
        let program =
            b"\x7fELF\0/etc/ssh/sshd_config\0x/etc/no\0/usr/lib/%s/no\0/a b\0/x\0/usr/lib/y/\0";
        assert_eq!(show(&strings(program)), "/etc/ssh/sshd_config /usr/lib/y");
    }

    #[test]
    fn strings_that_run_together() {
        let files = [
            "/etc/mime",
            "/etc/mime.types",
            "/etc/services",
            "/etc/x",
            "/usr/share/a/b",
        ];
        let files = files.map(|file| file.as_bytes().to_vec());
        let program = b"no such file/etc/mime.typesapplication/etc/servicesx/etc/mime\0/etc/y\
            /usr/share/a/c/usr/share/a/b/usr/share";
        assert_eq!(
            show(&runs(program, &files)),
            "/etc/mime /etc/mime.types /etc/services /usr/share/a/b"
        );
        assert!(runs(b"/", &files).is_empty() && runs(program, &[]).is_empty());
        assert!(has(program, b"/etc/y") && !has(program, b"/etc/z") && !has(b"", b"x"));
    }

    #[test]
    fn shells_are_known() {
        assert!(is_shell(&["/bin/sh"]) && is_shell(&["bash", "-c"]));
        assert!(is_shell(&["/usr/bin/busybox", "sh"]));
        assert!(!is_shell(&["/usr/bin/busybox", "httpd"]) && !is_shell(&["/usr/bin/ssh"]));
        assert!(!is_shell(&[""; 0]));
    }
}
