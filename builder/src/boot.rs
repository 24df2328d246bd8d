//! What the firmware starts: kernel, initramfs, unified kernel image, and the description of the
//! whole system.

use crate::compose::{BUILDS_FACT, PACKAGES_FACT, output_object, output_tree};
use crate::error::BuildError;
use crate::ingredients;
use crate::kernel::{
    Compression, Feature, Kernel, Loading, Module, ModuleName, Modules, RELEASE_SCAN_BYTES, Wanted,
};
use crate::plan::BOOT_PACKAGE;
use crate::realise::Builder;
use crate::system::{BuiltSystem, SYSTEM_VERSION};
use crate::work::SystemParts;
use nos_formats::cpio::{self, initramfs};
use nos_formats::pe::Uki;
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_manifest::MANIFEST_PATH;
use nos_store::{ActionResult, Blob, Digest, Output, Store};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

/// zstd level of the initramfs. Made once per kernel and module set, unpacked at every boot.
const INITRD_LEVEL: i32 = 19;

/// Features whose modules are unpacked with the initramfs. Drivers of other features stay
/// compressed until a machine needs them: unpacking all would cost every boot more than all of
/// its own modules do, and memory besides.
const USUAL: [Feature; 2] = [Feature::Virtio, Feature::Images];

/// Where the package keeps boot loader and UKI stub.
const BOOT_LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const STUB: &str = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// Picks kernel image and modules; see [`crate::work::Work::Kernel`].
pub(crate) fn kernel(
    builder: &Builder<'_>,
    features: &[Feature],
    extra: &[String],
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let store = builder.store;
    let tree = store.read_tree(&output_tree(input(inputs, 0)?, "tree")?)?;
    let read = |path: &TreePath| read_path(store, &tree, path);
    let kernel = Kernel::find(&tree)?;
    let vmlinuz = blob_at(&tree, &kernel.vmlinuz)
        .ok_or_else(|| not_in("linux-image", &kernel.vmlinuz.to_string()))?;
    let mut head = Vec::new();
    store
        .open_object(&vmlinuz.digest)?
        .take(RELEASE_SCAN_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|error| BuildError::Io {
            path: store.object_path(&vmlinuz.digest),
            error,
        })?;
    kernel.check_image(&head)?;

    let modules = Modules::read(&tree, &kernel, read)?;
    let of = |stage: &[Feature]| -> Vec<Feature> {
        let features = features.iter().copied();
        features.filter(|feature| stage.contains(feature)).collect()
    };
    let (late, trial) = (of(&Feature::LATE), of(&Feature::TRIAL));
    let mut early = features.to_vec();
    early.retain(|feature| !late.contains(feature) && !trial.contains(feature));
    let mut wanted = Feature::wanted(&early);
    wanted.extend(extra.iter().map(|name| Wanted::named(name)));
    let early_count = modules.select(&wanted, read)?.len();
    wanted.extend(Feature::wanted(&late));
    let late_count = modules.select(&wanted, read)?.len();
    wanted.extend(Feature::wanted(&trial));
    let selected = modules.select(&wanted, read)?;
    let patterns: BTreeMap<&ModuleName, BTreeSet<&str>> = selected
        .iter()
        .map(|module| (&module.name, module.device_patterns()))
        .collect();

    let undone = match blob_at(&tree, &kernel.config) {
        Some(config) => Compression::undone_by(&store.read_object(&config.digest)?),
        None => Compression::None,
    };
    let usual: BTreeSet<ModuleName> = Feature::wanted(&USUAL)
        .into_iter()
        .map(|w| w.name)
        .collect();

    let mut out = Tree::new();
    let (mut early_modules, mut late_modules, mut trial_modules) =
        (Vec::new(), Vec::new(), Vec::new());
    for (index, module) in selected.iter().enumerate() {
        let Some(mut entry) = entry(module, &patterns) else {
            continue;
        };
        let is_rare = index >= late_count
            || matches!(&module.loading, Loading::OnDevice(causes) if causes.is_disjoint(&usual));
        let packed = blob_at(&tree, &module.path)
            .filter(|_| is_rare && undone != Compression::None && module.compression == undone);
        let blob = match packed {
            Some(packed) => {
                entry.compression = undone.suffix().to_string();
                packed
            }
            None => Blob {
                digest: store.add_bytes(&module.bytes)?,
                size: module.bytes.len() as u64,
            },
        };
        let node = Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(blob),
        };
        out.insert_with_parents(TreePath::new(entry.path().trim_start_matches('/'))?, node)?;
        let list = if index < early_count {
            &mut early_modules
        } else if index < late_count {
            &mut late_modules
        } else {
            &mut trial_modules
        };
        list.push(entry);
    }
    let mut outputs = BTreeMap::from([
        ("modules".to_string(), Output::Tree(store.add_tree(&out)?)),
        ("vmlinuz".to_string(), Output::Object(vmlinuz)),
    ]);
    if let Some(config) = blob_at(&tree, &kernel.config) {
        outputs.insert("config".to_string(), Output::Object(config));
    }
    Ok(ActionResult {
        outputs,
        facts: [
            ("late".to_string(), serde_json::to_string(&late_modules)?),
            (
                "modules".to_string(),
                serde_json::to_string(&early_modules)?,
            ),
            ("release".to_string(), kernel.release),
            ("trial".to_string(), serde_json::to_string(&trial_modules)?),
        ]
        .into(),
    })
}

/// What the manifest says of a module; `None` for one that no device can ask for.
fn entry(
    module: &Module,
    patterns: &BTreeMap<&ModuleName, BTreeSet<&str>>,
) -> Option<nos_manifest::Module> {
    let mut entry = nos_manifest::Module::always(module.name.as_str());
    let Loading::OnDevice(causes) = &module.loading else {
        return Some(entry);
    };
    for cause in causes {
        match patterns.get(cause) {
            Some(own) if *cause == module.name => {
                entry.devices = own.iter().map(ToString::to_string).collect();
            }
            Some(others) if !others.is_empty() => entry.with.push(cause.to_string()),
            _ => {}
        }
    }
    (!entry.is_always()).then_some(entry)
}

/// Writes the compressed part of the initramfs; see [`crate::work::Work::Initrd`].
pub(crate) fn initrd(
    builder: &Builder<'_>,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let store = builder.store;
    let mut tree = store.read_tree(&output_tree(input(inputs, 0)?, "modules")?)?;
    let node = Node {
        metadata: Metadata::with_mode(0o755),
        kind: Kind::File(output_object(input(inputs, 1)?, "file")?),
    };
    tree.insert(TreePath::new("init")?, node)?;
    for directory in ["dev", "proc", "run", "sys"] {
        let node = Node {
            metadata: Metadata::with_mode(0o755),
            kind: Kind::Directory,
        };
        tree.insert(TreePath::new(directory)?, node)?;
    }
    let archive = cpio::archive(&tree, |_, blob: &Blob| {
        store
            .read_object(&blob.digest)
            .map(Cow::Owned)
            .map_err(io::Error::other)
    });
    let segment = archive.and_then(|bytes| initramfs::compress(&bytes, INITRD_LEVEL));
    let segment = segment.map_err(|e| format_error("the initramfs", e))?;
    let blob = Blob {
        digest: store.add_bytes(&segment)?,
        size: segment.len() as u64,
    };
    Ok(ActionResult::with_output("segment", Output::Object(blob)))
}

/// Assembles UKI and system description; see [`crate::work::Work::System`].
pub(crate) fn system(
    builder: &Builder<'_>,
    parts: &SystemParts,
    inputs: &[&ActionResult],
) -> Result<ActionResult, BuildError> {
    let store = builder.store;
    let boot = store.read_tree(&output_tree(input(inputs, 0)?, "tree")?)?;
    let (kernel, segment) = (input(inputs, 1)?, input(inputs, 2)?);
    let mut manifest = parts.manifest.clone();
    manifest.kernel = fact(kernel, "release")?.to_string();
    manifest.modules = serde_json::from_str(fact(kernel, "modules")?)?;
    manifest.late_modules = serde_json::from_str(fact(kernel, "late")?)?;
    manifest.trial_modules = serde_json::from_str(fact(kernel, "trial")?)?;
    let mut images = Vec::new();
    let mut kept = BTreeMap::new();
    let mut builds = BTreeMap::new();
    for image in inputs.get(3..).unwrap_or_default() {
        let described: nos_manifest::Image = serde_json::from_str(fact(image, "image")?)?;
        if let Some(packages) = image.facts.get(PACKAGES_FACT) {
            kept.insert(described.name.clone(), serde_json::from_str(packages)?);
        }
        if let Some(versions) = image.facts.get(BUILDS_FACT) {
            builds.insert(described.name.clone(), serde_json::from_str(versions)?);
        }
        manifest.images.push(described);
        images.push(output_object(image, "image")?);
    }
    let config = match kernel.object("config") {
        Some(config) => store.read_object(&config.digest)?,
        None => Vec::new(),
    };
    let ingredients = ingredients::encode(&ingredients::of(&parts.pins, &builds, &kept, &config))?;

    let mut initrd = manifest_segment(&manifest.to_bytes()?)?;
    initrd.extend(store.read_object(&output_object(segment, "segment")?.digest)?);
    let vmlinuz = output_object(kernel, "vmlinuz")?;
    let linux = store.read_object(&vmlinuz.digest)?;
    let stub = store.read_object(&boot_file(&boot, STUB)?.digest)?;
    let os_release = format!("ID=nos\nNAME=nOs\nPRETTY_NAME=\"nOs {}\"\n", manifest.host);
    let uki = Uki {
        os_release: os_release.as_bytes(),
        cmdline: parts.cmdline.as_bytes(),
        uname: manifest.kernel.as_bytes(),
        linux: &linux,
        initrd: &initrd,
        ingredients: Some(&ingredients),
        ..Uki::default()
    };
    let uki = uki
        .build(&stub)
        .map_err(|e| format_error("the unified kernel image", e))?;
    let keep = |bytes: &[u8]| -> Result<Blob, BuildError> {
        Ok(Blob {
            digest: store.add_bytes(bytes)?,
            size: bytes.len() as u64,
        })
    };
    let built = BuiltSystem {
        version: SYSTEM_VERSION,
        uki: keep(&uki)?,
        boot_loader: boot_file(&boot, BOOT_LOADER)?,
        kernel: vmlinuz,
        direct: kernel.object("vmlinux"),
        initrd: keep(&initrd)?,
        cmdline: parts.cmdline.clone(),
        images,
        manifest,
        disk: parts.disk.clone(),
        machine: parts.machine.clone(),
    };
    let mut description = serde_json::to_vec_pretty(&built)?;
    description.push(b'\n');
    let mut outputs: std::collections::BTreeMap<String, Output> = [
        ("boot_loader".to_string(), Output::Object(built.boot_loader)),
        ("initrd".to_string(), Output::Object(built.initrd)),
        ("kernel".to_string(), Output::Object(built.kernel)),
        ("system".to_string(), Output::Object(keep(&description)?)),
        ("uki".to_string(), Output::Object(built.uki)),
    ]
    .into();
    if let Some(direct) = built.direct {
        outputs.insert("direct".to_string(), Output::Object(direct));
    }
    for (image, blob) in built.manifest.images.iter().zip(&built.images) {
        outputs.insert(format!("image {}", image.name), Output::Object(*blob));
    }
    Ok(ActionResult {
        outputs,
        facts: [(
            ingredients::PINS_FACT.to_string(),
            serde_json::to_string(&parts.pins)?,
        )]
        .into(),
    })
}

/// The uncompressed archive that holds the manifest alone.
fn manifest_segment(manifest: &[u8]) -> Result<Vec<u8>, BuildError> {
    let mut tree = Tree::new();
    let node = Node {
        metadata: Metadata::with_mode(0o644),
        kind: Kind::File(manifest),
    };
    tree.insert_with_parents(TreePath::new(MANIFEST_PATH)?, node)?;
    cpio::archive(&tree, |_, bytes| Ok(Cow::Borrowed(*bytes)))
        .map_err(|e| format_error("the system manifest", e))
}

fn input<'a>(inputs: &[&'a ActionResult], index: usize) -> Result<&'a ActionResult, BuildError> {
    inputs
        .get(index)
        .copied()
        .ok_or(BuildError::MissingOutput { name: "input" })
}

fn fact<'a>(result: &'a ActionResult, name: &'static str) -> Result<&'a str, BuildError> {
    let found = result.facts.get(name).map(String::as_str);
    found.ok_or(BuildError::MissingOutput { name })
}

fn boot_file(tree: &Tree<Blob>, path: &str) -> Result<Blob, BuildError> {
    blob_at(tree, &TreePath::new(path)?).ok_or_else(|| not_in(BOOT_PACKAGE, path))
}

fn blob_at(tree: &Tree<Blob>, path: &TreePath) -> Option<Blob> {
    match &tree.get(path)?.kind {
        Kind::File(blob) => Some(*blob),
        Kind::HardLink(target) => blob_at(tree, target),
        _ => None,
    }
}

fn not_in(package: &str, path: &str) -> BuildError {
    BuildError::NotInPackage {
        package: package.into(),
        path: path.into(),
    }
}

fn format_error(what: &'static str, error: impl std::fmt::Display) -> BuildError {
    BuildError::Format {
        what,
        reason: error.to_string(),
    }
}

/// The content of a file of a stored tree.
fn read_path(store: &Store, tree: &Tree<Blob>, path: &TreePath) -> io::Result<Vec<u8>> {
    let blob = blob_at(tree, path).ok_or(io::ErrorKind::NotFound)?;
    read_blob(store, &blob.digest)
}

fn read_blob(store: &Store, digest: &Digest) -> io::Result<Vec<u8>> {
    store.read_object(digest).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ModInfo;

    fn module(name: &str, loading: Loading) -> Module {
        Module {
            name: ModuleName::new(name),
            path: TreePath::new("a.ko.xz").unwrap(),
            compression: Compression::Xz,
            bytes: Vec::new(),
            info: ModInfo::default(),
            loading,
            why: String::new(),
        }
    }

    #[test]
    fn each_pattern_is_written_once() {
        let names = ["card", "mute"].map(ModuleName::new);
        let [card, mute] = &names;
        let patterns: BTreeMap<_, _> = [(card, ["pci:v1*"].into()), (mute, BTreeSet::new())].into();
        let on = |causes: &[&ModuleName]| {
            Loading::OnDevice(causes.iter().map(|&name| name.clone()).collect())
        };
        let entry = |name: &str, loading| super::entry(&module(name, loading), &patterns);

        let driver = entry("card", on(&[card])).unwrap();
        assert_eq!(
            (driver.devices, driver.with),
            (vec!["pci:v1*".into()], vec![])
        );
        let needed = entry("core", on(&[card, mute])).unwrap();
        assert_eq!((needed.devices, needed.with), (vec![], vec!["card".into()]));
        assert!(entry("any", Loading::Always).unwrap().is_always());
        // No device can ask for these: an entry without patterns would mean every machine.
        assert_eq!(entry("mute", on(&[mute])), None);
        assert_eq!(entry("core", on(&[mute])), None);
        assert_eq!(entry("core", on(&[])), None);
    }
}
