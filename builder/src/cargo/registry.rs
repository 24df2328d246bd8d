//! Crates from their registries, as a folder that cargo takes in a registry's place.
//!
//! Which registry a crate is from, its lock file says; where that registry is, this machine's
//! cargo configuration may say (`[source.crates-io] replace-with = …`). What comes from there is
//! checked against the lock file's checksum, so it does not matter for the result.

use super::lockfile::{Crate, LockFile, Pin};
use super::repository;
use crate::compose::output_object;
use crate::debian::{Base, Transport};
use crate::error::BuildError;
use crate::fetch;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_specs::lock::LockedCommit;
use nos_store::{ActionResult, Blob, Digest, Output, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Crates fetched at once.
const CONNECTIONS: usize = 6;

/// Largest configuration of a registry, in bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 16;

/// Replacements followed before they are called a circle.
const MAX_REPLACEMENTS: usize = 16;

/// Fetches and unpacks the crates of a lock file; see [`crate::work::Work::Crates`].
///
/// # Errors
/// [`BuildError::Cargo`] for a lock file that cannot be followed, [`BuildError::Fetch`] where a
/// crate cannot be had.
pub(crate) fn crates(
    builder: &Builder<'_>,
    commits: &BTreeMap<String, LockedCommit>,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let input = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "file" })?;
    let text = builder
        .store
        .read_object(&output_object(input, "file")?.digest)?;
    let lock = LockFile::parse(&String::from_utf8_lossy(&text))?;
    let transport = Transport::new(CONNECTIONS);
    let archives: Vec<(&Crate, Digest)> = lock
        .crates
        .iter()
        .filter_map(|wanted| match &wanted.pin {
            Pin::Checksum(checksum) => Some((wanted, *checksum)),
            Pin::Commit(_) => None,
        })
        .collect();
    let blobs = fetch_all(builder, &transport, &archives)?;
    let mut tree = Tree::new();
    for ((wanted, checksum), blob) in archives.iter().zip(blobs) {
        add(builder.store, &mut tree, wanted, checksum, &blob)?;
    }
    for (repository, wanted) in lock.repositories() {
        repository::add(builder, &mut tree, repository, &wanted, commits)?;
    }
    let config = configuration(&lock);
    text_file(builder.store, &mut tree, "config.toml", &config)?;
    let digest = builder.store.add_tree(&tree)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// Brings all crates into the store, several at once; gives them in their order.
fn fetch_all(
    builder: &Builder<'_>,
    transport: &Transport,
    wanted: &[(&Crate, Digest)],
) -> Result<Vec<Blob>, BuildError> {
    let mut templates: BTreeMap<&str, String> = BTreeMap::new();
    for (wanted, checksum) in wanted {
        // A store that has all of them needs no registry.
        if !templates.contains_key(wanted.source.as_str())
            && !builder.store.contains(checksum)?
            && !builder.options.offline
        {
            let template = template(builder, transport, &wanted.source)?;
            templates.insert(&wanted.source, template);
        }
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((wanted, checksum)) = wanted.get(at) else {
                return;
            };
            let address = templates
                .get(wanted.source.as_str())
                .map(|template| address(template, wanted, checksum));
            let addresses: Vec<String> = address.into_iter().collect();
            let name = format!("{} {}", wanted.name, wanted.version);
            let blob = fetch::file(builder, transport, &name, &addresses, checksum);
            if blob.is_err() {
                next.store(usize::MAX / 2, Ordering::Relaxed);
            }
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert(at, blob);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..CONNECTIONS.min(wanted.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().collect()
}

/// What a registry says of itself.
#[derive(serde::Deserialize)]
struct RegistryConfig {
    dl: String,
}

/// How the registry `source` makes addresses of crates.
fn template(
    builder: &Builder<'_>,
    transport: &Transport,
    source: &str,
) -> Result<String, BuildError> {
    let index = index_of(source, builder.options.cargo.unwrap_or_default())?;
    let failed = |reason: String| BuildError::Fetch {
        name: format!("{index}/config.json"),
        reason,
    };
    let base = Base::Http(index.clone());
    let bytes = transport.read(&base, "config.json", MAX_CONFIG_BYTES);
    let bytes = bytes.map_err(|error| failed(error.to_string()))?;
    let config: RegistryConfig = serde_json::from_slice(&bytes)
        .map_err(|error| failed(format!("it is no registry's configuration: {error}")))?;
    Ok(config.dl)
}

/// The configuration of cargo on this machine, as far as it concerns registries.
#[derive(serde::Deserialize, Default)]
struct MachineConfig {
    #[serde(default)]
    source: BTreeMap<String, SourceConfig>,
}

#[derive(serde::Deserialize)]
struct SourceConfig {
    #[serde(rename = "replace-with")]
    replace_with: Option<String>,
    registry: Option<String>,
}

/// Name of crates.io in configurations.
const CRATES_IO: &str = "crates-io";

/// Address of a registry's index over HTTP, without a `/` at the end.
fn index_of(source: &str, machine: &str) -> Result<String, BuildError> {
    let wrong = |reason: String| BuildError::Cargo { reason };
    let config: MachineConfig = toml::from_str(machine).map_err(|error| {
        let text = error.message();
        wrong(format!(
            "this machine's cargo configuration cannot be read: {text}; correct it"
        ))
    })?;
    let mut source = source.to_owned();
    let mut name = config
        .source
        .iter()
        .find(|(_, known)| known.registry.as_deref().is_some_and(|r| same(r, &source)))
        .map(|(name, _)| name.clone())
        .or_else(|| is_crates_io(&source).then(|| CRATES_IO.to_owned()));
    for _ in 0..MAX_REPLACEMENTS {
        let known = name.as_ref().and_then(|name| config.source.get(name));
        if let Some(registry) = known.and_then(|known| known.registry.as_ref()) {
            source.clone_from(registry);
        }
        match known.and_then(|known| known.replace_with.clone()) {
            Some(other) => name = Some(other),
            None => return over_http(&source).ok_or_else(|| {
                wrong(format!(
                    "the registry {source} is not asked over HTTP; name a sparse one in cargo's \
                     configuration (`[source.…] registry = \"sparse+https://…\"`)"
                ))
            }),
        }
    }
    Err(wrong(
        "the sources in cargo's configuration replace each other in a circle".into(),
    ))
}

/// Whether two names of a registry mean the same.
fn same(a: &str, b: &str) -> bool {
    let bare = |text: &str| -> String {
        let text = text.strip_prefix("registry+").unwrap_or(text);
        text.trim_end_matches('/').to_owned()
    };
    bare(a) == bare(b)
}

pub(super) fn is_crates_io(source: &str) -> bool {
    let git = source.strip_suffix("-index");
    let sparse = source.strip_suffix('/');
    git.is_some_and(|url| url.ends_with("/crates.io"))
        || sparse.is_some_and(|url| url.ends_with(".crates.io"))
}

/// The HTTP address of an index. For an index in git that is called `NAME-index`, cargo's own rule
/// for its default registry: `index.NAME` has the same.
fn over_http(source: &str) -> Option<String> {
    if let Some(sparse) = source.strip_prefix("sparse+") {
        return Some(sparse.trim_end_matches('/').to_owned());
    }
    let (scheme, rest) = source
        .strip_prefix("registry+")
        .unwrap_or(source)
        .split_once("://")?;
    let name = rest.rsplit('/').next()?.strip_suffix("-index")?;
    let host = name.contains('.').then_some(name)?;
    Some(format!("{scheme}://index.{host}"))
}

/// Where a crate is; the rules are those of the registry format's `dl`.
fn address(template: &str, wanted: &Crate, checksum: &Digest) -> String {
    let Crate { name, version, .. } = wanted;
    if !template.contains('{') {
        return format!("{template}/{name}/{version}/download");
    }
    let prefix = |name: &str| match name.len() {
        1 | 2 => name.len().to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    };
    template
        .replace("{crate}", name)
        .replace("{version}", version)
        .replace("{prefix}", &prefix(name))
        .replace("{lowerprefix}", &prefix(&name.to_lowercase()))
        .replace("{sha256-checksum}", &checksum.to_string())
}

/// Adds a crate below `crates`, with the file by which cargo knows it.
fn add(
    store: &Store,
    tree: &mut Tree<Blob>,
    wanted: &Crate,
    checksum: &Digest,
    blob: &Blob,
) -> Result<(), BuildError> {
    let title = wanted.title();
    let unpacked = fetch::plain(fetch::unpack(store, &title, blob)?);
    for (path, node) in unpacked.iter().filter(|(path, _)| !path.is_root()) {
        if path.components().next() != Some(title.as_bytes()) {
            return Err(BuildError::Archive {
                name: title,
                reason: "it holds more than its own folder; its registry is at fault".into(),
            });
        }
        let place = TreePath::new("crates")?.join(path.as_bytes())?;
        let mut node = node.clone();
        if let Kind::HardLink(target) = &node.kind {
            node.kind = Kind::HardLink(TreePath::new("crates")?.join(target.as_bytes())?);
        }
        tree.insert_with_parents(place, node)?;
    }
    let sums = format!("{{\"files\":{{}},\"package\":\"{checksum}\"}}");
    text_file(
        store,
        tree,
        &format!("crates/{title}/.cargo-checksum.json"),
        &sums,
    )
}

pub(super) fn text_file(
    store: &Store,
    tree: &mut Tree<Blob>,
    path: &str,
    text: &str,
) -> Result<(), BuildError> {
    let digest = store.add_bytes(text.as_bytes())?;
    let blob = Blob {
        digest,
        size: text.len() as u64,
    };
    let node = Node {
        metadata: Metadata::with_mode(0o644),
        kind: Kind::File(blob),
    };
    Ok(tree.insert_with_parents(TreePath::new(path)?, node)?)
}

/// Cargo's configuration inside: every registry is one folder, and every commit of a repository one.
fn configuration(lock: &LockFile) -> String {
    let mut text = String::from("[source.nos]\ndirectory = \"/crates/crates\"\n");
    let registries = lock.crates.iter().filter(|wanted| match wanted.pin {
        Pin::Checksum(_) => true,
        Pin::Commit(_) => false,
    });
    let sources: BTreeSet<&str> = registries.map(|wanted| wanted.source.as_str()).collect();
    for source in sources {
        if is_crates_io(source) {
            text.push_str("[source.crates-io]\nreplace-with = \"nos\"\n");
        } else {
            let bare = source.strip_prefix("registry+").unwrap_or(source);
            text.push_str(&format!(
                "[source.{bare:?}]\nregistry = {bare:?}\nreplace-with = \"nos\"\n"
            ));
        }
    }
    let mut folders = BTreeSet::new();
    for repository in lock.repositories().into_keys() {
        text.push_str(&repository.configuration());
        folders.insert((&repository.commit, repository.folder()));
    }
    for (commit, folder) in folders {
        text.push_str(&format!(
            "[source.nos-{commit}]\ndirectory = \"/crates/{folder}\"\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &str = "registry+https://git.example/rust/crates.io-index";

    #[test]
    fn registries_are_where_the_machine_says() {
        let index = |source: &str, machine: &str| index_of(source, machine);
        assert_eq!(
            index(LOCKED, "").unwrap(),
            format!("https://index.{}", "crates.io")
        );
        assert_eq!(
            index("sparse+https://r.example/i/", "").unwrap(),
            "https://r.example/i"
        );
        let replaced = "[source.crates-io]\nreplace-with = \"near\"\n\
                        [source.near]\nregistry = \"sparse+https://near.example/index/\"\n";
        assert_eq!(
            index(LOCKED, replaced).unwrap(),
            "https://near.example/index"
        );
        assert_eq!(
            index("sparse+https://r.example/", replaced).unwrap(),
            "https://r.example"
        );
        let circle = "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"a\"\n";
        assert!(index(LOCKED, circle).is_err());
        assert!(index("registry+ssh://git.example/own", "").is_err());
        assert!(index(LOCKED, "source = 1").is_err());
    }

    #[test]
    fn addresses_follow_the_registry() {
        let digest = Digest::of(b"");
        let wanted = Crate {
            name: "Serde".into(),
            version: "1.0.1".into(),
            source: LOCKED.into(),
            pin: Pin::Checksum(digest),
        };
        assert_eq!(
            address("https://d/c", &wanted, &digest),
            "https://d/c/Serde/1.0.1/download"
        );
        assert_eq!(
            address(
                "https://d/{lowerprefix}/{prefix}/{crate}-{version}.crate",
                &wanted,
                &digest
            ),
            "https://d/se/rd/Se/rd/Serde-1.0.1.crate"
        );
    }

    #[test]
    fn every_registry_is_replaced() {
        let commit = "a1".repeat(20);
        let packages = [
            (LOCKED.to_owned(), "registry"),
            ("sparse+https://own.example/i/".into(), "registry"),
            (
                format!("git+https://git.example/a?branch=x%2Fy#{commit}"),
                "git",
            ),
            (
                format!("git+https://git.example/a?rev=a1a1#{commit}"),
                "git",
            ),
        ];
        let packages = packages.iter().enumerate().map(|(n, (source, kind))| {
            let checksum = match *kind {
                "git" => String::new(),
                _ => format!("checksum = \"{}\"\n", Digest::of(b"")),
            };
            format!(
                "[[package]]\nname = \"a{n}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n{checksum}"
            )
        });
        let lock = LockFile::parse(&packages.collect::<String>()).unwrap();
        let text = configuration(&lock);
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        let names: Vec<_> = parsed["source"]
            .as_table()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        let folder = format!("nos-{commit}");
        assert_eq!(
            names,
            [
                "crates-io",
                "git+https://git.example/a?branch=x%2Fy",
                "git+https://git.example/a?rev=a1a1",
                "nos",
                &folder,
                "sparse+https://own.example/i/"
            ]
        );
        let branch = &parsed["source"]["git+https://git.example/a?branch=x%2Fy"];
        assert_eq!(branch["branch"].as_str(), Some("x/y"));
        assert_eq!(branch["replace-with"].as_str(), Some(folder.as_str()));
    }
}
