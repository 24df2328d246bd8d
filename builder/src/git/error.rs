//! Why a commit could not be had.

use super::id::Id;
use crate::debian::TransportError;
use nos_formats::tree::{TreeError, TreePath};
use std::io;

/// Why a commit could not be had. Each message names what is wrong and ends with what to do.
#[derive(Debug, thiserror::Error)]
#[allow(private_interfaces)]
pub enum GitError {
    /// Nobody answers, or what comes breaks off.
    #[error("{address} {reason}; check the network and try again, a clone cannot be gone on with")]
    Network {
        /// Address asked.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Something answers that is no repository.
    #[error(
        "{address} is no git repository that can be read over HTTP: {reason}; correct the address"
    )]
    NotARepository {
        /// Address asked.
        address: String,
        /// What came instead.
        reason: String,
    },
    /// The server wants to know who asks.
    #[error(
        "{address} wants a password, or there is no such repository; correct the address, or clone it \
         yourself and use folder(\"…\")"
    )]
    Closed {
        /// Address asked.
        address: String,
    },
    /// The repository lacks the commit.
    #[error(
        "{address} has no commit {commit}; check that it was pushed there (`git ls-remote {address}` \
         lists what branches and tags stand for)"
    )]
    NoCommit {
        /// Repository.
        address: String,
        /// Commit asked for.
        commit: Id,
    },
    /// The server says no.
    #[error("{address} refuses: {reason}; ask whoever runs it, or name another copy in `mirrors`")]
    Refused {
        /// Repository.
        address: String,
        /// Its words.
        reason: String,
    },
    /// An answer that git's protocol does not know.
    #[error(
        "{address} answers what git would not understand: {reason}; name another copy in `mirrors`"
    )]
    Protocol {
        /// Repository.
        address: String,
        /// What came.
        reason: String,
    },
    /// A repository of the newer kind.
    #[error(
        "{address} names its objects by SHA-256, which nos cannot read; clone it yourself and use \
         folder(\"…\")"
    )]
    Sha256 {
        /// Repository.
        address: String,
    },
    /// A pack that is none.
    #[error(
        "the pack that came is damaged: {reason}; try again, or name another copy in `mirrors`"
    )]
    Pack {
        /// What is wrong in it.
        reason: String,
    },
    /// More than is taken.
    #[error(
        "{what} is larger than the {limit} that nos takes; fetch an archive of it with fetch(…)"
    )]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// Content made to have the name of other content.
    #[error("the object {id} is an attack on SHA-1; tell the repository's owner")]
    Collision {
        /// Its name.
        id: Id,
    },
    /// A commit without something that it names.
    #[error(
        "the object {id} ({what}) is named and did not come; the repository is damaged: name another \
         copy in `mirrors`"
    )]
    Missing {
        /// Its name.
        id: Id,
        /// What it would be.
        what: String,
    },
    /// A tree that git itself would refuse.
    #[error("the folder {path} of the commit is not sound: {reason}; use another commit")]
    Tree {
        /// Where.
        path: TreePath,
        /// What is wrong.
        reason: String,
    },
    /// Other files than those that were pinned.
    #[error(
        "commit {commit} has other files now (tree {found}) than when nos.lock was made ({pinned}): \
         somebody is at work on SHA-1, or the lock was edited; take nos.lock from version control, or \
         another commit"
    )]
    Changed {
        /// The commit.
        commit: String,
        /// Digest of what came.
        found: String,
        /// Digest in the lock.
        pinned: String,
    },
    /// Something else of that name.
    #[error("{id} is a {kind} and no commit{}; write the commit", target.map_or_else(
        String::new, |target| format!(", it stands for {target}")))]
    NotACommit {
        /// Asked for.
        id: Id,
        /// What it is.
        kind: &'static str,
        /// What a tag stands for.
        target: Option<Id>,
    },
    /// A submodule that cannot be had.
    #[error(
        "its submodule {path} cannot be had: {reason}; leave out submodules by `submodules = false`"
    )]
    Submodule {
        /// Where it belongs.
        path: TreePath,
        /// Why.
        reason: String,
    },
    /// Its server is not trusted.
    #[error(transparent)]
    Untrusted(TransportError),
    /// A tree's paths.
    #[error(transparent)]
    Path(#[from] TreeError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] nos_store::StoreError),
    /// The scratch file.
    #[error("a scratch file beside the store cannot be written: {0}; free some space there")]
    Scratch(io::Error),
}

impl GitError {
    /// What a transport error means when a repository is asked.
    pub(super) fn of_transport(error: TransportError) -> Self {
        match error {
            TransportError::Unreachable { address, reason } => Self::Network {
                address,
                reason: format!("cannot be reached: {reason}"),
            },
            TransportError::Broken { address, reason } => Self::Network {
                address,
                reason: format!("broke off: {reason}"),
            },
            TransportError::Unusable { address, reason } => {
                Self::NotARepository { address, reason }
            }
            error @ TransportError::Untrusted { .. } => Self::Untrusted(error),
            other => Self::NotARepository {
                address: String::new(),
                reason: other.to_string(),
            },
        }
    }

    /// Whether another attempt may do better.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Network { .. })
    }

    pub(super) fn pack(reason: impl Into<String>) -> Self {
        Self::Pack {
            reason: reason.into(),
        }
    }
}
