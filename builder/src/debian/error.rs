//! What can go wrong with Debian's archive, from its signature to a package's files.

use super::index::IndexError;
use super::keys::{KeyError, SignatureError};
use super::mirror::MirrorError;
use super::relation::RelationError;
use nos_store::StoreError;
use std::path::PathBuf;

/// Why packages could not be resolved, fetched or unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebianError {
    /// Something must be fetched, and there is nothing to fetch it from.
    #[error(
        "{} {} not in the store, and {reason}",
        needed_list(.needed),
        if .needed.len() == 1 { "is" } else { "are" }
    )]
    NoMirror {
        /// Why there is no mirror, with what to do.
        reason: MirrorError,
        /// Everything that was not in the store.
        needed: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A trusted key's file is not what it must be.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file could not be had from the mirror, and trying again will not help.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The signature of an index is missing, bad, or by a stranger.
    #[error(
        "the InRelease file of {suite} from {mirror} is refused: {reason}; use another mirror, or \
         check that nothing between here and the mirror changes what it sends"
    )]
    Signature {
        /// Suite asked for.
        suite: String,
        /// Where it came from.
        mirror: String,
        /// What is wrong.
        reason: SignatureError,
    },
    /// A signed `Release` that says something it must not say.
    #[error("the Release file of {suite} from {mirror} is refused: {reason}")]
    Release {
        /// Suite asked for.
        suite: String,
        /// Where it came from.
        mirror: String,
        /// What is wrong, with what to do.
        reason: ReleaseError,
    },
    /// An index whose bytes are not those that the signed `Release` names.
    #[error(
        "the package index {path} of {suite} is not the one that the signed Release names \
         ({reason}); the mirror may be in the middle of an update: try again in some minutes, or \
         use another mirror"
    )]
    WrongIndex {
        /// Suite.
        suite: String,
        /// Path below the mirror's root.
        path: String,
        /// What differs.
        reason: String,
    },
    /// An index that is the signed one and still cannot be read.
    #[error("the package index of {suite} cannot be read: {reason}; report this to the archive")]
    Index {
        /// Suite.
        suite: String,
        /// What is wrong and where.
        reason: IndexError,
    },
    /// A dependency field that cannot be read.
    #[error("the {field} field of {package} cannot be read: {reason}; report this to the archive")]
    Relation {
        /// Name and version of the package.
        package: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: RelationError,
    },
    /// Packages that are asked for and do not exist.
    #[error("{}", lines(.0))]
    UnknownPackages(
        /// All of them, by group and name.
        Vec<UnknownPackage>,
    ),
    /// Sources that are asked for and do not exist.
    #[error("{}", lines(.0))]
    UnknownSources(
        /// All of them, by name.
        Vec<UnknownSource>,
    ),
    /// Packages that cannot be together.
    #[error(
        "{group}: these packages cannot be together:\n{}\nleave out one of them, or name another \
         package that does the same",
        indented(.chain)
    )]
    Conflict {
        /// Group that was resolved.
        group: String,
        /// The chain of causes, one sentence each.
        chain: Vec<String>,
    },
    /// A package that `update` names and the lock does not have.
    #[error("the lock has no package {name:?} to update; {}", did_you_mean(.nearest))]
    NotLocked {
        /// The name.
        name: String,
        /// Nearest locked names.
        nearest: Vec<String>,
    },
    /// A lock that contradicts itself.
    #[error("nos.lock cannot be used: {reason}; delete it and run `nos lock` again")]
    BadLock {
        /// What is wrong and where.
        reason: String,
    },
    /// Nothing answers, and something was needed.
    #[error(
        "the mirror {mirror} cannot be reached ({reason}); needed from it: {}; connect this \
         machine to the network, or name a mirror that it can reach in NOS_DEBIAN_MIRROR",
        needed_list(.needed)
    )]
    NoNetwork {
        /// The mirror.
        mirror: String,
        /// What the last attempt said.
        reason: String,
        /// Everything that was not in the store.
        needed: Vec<String>,
    },
    /// Packages that the lock names and the mirror no longer has.
    #[error(
        "the mirror {mirror} no longer has {}; the archive has moved on: run `nos update` to pin \
         what it has now, or name a mirror that keeps old packages",
        .packages.join(", ")
    )]
    Gone {
        /// The mirror.
        mirror: String,
        /// Names and versions.
        packages: Vec<String>,
    },
    /// A package whose bytes are not those of the lock.
    #[error(
        "{package} from {mirror} is not the package that nos.lock names ({reason}); nothing was \
         kept: use another mirror"
    )]
    WrongPackage {
        /// Name and version.
        package: String,
        /// Where it came from.
        mirror: String,
        /// What differs.
        reason: String,
    },
    /// A `.deb` that cannot be taken apart.
    #[error("the package {package} cannot be unpacked: {reason}; report this to the archive")]
    Unpack {
        /// Name of the package, or its digest.
        package: String,
        /// What is wrong and where.
        reason: String,
    },
    /// Two packages that ship different things under one path.
    #[error(
        "{path} is in both {first} and {second}, and they differ; leave out one of the packages, \
         or put them into two images"
    )]
    FileConflict {
        /// The path.
        path: String,
        /// Package that came first.
        first: String,
        /// Package that came second.
        second: String,
    },
}

/// A package that is asked for and does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{group}: there is no package {name:?} in {suite}; {}", did_you_mean(.nearest))]
pub struct UnknownPackage {
    /// Group that asks for it.
    pub group: String,
    /// The name.
    pub name: String,
    /// Suite it was looked for in.
    pub suite: String,
    /// Nearest names, nearest first.
    pub nearest: Vec<String>,
}

/// The source of a package that is asked for and does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no source package {name:?} in {suite}; {}", did_you_mean(.nearest))]
pub struct UnknownSource {
    /// The name.
    pub name: String,
    /// Suite it was looked for in.
    pub suite: String,
    /// Nearest names, nearest first; where the name is that of a package, the source that it is
    /// made from.
    pub nearest: Vec<String>,
}

/// What a signed `Release` must not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// A field that must be there is not, or cannot be read.
    #[error("its {0} field is missing or cannot be read; use another mirror")]
    BadField(&'static str),
    /// Another suite than the one asked for.
    #[error(
        "it is for {found:?}, not for {wanted:?}; correct the suite's name, or use another mirror"
    )]
    WrongSuite {
        /// What it says it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// `Valid-Until` has passed.
    #[error(
        "it expired on {until}; the mirror is no longer updated, or this machine's clock is wrong: \
         use another mirror or correct the clock"
    )]
    Expired {
        /// When, RFC 3339.
        until: String,
    },
    /// `Date` lies ahead.
    #[error("it is dated {date}, which is in the future; correct this machine's clock")]
    Future {
        /// When, RFC 3339.
        date: String,
    },
    /// Older than one that was used before.
    #[error(
        "it is dated {date}, but {place} has seen one of {seen}; the mirror is behind (or someone \
         replays an old one): try again later, or use another mirror"
    )]
    Downgrade {
        /// When, RFC 3339.
        date: String,
        /// The newer date, RFC 3339.
        seen: String,
        /// Who has seen it.
        place: &'static str,
    },
    /// It lists no index of this path in an accepted compression.
    #[error("it lists no {0}.xz; use another mirror or suite")]
    NoIndex(String),
}

/// Why one file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The mirror answers that there is no such file.
    #[error("{address} does not exist on the mirror; check the mirror's address and the suite")]
    NotFound {
        /// Full address.
        address: String,
    },
    /// The mirror refuses or fails.
    #[error(
        "{address} was answered with HTTP status {status}; try again later or use another mirror"
    )]
    Status {
        /// Full address.
        address: String,
        /// The status.
        status: u16,
    },
    /// Nobody answers.
    #[error("{address} cannot be reached: {reason}; check the network, or use another mirror")]
    Unreachable {
        /// Full address.
        address: String,
        /// The last attempt's error.
        reason: String,
    },
    /// An answer that cannot be followed: a redirection in circles or out of HTTP, a certificate
    /// that is not the mirror's.
    #[error("{address} cannot be used: {reason}; correct the mirror's address, or use another one")]
    Unusable {
        /// Full address.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate that no known authority has signed, or that is another server's.
    #[error(
        "{address} is not trusted: {reason}; use the server's usual address, or name a file with \
         the certificate of the authority that signed it in SSL_CERT_FILE"
    )]
    Untrusted {
        /// Full address.
        address: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// The connection broke off, or sent less than it said.
    #[error("{address} broke off: {reason}; try again")]
    Broken {
        /// Full address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// More bytes than allowed.
    #[error("{address} is larger than {limit} bytes; use another mirror")]
    TooLarge {
        /// Full address.
        address: String,
        /// The limit.
        limit: u64,
    },
    /// A local mirror's file or list cannot be read.
    #[error("{} cannot be read: {source}; check the path and its permissions", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A list of mirrors without a usable one.
    #[error("{} lists no mirror with http, https or file; add one, an address a line", path.display())]
    EmptyList {
        /// The list.
        path: PathBuf,
    },
}

impl TransportError {
    /// Whether another attempt may do better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            TransportError::Unreachable { .. } | TransportError::Broken { .. } => true,
            TransportError::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => "check the name".to_owned(),
        [one] => format!("did you mean {one:?}?"),
        many => format!("did you mean one of {}?", many.join(", ")),
    }
}

fn lines(unknown: &[impl ToString]) -> String {
    unknown
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn indented(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// Names in a message before the rest is only counted.
const MAX_NAMED: usize = 12;

fn needed_list(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>();
    let more = names.len().saturating_sub(MAX_NAMED);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
