//! What differs between two systems, or between a system and the plan of the next one.

use crate::contents::{Contents, ContentsError, OpenImage};
use crate::ingredients::Pins;
use crate::plan::image_group;
use crate::system::BuiltSystem;
use nos_formats::erofs::Inode;
use nos_formats::tree::{Kind, Node, TreePath};
use nos_manifest::{Ingredients, Service, SystemManifest};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Digits of a file's digest that are shown.
const DIGEST_DIGITS: usize = 12;

/// What a [`Change`] is about; in the order in which changes are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The kernel's release.
    Kernel,
    /// An option of the kernel's configuration.
    Option,
    /// A word of the kernel's command line.
    Word,
    /// A setting of the host: its network, its state partition.
    Host,
    /// A service, or one of its attributes (`web.run`).
    Service,
    /// An image.
    Image,
    /// A package in an image, or one that kernel or boot loader come from.
    Package,
    /// A file in an image.
    File,
}

/// One thing that is only in one system, or another in each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// The image that it is in; `kernel` and `boot` for packages of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Its name.
    pub name: String,
    /// As it was; `None`: it was not there.
    pub before: Option<Fact>,
    /// As it is; `None`: it is not there any more.
    pub after: Option<Fact>,
}

/// One side of a [`Change`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Fact {
    /// A version, a value, a kind.
    pub text: String,
    /// Its size, where it has one and that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Named facts, each in an image or not.
type Facts = BTreeMap<(Option<String>, String), Fact>;

/// What two systems are compared by. A part that is not known compares as equal.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    kernel: Option<Facts>,
    options: Option<Facts>,
    words: Facts,
    host: Facts,
    services: Facts,
    images: Facts,
    packages: Option<Facts>,
}

impl Profile {
    /// Of a finished system, by what its kernel image says of it.
    pub fn of_contents(contents: &Contents<'_>) -> Self {
        let mut profile = Self::of_manifest(&contents.manifest, &contents.cmdline);
        profile.kernel(&contents.manifest.kernel, contents.kernel_bytes);
        profile.record(contents.ingredients.as_ref());
        profile
    }

    /// Of a finished system of which the store remembers what was pinned for it.
    pub fn of_built(
        system: &BuiltSystem,
        pins: Option<&Pins>,
        ingredients: Option<&Ingredients>,
    ) -> Self {
        let mut profile = Self::of_manifest(&system.manifest, &system.cmdline);
        profile.kernel(&system.manifest.kernel, system.kernel.size);
        profile.packages = pins.map(|pins| pinned(pins, ingredients));
        profile.options = ingredients.map(options);
        profile
    }

    /// Of a system that is yet to be built: `images` says how large those are that are there.
    pub fn of_plan(
        manifest: &SystemManifest,
        cmdline: &str,
        pins: &Pins,
        images: &BTreeMap<String, Option<u64>>,
    ) -> Self {
        let mut profile = Self::of_manifest(manifest, cmdline);
        profile.packages = Some(pinned(pins, None));
        let size = |(name, bytes): (&String, &Option<u64>)| {
            let text = String::new();
            (
                (None, name.clone()),
                Fact {
                    text,
                    bytes: *bytes,
                },
            )
        };
        profile.images = images.iter().map(size).collect();
        profile
    }

    fn of_manifest(manifest: &SystemManifest, cmdline: &str) -> Self {
        let words = cmdline.split_whitespace().map(|word| {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            ((None, name.to_string()), fact(value))
        });
        let images = manifest.images.iter().map(|image| {
            let short = image.root_hash.get(..DIGEST_DIGITS);
            let fact = Fact {
                text: short.unwrap_or_default().to_string(),
                bytes: Some(image.size_bytes),
            };
            ((None, image.name.clone()), fact)
        });
        let state = if manifest.state { "yes" } else { "no" };
        let network = serde_json::to_value(&manifest.network).unwrap_or_default();
        let host = [("network", said(&network)), ("state", state.to_string())];
        Self {
            words: words.collect(),
            images: images.collect(),
            services: manifest.services.iter().flat_map(attributes).collect(),
            host: host
                .map(|(name, text)| ((None, name.to_string()), fact(&text)))
                .into(),
            ..Self::default()
        }
    }

    fn kernel(&mut self, release: &str, bytes: u64) {
        let fact = Fact {
            text: release.to_string(),
            bytes: Some(bytes),
        };
        self.kernel = Some([((None, String::new()), fact)].into());
    }

    fn record(&mut self, ingredients: Option<&Ingredients>) {
        let Some(ingredients) = ingredients else {
            return;
        };
        self.options = Some(options(ingredients));
        let boot = ingredients
            .boot
            .iter()
            .map(|(name, version)| ((Some("boot".to_string()), name.clone()), fact(version)));
        let images = ingredients.packages.iter().flat_map(|(image, packages)| {
            packages.iter().map(move |(name, package)| {
                let fact = Fact {
                    text: package.version.clone(),
                    bytes: Some(package.bytes),
                };
                ((Some(image.clone()), name.clone()), fact)
            })
        });
        self.packages = Some(boot.chain(images).collect());
    }
}

fn fact(text: &str) -> Fact {
    Fact {
        text: text.to_string(),
        bytes: None,
    }
}

fn options(ingredients: &Ingredients) -> Facts {
    let options = ingredients.options.iter();
    options
        .map(|(name, value)| ((None, name.clone()), fact(value)))
        .collect()
}

/// Packages by what they are pinned for; with their sizes, where a record has them.
fn pinned(pins: &Pins, ingredients: Option<&Ingredients>) -> Facts {
    let mut facts = Facts::new();
    for (group, packages) in pins {
        let place = group.strip_prefix(&image_group("")).unwrap_or(group);
        let sizes = ingredients.and_then(|ingredients| ingredients.packages.get(place));
        for (name, version) in packages {
            let fact = Fact {
                text: version.clone(),
                bytes: sizes.and_then(|sizes| Some(sizes.get(name)?.bytes)),
            };
            facts.insert((Some(place.to_string()), name.clone()), fact);
        }
    }
    facts
}

/// A service's attributes: what the manifest says of it, apart from what it says of none.
fn attributes(service: &Service) -> Vec<((Option<String>, String), Fact)> {
    let Ok(Value::Object(all)) = serde_json::to_value(service) else {
        return Vec::new();
    };
    let mut found = vec![((None, service.name.clone()), Fact::default())];
    for (name, value) in all {
        if name != "name" {
            found.push((
                (None, format!("{}.{name}", service.name)),
                fact(&said(&value)),
            ));
        }
    }
    found
}

/// A value as a person would write it: bare words, lists of words, else compact JSON.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            words.join(" ")
        }
        other => other.to_string(),
    }
}

/// What differs between two profiles.
pub fn profiles(before: &Profile, after: &Profile) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut side = |subject, a: Option<&Facts>, b: Option<&Facts>| {
        if let (Some(a), Some(b)) = (a, b) {
            facts(subject, a, b, &mut changes);
        }
    };
    let (a, b) = (before, after);
    side(Subject::Kernel, a.kernel.as_ref(), b.kernel.as_ref());
    side(Subject::Option, a.options.as_ref(), b.options.as_ref());
    side(Subject::Word, Some(&a.words), Some(&b.words));
    side(Subject::Host, Some(&a.host), Some(&b.host));
    side(Subject::Service, Some(&a.services), Some(&b.services));
    side(Subject::Package, a.packages.as_ref(), b.packages.as_ref());
    images(&a.images, &b.images, &mut changes);
    let new: BTreeSet<String> = a
        .services
        .keys()
        .chain(b.services.keys())
        .filter(|key| a.services.contains_key(key) != b.services.contains_key(key))
        .map(|(_, name)| name.clone())
        .filter(|name| !name.contains('.'))
        .collect();
    // Of a service that is only on one side its name says enough.
    changes.retain(|change| {
        let owner = change.name.split_once('.').map(|(service, _)| service);
        change.subject != Subject::Service || owner.is_none_or(|owner| !new.contains(owner))
    });
    changes.sort_unstable();
    changes
}

/// Images differ where their content does; one that is yet to be built is another.
fn images(before: &Facts, after: &Facts, changes: &mut Vec<Change>) {
    let built = |facts: &Facts| facts.values().all(|fact| !fact.text.is_empty());
    if built(before) && built(after) {
        return facts(Subject::Image, before, after, changes);
    }
    // Of a plan only the size is known, of an image that does not exist not even that.
    let by_size = |facts: &Facts| -> Facts {
        let bare = facts.iter().map(|(key, fact)| {
            let text = match fact.bytes {
                Some(_) => "",
                None => "to be built",
            };
            let fact = Fact {
                text: text.to_string(),
                bytes: fact.bytes,
            };
            (key.clone(), fact)
        });
        bare.collect()
    };
    facts(Subject::Image, &by_size(before), &by_size(after), changes);
}

fn facts(subject: Subject, before: &Facts, after: &Facts, changes: &mut Vec<Change>) {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let (a, b) = (before.get(key), after.get(key));
        if a != b {
            changes.push(Change {
                subject,
                place: key.0.clone(),
                name: key.1.clone(),
                before: a.cloned(),
                after: b.cloned(),
            });
        }
    }
}

/// What differs between two finished systems, files included.
///
/// # Errors
/// [`ContentsError::Image`] where an image is damaged.
pub fn systems(before: &Contents<'_>, after: &Contents<'_>) -> Result<Vec<Change>, ContentsError> {
    let mut changes = profiles(&Profile::of_contents(before), &Profile::of_contents(after));
    let names: BTreeSet<&String> = before.images.keys().chain(after.images.keys()).collect();
    for name in names {
        let (a, b) = (before.images.get(name), after.images.get(name));
        // Equal root hashes are equal bytes.
        let hash = |image: Option<&OpenImage<'_>>| image.map(|i| i.image.root_hash.clone());
        if hash(a) != hash(b) {
            files(name, a, b, &mut changes)?;
        }
    }
    Ok(changes)
}

fn files(
    image: &str,
    before: Option<&OpenImage<'_>>,
    after: Option<&OpenImage<'_>>,
    changes: &mut Vec<Change>,
) -> Result<(), ContentsError> {
    let paths = |image: Option<&OpenImage<'_>>| -> Vec<TreePath> {
        let paths = image.map(|image| image.tree.iter().map(|(path, _)| path.clone()).collect());
        paths.unwrap_or_default()
    };
    let all: BTreeSet<TreePath> = paths(before).into_iter().chain(paths(after)).collect();
    let failed = |error: nos_formats::erofs::ReadError| ContentsError::Image {
        image: image.to_string(),
        what: error.to_string(),
    };
    for path in all {
        let node = |image: Option<&OpenImage<'_>>| image.and_then(|i| i.tree.get(&path)).cloned();
        let (a, b) = (node(before), node(after));
        let mut facts = (a.as_ref().map(describe), b.as_ref().map(describe));
        if let (Some(x), Some(y)) = (&a, &b)
            && let (Kind::File(old), Kind::File(new)) = (&x.kind, &y.kind)
            && let (Some(before), Some(after)) = (before, after)
        {
            let (old, new) = (before.digest(old), after.digest(new));
            for (fact, digest) in [(&mut facts.0, old), (&mut facts.1, new)] {
                let digest = digest.map_err(failed)?.to_string();
                if let (Some(fact), Some(short)) = (fact, digest.get(..DIGEST_DIGITS)) {
                    fact.text.push_str(" sha256 ");
                    fact.text.push_str(short);
                }
            }
        }
        if facts.0 != facts.1 {
            changes.push(Change {
                subject: Subject::File,
                place: Some(image.to_string()),
                name: path.to_string(),
                before: facts.0,
                after: facts.1,
            });
        }
    }
    Ok(())
}

/// Kind, mode and owner of a file; a file's size.
fn describe(node: &Node<Inode>) -> Fact {
    let (kind, bytes) = match &node.kind {
        Kind::File(inode) => ("file".to_string(), Some(inode.size_bytes())),
        Kind::Directory => ("folder".to_string(), None),
        Kind::Symlink(target) => (format!("link to {}", String::from_utf8_lossy(target)), None),
        Kind::HardLink(target) => (format!("hard link to {target}"), None),
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } => ("device".to_string(), None),
        Kind::Fifo => ("pipe".to_string(), None),
        Kind::Socket => ("socket".to_string(), None),
    };
    let metadata = &node.metadata;
    let mut text = format!("{kind} mode {:o}", metadata.mode);
    if (metadata.uid, metadata.gid) != (0, 0) {
        text.push_str(&format!(" owner {}:{}", metadata.uid, metadata.gid));
    }
    Fact { text, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(versions: &[(&str, &str)]) -> Pins {
        let packages = versions.iter().map(|(n, v)| (n.to_string(), v.to_string()));
        [("image web".to_string(), packages.collect())].into()
    }

    fn manifest(service: &str, run: &[&str]) -> SystemManifest {
        let text = serde_json::json!({
            "version": 1, "host": "h", "kernel": "6.12", "modules": [], "images": [],
            "network": {"kind": "none"}, "state": false,
            "services": [{
                "name": service, "image": "web", "run": run, "env": {}, "workdir": "/",
                "uid": 1000, "gid": 1000, "capabilities": [], "state": [], "listen": [],
                "health": null, "restart": "always", "after": [],
            }],
        });
        serde_json::from_value(text).unwrap()
    }

    fn lines(before: &Profile, after: &Profile) -> Vec<String> {
        let side = |fact: &Option<Fact>| match fact {
            None => "nothing".to_string(),
            Some(Fact { text, bytes: None }) => format!("{text:?}"),
            Some(Fact {
                text,
                bytes: Some(bytes),
            }) => format!("{text:?} {bytes}"),
        };
        profiles(before, after)
            .iter()
            .map(|c| {
                format!(
                    "{:?} {}: {} -> {}",
                    c.subject,
                    c.name,
                    side(&c.before),
                    side(&c.after)
                )
            })
            .collect()
    }

    #[test]
    fn a_plan_is_compared_with_what_was_built() {
        let images = |size| BTreeMap::from([("web".to_string(), size)]);
        let before = Profile::of_plan(
            &manifest("web", &["/a"]),
            "quiet panic=1",
            &pins(&[("gone", "1"), ("moved", "1"), ("same", "1")]),
            &images(Some(7)),
        );
        let after = Profile::of_plan(
            &manifest("web", &["/a", "-b"]),
            "panic=2",
            &pins(&[("moved", "2"), ("new", "1"), ("same", "1")]),
            &images(None),
        );
        assert_eq!(
            lines(&before, &after),
            [
                r#"Word panic: "1" -> "2""#,
                r#"Word quiet: "" -> nothing"#,
                r#"Service web.run: "/a" -> "/a -b""#,
                r#"Image web: "" 7 -> "to be built""#,
                r#"Package gone: "1" -> nothing"#,
                r#"Package moved: "1" -> "2""#,
                r#"Package new: nothing -> "1""#,
            ]
        );
        assert_eq!(lines(&before, &before), [""; 0]);
    }

    #[test]
    fn of_a_new_service_the_name_says_enough() {
        let profile = |service| {
            Profile::of_plan(
                &manifest(service, &["/a"]),
                "",
                &pins(&[]),
                &BTreeMap::new(),
            )
        };
        assert_eq!(
            lines(&profile("old"), &profile("new")),
            [
                r#"Service new: nothing -> """#,
                r#"Service old: "" -> nothing"#
            ]
        );
    }
}
