//! The source of a Debian package as a tree, as dpkg-source(1) lays it out: upstream's archive at the
//! top, further archives of upstream's in folders of their own, Debian's part in the folder `debian`.

use super::{plain, unpack, without_top};
use crate::debian;
use crate::error::BuildError;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Tree, TreePath};
use nos_specs::lock::LockedSource;
use nos_store::{ActionResult, Blob, Output};

/// What one file of a source package is, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Upstream's archive, or all of a package that is Debian's own.
    Main,
    /// A further archive of upstream's, which belongs into this folder.
    Component(&'a str),
    /// An archive of the folder `debian`.
    Debian,
    /// Debian's part in the format of before 2008: one difference.
    Difference,
}

impl<'a> Part<'a> {
    fn of(file: &'a str) -> Self {
        if file.ends_with(".diff.gz") {
            return Self::Difference;
        }
        let stem = file.rfind(".tar").map_or(file, |at| &file[..at]);
        match stem.rfind(".orig-") {
            _ if stem.ends_with(".debian") => Self::Debian,
            Some(at) => Self::Component(&stem[at + ".orig-".len()..]),
            None => Self::Main,
        }
    }
}

/// Whether a source can have patches: those that come with Debian's part.
pub(crate) fn has_patches(pin: &LockedSource) -> bool {
    let mut parts = pin.files.iter().map(|file| Part::of(file.name()));
    parts.any(|part| part == Part::Debian)
}

/// Puts a source together; see [`crate::work::Work::DebianSource`].
///
/// # Errors
/// [`BuildError::Archive`] for what is no archive, and for a source whose patches cannot be told from
/// the rest of Debian's part.
pub(crate) fn source(
    builder: &Builder<'_>,
    package: &str,
    pin: &LockedSource,
    patches: bool,
) -> Result<ActionResult, BuildError> {
    let store = builder.store;
    let mut whole: Tree<Blob> = Tree::new();
    let (mut beside, mut own) = (Vec::new(), None);
    for (name, file) in pin.pins() {
        let blob = Blob {
            digest: debian::digest_of(&name, &file)?,
            size: file.size,
        };
        match Part::of(&name) {
            Part::Main => whole = without_top(unpack(store, &name, &blob)?)?,
            Part::Component(folder) => {
                let tree = without_top(unpack(store, &name, &blob)?)?;
                beside.push((folder.to_owned(), tree));
            }
            Part::Debian if patches => own = Some(unpack(store, &name, &blob)?),
            Part::Difference if patches => {
                return Err(BuildError::Archive {
                    name: package.to_owned(),
                    reason: "Debian's part of it is one difference (format 1.0), which nos does \
                             not apply; write `patches = false` to build what upstream published"
                        .into(),
                });
            }
            Part::Debian | Part::Difference => {}
        }
    }
    for (folder, tree) in beside {
        let folder = TreePath::new(folder)?;
        whole.remove(&folder);
        put(&mut whole, &tree, &folder)?;
    }
    if let Some(own) = own {
        // Upstream's folder of that name is not Debian's.
        whole.remove(&TreePath::new("debian")?);
        put(&mut whole, &own, &TreePath::new("")?)?;
    }
    let digest = store.add_tree(&plain(whole))?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// Lays a tree into a folder of another.
fn put(whole: &mut Tree<Blob>, tree: &Tree<Blob>, folder: &TreePath) -> Result<(), BuildError> {
    let below = |path: &TreePath| -> Result<TreePath, BuildError> {
        let mut bytes = folder.as_bytes().to_vec();
        if !bytes.is_empty() && !path.is_root() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(path.as_bytes());
        Ok(TreePath::new(bytes)?)
    };
    for (path, node) in tree.iter() {
        let path = below(path)?;
        if path.is_root() {
            continue;
        }
        let mut node = node.clone();
        if let Kind::HardLink(target) = &node.kind {
            node.kind = Kind::HardLink(below(target)?);
        }
        whole.insert(path, node)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use crate::oci::tests::tar;
    use crate::testing;
    use nos_specs::lock::LockedFile;
    use nos_store::Store;

    /// Paths of the tree that these archives make together.
    fn put_together(archives: &[(&str, Vec<u8>)], patches: bool) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let builder = testing::builder(&store, folder.path(), &Silent);
        let files = archives.iter().map(|(name, bytes)| LockedFile {
            path: format!("pool/main/{name}"),
            size: bytes.len() as u64,
            sha256: store.add_bytes(bytes).unwrap().to_string(),
        });
        let pin = LockedSource {
            version: "1-2".into(),
            suite: "trixie".into(),
            files: files.collect(),
        };
        let made = source(&builder, "ant", &pin, patches).map_err(|e| e.to_string())?;
        let tree = store.read_tree(&made.tree("tree").unwrap()).unwrap();
        Ok(tree.iter().map(|(path, _)| path.to_string()).collect())
    }

    #[test]
    fn archives_lie_where_debian_puts_them() {
        let archives = [
            (
                "ant_1-2.debian.tar.xz",
                tar(&[("debian/", b""), ("debian/rules", b"")]),
            ),
            (
                "ant_1.orig-docs.tar.xz",
                tar(&[("docs-7/", b""), ("docs-7/page", b"")]),
            ),
            (
                "ant_1.orig.tar.xz",
                tar(&[
                    ("ant-1/", b""),
                    ("ant-1/debian/", b""),
                    ("ant-1/debian/old", b""),
                    ("ant-1/docs/", b""),
                    ("ant-1/docs/old", b""),
                    ("ant-1/main.c", b""),
                ]),
            ),
        ];
        assert_eq!(
            put_together(&archives, true).unwrap(),
            [
                "/",
                "/debian",
                "/debian/rules",
                "/docs",
                "/docs/page",
                "/main.c"
            ]
        );
        assert_eq!(
            put_together(&archives, false).unwrap(),
            [
                "/",
                "/debian",
                "/debian/old",
                "/docs",
                "/docs/page",
                "/main.c"
            ]
        );
        let own = [(
            "ant_1.tar.xz",
            tar(&[("ant/", b""), ("ant/debian/", b""), ("ant/a", b"")]),
        )];
        assert_eq!(put_together(&own, true).unwrap(), ["/", "/a", "/debian"]);

        let old = [
            ("ant_1-2.diff.gz", b"x".to_vec()),
            ("ant_1.orig.tar.gz", tar(&[("ant/", b""), ("ant/a", b"")])),
        ];
        assert!(
            put_together(&old, true)
                .unwrap_err()
                .contains("write `patches = false`")
        );
        assert_eq!(put_together(&old, false).unwrap(), ["/", "/a"]);
    }

    #[test]
    fn files_are_told_by_their_names() {
        for (name, part) in [
            ("ant_1.2.orig.tar.bz2", Part::Main),
            ("ant_1.2.tar.xz", Part::Main),
            ("ant_1.2.orig-docs.tar.gz", Part::Component("docs")),
            ("ant_1.2-3.debian.tar.xz", Part::Debian),
            ("ant_1.2-3.diff.gz", Part::Difference),
        ] {
            assert_eq!(Part::of(name), part, "{name}");
        }
    }
}
