//! The stock kernel: which modules of a kernel package a host needs, in loading order.
//!
//! A Debian kernel package carries no `modules.dep`: `depmod` makes it when the package is
//! installed, and we never install. So dependencies come from where `depmod` has them: the
//! `.modinfo` section of each module, which the kernel's build wrote. Only modules that are
//! reached are read. `modules.builtin` and `modules.builtin.modinfo` say what needs no file.
//!
//! ```text
//! package tree ─Kernel::find─▶ release, vmlinuz, module folder
//!              ─Modules::read─▶ names ─select(features, read)─▶ [Module] in loading order
//! ```
//!
//! Module files stay byte for byte as Debian signed them, only decompressed: a stripped module
//! would taint the kernel and be refused under Secure Boot's lockdown.

mod bzimage;
mod decompress;
mod features;
pub mod minimal;
mod modinfo;
mod modules;
mod name;
mod nearest;
#[cfg(test)]
mod tests;

pub use bzimage::{RELEASE_SCAN_BYTES, release_of_image};
pub use decompress::{Compression, MAX_MODULE_BYTES, decompress};
pub use features::{Condition, Feature, ModuleChoice};
pub use modinfo::ModInfo;
pub use modules::{Loading, Module, Modules, Wanted};
pub use name::ModuleName;

use crate::elf::ElfError;
use nos_formats::tree::{Kind, Tree, TreeError, TreePath};
use std::io;

/// Why a kernel package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No `boot/vmlinuz-*` in the tree.
    #[error(
        "the kernel package has no /boot/vmlinuz-RELEASE; name a kernel image such as linux-image-cloud-amd64"
    )]
    NoImage,
    /// More than one.
    #[error(
        "the kernel packages hold several kernels ({releases}); name one image package, not several"
    )]
    SeveralImages {
        /// Their releases.
        releases: String,
    },
    /// `vmlinuz` is not a Linux image.
    #[error(
        "{path} is not an x86 Linux image: {problem}; fetch the package again or name another kernel"
    )]
    BadImage {
        /// The image.
        path: TreePath,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The image, its folder and its modules do not belong together.
    #[error(
        "{path} is for kernel {found}, but the package's kernel is {expected}; do not mix files of two kernels"
    )]
    WrongRelease {
        /// The file.
        path: TreePath,
        /// Release that the package's name says.
        expected: String,
        /// Release that the file says.
        found: String,
    },
    /// No module folder.
    #[error(
        "the kernel package has no /usr/lib/modules/{release}; name the image package that holds the modules too"
    )]
    NoModules {
        /// Release looked for.
        release: String,
    },
    /// A module that neither is a file nor built in.
    #[error("the kernel {release} has no module '{name}'{}; {}", needed_by(.by), remedy(.nearest))]
    UnknownModule {
        /// Name asked for.
        name: String,
        /// Kernel asked.
        release: String,
        /// The module that depends on it, or `None` where it was asked for by name.
        by: Option<String>,
        /// Names that are like it, best first.
        nearest: Vec<String>,
    },
    /// Modules that depend on each other.
    #[error(
        "the modules {chain} depend on each other in a circle; the kernel package is damaged, fetch it again"
    )]
    Circle {
        /// The circle, in order.
        chain: String,
    },
    /// A module or list that cannot be decompressed or is not what it should be.
    #[error("{path}: {problem}; the kernel package is damaged, fetch it again")]
    Damaged {
        /// The file.
        path: TreePath,
        /// What is wrong with it.
        problem: String,
    },
    /// A module whose ELF cannot be read.
    #[error("{path}: {source}")]
    Elf {
        /// The file.
        path: TreePath,
        /// What is wrong with it.
        source: ElfError,
    },
    /// A path in the package that cannot be used.
    #[error(transparent)]
    Path(#[from] TreeError),
    /// Reading a file of the package failed.
    #[error(
        "reading {path} of the kernel package failed: {source}; check the store with 'nos store verify'"
    )]
    Read {
        /// The file.
        path: TreePath,
        /// What the caller's reader said.
        source: io::Error,
    },
}

fn needed_by(by: &Option<String>) -> String {
    by.as_ref()
        .map(|by| format!(" (needed by '{by}')"))
        .unwrap_or_default()
}

fn remedy(nearest: &[String]) -> String {
    match nearest {
        [] => "see the package's /usr/lib/modules for what it has".into(),
        [one] => format!("did you mean '{one}'?"),
        several => format!("did you mean one of {}?", several.join(", ")),
    }
}

/// Where the parts of one kernel are in its package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Release, as `uname -r` says it.
    pub release: String,
    /// The bootable image.
    pub vmlinuz: TreePath,
    /// Where its configuration is, if the package has it.
    pub config: TreePath,
    /// Folder with `modules.builtin` and `kernel/`.
    pub modules: TreePath,
}

impl Kernel {
    /// Finds the one kernel of an unpacked package.
    ///
    /// # Errors
    /// [`KernelError::NoImage`], [`KernelError::SeveralImages`] or [`KernelError::NoModules`].
    pub fn find<C>(tree: &Tree<C>) -> Result<Self, KernelError> {
        const PREFIX: &[u8] = b"boot/vmlinuz-";
        let mut found: Vec<(String, TreePath)> = tree
            .iter()
            .filter(|(_, node)| matches!(node.kind, Kind::File(_)))
            .filter_map(|(path, _)| {
                let release = path.as_bytes().strip_prefix(PREFIX)?;
                Some((String::from_utf8(release.to_vec()).ok()?, path.clone()))
            })
            .collect();
        let Some((release, vmlinuz)) = found.pop() else {
            return Err(KernelError::NoImage);
        };
        if !found.is_empty() {
            let names = found.into_iter().map(|f| f.0).chain([release]);
            return Err(KernelError::SeveralImages {
                releases: names.collect::<Vec<_>>().join(", "),
            });
        }
        for parent in ["usr/lib/modules", "lib/modules"] {
            let modules = TreePath::new(format!("{parent}/{release}"))?;
            if matches!(tree.get(&modules).map(|n| &n.kind), Some(Kind::Directory)) {
                return Ok(Self {
                    config: TreePath::new(format!("boot/config-{release}"))?,
                    release,
                    vmlinuz,
                    modules,
                });
            }
        }
        Err(KernelError::NoModules { release })
    }

    /// Checks that the image is the kernel that its name says. `head` is the image's beginning,
    /// [`RELEASE_SCAN_BYTES`] of it or the whole.
    ///
    /// # Errors
    /// [`KernelError::BadImage`] or [`KernelError::WrongRelease`].
    pub fn check_image(&self, head: &[u8]) -> Result<(), KernelError> {
        let found = release_of_image(head).map_err(|problem| KernelError::BadImage {
            path: self.vmlinuz.clone(),
            problem,
        })?;
        if found == self.release {
            return Ok(());
        }
        Err(KernelError::WrongRelease {
            path: self.vmlinuz.clone(),
            expected: self.release.clone(),
            found,
        })
    }
}
