//! Submodules: `.gitmodules` says where the repositories are whose commits a commit names.

use std::collections::BTreeMap;

/// The addresses in a `.gitmodules`: path → address. Lines that this does not understand say
/// nothing (git-config(1) is the syntax).
pub(super) fn addresses(text: &str) -> BTreeMap<String, String> {
    let mut sections: Vec<[Option<String>; 2]> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.starts_with("[submodule ");
            sections.push([None, None]);
            continue;
        }
        let (Some((name, given)), true, Some(section)) =
            (line.split_once('='), inside, sections.last_mut())
        else {
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "path" => section[0] = Some(value(given)),
            "url" => section[1] = Some(value(given)),
            _ => {}
        }
    }
    let known = sections
        .into_iter()
        .filter_map(|[path, url]| Some((path?, url?)));
    known.collect()
}

/// A value without quotes, escapes and comment.
fn value(given: &str) -> String {
    let (mut out, mut quoted) = (String::new(), false);
    let mut rest = given.trim().chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => out.extend(rest.next()),
            '#' | ';' if !quoted => break,
            c => out.push(c),
        }
    }
    out.trim_end().to_owned()
}

/// A submodule's full address, where the repository that names it is at `parent`.
///
/// # Errors
/// Why it cannot be fetched from there.
pub(super) fn resolve(parent: &str, address: &str) -> Result<String, String> {
    if address.starts_with("https://") || address.starts_with("http://") {
        let authority = address.split('/').nth(2).unwrap_or_default();
        return match authority.contains('@') {
            true => Err(format!("its address {address} holds a name or password")),
            false => Ok(address.trim_end_matches('/').to_owned()),
        };
    }
    if !(address.starts_with("./") || address.starts_with("../")) {
        return Err(format!("its address {address} is not one of HTTP"));
    }
    let mut base = parent.trim_end_matches('/');
    for part in address
        .split('/')
        .take_while(|part| matches!(*part, "." | ".."))
    {
        if part == ".." {
            let above = base
                .rsplit_once('/')
                .filter(|(above, _)| !above.ends_with('/'));
            base = above
                .ok_or_else(|| format!("its address {address} leads out of {parent}"))?
                .0;
        }
    }
    let below = address
        .split('/')
        .skip_while(|part| matches!(*part, "." | ".."));
    let below: Vec<&str> = below.filter(|part| !part.is_empty()).collect();
    match below.contains(&"..") {
        true => Err(format!("its address {address} is not one of HTTP")),
        false => Ok(format!("{base}/{}", below.join("/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_by_path() {
        let text = "# ours\n[submodule \"a b\"]\n\tpath = lib/a\n\turl = ../a.git ; near\n\
                    [core]\n\tpath = no\n\turl = no\n[submodule \"c\"]\n  URL=\"https://h/c#d\"\n  \
                    branch = x\n  path = c\n[submodule \"half\"]\n path = h\n";
        let found = addresses(text);
        let expected = [("c", "https://h/c#d"), ("lib/a", "../a.git")];
        let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn relative_addresses_stand_on_the_repository() {
        let resolved = |address| resolve("https://h.example/g/r.git", address);
        assert_eq!(resolved("../a.git").unwrap(), "https://h.example/g/a.git");
        assert_eq!(resolved("./a").unwrap(), "https://h.example/g/r.git/a");
        assert_eq!(resolved("../../x/a").unwrap(), "https://h.example/x/a");
        assert_eq!(resolved("http://o/a/").unwrap(), "http://o/a");
        for wrong in [
            "../../../../a",
            "git@h.example:a",
            "ssh://h/a",
            "/a",
            "../a/../b",
            "https://me:secret@h/a",
            "--upload-pack=x",
        ] {
            assert!(resolved(wrong).is_err(), "{wrong}");
        }
    }
}
