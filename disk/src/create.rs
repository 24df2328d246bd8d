//! A new disk with its first generation.

use crate::commit::{OnProgress, Phase, flush, forget, read_back};
use crate::disk::{POINTER, State, geometry};
use crate::entry::{self, ENTRIES};
use crate::identity::Identity;
use crate::install::{check_source, content, put_backup};
use crate::layout::{self, PARTITION_ALIGN, guid};
use crate::{BlockDevice, Error, GenerationSource, ImageSource, Report, Shortage, image};
use nos_formats::fat;
use nos_formats::gpt::{self, Entry, Table};
use nos_manifest::Image;
use nos_pointer::{Fields, LETTERS, Pointer};

/// Path of the boot loader: the one that firmware starts without being told.
const BOOT_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";

/// What a new state partition holds: byte offset in the partition and bytes, everything between
/// them zero. Offsets and lengths are whole sectors.
pub type StateContent = Vec<(u64, Vec<u8>)>;

/// How a new disk is laid out.
pub struct NewDisk<'a> {
    /// Bytes of the EFI system partition.
    pub esp_bytes: u64,
    /// Bytes of the state partition, at the end of the disk; `None`: there is none.
    pub state_bytes: Option<u64>,
    /// What the state partition holds; `None`: nothing, its first MiB is cleared.
    pub state_content: Option<StateContent>,
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
/// The partition table and the first sectors are written last, so that a disk whose making was
/// cut off does not boot half.
///
/// # Errors
/// [`Error::Space`] and [`Error::Layout`] before the first write; [`Error::ReadSource`],
/// [`Error::Io`], [`Error::ReadBack`] after it.
pub fn create(
    device: &mut dyn BlockDevice,
    new: &NewDisk<'_>,
    source: &GenerationSource<'_>,
    progress: OnProgress<'_>,
) -> Result<Report, Error> {
    check_source(source)?;
    let plan = Plan::make(device, new, source)?;
    let mut report = Report {
        number: 1,
        ..Report::default()
    };
    let sector = device.sector_size() as usize;
    if !device.starts_zeroed() {
        // Nothing of what was there may boot or be found from here on.
        let mut wipe = Phase::default();
        wipe.put(0, vec![0; 2 * sector]);
        wipe.put(device.size_bytes() - sector as u64, vec![0; sector]);
        wipe.run(device, &mut report)?;
    }
    for (source, number) in source.images.iter().zip(&plan.image_partitions) {
        let partition = partition(&plan.table, *number)?;
        image::copy(device, &partition, source, &mut report, &mut *progress)?;
        report.images_written.push(source.image.name.clone());
    }
    plan.content
        .for_each_run(|offset, bytes| image::write_sparse(device, offset, bytes, &mut report))?;
    flush(device, &mut report)?;
    plan.head.run(device, &mut report)?;

    forget(device)?;
    read_back(
        device,
        &[&plan.content, &plan.head],
        "boot files, state or partition table",
    )?;
    for (source, number) in source.images.iter().zip(&plan.image_partitions) {
        let partition = partition(&plan.table, *number)?;
        crate::install::read_back_image(device, &partition, &source.image)?;
    }
    let state = State::read(device)?;
    if state.current().map(|entry| entry.number) != Some(1) {
        return Err(Error::Plan {
            what: "generation 1 does not boot".into(),
        });
    }
    Ok(report)
}

/// Everything that a new disk holds besides its images.
struct Plan {
    table: Table,
    /// Partition number of each image.
    image_partitions: Vec<usize>,
    /// Written in any order before the head.
    content: Phase,
    /// The first sectors: what makes it a disk.
    head: Phase,
}

impl Plan {
    fn make(
        device: &dyn BlockDevice,
        new: &NewDisk<'_>,
        source: &GenerationSource<'_>,
    ) -> Result<Self, Error> {
        let geometry = geometry(device)?;
        let sector_size = geometry.sector_size;
        let needed = minimum_size(new, source.images.iter().map(|i| &i.image), 0, sector_size)?;
        let size = device.size_bytes();
        if size < needed {
            return Err(Shortage::Disk { needed, size }.into());
        }
        let identity = Identity::new(new.seed);
        let sector = u64::from(sector_size);
        let mut table = Table::new(geometry, identity.guid("disk"))?;
        let mut add = |start: u64, bytes: u64, type_guid: &str, name: &str| {
            let entry = Entry {
                type_guid: guid(type_guid),
                unique_guid: identity.guid(name),
                first_lba: start / sector,
                last_lba: (start + bytes) / sector - 1,
                attributes: 0,
                name: Entry::encode_name(name),
            };
            table
                .add(entry)
                .ok_or(Shortage::Partitions { needed: 1, free: 0 })
        };
        let esp_bytes = check_esp(new.esp_bytes, sector_size)?;
        add(PARTITION_ALIGN, esp_bytes, gpt::ESP_TYPE_GUID, "EFI system")?;
        let state = new.state_bytes.map(|bytes| {
            // The last place that is aligned and leaves room for the backup table.
            let bytes = align(bytes.max(1));
            let end = size - PARTITION_ALIGN;
            (end - end % PARTITION_ALIGN - bytes, bytes)
        });
        if let Some((start, bytes)) = state {
            add(start, bytes, nos_manifest::STATE_TYPE_GUID, "state")?;
        }
        let mut image_partitions = Vec::new();
        for ImageSource { image, .. } in &source.images {
            image_partitions.push(layout::place(
                &mut table,
                image,
                crate::install::part_uuid(image)?,
            )?);
        }
        table.check()?;

        let mut content = Phase::default();
        let esp = format_esp(new, source, &identity, esp_bytes, sector_size)?;
        content.put_all(PARTITION_ALIGN, esp);
        if let Some((start, bytes)) = state {
            let cleared = || vec![(0, vec![0; PARTITION_ALIGN.min(bytes) as usize])];
            for (offset, extent) in new.state_content.clone().unwrap_or_else(cleared) {
                content.put(start + offset, extent);
            }
        }
        put_backup(&mut content, &table);
        let mut head = Phase::default();
        head.put(
            0,
            gpt::protective_mbr(geometry.sectors, sector_size as usize),
        );
        head.put(sector, table.encode_primary());
        let mut arrays = table.encode_array();
        arrays.resize(((table.array_end() - 2) * sector) as usize, 0);
        head.put(2 * sector, arrays);
        Ok(Self {
            table,
            image_partitions,
            content,
            head,
        })
    }
}

/// Every sector of the EFI system partition that has a meaning.
fn format_esp(
    new: &NewDisk<'_>,
    source: &GenerationSource<'_>,
    identity: &Identity,
    bytes: u64,
    sector_size: u32,
) -> Result<Vec<fat::SectorWrite>, Error> {
    let geometry = fat::Geometry::choose(bytes, sector_size)?;
    let letter = LETTERS[0];
    let pointer = Pointer::encode(letter, &Fields::new(1), sector_size as usize);
    let uki = format!("/{}", entry::uki_path(&entry::hex(&source.uki_digest)));
    let entry_path = format!("/{ENTRIES}/{}", entry::file_name(1, letter));
    let entry = content(source)?.encode(1);
    let files: [(&str, &[u8]); 4] = [
        (&format!("/{POINTER}"), &pointer),
        (&entry_path, entry.as_bytes()),
        (&format!("/{BOOT_LOADER}"), new.boot_loader),
        (&uki, source.uki),
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

fn align(bytes: u64) -> u64 {
    bytes
        .checked_next_multiple_of(PARTITION_ALIGN)
        .unwrap_or(u64::MAX)
}

/// The size of an EFI system partition, rounded up to whole MiB.
fn check_esp(bytes: u64, sector_size: u32) -> Result<u64, Error> {
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
