//! Why an image could not be written or read.

use std::io;

use crate::tree::{TreeError, TreePath};

/// Why [`write()`](super::write()) stopped. What was written until then is no image.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The tree is not one a file system can hold.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A cluster size the format does not have.
    #[error(
        "an EROFS cluster of {cluster_bytes} bytes is not possible; choose a multiple of 4096 up to 1048576"
    )]
    ClusterSize {
        /// The size asked for.
        cluster_bytes: u32,
    },
    /// A compression level that zstd does not have.
    #[error("zstd has no level {level}; choose 1 to 22")]
    Level {
        /// The level asked for.
        level: i32,
    },
    /// A content that cannot be read, or whose length changed.
    #[error("the content of {path} cannot be read: {source}; check where it comes from and retry")]
    Content {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// The image, or the spool, cannot be written.
    #[error("the image cannot be written: {0}; free some space or choose another place")]
    Output(#[from] io::Error),
    /// An extended attribute that EROFS cannot hold.
    #[error("the extended attribute {name:?} of {path} does not fit EROFS: {reason}; remove it")]
    Xattr {
        /// Its file.
        path: TreePath,
        /// Its full name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A node with a property that EROFS cannot hold.
    #[error("{path} does not fit EROFS: {reason}; change it in the tree")]
    Node {
        /// The node.
        path: TreePath,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than 2³² blocks (16 TiB).
    #[error("the image would be larger than 16 TiB; split the tree")]
    TooLarge,
    /// The compression library refused its own parameters.
    #[error("compressing {path} failed: {reason}; report this as a bug of nos")]
    Codec {
        /// The file being compressed.
        path: TreePath,
        /// What the library said.
        reason: String,
    },
}

/// Why an image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The medium cannot be read.
    #[error("the image cannot be read at byte {offset}: {source}; check the medium and retry")]
    Source {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not an EROFS.
    #[error("this is not an EROFS: no magic number at byte 1024; check which file was given")]
    NotErofs,
    /// Something the format does not allow.
    #[error("the EROFS is damaged at byte {offset}: {what}; write the image again from its source")]
    Corrupt {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Part of EROFS that this reader does not know.
    #[error(
        "the EROFS needs {what} at byte {offset}, which this program cannot read; use the tool that wrote it"
    )]
    Unsupported {
        /// Where.
        offset: u64,
        /// What it needs.
        what: &'static str,
    },
    /// A path that is not in the image.
    #[error("{path} is not in the image; list the image to see what is")]
    NotFound {
        /// The path looked for.
        path: TreePath,
    },
    /// The consumer of a file's bytes failed.
    #[error("the file's bytes cannot be passed on: {0}; check where they go")]
    Output(io::Error),
}
