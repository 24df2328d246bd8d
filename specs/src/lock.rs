//! The shape of `nos.lock`: which bytes each package name stands for.

use std::collections::BTreeMap;

/// A whole lock file. Every map is ordered, so equal locks have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format version, [`LOCK_VERSION`].
    pub version: u32,
    /// The signed indexes that the pins were taken from, by suite name
    /// (`trixie`, `trixie-updates`, `trixie-security`).
    #[serde(default)]
    pub suites: BTreeMap<String, SuitePin>,
    /// Group → what was asked for and what that resolved to. Groups are `kernel`, `boot` and
    /// `image NAME`; each is resolved by itself.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
    /// Pinned packages, by `name` (one version each across the lock).
    #[serde(default)]
    pub packages: BTreeMap<String, LockedPackage>,
}

/// Version of the lock format this program writes.
pub const LOCK_VERSION: u32 = 1;

/// One signed index.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuitePin {
    /// `Date` field of its `Release` file, RFC 3339 in UTC. A later lock may not go back.
    pub date: String,
    /// SHA-256 of the signed text.
    pub sha256: String,
}

/// What one group asked for and got.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Package names as the spec gives them, sorted.
    pub wants: Vec<String>,
    /// Names of all packages in the closure, sorted.
    pub packages: Vec<String>,
}

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Debian version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Suite it was found in.
    pub suite: String,
    /// Path below the mirror's root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`, lower-case hex.
    pub sha256: String,
}
