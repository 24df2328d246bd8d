use super::*;
use crate::elf::testing::TestElf;
use nos_formats::tree::{Metadata, Node};
use std::collections::BTreeMap;
use std::io::Read;

const RELEASE: &str = "6.12.1-test";
const FOLDER: &str = "usr/lib/modules/6.12.1-test";

/// A kernel package made by hand: module file → `.modinfo` without `name=` and `vermagic=`.
struct Package {
    tree: Tree<Vec<u8>>,
}

impl Package {
    fn new(builtin: &str, builtin_modinfo: &str, modules: &[(&str, &str)]) -> Self {
        let mut package = Self { tree: Tree::new() };
        package.put(&format!("boot/vmlinuz-{RELEASE}"), image(RELEASE));
        package.put(&format!("{FOLDER}/modules.builtin"), builtin.into());
        package.put(
            &format!("{FOLDER}/modules.builtin.modinfo"),
            builtin_modinfo.into(),
        );
        for (path, info) in modules {
            let stem = path.rsplit('/').next().unwrap();
            let (stem, _) = stem.split_once('.').unwrap();
            let name = stem.replace('-', "_");
            let info = format!("{info}\0name={name}\0vermagic={RELEASE} SMP mod_unload \0");
            package.put(&format!("{FOLDER}/kernel/{path}"), module(path, &info));
        }
        package
    }

    fn put(&mut self, path: &str, content: Vec<u8>) {
        let node = Node {
            metadata: Metadata::with_mode(0o644),
            kind: Kind::File(content),
        };
        let path = TreePath::new(path).unwrap();
        self.tree.insert_with_parents(path, node).unwrap();
    }

    fn read(&self, path: &TreePath) -> io::Result<Vec<u8>> {
        match self.tree.get(path).map(|n| &n.kind) {
            Some(Kind::File(content)) => Ok(content.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn select(&self, wanted: &[Wanted]) -> Result<Vec<Module>, KernelError> {
        let kernel = Kernel::find(&self.tree)?;
        let modules = Modules::read(&self.tree, &kernel, |p| self.read(p))?;
        modules.select(wanted, |p| self.read(p))
    }

    fn names(&self, wanted: &[&str]) -> Vec<String> {
        let wanted: Vec<_> = wanted.iter().map(|name| Wanted::named(name)).collect();
        let modules = self.select(&wanted).unwrap();
        modules.iter().map(|m| m.name.to_string()).collect()
    }
}

fn module(path: &str, modinfo: &str) -> Vec<u8> {
    let elf = TestElf {
        modinfo: Some(modinfo),
        ..TestElf::default()
    }
    .bytes();
    let mut packed = Vec::new();
    match Compression::of_file_name(path.as_bytes()).unwrap().1 {
        Compression::None => return elf,
        Compression::Xz => {
            let mut encoder = liblzma::read::XzEncoder::new(&elf[..], 1);
            encoder.read_to_end(&mut packed).unwrap();
        }
        Compression::Zstd => return zstd::encode_all(&elf[..], 1).unwrap(),
        Compression::Gzip => {
            let mut encoder = flate2::read::GzEncoder::new(&elf[..], flate2::Compression::fast());
            encoder.read_to_end(&mut packed).unwrap();
        }
    }
    packed
}

fn image(release: &str) -> Vec<u8> {
    let mut head = vec![0u8; 2048];
    head[0x202..0x206].copy_from_slice(b"HdrS");
    head[0x20e..0x210].copy_from_slice(&0x300u16.to_le_bytes());
    let text = format!("{release} (builder@host) #1 SMP");
    head[0x500..0x500 + text.len()].copy_from_slice(text.as_bytes());
    head
}

#[test]
fn dependencies_come_before_dependents() {
    let package = Package::new(
        "kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/ext4/ext4.ko\n",
        "",
        &[
            ("md/dm-mod.ko.xz", "depends="),
            ("md/dm-bufio.ko.xz", "depends=dm-mod"),
            ("md/dm-verity.ko.xz", "depends=dm-mod,dm-bufio,reed_solomon"),
            ("lib/reed_solomon.ko.zst", "depends="),
            ("net/unrelated.ko", "depends=nothing_that_exists"),
        ],
    );
    assert_eq!(
        package.names(&["ext4", "dm_verity", "virtio-pci", "dm-mod"]),
        ["dm_mod", "dm_bufio", "reed_solomon", "dm_verity"]
    );
}

#[test]
fn files_stay_as_they_were_but_decompressed() {
    let package = Package::new("", "", &[("a.ko.gz", "depends=")]);
    let modules = package.select(&[Wanted::named("a")]).unwrap();
    let plain = format!("depends=\0name=a\0vermagic={RELEASE} SMP mod_unload \0");
    assert_eq!(modules[0].bytes, module("a.ko", &plain));
    assert_eq!(modules[0].why, "the spec names it");
}

#[test]
fn soft_dependencies_are_wishes() {
    let package = Package::new(
        "kernel/crypto/crc32c_generic.ko\n",
        "crc32c_generic.alias=crypto-crc32c\0crc32c_generic.alias=crc32c\0",
        &[
            ("lib/libcrc32c.ko", "softdep=pre: crc32c\0depends="),
            ("fs/one.ko", "softdep=pre: crypto-fast absent post: late"),
            ("crypto/fast_generic.ko", ""),
            ("late.ko", "softdep=pre: one"),
        ],
    );
    assert_eq!(package.names(&["libcrc32c"]), ["libcrc32c"]);
    assert_eq!(package.names(&["one"]), ["fast_generic", "one", "late"]);
    assert_eq!(package.names(&["late"]), ["fast_generic", "one", "late"]);
}

#[test]
fn unknown_names_are_answered_with_near_ones() {
    let package = Package::new(
        "kernel/block/virtio_pci.ko\n",
        "",
        &[("virtio_blk.ko", ""), ("needy.ko", "depends=virtio_blkk")],
    );
    let message = |name: &str| {
        let error = package.select(&[Wanted::named(name)]).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        message("virtio-bkl"),
        "the kernel 6.12.1-test has no module 'virtio_bkl'; did you mean one of virtio_blk, virtio_pci?"
    );
    assert_eq!(
        message("needy"),
        "the kernel 6.12.1-test has no module 'virtio_blkk' (needed by 'needy'); did you mean 'virtio_blk'?"
    );
    assert_eq!(
        message("zzzzzz"),
        "the kernel 6.12.1-test has no module 'zzzzzz'; see the package's /usr/lib/modules for what it has"
    );
    let mut wish = Wanted::named("zzzzzz");
    wish.required = false;
    assert_eq!(package.select(&[wish]).unwrap(), []);
}

#[test]
fn a_circle_is_refused_with_its_members() {
    let circle = [
        ("a.ko", "depends=b"),
        ("b.ko", "depends=c"),
        ("c.ko", "depends=b"),
    ];
    let package = Package::new("", "", &circle);
    let error = package.select(&[Wanted::named("a")]).unwrap_err();
    assert!(
        matches!(&error, KernelError::Circle { chain } if chain == "b → c → b"),
        "{error}"
    );
}

#[test]
fn a_chain_without_end_is_refused() {
    let names: Vec<_> = (0..500)
        .map(|i| (format!("m{i}.ko"), format!("depends=m{}", i + 1)))
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|(n, d)| (n.as_str(), d.as_str()))
        .collect();
    let package = Package::new("", "", &names);
    let error = package.select(&[Wanted::named("m0")]).unwrap_err();
    assert!(matches!(error, KernelError::Circle { .. }), "{error}");
}

#[test]
fn conditions_spread_to_what_is_needed() {
    let package = Package::new(
        "",
        "",
        &[
            ("scsi_mod.ko", ""),
            ("libata.ko", "depends=scsi_mod"),
            (
                "ahci.ko",
                "depends=libata\0alias=pci:v00008086d*\0alias=ahci",
            ),
            ("sd_mod.ko", "depends=scsi_mod\0alias=scsi:t-0x00*"),
            ("core.ko", ""),
            ("always.ko", "depends=core"),
            ("gpu.ko", "depends=core\0alias=pci:v1*"),
        ],
    );
    let want = |name: &str, condition| Wanted {
        condition,
        ..Wanted::named(name)
    };
    let modules = package
        .select(&[
            want("ahci", Condition::Device),
            want("sd_mod", Condition::With(&["ahci", "absent"])),
            want("gpu", Condition::Device),
            want("always", Condition::Always),
        ])
        .unwrap();
    let got: BTreeMap<_, _> = modules
        .iter()
        .map(|m| (m.name.as_str(), m.loading.clone()))
        .collect();
    let on = |name: &str| Loading::OnDevice([ModuleName::new(name)].into());
    let ata = on("ahci");
    for name in ["ahci", "libata", "scsi_mod", "sd_mod"] {
        assert_eq!(got[name], ata, "{name}");
    }
    assert_eq!(got["gpu"], on("gpu"));
    assert_eq!(got["core"], Loading::Always);
    assert_eq!(got["always"], Loading::Always);
    let ahci = modules.iter().find(|m| m.name.as_str() == "ahci").unwrap();
    assert_eq!(ahci.device_patterns(), ["pci:v00008086d*"].into());
}

#[test]
fn files_of_another_kernel_are_refused() {
    let mut package = Package::new("", "", &[]);
    let path = format!("{FOLDER}/kernel/alien.ko");
    package.put(
        &path,
        module("alien.ko", "name=alien\0vermagic=5.10.0 SMP\0"),
    );
    package.put(
        &format!("{FOLDER}/kernel/liar.ko"),
        module("liar.ko", "name=other\0"),
    );
    package.put(&format!("{FOLDER}/kernel/text.ko"), b"hello".to_vec());
    package.put(&format!("{FOLDER}/kernel/cut.ko.xz"), {
        let mut packed = module("cut.ko.xz", "name=cut\0");
        packed.truncate(packed.len() / 2);
        packed
    });
    let error = |name: &str| package.select(&[Wanted::named(name)]).unwrap_err();
    assert!(matches!(error("alien"), KernelError::WrongRelease { .. }));
    for name in ["liar", "text", "cut"] {
        assert!(matches!(error(name), KernelError::Damaged { .. }), "{name}");
    }
}

#[test]
fn decompression_is_bounded() {
    for name in ["x.ko", "x.ko.xz", "x.ko.zst", "x.ko.gz"] {
        let compression = Compression::of_file_name(name.as_bytes()).unwrap().1;
        let packed = module(name, "name=x\0");
        let size = module("x.ko", "name=x\0").len();
        let open = |limit| decompress(packed.clone(), compression, limit);
        assert_eq!(open(size).unwrap().len(), size, "{name}");
        let error = open(size - 1).unwrap_err();
        assert!(error.contains("longer than"), "{name}: {error}");
    }
    for name in ["x.txt", ".ko", "ko", "x.ko.bz2"] {
        assert_eq!(Compression::of_file_name(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn the_configuration_says_what_the_kernel_decompresses() {
    let undone = |config: &str| Compression::undone_by(config.as_bytes());
    let debian = "CONFIG_MODULE_COMPRESS=y\n# CONFIG_MODULE_COMPRESS_GZIP is not set\n\
        CONFIG_MODULE_COMPRESS_XZ=y\nCONFIG_MODULE_DECOMPRESS=y\n";
    assert_eq!(undone(debian), Compression::Xz);
    assert_eq!(undone("CONFIG_MODULE_COMPRESS_XZ=y\n"), Compression::None);
    assert_eq!(undone("CONFIG_MODULE_DECOMPRESS=y"), Compression::None);
    assert_eq!(undone(""), Compression::None);
}

#[test]
fn the_image_says_its_release() {
    let package = Package::new("", "", &[]);
    let kernel = Kernel::find(&package.tree).unwrap();
    assert_eq!(kernel.release, RELEASE);
    kernel.check_image(&image(RELEASE)).unwrap();
    assert!(matches!(
        kernel.check_image(&image("6.1.0")),
        Err(KernelError::WrongRelease { .. })
    ));
    for end in 0..0x520 {
        assert!(kernel.check_image(&image(RELEASE)[..end]).is_err() || end > 0x50b);
    }
}

#[test]
fn exactly_one_kernel_is_expected() {
    let mut package = Package::new("", "", &[]);
    package.put("boot/vmlinuz-7.0", vec![]);
    let error = Kernel::find(&package.tree).unwrap_err().to_string();
    assert!(error.contains("6.12.1-test, 7.0"), "{error}");
    let empty = Tree::<()>::new();
    assert!(matches!(Kernel::find(&empty), Err(KernelError::NoImage)));
}

#[test]
fn a_package_s_name_says_which_machines_it_is_for() {
    let cloud = Feature::of_package("linux-image-cloud-amd64");
    for package in ["linux-image-amd64", "linux-image-rt-amd64"] {
        let all = Feature::of_package(package);
        assert!(
            Feature::HARDWARE.iter().all(|f| all.contains(f)),
            "{package}"
        );
        assert!(cloud.iter().all(|f| all.contains(f)), "{package}");
    }
    assert!(!cloud.contains(&Feature::Disks));
    // Only what every kernel of Debian has may be required.
    for feature in cloud.iter().filter(|f| !Feature::BASE.contains(f)) {
        let required = feature.modules().iter().filter(|m| m.required);
        assert!(
            *feature == Feature::Virtio || required.count() == 0,
            "{feature:?}"
        );
    }
}

#[test]
fn what_a_service_has_brings_what_drives_it() {
    let spec = |lines: &str| {
        let text = format!(
            "service a {{\n  files = {{ \"/a\" = text(\"\") }}\n  run = [\"/a\"]\n  {lines}\n}}\n\
             host h {{\n  services = [a]\n}}\n"
        );
        let checked = nos_specs::check::check("a.nos", &text, &nos_specs::check::NoFiles);
        let service = &checked.systems.first().unwrap().services[0];
        Feature::of_service(service)
    };
    assert_eq!(spec(""), []);
    assert_eq!(spec("terminal = \"/dev/ttyS0\""), []);
    assert_eq!(spec("terminal = \"/dev/tty1\""), [Feature::Keyboards]);
    assert_eq!(
        spec("devices = [\"disks\", \"/dev/kvm\", \"/dev/net/tun\"]"),
        [Feature::Tunnels, Feature::Kvm]
    );
}

#[test]
fn the_table_is_sound() {
    for feature in Feature::ALL {
        let rows = feature.modules();
        for (index, row) in rows.iter().enumerate() {
            assert!(!row.why.is_empty());
            if let Condition::With(others) = row.condition {
                for other in others {
                    assert!(
                        rows[..index].iter().any(|earlier| earlier.name == *other),
                        "{feature:?}: {} must come after {other}",
                        row.name
                    );
                }
            }
        }
    }
}

/// With `NOS_TEST_KERNEL` naming a folder that holds an unpacked kernel package, the selection
/// is compared with what `modinfo` of kmod says, another reader of the same sections.
#[test]
fn a_real_kernel_package() {
    let Some(folder) = std::env::var_os("NOS_TEST_KERNEL").map(std::path::PathBuf::from) else {
        eprintln!("skipped: NOS_TEST_KERNEL names no unpacked kernel package");
        return;
    };
    let tree = scan(&folder);
    let read = |path: &TreePath| {
        std::fs::read(folder.join(String::from_utf8_lossy(path.as_bytes()).as_ref()))
    };
    let kernel = Kernel::find(&tree).unwrap();
    kernel.check_image(&read(&kernel.vmlinuz).unwrap()).unwrap();
    let modules = Modules::read(&tree, &kernel, read).unwrap();
    let package = format!("linux-image-{}", kernel.release);
    let features = [
        Feature::BASE.to_vec(),
        Feature::of_package(&package),
        Feature::ALL.to_vec(),
    ];
    for features in features {
        let selected = modules.select(&Feature::wanted(&features), read).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut bytes = 0;
        for module in &selected {
            for needed in &module.info.depends {
                assert!(
                    seen.contains(needed) || modules.is_builtin(needed),
                    "{needed} is not before {}",
                    module.name
                );
            }
            assert_eq!(
                kmod_depends(&folder, module),
                Some(module.info.depends.clone())
            );
            seen.insert(module.name.clone());
            bytes += module.bytes.len();
        }
        eprintln!("{} modules, {bytes} bytes:", selected.len());
        for module in &selected {
            let loading = match &module.loading {
                Loading::Always => "always".to_owned(),
                Loading::OnDevice(causes) => format!("on {causes:?}"),
            };
            let (name, size) = (&module.name, module.bytes.len());
            eprintln!("  {name} {size} {loading}: {}", module.why);
        }
    }
}

/// `depends` as kmod reads it; where kmod is not installed, as we read it (skipped, and said).
fn kmod_depends(folder: &std::path::Path, module: &Module) -> Option<Vec<ModuleName>> {
    let path = folder.join(String::from_utf8_lossy(module.path.as_bytes()).as_ref());
    let output = std::process::Command::new("modinfo")
        .args(["-F", "depends"])
        .arg(path)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped the comparison with kmod: modinfo is not installed");
        return Some(module.info.depends.clone());
    };
    let text = String::from_utf8(output.stdout).ok()?;
    let names = text.trim().split(',').filter(|name| !name.is_empty());
    Some(names.map(ModuleName::new).collect())
}

fn scan(folder: &std::path::Path) -> Tree<()> {
    let mut tree = Tree::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(folder).unwrap().to_str().unwrap();
            let meta = path.symlink_metadata().unwrap();
            let kind = if meta.is_dir() {
                open.push(path.clone());
                Kind::Directory
            } else {
                Kind::File(())
            };
            let metadata = Metadata::with_mode(0o755);
            let node = Node { metadata, kind };
            let path = TreePath::new(inside).unwrap();
            if tree.get(&path).is_none() {
                tree.insert_with_parents(path, node).unwrap();
            }
        }
    }
    tree
}
