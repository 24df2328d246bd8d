//! A new disk with its first generation.

use crate::commit::OnProgress;
use crate::disk::{POINTER, geometry};
use crate::entry::{self, ENTRIES};
use crate::flash::{self, Fit, FlashError, Plan};
use crate::identity::Identity;
use crate::install::content;
use crate::layout::{self, PARTITION_ALIGN, align};
use crate::{BlockDevice, Error, GenerationSource, Report, Shortage, log};
use nos_formats::gpt::Table;
use nos_formats::{ext4, fat};
use nos_manifest::Image;
use nos_pointer::{Fields, LETTERS, Pointer};
use std::ops::ControlFlow;

/// Path of the boot loader: the one that firmware starts without being told.
const BOOT_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";

/// How a new disk is laid out.
pub struct NewDisk<'a> {
    /// Bytes of the EFI system partition.
    pub esp_bytes: u64,
    /// Bytes of the state partition, at the end of the disk; `None`: there is none.
    pub state_bytes: Option<u64>,
    /// The empty ext4 that the state partition is formatted with; `None`: it is cleared at both ends.
    pub state_content: Option<ext4::Identity>,
    /// `systemd-bootx64.efi`.
    pub boot_loader: &'a [u8],
    /// All identities of the disk derive from this.
    pub seed: [u8; 32],
}

/// Bytes that a disk needs for these partitions and images, and `spare_bytes` for more images.
///
/// # Errors
/// [`Error::Layout`] for an EFI system partition that is too small.
pub fn minimum_size<'i>(
    new: &NewDisk<'_>,
    images: impl IntoIterator<Item = &'i Image>,
    spare_bytes: u64,
    sector_size: u32,
) -> Result<u64, Error> {
    let esp = check_esp(new.esp_bytes, sector_size)?;
    let mut end = PARTITION_ALIGN.saturating_add(esp);
    for image in images {
        let start = end.next_multiple_of(layout::IMAGE_ALIGN);
        end = start.saturating_add(image.size_bytes.next_multiple_of(u64::from(sector_size)));
    }
    end = end.saturating_add(spare_bytes);
    if let Some(state) = new.state_bytes {
        end = align(end).saturating_add(align(state));
    }
    // The backup table and its alignment to the end.
    Ok(align(end).saturating_add(PARTITION_ALIGN))
}

/// Makes a complete disk with generation 1: everything that was on the device is lost.
///
/// The first sectors are written last and only when everything else was read back, so that a disk
/// whose making was cut off does not boot half.
///
/// # Errors
/// [`FlashError`] says what is wrong and what the device holds then.
pub fn create(
    device: &mut dyn BlockDevice,
    new: &NewDisk<'_>,
    source: &GenerationSource<'_>,
    progress: OnProgress<'_>,
) -> Result<Report, FlashError> {
    let plan = Plan::of_system(geometry(device)?, new, source, &Fit::default())?;
    let flashed = flash::write(&plan, device, &mut |at| {
        progress(at);
        ControlFlow::Continue(())
    })?;
    Ok(flashed.report)
}

/// Every sector of the EFI system partition that has a meaning.
pub(crate) fn format_esp(
    new: &NewDisk<'_>,
    source: &GenerationSource<'_>,
    kernel: &[u8],
    identity: &Identity,
    bytes: u64,
    sector_size: u32,
) -> Result<Vec<fat::SectorWrite>, Error> {
    let geometry = fat::Geometry::choose(bytes, sector_size)?;
    let letter = LETTERS[0];
    let pointer = Pointer::encode(letter, &Fields::new(1), sector_size as usize);
    let uki = format!("/{}", entry::uki_path(&entry::hex(&source.uki.digest)));
    let entry_path = format!("/{ENTRIES}/{}", entry::file_name(1, letter));
    let entry = content(source)?.encode(1);
    let log = log::empty(sector_size);
    let files: [(&str, &[u8]); 5] = [
        (&format!("/{POINTER}"), &pointer),
        (&entry_path, entry.as_bytes()),
        (&format!("/{BOOT_LOADER}"), new.boot_loader),
        (&uki, kernel),
        (&format!("/{}", log::path()), &log),
    ];
    let hidden = PARTITION_ALIGN / u64::from(sector_size);
    fat::format(geometry, identity.volume_id(), "NOS", hidden, &files).map_err(
        |error| match error {
            fat::FatError::Full { .. } => {
                let needed = files
                    .iter()
                    .map(|(_, content)| content.len() as u64)
                    .sum::<u64>();
                Shortage::Esp {
                    needed,
                    free: bytes.min(needed.saturating_sub(1)),
                }
                .into()
            }
            other => other.into(),
        },
    )
}

/// The size of an EFI system partition, rounded up to whole MiB.
pub(crate) fn check_esp(bytes: u64, sector_size: u32) -> Result<u64, Error> {
    let bytes = align(bytes);
    fat::Geometry::choose(bytes, sector_size)
        .map(|_| bytes)
        .map_err(|error| Error::Layout {
            what: format!("the EFI system partition: {error}"),
        })
}

pub(crate) fn partition(table: &Table, number: usize) -> Result<std::ops::Range<u64>, Error> {
    let entry = number
        .checked_sub(1)
        .and_then(|index| table.entries.get(index)?.as_ref());
    entry
        .map(|entry| layout::bytes(table, entry))
        .ok_or_else(|| Error::Plan {
            what: format!("partition {number} was not made"),
        })
}
