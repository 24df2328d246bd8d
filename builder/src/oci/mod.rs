//! Images of the Open Container Initiative (image-spec 1.1) and archives of `docker save`, as trees.
//!
//! Nothing of an image runs, and of its configuration nothing is taken: what a service runs and as
//! whom is for the spec to say.

pub(crate) mod registry;

use crate::compose::{output_object, output_tree};
use crate::error::BuildError;
use crate::fetch;
use crate::realise::Builder;
use nos_formats::tree::{Kind, Node, Tree, TreePath};
use nos_store::{ActionResult, Blob, Digest, Output, Store};
use std::collections::BTreeSet;

/// Largest JSON document of an image, in bytes.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Most layers of an image.
const MAX_LAYERS: usize = 1000;

/// How deep indexes may lie in each other.
const MAX_DEPTH: usize = 4;

/// Marks a name that a layer takes away.
const WHITEOUT: &[u8] = b".wh.";

/// Marks a folder whose content of lower layers a layer takes away.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Takes an image in; see [`crate::work::Work::Oci`].
///
/// # Errors
/// [`BuildError::Archive`] for what is no image for this processor.
pub(crate) fn import(
    builder: &Builder<'_>,
    name: &str,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let input = inputs
        .first()
        .ok_or(BuildError::MissingOutput { name: "file" })?;
    let image = Layout::of(builder, name, input)?;
    let mut tree = Tree::new();
    for layer in image.layers()? {
        lay(&mut tree, fetch::unpack(builder.store, name, &layer)?)?;
    }
    tree.check_links()?;
    let digest = builder.store.add_tree(&tree)?;
    Ok(ActionResult::with_output("tree", Output::Tree(digest)))
}

/// The digest by which an image beside the spec is known: that of its manifest, as in a registry, or
/// of the archive itself where `docker save` wrote it.
///
/// # Errors
/// As [`import`].
pub(crate) fn digest_of(
    builder: &Builder<'_>,
    name: &str,
    source: &ActionResult,
) -> Result<Digest, BuildError> {
    let image = Layout::of(builder, name, source)?;
    Ok(match image.manifest()? {
        Some((manifest, _)) => manifest.digest,
        None => output_object(source, "file")
            .map(|file| file.digest)
            .or_else(|_| output_tree(source, "tree"))?,
    })
}

/// The files that an image is made of.
struct Layout<'a> {
    store: &'a Store,
    name: &'a str,
    files: Tree<Blob>,
}

/// Something with a digest.
#[derive(serde::Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(rename = "mediaType", default)]
    media_type: String,
    platform: Option<Platform>,
}

#[derive(serde::Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// An index or a manifest: an index has manifests, a manifest has layers.
#[derive(serde::Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// An entry of the `manifest.json` of `docker save`.
#[derive(serde::Deserialize)]
struct Saved {
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// The one of several images that is for this processor, or why there is none.
fn choose(list: &[Descriptor]) -> Result<&Descriptor, &'static str> {
    let fits = |d: &&Descriptor| match &d.platform {
        Some(platform) => platform.os == "linux" && platform.architecture == "amd64",
        None => true,
    };
    let mut fitting = list.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err("it has no image for linux on amd64; take one that has"),
        (Some(_), Some(_)) => Err("it holds several images; name one alone"),
    }
}

impl<'a> Layout<'a> {
    /// The files of an archive or folder.
    fn of(builder: &Builder<'a>, name: &'a str, input: &ActionResult) -> Result<Self, BuildError> {
        let store = builder.store;
        let files = match input.outputs.contains_key("file") {
            true => fetch::unpack(store, name, &output_object(input, "file")?)?,
            false => store.read_tree(&output_tree(input, "tree")?)?,
        };
        Ok(Self { store, name, files })
    }

    fn wrong(&self, reason: impl Into<String>) -> BuildError {
        BuildError::Archive {
            name: self.name.into(),
            reason: reason.into(),
        }
    }

    /// The layers, lowest first.
    fn layers(&self) -> Result<Vec<Blob>, BuildError> {
        let layers: Vec<Blob> = if let Some((_, document)) = self.manifest()? {
            let layers = document.layers.iter().map(|layer| self.blob(layer));
            layers.collect::<Result<_, _>>()?
        } else if let Some(blob) = self.file("manifest.json")? {
            let saved: Vec<Saved> = self.json(&blob)?;
            let [image] = saved.as_slice() else {
                return Err(self.wrong(format!("it holds {} images; save one alone", saved.len())));
            };
            let layers = image.layers.iter().map(|path| {
                let found = self.file(path)?;
                found.ok_or_else(|| self.wrong(format!("it lacks {path}; save it again")))
            });
            layers.collect::<Result<_, _>>()?
        } else {
            let reason = "it has neither index.json nor manifest.json at its top; name an image's \
                          layout, an archive of one, or what `docker save` wrote";
            return Err(self.wrong(reason));
        };
        if layers.len() > MAX_LAYERS {
            return Err(self.wrong(format!("it has more than {MAX_LAYERS} layers; flatten it")));
        }
        Ok(layers)
    }

    /// The manifest of the image for this processor; `None` in what is no layout.
    fn manifest(&self) -> Result<Option<(Blob, Document)>, BuildError> {
        let Some(mut blob) = self.file("index.json")? else {
            return Ok(None);
        };
        for _ in 0..MAX_DEPTH {
            let document: Document = self.json(&blob)?;
            if document.manifests.is_empty() {
                return Ok(Some((blob, document)));
            }
            blob = self.blob(self.ours(&document.manifests)?)?;
        }
        Err(self.wrong("its indexes lie too deep in each other; save one image alone"))
    }

    /// The one of several images that is for this processor.
    fn ours<'d>(&self, list: &'d [Descriptor]) -> Result<&'d Descriptor, BuildError> {
        choose(list).map_err(|reason| self.wrong(reason))
    }

    /// What a descriptor names: the store's digests are those of the image.
    fn blob(&self, wanted: &Descriptor) -> Result<Blob, BuildError> {
        let Some(digest) = wanted.digest.strip_prefix("sha256:") else {
            return Err(self.wrong(format!(
                "{} is named by another digest than SHA-256; save the image again",
                wanted.digest
            )));
        };
        if wanted.media_type.ends_with("+encrypted") {
            return Err(self.wrong("a layer is encrypted; decrypt the image"));
        }
        let found = self.file(&format!("blobs/sha256/{digest}"))?;
        match found {
            Some(blob) if blob.digest.to_string() == digest => Ok(blob),
            Some(_) => Err(self.wrong(format!("{digest} holds other bytes; save it again"))),
            None => Err(self.wrong(format!("it lacks {digest}; save it again, with all layers"))),
        }
    }

    /// A file by its path; links of `docker save` are followed once.
    fn file(&self, path: &str) -> Result<Option<Blob>, BuildError> {
        let at = |path: &TreePath| self.files.get(path).map(|node| &node.kind);
        let path = TreePath::new(path)?;
        Ok(match at(&path) {
            Some(Kind::File(blob)) => Some(*blob),
            Some(Kind::HardLink(target)) => match at(target) {
                Some(Kind::File(blob)) => Some(*blob),
                _ => None,
            },
            _ => None,
        })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, blob: &Blob) -> Result<T, BuildError> {
        if blob.size > MAX_JSON_BYTES {
            return Err(self.wrong("one of its descriptions is larger than 4 MiB; save it again"));
        }
        let bytes = self.store.read_object(&blob.digest)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            self.wrong(format!(
                "one of its descriptions is damaged ({error}); save it again"
            ))
        })
    }
}

/// Lays a layer over what lower layers made.
fn lay(tree: &mut Tree<Blob>, layer: Tree<Blob>) -> Result<(), BuildError> {
    // What is taken away is of lower layers, wherever the mark stands in this one.
    let (mut gone, mut emptied) = (BTreeSet::new(), BTreeSet::new());
    let is_folder = |node: &Node<Blob>| matches!(node.kind, Kind::Directory);
    for (path, node) in layer.iter() {
        let parent = path.parent().unwrap_or_default();
        if path.name() == OPAQUE {
            emptied.insert(parent);
        } else if let Some(name) = path.name().strip_prefix(WHITEOUT) {
            gone.insert(parent.join(name)?);
        } else if tree
            .get(path)
            .is_some_and(|there| is_folder(there) != is_folder(node))
        {
            gone.insert(path.clone());
        }
    }
    if !(gone.is_empty() && emptied.is_empty()) {
        tree.retain(|path, _| {
            let mut above = path.parent();
            while let Some(folder) = above {
                if gone.contains(&folder) || emptied.contains(&folder) {
                    return false;
                }
                above = folder.parent();
            }
            !gone.contains(path)
        });
    }
    for (path, node) in layer.iter() {
        if path.is_root() || path.name().starts_with(WHITEOUT) {
            continue;
        }
        let mut node = node.clone();
        // A service cannot gain rights by running a file.
        node.metadata.mode &= 0o1777;
        tree.insert_with_parents(path.clone(), node)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::events::Silent;
    use crate::testing;

    /// A tar archive; names that end in `/` are folders.
    pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_path(name).unwrap();
            header.set_mode(0o4755);
            header.set_uid(0);
            header.set_gid(0);
            if name.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Two layers: the upper one replaces, takes away and empties.
    pub(super) fn layers() -> Vec<Vec<u8>> {
        let lower = tar(&[
            ("a", b"1"),
            ("gone", b"1"),
            ("d/", b""),
            ("d/old", b"1"),
            ("f/below", b"1"),
        ]);
        let upper = tar(&[
            ("a", b"2"),
            (".wh.gone", b""),
            ("d/new", b"2"),
            ("d/.wh..wh..opq", b""),
            ("f", b"now a file"),
        ]);
        vec![gz(&lower), zstd::encode_all(upper.as_slice(), 1).unwrap()]
    }

    pub(super) fn hex(bytes: &[u8]) -> String {
        nos_store::Digest::of(bytes).to_string()
    }

    fn manifest_of(layers: &[Vec<u8>]) -> String {
        let list: Vec<String> = layers
            .iter()
            .map(|layer| {
                format!(
                    "{{\"mediaType\":\"x\",\"digest\":\"sha256:{}\"}}",
                    hex(layer)
                )
            })
            .collect();
        format!("{{\"layers\":[{}]}}", list.join(","))
    }

    /// An archive of a layout, with an index for two processors.
    fn layout(layers: &[Vec<u8>]) -> Vec<u8> {
        let manifest = manifest_of(layers);
        let index = format!(
            "{{\"manifests\":[{{\"digest\":\"sha256:00\",\"platform\":{{\"os\":\"linux\",\
             \"architecture\":\"arm64\"}}}},{{\"digest\":\"sha256:{}\",\"platform\":{{\"os\":\"linux\",\
             \"architecture\":\"amd64\"}}}}]}}",
            hex(manifest.as_bytes())
        );
        let mut files = vec![("index.json".to_owned(), index.into_bytes())];
        for blob in layers.iter().cloned().chain([manifest.into_bytes()]) {
            files.push((format!("blobs/sha256/{}", hex(&blob)), blob));
        }
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        tar(&files)
    }

    fn imported(archive: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let builder = testing::builder(&store, folder.path(), &Silent);
        let blob = Blob {
            digest: store.add_bytes(archive).unwrap(),
            size: archive.len() as u64,
        };
        let input = ActionResult::with_output("file", Output::Object(blob));
        let result = import(&builder, "image.tar", &[&input]).map_err(|e| e.to_string())?;
        let tree = store.read_tree(&result.tree("tree").unwrap()).unwrap();
        let shown = tree.iter().map(|(path, node)| match &node.kind {
            Kind::File(blob) => {
                let text = store.read_object(&blob.digest).unwrap();
                let text = String::from_utf8(text).unwrap();
                format!("{path} {:o} {text}", node.metadata.mode)
            }
            _ => path.to_string(),
        });
        Ok(shown.collect())
    }

    pub(super) const RESULT: [&str; 5] =
        ["/", "/a 755 2", "/d", "/d/new 755 2", "/f 755 now a file"];

    #[test]
    fn layers_lie_over_each_other() {
        assert_eq!(imported(&layout(&layers())).unwrap(), RESULT);
        let layers = layers();
        let saved = tar(&[
            (
                "manifest.json",
                br#"[{"Config":"c","Layers":["l/1.tar","l/2.tar"]}]"#,
            ),
            ("l/1.tar", &layers[0]),
            ("l/2.tar", &layers[1]),
        ]);
        assert_eq!(imported(&saved).unwrap(), RESULT);
    }

    #[test]
    fn an_image_is_known_by_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let builder = testing::builder(&store, folder.path(), &Silent);
        let known = |archive: &[u8]| {
            let blob = Blob {
                digest: store.add_bytes(archive).unwrap(),
                size: archive.len() as u64,
            };
            let input = ActionResult::with_output("file", Output::Object(blob));
            digest_of(&builder, "image.tar", &input)
                .unwrap()
                .to_string()
        };
        let layers = layers();
        let manifest = manifest_of(&layers);
        assert_eq!(known(&layout(&layers)), hex(manifest.as_bytes()));
        let saved = tar(&[("manifest.json", br#"[{"Config":"c","Layers":[]}]"#)]);
        assert_eq!(known(&saved), hex(&saved));
    }

    #[test]
    fn damaged_images_are_refused() {
        let good = layout(&layers());
        for (what, archive) in [
            ("neither", tar(&[("x", b"")])),
            ("damaged", tar(&[("index.json", b"{")])),
            ("unpacked", good[..700].to_vec()),
        ] {
            let error = imported(&archive).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
        let index = br#"{"manifests":[{"digest":"sha256:00"}]}"#;
        let error = imported(&tar(&[("index.json", index)])).unwrap_err();
        assert!(error.contains("it lacks 00"), "{error}");
        let index = br#"{"manifests":[{"digest":"sha256:00"},{"digest":"sha256:01"}]}"#;
        let error = imported(&tar(&[("index.json", index)])).unwrap_err();
        assert!(error.contains("several images"), "{error}");
    }
}
