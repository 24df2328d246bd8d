//! What a system is made of: the packages in its images and the options of its kernel.
//!
//! It travels in a section of its own of the UKI, so that a generation on a disk can be compared
//! with another where no store is at hand. `init` never reads it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Version of the list of ingredients this program writes.
pub const INGREDIENTS_VERSION: u32 = 1;

/// What a system is made of. Only what is really in it: a package of which nothing is left in an
/// image is not there, so that its update changes no byte of the system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ingredients {
    /// [`INGREDIENTS_VERSION`] of the writer.
    pub version: u32,
    /// Image → package → what of it is in the image.
    pub packages: BTreeMap<String, BTreeMap<String, Package>>,
    /// Packages that kernel and boot loader come from, with their versions.
    pub boot: BTreeMap<String, String>,
    /// The kernel's configuration: `CONFIG_…` → value as it stands behind the `=`; options that
    /// are not set are not there. Empty where the kernel came without one.
    pub options: BTreeMap<String, String>,
}

/// A package in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Debian version.
    pub version: String,
    /// Bytes of its files that are in the image.
    pub bytes: u64,
}
