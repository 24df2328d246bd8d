//! What services really opened, and how that compares with what trimming keeps.
//!
//! A traced system is the same system with nothing trimmed off and the word on its command line
//! that has `init` say what is opened ([`nos_manifest::TRACE_WORD`]). Its console is read here.

use super::{Reach, Reason};
use crate::trim::resolve::resolve;
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_manifest::{TRACE_OPENED, TRACE_WORD};
use nos_specs::system::{Kernel, Platform, System};
use std::collections::{BTreeMap, BTreeSet};

/// The option of a kernel of the host's own that lets `init` hear what is opened; Debian's have it.
const OPTION: (&str, &str) = ("CONFIG_FANOTIFY", "y");

/// How `init` begins a line of its own, behind the time.
const INIT: &str = "] nos: ";

/// From how many files of one folder on they are kept by one pattern.
const MANY: usize = 4;

/// The system that is run to see what the services of `system` open: with all files of its
/// packages, and with a kernel that runs in a virtual machine.
pub fn traced(system: &System) -> System {
    let mut system = system.clone();
    for image in system.images.values_mut() {
        image.trim = false;
        image.keep.clear();
        image.drop.clear();
    }
    let words = match &mut system.kernel {
        Kernel::Stock { cmdline, .. } => cmdline,
        Kernel::Minimal {
            platform,
            options,
            cmdline,
            ..
        } => {
            *platform = Platform::Qemu;
            options.insert(OPTION.0.into(), OPTION.1.into());
            cmdline
        }
    };
    words.push(TRACE_WORD.into());
    system
}

/// What `init` has said of opened files and folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    opened: BTreeMap<TreePath, BTreeSet<String>>,
    lines: usize,
    last: usize,
    is_missing: bool,
}

impl Heard {
    /// Takes a line of the console; whether it was about something opened.
    pub fn line(&mut self, line: &str) -> bool {
        let Some(said) = line.split_once(INIT) else {
            return false;
        };
        let Some((number, rest)) = said
            .1
            .strip_prefix(TRACE_OPENED)
            .and_then(|rest| rest.split_once(' '))
        else {
            return false;
        };
        let Ok(number) = number.parse() else {
            return false;
        };
        self.lines += 1;
        self.last = self.last.max(number);
        let opened = rest.split_once(' ').and_then(|(service, path)| {
            let path = TreePath::new(unescape(path)?.strip_prefix(b"/")?).ok()?;
            Some((service, path))
        });
        match opened {
            Some((service, path)) => {
                self.opened.entry(path).or_default().insert(service.into());
            }
            None => self.is_missing = true,
        }
        true
    }

    /// Whether nothing was lost on the way.
    pub fn is_whole(&self) -> bool {
        self.lines == self.last && !self.is_missing
    }

    /// What the services of one image opened, each with who did.
    pub fn of<'a>(
        &'a self,
        services: &'a BTreeSet<&str>,
    ) -> impl Iterator<Item = (&'a TreePath, Vec<String>)> {
        self.opened.iter().filter_map(|(path, by)| {
            // Of a process that was gone too soon it is not known whose it was.
            let by = by.iter();
            let by = by.filter(|by| services.contains(by.as_str()) || *by == "-");
            let by: Vec<String> = by.cloned().collect();
            (!by.is_empty()).then_some((path, by))
        })
    }
}

/// The bytes that [`slice::escape_ascii`] wrote like this.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first()?;
        rest = after;
        bytes.push(match kind {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'\\' | b'\'' | b'"' => kind,
            b'x' => {
                let digits = rest.get(..2)?;
                rest = rest.get(2..)?;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

/// A file that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Where it is.
    pub path: TreePath,
    /// The services that did; `-` where that is not known.
    pub by: Vec<String>,
    /// Its size.
    pub bytes: u64,
    /// Whether it is in the trimmed image too.
    pub stays: bool,
}

/// How a traced run compares with a trimmed image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Every file that was opened, by path.
    pub opened: Vec<Opened>,
    /// Folders that were listed and are not in the trimmed image.
    pub folders: Vec<TreePath>,
    /// Patterns that would keep all opened files, beside those that the spec has.
    pub keep: Vec<String>,
    /// Files that stay and were not opened, with their bytes, the largest first. Licences are not
    /// among them, nor what is empty.
    pub idle: Vec<(TreePath, u64)>,
}

/// Compares what was opened in the image `whole` with `kept`, what trimming leaves of it for the
/// reasons in `reach`.
pub fn compare<'a, C>(
    whole: &Tree<C>,
    kept: &Tree<C>,
    reach: &Reach,
    opened: impl Iterator<Item = (&'a TreePath, Vec<String>)>,
    size: impl Fn(&C) -> u64,
) -> Findings {
    let bytes = |path: &TreePath| match whole.get(path).map(|node| &node.kind) {
        Some(Kind::File(content)) => size(content),
        _ => 0,
    };
    let mut findings = Findings::default();
    let mut touched = BTreeSet::new();
    let mut lacking = BTreeSet::new();
    for (path, by) in opened {
        let first = match whole.get(path).map(|node| &node.kind) {
            // What the image does not have, another mount lies over.
            None => continue,
            Some(Kind::Directory) => {
                if kept.get(path).is_none() {
                    findings.folders.push(path.clone());
                }
                continue;
            }
            Some(Kind::HardLink(first)) => first,
            Some(_) => path,
        };
        touched.insert(first.clone());
        let stays = kept.get(path).is_some();
        if !stays {
            lacking.insert(path.clone());
        }
        findings.opened.push(Opened {
            path: path.clone(),
            by,
            bytes: bytes(first),
            stays,
        });
    }
    findings.keep = patterns(whole, kept, &lacking);
    for (path, node) in kept.iter() {
        let Kind::File(content) = &node.kind else {
            continue;
        };
        let is_licence = |reason: &Reason| matches!(reason, Reason::Licence { .. });
        let bytes = size(content);
        if bytes > 0 && !touched.contains(path) && !reach.reasons(path).all(is_licence) {
            findings.idle.push((path.clone(), bytes));
        }
    }
    findings
        .idle
        .sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    findings
}

/// Patterns that keep all of `lacking`, with the links that lead to it: by which of them it was
/// opened is not known, and each is a few bytes.
fn patterns<C>(whole: &Tree<C>, kept: &Tree<C>, lacking: &BTreeSet<TreePath>) -> Vec<String> {
    let mut wanted = lacking.clone();
    for (link, node) in whole.iter() {
        if !matches!(node.kind, Kind::Symlink(_)) || kept.get(link).is_some() {
            continue;
        }
        let Ok(end) = resolve(whole, &TreePath::ROOT, link.as_bytes()) else {
            continue;
        };
        if lacking.contains(&end.path) {
            // A link that is kept keeps what it leads to.
            wanted.remove(&end.path);
            wanted.insert(link.clone());
        } else if lacking.iter().any(|path| path.starts_with(&end.path)) {
            wanted.insert(link.clone());
        }
    }
    let mut folders: BTreeMap<TreePath, Vec<TreePath>> = BTreeMap::new();
    for path in wanted {
        let folder = path.parent().unwrap_or_default();
        folders.entry(folder).or_default().push(path);
    }
    let mut patterns = Vec::new();
    for (folder, paths) in folders {
        let left_out = whole.iter().filter(|(path, node)| {
            path.parent().as_ref() == Some(&folder)
                && !matches!(node.kind, Kind::Directory)
                && kept.get(path).is_none()
        });
        // One pattern for all of a folder, where that keeps little else.
        match paths.len() >= MANY && paths.len() * 2 >= left_out.count() {
            true => patterns.push(format!("{folder}/*")),
            false => patterns.extend(paths.iter().map(ToString::to_string)),
        }
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use nos_formats::tree::{Metadata, Node};
    use proptest::prelude::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn heard(lines: &[&str]) -> Heard {
        let mut heard = Heard::default();
        for line in lines {
            heard.line(line);
        }
        heard
    }

    #[test]
    fn lines_of_init_are_read_and_others_are_not() {
        let heard = heard(&[
            "[    1.000] nos: saying what services open",
            "[    1.001] nos: opened 1 web /usr/sbin/nginx",
            "[    1.002] web: opened 7 web /etc/forged",
            "[    1.003] nos: opened 2 web /a\\x20b\\\\\\n\\xff",
            "[   11.003] nos: opened 3 - /usr/sbin/nginx",
        ]);
        assert!(heard.is_whole());
        let web = BTreeSet::from(["web"]);
        let of: Vec<_> = heard.of(&web).collect();
        assert_eq!(of[0].0.as_bytes(), b"a b\\\n\xff");
        assert_eq!(of[1].0, &path("usr/sbin/nginx"));
        assert_eq!(of[1].1, ["-", "web"]);
        assert_eq!(of.len(), 2);
        let other = BTreeSet::from(["cache"]);
        assert_eq!(heard.of(&other).count(), 1, "nobody knows whose it was");
    }

    #[test]
    fn a_gap_is_noticed() {
        let (one, three) = ("[ 1.0] nos: opened 1 w /a", "[ 1.0] nos: opened 3 w /b");
        assert!(!heard(&[one, three]).is_whole());
        let lost = "[ 1.0] nos: opened 2 ";
        assert!(!heard(&[one, lost]).is_whole());
        let torn = "[ 1.0] nos: opened 2 w /a\\x";
        assert!(!heard(&[one, torn]).is_whole());
        assert!(heard(&[one]).is_whole() && heard(&[]).is_whole());
    }

    proptest! {
        #[test]
        fn what_init_escapes_is_read_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unescape(&bytes.escape_ascii().to_string()), Some(bytes));
        }

        #[test]
        fn any_line_is_survived(line in "\\PC*", rest in "\\PC*") {
            heard(&[&line, &format!("{INIT}{TRACE_OPENED}{line} {rest}")]).is_whole();
        }
    }

    fn tree(entries: &[&str]) -> Tree<u64> {
        let mut tree = Tree::new();
        for entry in entries {
            let (at, kind) = match entry.split_once(" -> ") {
                Some((at, target)) => (at, Kind::Symlink(target.into())),
                None => match entry.strip_suffix('/') {
                    Some(at) => (at, Kind::Directory),
                    None => match entry.split_once(' ') {
                        Some((at, size)) => (at, Kind::File(size.parse().unwrap())),
                        None => (*entry, Kind::File(10)),
                    },
                },
            };
            let metadata = Metadata::with_mode(0o644);
            tree.insert_with_parents(path(at), Node { metadata, kind })
                .unwrap();
        }
        tree
    }

    fn check(whole: &[&str], kept: &[&str], opened: &[&str], expected: &Expect) {
        let mut reach = Reach::default();
        for entry in kept {
            let at = path(entry.split(' ').next().unwrap());
            let reason = match entry.contains("/doc/") {
                true => Reason::Licence {
                    package: "p".into(),
                    for_file: at.clone(),
                },
                false => Reason::Runs,
            };
            reach.kept.insert(at, reason);
        }
        let opened: Vec<TreePath> = opened.iter().map(|at| path(at)).collect();
        let opened = opened.iter().map(|at| (at, vec!["web".to_string()]));
        let found = compare(&tree(whole), &tree(kept), &reach, opened, |size| *size);
        let mut text = String::new();
        for one in &found.opened {
            let stays = if one.stays { "stays" } else { "lacks" };
            text.push_str(&format!("{stays} {} {}\n", one.bytes, one.path));
        }
        for folder in &found.folders {
            text.push_str(&format!("folder {folder}\n"));
        }
        text.push_str(&format!("keep {:?}\n", found.keep));
        for (path, bytes) in &found.idle {
            text.push_str(&format!("idle {bytes} {path}\n"));
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn what_lacks_is_kept_by_its_links() {
        check(
            &[
                "usr/bin/web 5",
                "usr/lib/libx.so.1.2 7",
                "usr/lib/libx.so.1 -> libx.so.1.2",
                "usr/lib/libx.so -> libx.so.1.2",
                "usr/lib/other 100",
                "etc/ssl/openssl.cnf",
                "etc/ssl/certs/ca",
                "usr/lib/ssl/certs -> /etc/ssl/certs",
                "usr/share/doc/p/copyright 3",
                "etc/conf.d/",
            ],
            &[
                "usr/bin/web 5",
                "usr/lib/other 100",
                "usr/share/doc/p/copyright 3",
            ],
            &[
                "usr/bin/web",
                "usr/lib/libx.so.1.2",
                "etc/ssl/certs/ca",
                "etc/conf.d",
                "run/nothing",
            ],
            &expect![[r#"
                stays 5 /usr/bin/web
                lacks 7 /usr/lib/libx.so.1.2
                lacks 10 /etc/ssl/certs/ca
                folder /etc/conf.d
                keep ["/etc/ssl/certs/ca", "/usr/lib/libx.so", "/usr/lib/libx.so.1", "/usr/lib/ssl/certs"]
                idle 100 /usr/lib/other
            "#]],
        );
    }

    #[test]
    fn many_of_a_folder_are_one_pattern_where_that_keeps_little_else() {
        let (few, many) = (["m/a", "m/b", "m/c", "m/d"], ["n/a", "n/b", "n/c", "n/d"]);
        let mut whole = [few, many].concat();
        let more: Vec<String> = (0..9).map(|n| format!("n/{n}")).collect();
        whole.extend(more.iter().map(String::as_str));
        let opened = [few, many].concat();
        check(
            &whole,
            &[],
            &opened,
            &expect![[r#"
                lacks 10 /m/a
                lacks 10 /m/b
                lacks 10 /m/c
                lacks 10 /m/d
                lacks 10 /n/a
                lacks 10 /n/b
                lacks 10 /n/c
                lacks 10 /n/d
                keep ["/m/*", "/n/a", "/n/b", "/n/c", "/n/d"]
            "#]],
        );
    }
}
