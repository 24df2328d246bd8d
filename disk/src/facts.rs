//! What callers are told.

use nos_manifest::Image;
use serde::Serialize;

/// One generation on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationInfo {
    /// Its number.
    pub number: u32,
    /// Whether it boots next.
    pub current: bool,
    /// Whether a rollback goes to it.
    pub previous: bool,
    /// How far a trial of it is: `wanted`, and the next boot begins it; `begun`, and the machine
    /// was reset into it; `started`, and its init has come to life.
    pub trial: Option<&'static str>,
    /// Whether init saw the machine run in it last.
    pub booted: bool,
    /// What init has found out about it; `None` where it never ran with every service healthy and
    /// was never tried.
    pub verdict: Option<VerdictInfo>,
    /// Whether it is pinned: it is not removed until it is unpinned.
    pub pinned: bool,
    /// File name of its boot entry: what `LoaderEntryOneShot` takes.
    pub entry: String,
    /// SHA-256 of its kernel image, in hex.
    pub uki: String,
    /// What the person who installed it called it.
    pub label: String,
    /// Kernel release.
    pub kernel: String,
    /// When it was installed, in seconds since 1970.
    pub installed: Option<u64>,
    /// Its images.
    pub images: Vec<ImageInfo>,
    /// Bytes that it shares with no generation before it: what installing it added.
    pub new_bytes: u64,
    /// Bytes of its kernel image and all its images.
    pub size_bytes: u64,
    /// Why it would not boot, where that can be seen without reading everything.
    pub broken: Option<String>,
}

/// What init has found out about a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictInfo {
    /// Whether it has run with every service healthy.
    pub good: bool,
    /// Why a trial of it failed; it says so in one line.
    pub reason: Option<String>,
}

/// One image of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageInfo {
    /// What the manifest says about it.
    #[serde(flatten)]
    pub image: Image,
    /// Number of its partition; `None` where it is missing.
    pub partition: Option<usize>,
}

/// What a change did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The generation that was installed or switched to; for removals, the one that boots.
    pub number: u32,
    /// Generations removed.
    pub removed: Vec<u32>,
    /// What was wrong and is right now, as [`crate::Disk::verify_structure`] said it.
    pub repaired: Vec<String>,
    /// Names of images written.
    pub images_written: Vec<String>,
    /// Names of images that were on the disk already.
    pub images_reused: Vec<String>,
    /// Whether the kernel image was on the disk already.
    pub uki_reused: bool,
    /// Bytes written to the device.
    pub bytes_written: u64,
    /// Sectors written to the device.
    pub sectors_written: u64,
    /// Flushes of the device.
    pub flushes: u64,
}

impl Report {
    /// Adds what another change removed and wrote, which was made for the sake of this one.
    pub(crate) fn follows(&mut self, other: &Self) {
        self.removed.extend(&other.removed);
        self.repaired.extend(other.repaired.iter().cloned());
        self.bytes_written += other.bytes_written;
        self.sectors_written += other.sectors_written;
        self.flushes += other.flushes;
    }
}

/// How far a change is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done: `write`, `read back`, `verify`.
    pub doing: &'static str,
    /// To what: an image's name, a file.
    pub what: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Report {
    /// Adds what a further change of the same disk did; what boots is as that one says.
    pub fn add(&mut self, more: Report) {
        self.number = more.number;
        self.removed.extend(more.removed);
        self.repaired.extend(more.repaired);
        self.images_written.extend(more.images_written);
        self.images_reused.extend(more.images_reused);
        self.uki_reused |= more.uki_reused;
        self.bytes_written += more.bytes_written;
        self.sectors_written += more.sectors_written;
        self.flushes += more.flushes;
    }
}
