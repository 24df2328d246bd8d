//! Looking at everything on a disk.

use crate::commit::OnProgress;
use crate::disk::{BackupTable, Disk};
use crate::entry::{self, ENTRIES};
use crate::{BlockDevice, Error, Progress, image, layout};
use nos_formats::cpio;
use nos_formats::fat::{FatError, Problem};
use nos_formats::pe::Uki;
use nos_formats::verity;
use nos_manifest::{Image, MANIFEST_PATH, SystemManifest};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

/// Largest kernel image read.
const MAX_UKI: u64 = 2 << 30;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finding {
    /// The backup partition table, or the protective MBR.
    Table {
        /// What is wrong.
        what: String,
    },
    /// The structure of the EFI system partition.
    FileSystem {
        /// What is wrong.
        what: String,
    },
    /// The first of the EFI system partition's two allocation tables, which firmware reads.
    Allocation {
        /// What is wrong.
        what: String,
    },
    /// The pointer.
    Pointer {
        /// What is wrong.
        what: String,
    },
    /// A generation that would not boot.
    Generation {
        /// Its number.
        number: u32,
        /// What is wrong.
        what: String,
    },
    /// A kernel image whose bytes are not those that its name says.
    Kernel {
        /// The digest in its name.
        digest: String,
        /// Generations that need it.
        generations: Vec<u32>,
        /// What is wrong.
        what: String,
    },
    /// An image with blocks that do not match its root hash.
    Image {
        /// Its name.
        name: String,
        /// Number of its partition.
        partition: Option<usize>,
        /// Generations that need it.
        generations: Vec<u32>,
        /// First damaged block of 4096 bytes, from the start of the partition.
        first_block: Option<u64>,
        /// How many data blocks are damaged or cannot be checked.
        blocks: u64,
        /// What is wrong.
        what: String,
    },
    /// Left by a change that was cut off; the next change clears it.
    Leftover {
        /// What it is.
        what: String,
    },
}

impl Finding {
    /// What a person can do about it.
    pub fn remedy(&self) -> String {
        const REPAIR: &str = "`nos verify --repair` puts it right";
        let remove = |generations: &[u32]| {
            let list: Vec<String> = generations.iter().map(u32::to_string).collect();
            format!(
                "`nos remove` generation {}, then `nos install` it again",
                list.join(" and ")
            )
        };
        match self {
            Self::Table { .. } | Self::Allocation { .. } | Self::Pointer { .. } => REPAIR.into(),
            Self::FileSystem { .. } => {
                "copy off what you need and write the disk again with `nos flash`".into()
            }
            Self::Generation { number, .. } => remove(&[*number]),
            Self::Kernel { generations, .. } | Self::Image { generations, .. } => format!(
                "`nos verify --repair --from SPEC` writes it anew from its spec, or {}",
                remove(generations)
            ),
            Self::Leftover { .. } => "the next change clears it".into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = |generations: &[u32]| {
            let list: Vec<String> = generations.iter().map(u32::to_string).collect();
            let word = if list.len() == 1 {
                "generation"
            } else {
                "generations"
            };
            format!("needed by {word} {}", list.join(", "))
        };
        match self {
            Self::Table { what } => write!(f, "partition table: {what}"),
            Self::FileSystem { what } | Self::Allocation { what } => {
                write!(f, "EFI system partition: {what}")
            }
            Self::Pointer { what } => write!(f, "pointer: {what}"),
            Self::Generation { number, what } => write!(f, "generation {number}: {what}"),
            Self::Kernel {
                digest,
                generations,
                what,
            } => write!(f, "kernel image {digest}: {what} ({})", needed(generations)),
            Self::Image {
                name,
                partition,
                generations,
                first_block,
                blocks,
                what,
            } => {
                write!(f, "image {name}")?;
                if let Some(partition) = partition {
                    write!(f, " (partition {partition})")?;
                }
                write!(f, ": {what}")?;
                match (blocks, first_block) {
                    (0 | 1, _) | (_, None) => {}
                    (blocks, Some(_)) => write!(f, ", nor do {} others", blocks - 1)?,
                }
                write!(f, " ({})", needed(generations))
            }
            Self::Leftover { what } => write!(f, "leftover: {what}"),
        }
    }
}

/// What looking at everything found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Everything that is wrong; empty where all is well.
    pub findings: Vec<Finding>,
    /// Generations looked at.
    pub generations: usize,
    /// Kernel images whose bytes were checked.
    pub kernels: usize,
    /// Images whose blocks were checked.
    pub images: usize,
    /// Bytes read and checked.
    pub bytes: u64,
}

impl VerifyReport {
    /// Whether every generation would boot with the bytes that were installed. Leftovers do not
    /// count: they harm nothing.
    pub fn is_good(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| matches!(finding, Finding::Leftover { .. }))
    }
}

impl Disk<'_> {
    /// Reads everything on the disk that has a meaning and says what is wrong: both partition
    /// tables, the EFI file system, the pointer, the boot entries, every kernel image against the
    /// digest in its name and the images it lists, and every block of every image against its
    /// root hash. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Esp`] and [`Error::Io`] where the medium cannot be read. What is read and wrong
    /// is no error but a finding.
    pub fn verify(&self, progress: OnProgress<'_>) -> Result<VerifyReport, Error> {
        let mut report = self.verify_structure()?;
        self.verify_kernels(&mut report, &mut *progress)?;
        self.verify_images(&mut report, progress);
        Ok(report)
    }

    /// The part of [`Disk::verify`] that reads no kernel image and no service image: tables, file
    /// system, pointer and boot entries.
    ///
    /// # Errors
    /// As [`Disk::verify`].
    pub fn verify_structure(&self) -> Result<VerifyReport, Error> {
        let mut report = VerifyReport {
            generations: self.state.entries.len(),
            ..VerifyReport::default()
        };
        self.verify_tables(&mut report)?;
        self.verify_file_system(&mut report)?;
        self.verify_pointer(&mut report);
        self.verify_generations(&mut report);
        Ok(report)
    }

    fn verify_tables(&self, report: &mut VerifyReport) -> Result<(), Error> {
        let findings = &mut report.findings;
        if let Some(problem) = &self.state.primary {
            findings.push(Finding::Table {
                what: format!("the primary partition table is broken: {problem}"),
            });
        }
        match &self.state.backup {
            BackupTable::Good => {}
            BackupTable::NotAtEnd => findings.push(Finding::Leftover {
                what: "the disk has become larger and its partition table does not say so".into(),
            }),
            BackupTable::CutOff => findings.push(Finding::Table {
                what: "the disk was copied onto a smaller medium: nothing is missing but the \
                       backup table, without which the kernel sees no partitions"
                    .into(),
            }),
            BackupTable::Stale => findings.push(Finding::Leftover {
                what: "the backup partition table is from before the last change".into(),
            }),
            BackupTable::Broken(error) => findings.push(Finding::Table {
                what: format!("the backup partition table is broken: {error}"),
            }),
        }
        if !self.state.protected {
            let what = "sector 0 is no protective MBR, so firmware ignores the partitions";
            findings.push(Finding::Table { what: what.into() });
        }
        for number in self.state.orphan_partitions() {
            let what = format!("partition {number} is an image that no generation uses");
            findings.push(Finding::Leftover { what });
        }
        Ok(())
    }

    fn verify_file_system(&self, report: &mut VerifyReport) -> Result<(), Error> {
        let esp = self.state.esp_window(self.device);
        for problem in self.state.volume.check(&esp)? {
            let what = problem.to_string();
            report.findings.push(match problem {
                // The generations that need it say so, and what to do about it.
                Problem::Broken(FatError::Chain { path, .. }) if self.is_needed(&path) => continue,
                Problem::Broken(_) | Problem::CrossLinked { .. } => Finding::FileSystem { what },
                Problem::FirstTable { .. } => Finding::Allocation { what },
                _ => Finding::Leftover { what },
            });
        }
        for kernel in self.state.orphan_kernels() {
            let what = format!("\\{} is used by no generation", entry::uki_path(&kernel));
            report.findings.push(Finding::Leftover { what });
        }
        Ok(())
    }

    /// Whether a path is that of a boot entry of ours or of the kernel image that it names.
    fn is_needed(&self, path: &str) -> bool {
        let is = |file: String| file.eq_ignore_ascii_case(path.trim_start_matches('/'));
        self.state.entries.iter().any(|entry| {
            let name = entry::file_name(entry.number, entry.letter);
            let kernel = entry.content.as_ref().map(|c| entry::uki_path(&c.uki));
            is(format!("{ENTRIES}/{name}")) || kernel.is_ok_and(is)
        })
    }

    fn verify_pointer(&self, report: &mut VerifyReport) {
        let state = &self.state;
        let mut wrong = |what: &str| report.findings.push(Finding::Pointer { what: what.into() });
        match (state.home(), state.pointer.fields) {
            (None, _) => wrong("it names a generation that is not there; the newest one boots"),
            (Some(entry), Some(fields)) if entry.number != fields.current => {
                wrong("its letter and its comment name different generations; the letter counts");
            }
            (Some(_), None) => report.findings.push(Finding::Leftover {
                what: "the pointer's checksum is wrong: its last write was cut off".into(),
            }),
            (Some(_), Some(_)) => {}
        }
    }

    /// What is missing of generations: boot entries that can be read, kernel images, images.
    fn verify_generations(&self, report: &mut VerifyReport) {
        let state = &self.state;
        let mut kernels: BTreeMap<&str, (String, Vec<u32>)> = BTreeMap::new();
        for entry in &state.entries {
            let number = entry.number;
            let what = match &entry.content {
                Ok(content) => {
                    if let Some(what) = state.why_no_kernel(content) {
                        let lost = kernels.entry(&content.uki).or_insert((what, Vec::new()));
                        lost.1.push(number);
                    }
                    state.why_no_image(content)
                }
                Err(_) => state.why_broken(entry),
            };
            if let Some(what) = what {
                report.findings.push(Finding::Generation { number, what });
            }
        }
        for (digest, (what, generations)) in kernels {
            report.findings.push(Finding::Kernel {
                digest: digest.to_owned(),
                generations,
                what,
            });
        }
    }

    fn verify_kernels(
        &self,
        report: &mut VerifyReport,
        progress: OnProgress<'_>,
    ) -> Result<(), Error> {
        let mut kernels: BTreeMap<&str, Vec<(u32, &[Image])>> = BTreeMap::new();
        for entry in &self.state.entries {
            if let Ok(content) = &entry.content {
                let users = kernels.entry(&content.uki).or_default();
                users.push((entry.number, &content.images));
            }
        }
        let esp = self.state.esp_window(self.device);
        for (digest, users) in kernels {
            // Where it cannot be found, that is said already.
            let path = entry::uki_path(digest);
            if !self.state.kernels.contains_key(digest) || self.state.volume.extents(&path).is_err()
            {
                continue;
            }
            let mut wrong = |what: String| {
                let generations = users.iter().map(|(number, _)| *number).collect();
                let digest = digest.to_owned();
                report.findings.push(Finding::Kernel {
                    digest,
                    generations,
                    what,
                });
            };
            let bytes = match self.state.volume.read_file(&esp, &path, MAX_UKI) {
                Ok(bytes) => bytes,
                Err(error) => {
                    wrong(error.to_string());
                    continue;
                }
            };
            let found = entry::hex(&Sha256::digest(&bytes));
            if found != digest {
                wrong(format!("its bytes have the digest {found}"));
            } else if let Some(images) = listed_images(&bytes) {
                for (_, listed) in users.iter().filter(|(_, listed)| *listed != images) {
                    wrong(format!(
                        "it needs other images than its boot entry lists ({} and {})",
                        images.len(),
                        listed.len()
                    ));
                }
            }
            report.kernels += 1;
            report.bytes += bytes.len() as u64;
            let (done, total) = (bytes.len() as u64, bytes.len() as u64);
            progress(&Progress {
                doing: "verify",
                what: path,
                done,
                total,
            });
        }
        Ok(())
    }

    fn verify_images(&self, report: &mut VerifyReport, progress: OnProgress<'_>) {
        let mut images: BTreeMap<&str, (&Image, Vec<u32>)> = BTreeMap::new();
        for entry in &self.state.entries {
            for image in entry.content.iter().flat_map(|content| &content.images) {
                let users = images
                    .entry(&image.root_hash)
                    .or_insert((image, Vec::new()));
                users.1.push(entry.number);
            }
        }
        for (image, generations) in images.into_values() {
            let Some((partition, entry)) = self.state.partition_of(image) else {
                continue;
            };
            let place = layout::bytes(&self.state.table, entry);
            let total = image.size_bytes;
            let mut done = 0;
            let result = check_image(self.device, &place, image, &mut |bytes| {
                done = total.min(done + bytes);
                progress(&Progress {
                    doing: "verify",
                    what: image.name.clone(),
                    done,
                    total,
                });
            });
            report.images += 1;
            report.bytes += total;
            let (first_block, blocks, what) = match result {
                Ok(damage) if damage.is_clean() => continue,
                Ok(damage) => {
                    let first = damage.ranges.first().map(|range| range.blocks.start);
                    let what = format!(
                        "block {} does not match the root hash {}",
                        first.unwrap_or(0),
                        image.root_hash
                    );
                    (first, damage.bad_data_blocks, what)
                }
                Err(what) => (None, 0, what),
            };
            report.findings.push(Finding::Image {
                name: image.name.clone(),
                partition: Some(partition),
                generations,
                first_block,
                blocks,
                what,
            });
        }
    }
}

/// Checks an image on all processors, and says here how many bytes more are done.
fn check_image(
    device: &dyn BlockDevice,
    place: &Range<u64>,
    image: &Image,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<verity::Report, String> {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let work = move || {
            image::check(device, place, image, &|bytes| {
                // Somebody listens until this thread has ended.
                let _ = sender.send(bytes);
            })
        };
        let Ok(work) = thread::Builder::new().spawn_scoped(scope, work) else {
            // No thread to be had: it goes without being watched.
            return image::check(device, place, image, &|_| {});
        };
        receiver.iter().for_each(on_bytes);
        match work.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The images that a kernel image's manifest names; `None` where it carries none.
fn listed_images(uki: &[u8]) -> Option<Vec<Image>> {
    let uki = Uki::parse(uki).ok()?;
    let manifest = cpio::initramfs::find_plain(uki.initrd, MANIFEST_PATH).ok()??;
    Some(SystemManifest::from_bytes(manifest).ok()?.images)
}
