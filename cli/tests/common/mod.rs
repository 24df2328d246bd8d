//! What tests of the whole program share: running `nos` as a person would, on copies of the
//! examples, with one store that is kept between runs so that packages are fetched once.
//!
//! | Variable | Says |
//! |---|---|
//! | `NOS_TEST_STORE` | the store to use instead of one below the target folder |
//! | `NOS_TEST_ACCEL` | `auto`, `kvm` or `tcg` (the default, which works everywhere) |
//! | `NOS_DEBIAN_MIRROR`, `https_proxy`, … | as for `nos` itself |
#![allow(dead_code)]

/// Says something that is heard: the test harness swallows what `eprintln!` says in a test that
/// passes.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
pub(crate) use say;

pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod machine;
pub(crate) mod program;

use nos_formats::tree::TreePath;
use nos_specs::lock::Lock;
use nos_store::{Digest, Store};
use program::{Nos, Output};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use tempfile::TempDir;

/// The store that tests share.
pub(crate) fn shared_store() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = match std::env::var_os("NOS_TEST_STORE") {
            Some(path) => PathBuf::from(path),
            None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("store"),
        };
        forget_other_programs(&store);
        store
    })
}

/// While `nos` is being worked on, each build of it may make something else of the same inputs.
/// So results of another one are forgotten; packages stay, and so do kernels, which take minutes and
/// are made by other programs than `nos`.
fn forget_other_programs(store: &Path) {
    let opened = Store::open(store).unwrap();
    // Test programs run side by side where somebody starts them so: one forgets, the others wait, and
    // none removes what another has just made. Free again when this program ends, if not before.
    let turn = std::fs::File::create(store.with_extension("turn")).unwrap();
    rustix::fs::flock(&turn, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let is_kernel = |name: String| {
        let result = opened.result(&name.parse().ok()?).ok()??;
        let tree = opened.read_tree(&result.tree("tree")?).ok()?;
        tree.get(&TreePath::new("bzImage").ok()?).map(drop)
    };
    let stamp = store.with_extension("made-by");
    let program = Digest::of(&std::fs::read(env!("CARGO_BIN_EXE_nos")).unwrap()).to_string();
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&program) {
        for folder in std::fs::read_dir(store.join("results")).unwrap() {
            let folder = folder.unwrap();
            for result in std::fs::read_dir(folder.path()).unwrap() {
                let result = result.unwrap();
                let names = [folder.file_name(), result.file_name()];
                let name = names.map(|part| part.into_string().unwrap()).concat();
                if is_kernel(name).is_none() {
                    std::fs::remove_file(result.path()).unwrap();
                }
            }
        }
        std::fs::write(&stamp, program).unwrap();
    }
}

/// A copy of one of `examples/`, locked, with everything that building it needs in the shared
/// store.
pub(crate) struct Example {
    folder: TempDir,
    name: String,
    /// Whether the archive has moved on and the pins in the tree are not those used.
    pub(crate) repinned: bool,
}

impl Example {
    /// Copies and builds an example.
    pub(crate) fn copy(name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(name);
        Self::from_folder(name, &from)
    }

    /// Copies and builds the spec of any folder.
    pub(crate) fn from_folder(name: &str, from: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("nos-test-")
            .tempdir()
            .unwrap();
        copy_folder(from, &folder.path().join(name));
        let mut example = Self {
            folder,
            name: name.into(),
            repinned: false,
        };
        example.fill();
        example
    }

    /// The folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// The folder, as an argument.
    pub(crate) fn spec(&self) -> String {
        self.path().display().to_string()
    }

    /// A path beside the folder, for disks and the like.
    pub(crate) fn beside(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Replaces a file of the copy.
    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(file), content).unwrap();
    }

    /// Reads a file of the copy.
    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path().join(file)).unwrap()
    }

    /// The copy's lock.
    pub(crate) fn lock(&self) -> Lock {
        Lock::parse(&String::from_utf8(self.read("nos.lock")).unwrap()).unwrap()
    }

    /// Writes a disk image with generation 1 and gives its path.
    pub(crate) fn image(&self, name: &str) -> String {
        self.image_with(name, &[])
    }

    /// The same with further arguments.
    pub(crate) fn image_with(&self, name: &str, more: &[&str]) -> String {
        let (spec, disk) = (self.spec(), self.beside(name));
        let mut arguments = vec!["image", &spec, "-o", &disk, "--locked", "--offline"];
        arguments.extend(more);
        Nos::new(arguments).succeeds();
        disk
    }

    /// Builds once, so that the rest works without network. One at a time: the others wait for
    /// the same packages instead of fetching them as well.
    fn fill(&mut self) {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = self.spec();
        let built = Nos::new(["build", &spec, "--locked"]).run();
        if is_gone(&built) {
            say!(
                "NOTE: the mirror no longer has packages that examples/{}/nos.lock pins; testing \
                 with today's. Run `nos update examples/{}` and commit the result.",
                self.name,
                self.name
            );
            Nos::new(["update", &spec]).succeeds();
            Nos::new(["build", &spec, "--locked"]).succeeds();
            self.repinned = true;
        } else {
            built.expect_code(0);
        }
    }
}

/// Whether this machine can build in a sandbox.
pub(crate) fn can_make_sandboxes() -> bool {
    let doctor = Nos::new(["doctor", "--offline"]).run();
    !doctor.stdout.contains("no  build: sandbox for programs")
}

/// Whether a build failed because a newer version replaced what is locked.
fn is_gone(output: &Output) -> bool {
    output.code == Some(1) && output.stderr.contains("the archive has moved on")
}

/// A store with the packages that a lock names, and nothing that was ever made of them.
pub(crate) fn store_with_packages(place: &Path, lock: &Lock) {
    let (from, to) = (
        Store::open(shared_store()).unwrap(),
        Store::open(place).unwrap(),
    );
    let wanted: BTreeSet<&String> = lock.packages.values().map(|p| &p.sha256).collect();
    for digest in wanted {
        let digest: Digest = digest.parse().unwrap();
        if from.contains(&digest).unwrap() {
            to.add_file(from.object_path(&digest)).unwrap();
        }
    }
}

/// Copies a folder of files and folders.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
