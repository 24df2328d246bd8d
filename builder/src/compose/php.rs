//! PHP's settings and its extensions, enabled as the maintainer scripts of Debian's packages enable
//! them.
//!
//! A package of an extension brings a library and the settings that load it
//! (`/usr/share/php8.4-xml/xml/dom.ini`); its script copies those to `/etc/php/8.4/mods-available` and
//! makes a link for each way to run PHP that is installed (`/etc/php/8.4/fpm/conf.d/20-dom.ini`), by
//! the priority that the settings name. Here the same is made of the same data, and what the spec
//! takes out by `drop` is not enabled.

use crate::error::BuildError;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{Blob, Store};
use std::collections::{BTreeMap, BTreeSet};

use crate::debian::Merged;

/// What an extension has that names no priority.
const PRIORITY: &str = "20";

/// Longest priority, in digits.
const PRIORITY_DIGITS: usize = 4;

/// Largest file of settings that is looked at, in bytes.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// A link that enables an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enabled {
    link: TreePath,
    /// File name of the library that it loads.
    library: Vec<u8>,
}

/// What packages bring of one version of PHP.
#[derive(Default)]
struct Version {
    /// Ways to run it: `cli`, `fpm`, `apache2`…
    ways: BTreeSet<String>,
    /// Settings of extensions, by the extension's name.
    settings: BTreeMap<String, TreePath>,
}

/// Makes settings and links where packages bring PHP and the spec's files are not there yet; gives the
/// links.
///
/// # Errors
/// [`BuildError`] where the store cannot be read or a path cannot be placed.
pub(super) fn enable(store: &Store, merged: &mut Merged) -> Result<Vec<Enabled>, BuildError> {
    let mut enabled = Vec::new();
    for (version, Version { ways, settings }) in versions(&merged.tree) {
        for way in &ways {
            let to = format!("etc/php/{version}/{way}/php.ini");
            for ending in [format!(".{way}"), String::new()] {
                let from = format!("usr/lib/php/{version}/php.ini-production{ending}");
                place(merged, &TreePath::new(from)?, TreePath::new(&to)?)?;
            }
        }
        for (name, source) in settings {
            let Some(text) = read(store, &merged.tree, &source)? else {
                continue;
            };
            let (priority, library) = (priority(&text), library(&text));
            let available = format!("etc/php/{version}/mods-available/{name}.ini");
            place(merged, &source, TreePath::new(&available)?)?;
            for way in &ways {
                let link = format!("etc/php/{version}/{way}/conf.d/{priority}-{name}.ini");
                let link = TreePath::new(link)?;
                let target = Kind::Symlink(format!("/{available}").into_bytes());
                if put(merged, &source, link.clone(), 0o777, target)?
                    && let Some(library) = library.clone()
                {
                    enabled.push(Enabled { link, library });
                }
            }
        }
    }
    Ok(enabled)
}

/// Takes away the links whose libraries are not there (any more): PHP would complain of each.
pub(super) fn disable(tree: &mut Tree<Blob>, enabled: &[Enabled]) {
    let libraries = tree.iter().filter_map(|(path, _)| {
        let parts: Vec<&[u8]> = path.components().collect();
        match parts.as_slice() {
            [b"usr", b"lib", b"php", _, name] => Some(name.to_vec()),
            _ => None,
        }
    });
    let libraries: BTreeSet<Vec<u8>> = libraries.collect();
    for Enabled { link, library } in enabled {
        if !libraries.contains(library) {
            tree.remove(link);
        }
    }
}

fn versions(tree: &Tree<Blob>) -> BTreeMap<String, Version> {
    let mut versions: BTreeMap<String, Version> = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    for (path, node) in tree.iter() {
        if !matches!(node.kind, Kind::File(_)) {
            continue;
        }
        let parts: Vec<&[u8]> = path.components().collect();
        match parts.as_slice() {
            [b"usr", b"lib", b"php", version, b"sapi", way] => {
                if let (Some(version), Some(way)) = (text(version), text(way)) {
                    versions.entry(version).or_default().ways.insert(way);
                }
            }
            [b"usr", b"share", package, _, file] => {
                let version = package.strip_prefix(b"php").and_then(|rest| {
                    let end = rest.iter().position(|&b| b == b'-')?;
                    text(rest.get(..end)?).filter(|version| !version.is_empty())
                });
                let name = file.strip_suffix(b".ini").and_then(text);
                if let (Some(version), Some(name)) = (version, name) {
                    let settings = &mut versions.entry(version).or_default().settings;
                    settings.entry(name).or_insert_with(|| path.clone());
                }
            }
            // What is there already is what counts.
            [b"etc", b"php", version, b"mods-available", file] => {
                let name = file.strip_suffix(b".ini").and_then(text);
                if let (Some(version), Some(name)) = (text(version), name) {
                    let settings = &mut versions.entry(version).or_default().settings;
                    settings.insert(name, path.clone());
                }
            }
            _ => {}
        }
    }
    versions.retain(|_, version| !version.ways.is_empty());
    versions
}

fn read(store: &Store, tree: &Tree<Blob>, path: &TreePath) -> Result<Option<Vec<u8>>, BuildError> {
    match tree.get(path).map(|node| &node.kind) {
        Some(Kind::File(blob)) if blob.size <= MAX_SETTINGS_BYTES => {
            Ok(Some(store.read_object(&blob.digest)?))
        }
        _ => Ok(None),
    }
}

/// Places a copy of a file where nothing is.
fn place(merged: &mut Merged, from: &TreePath, to: TreePath) -> Result<(), BuildError> {
    if let Some(Kind::File(blob)) = merged.tree.get(from).map(|node| node.kind.clone()) {
        put(merged, from, to, 0o644, Kind::File(blob))?;
    }
    Ok(())
}

/// Places something of the package that `of` is from where nothing is; says whether it did.
fn put(
    merged: &mut Merged,
    of: &TreePath,
    path: TreePath,
    mode: u16,
    kind: Kind<Blob>,
) -> Result<bool, BuildError> {
    if merged.tree.get(&path).is_some() {
        return Ok(false);
    }
    if let Some(package) = merged.owners.get(of).cloned() {
        merged.owners.insert(path.clone(), package);
    }
    let metadata = Metadata::with_mode(mode);
    merged
        .tree
        .insert_with_parents(path, Node { metadata, kind })?;
    Ok(true)
}

/// The priority that settings name in a comment: `; priority=15`.
fn priority(settings: &[u8]) -> String {
    let named = settings.split(|&b| b == b'\n').find_map(|line| {
        let line = line.strip_prefix(b";")?.trim_ascii();
        let value = line.strip_prefix(b"priority")?.trim_ascii_start();
        let value = value.strip_prefix(b"=")?.trim_ascii();
        let is_number = (1..=PRIORITY_DIGITS).contains(&value.len());
        let is_number = is_number && value.iter().all(u8::is_ascii_digit);
        is_number.then(|| String::from_utf8_lossy(value).into_owned())
    });
    named.unwrap_or_else(|| PRIORITY.to_owned())
}

/// File name of the library that settings load: `extension=xml.so`, or `zend_extension=opcache`.
fn library(settings: &[u8]) -> Option<Vec<u8>> {
    settings.split(|&b| b == b'\n').find_map(|line| {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"zend_").unwrap_or(line);
        let value = line.strip_prefix(b"extension")?.trim_ascii_start();
        let value = value.strip_prefix(b"=")?.trim_ascii();
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""));
        let value = quoted.unwrap_or(value);
        let name = value.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let ending: &[u8] = if name.ends_with(b".so") { b"" } else { b".so" };
        Some([name, ending].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// As Debian's packages bring it: two ways to run PHP, and extensions.
    const FILES: [(&str, &str, &str); 9] = [
        ("php9.1-cli", "usr/lib/php/9.1/sapi/cli", ""),
        ("php9.1-fpm", "usr/lib/php/9.1/sapi/fpm", ""),
        (
            "php9.1-common",
            "usr/lib/php/9.1/php.ini-production",
            "for all",
        ),
        (
            "php9.1-common",
            "usr/lib/php/9.1/php.ini-production.cli",
            "for cli",
        ),
        ("php9.1-xml", "usr/lib/php/20990101/xml.so", "library"),
        (
            "php9.1-xml",
            "usr/share/php9.1-xml/xml/xml.ini",
            "; settings\n; priority=15\nextension=xml.so\n",
        ),
        (
            "php9.1-opcache",
            "usr/lib/php/20990101/opcache.so",
            "library",
        ),
        (
            "php9.1-opcache",
            "usr/share/php9.1-opcache/opcache/opcache.ini",
            ";priority = 10\n;extension=no\nzend_extension=opcache\n",
        ),
        // From elsewhere, with its settings in their place.
        (
            "php-redis",
            "etc/php/9.1/mods-available/redis.ini",
            "extension = \"/usr/lib/php/20990101/redis.so\"\n",
        ),
    ];

    fn merged(store: &Store) -> Merged {
        let mut merged = Merged {
            tree: Tree::new(),
            owners: BTreeMap::new(),
        };
        for (package, path, text) in FILES {
            let path = TreePath::new(path).unwrap();
            let blob = Blob {
                digest: store.add_bytes(text.as_bytes()).unwrap(),
                size: text.len() as u64,
            };
            let node = Node {
                metadata: Metadata::with_mode(0o644),
                kind: Kind::File(blob),
            };
            merged.tree.insert_with_parents(path.clone(), node).unwrap();
            merged.owners.insert(path, package.to_owned());
        }
        merged
    }

    /// What is below `/etc`, with whose it is.
    fn shown(store: &Store, merged: &Merged) -> String {
        let etc = TreePath::new("etc").unwrap();
        let below = merged
            .tree
            .iter()
            .filter(|(path, _)| path.starts_with(&etc));
        let lines = below.filter_map(|(path, node)| {
            let what = match &node.kind {
                Kind::File(blob) => {
                    let bytes = store.read_object(&blob.digest).unwrap();
                    let text = String::from_utf8(bytes).unwrap();
                    text.lines().next().unwrap().to_owned()
                }
                Kind::Symlink(target) => String::from_utf8(target.clone()).unwrap(),
                _ => return None,
            };
            Some(format!("{path} ({}): {what}\n", merged.owners[path]))
        });
        lines.collect()
    }

    #[test]
    fn extensions_are_enabled_by_their_priorities_for_each_way_to_run_php() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut merged = merged(&store);
        let enabled = enable(&store, &mut merged).unwrap();
        expect![[r#"
            /etc/php/9.1/cli/conf.d/10-opcache.ini (php9.1-opcache): /etc/php/9.1/mods-available/opcache.ini
            /etc/php/9.1/cli/conf.d/15-xml.ini (php9.1-xml): /etc/php/9.1/mods-available/xml.ini
            /etc/php/9.1/cli/conf.d/20-redis.ini (php-redis): /etc/php/9.1/mods-available/redis.ini
            /etc/php/9.1/cli/php.ini (php9.1-common): for cli
            /etc/php/9.1/fpm/conf.d/10-opcache.ini (php9.1-opcache): /etc/php/9.1/mods-available/opcache.ini
            /etc/php/9.1/fpm/conf.d/15-xml.ini (php9.1-xml): /etc/php/9.1/mods-available/xml.ini
            /etc/php/9.1/fpm/conf.d/20-redis.ini (php-redis): /etc/php/9.1/mods-available/redis.ini
            /etc/php/9.1/fpm/php.ini (php9.1-common): for all
            /etc/php/9.1/mods-available/opcache.ini (php9.1-opcache): ;priority = 10
            /etc/php/9.1/mods-available/redis.ini (php-redis): extension = "/usr/lib/php/20990101/redis.so"
            /etc/php/9.1/mods-available/xml.ini (php9.1-xml): ; settings
        "#]]
        .assert_eq(&shown(&store, &merged));

        // One library never was there, and one is taken out.
        let xml = TreePath::new("usr/lib/php/20990101/xml.so").unwrap();
        merged.tree.remove(&xml);
        disable(&mut merged.tree, &enabled);
        let links = shown(&store, &merged);
        let links: Vec<_> = links.lines().filter(|l| l.contains("conf.d")).collect();
        assert_eq!(links.len(), 2, "{links:#?}");
        assert!(links.iter().all(|link| link.contains("10-opcache.ini")));
    }

    #[test]
    fn without_a_way_to_run_it_there_is_nothing_to_enable() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut merged = merged(&store);
        for way in ["usr/lib/php/9.1/sapi/cli", "usr/lib/php/9.1/sapi/fpm"] {
            merged.tree.remove(&TreePath::new(way).unwrap());
        }
        let before = merged.tree.clone();
        assert_eq!(enable(&store, &mut merged).unwrap(), []);
        assert_eq!(merged.tree, before);
    }

    #[test]
    fn settings_are_read() {
        assert_eq!(priority(b"; priority=abc\n; priority = 7\n"), "7");
        assert_eq!(priority(b"priority=5\n; priority=123456\n"), "20");
        assert_eq!(
            library(b"; extension=a\n extension = b\n").unwrap(),
            b"b.so"
        );
        assert_eq!(library(b"extension=\"/x/c.so\"").unwrap(), b"c.so");
        assert_eq!(library(b"extension_dir=/x\nmemory_limit=1\n"), None);
    }
}
