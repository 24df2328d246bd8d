//! Everything that can stop a build.

use nos_formats::tree::{TreeError, TreePath};
use std::path::PathBuf;

/// Actions that did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Their labels, in the order of the plan.
    pub labels: Vec<String>,
    /// The label of the action whose result they lack.
    pub because: String,
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels = self.labels.join("; ");
        write!(f, "\n  not run for want of {}: {labels}", self.because)
    }
}

/// Why a system could not be built. Each message names the place and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An action failed.
    #[error("{label}: {error}")]
    Action {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        error: Box<BuildError>,
    },
    /// Several actions failed, where one did not stop the others.
    #[error(
        "{} actions failed, and {} that need them did not run:\n{}{}",
        errors.len(),
        skipped.iter().map(|lost| lost.labels.len()).sum::<usize>(),
        listed(errors),
        skipped.iter().map(ToString::to_string).collect::<String>(),
    )]
    Several {
        /// Why, in the order in which they failed.
        errors: Vec<BuildError>,
        /// What could not run without their results.
        skipped: Vec<Skipped>,
    },
    /// No plan can be made.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] nos_store::StoreError),
    /// A Debian source refused.
    #[error(transparent)]
    Debian(#[from] crate::debian::DebianError),
    /// Kernel or modules.
    #[error(transparent)]
    Kernel(#[from] crate::kernel::KernelError),
    /// Options of a kernel that did not take effect.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    KernelOptions(Vec<crate::kernel::minimal::Refused>),
    /// Trimming found something missing.
    #[error(transparent)]
    Trim(#[from] crate::trim::TrimError),
    /// A tree could not be put together.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// No sandbox, or nothing to start in it.
    #[error(transparent)]
    Sandbox(#[from] nos_sandbox::SandboxError),
    /// A build from sources gave nothing.
    #[error(
        "{reason}{}\nThe whole log is {}{}",
        if tail.is_empty() { String::new() } else { format!("; its last lines:\n{tail}") },
        log.display(),
        kept.as_ref().map_or_else(String::new, |kept| {
            format!("\nWhat it left is in {}", kept.display())
        })
    )]
    Make {
        /// How it ended, and what to do.
        reason: String,
        /// Last lines of its log.
        tail: String,
        /// The log.
        log: PathBuf,
        /// A copy of its folders, where that was asked for.
        kept: Option<PathBuf>,
    },
    /// No build of that name.
    #[error("this host has no build {wanted:?}; {known}")]
    NoSuchBuild {
        /// Asked for.
        wanted: String,
        /// What there is, in words.
        known: String,
    },
    /// A file from the network could not be had.
    #[error("{name} cannot be fetched: {reason}")]
    Fetch {
        /// Its name.
        name: String,
        /// What each address said, and what to do.
        reason: String,
    },
    /// A commit of a git repository could not be had.
    #[error(transparent)]
    Git(#[from] crate::git::GitError),
    /// A Rust package that cannot be built.
    #[error("{reason}")]
    Cargo {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// PID 1 could not be had.
    #[error("{reason}")]
    Init {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// An archive is none.
    #[error("{name} cannot be unpacked: {reason}")]
    Archive {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The inputs of a build do not fit into its folders.
    #[error(
        "the sources of {name} do not fit into the {} MiB of its folders; give it more by `limits = \
         {{ space = … }}`",
        space_bytes.div_ceil(1 << 20)
    )]
    NoSpace {
        /// Which.
        name: String,
        /// Size of its folders together.
        space_bytes: u64,
    },
    /// A local source cannot be used.
    #[error("the source {} cannot be used: {reason}", path.display())]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A path runs in circles.
    #[error("{path} cannot be placed: its symbolic links form a loop; declare another path")]
    SymlinkLoop {
        /// Path in the image.
        path: TreePath,
    },
    /// A stored result lacks what this program expects of it.
    #[error(
        "a stored result lacks its output {name:?}; run `nos store verify --repair` and build again"
    )]
    MissingOutput {
        /// Output or fact.
        name: &'static str,
    },
    /// A package lacks a file it is used for.
    #[error(
        "package {package} has no {path}; run `nos update SPEC {package}` or name another package"
    )]
    NotInPackage {
        /// Package.
        package: String,
        /// Path expected.
        path: String,
    },
    /// An image or boot file could not be written.
    #[error("{what} could not be made: {reason}")]
    Format {
        /// What was being written.
        what: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// Reading or writing a scratch file failed.
    #[error("{}: {error}; check free space and permissions there", path.display())]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A description could not be encoded or decoded.
    #[error(
        "a stored description cannot be read ({0}); run `nos store verify --repair` and build again"
    )]
    Description(#[from] serde_json::Error),
    /// A manifest could not be encoded or decoded.
    #[error(transparent)]
    Manifest(#[from] nos_manifest::ManifestError),
}

fn listed(errors: &[BuildError]) -> String {
    let lines: Vec<String> = errors.iter().map(|error| format!("  {error}")).collect();
    lines.join("\n")
}
