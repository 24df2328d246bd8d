//! Opening a disk and saying what is on it.

use crate::entry::{self, BootEntry, Content, ENTRIES, KERNELS};
use crate::facts::{GenerationInfo, ImageInfo, VerdictInfo};
use crate::layout::{self, guid};
use crate::window::Window;
use crate::{BlockDevice, Error, OpenError};
use nos_formats::fat::{FatError, Volume};
use nos_formats::gpt::{self, Entry, Geometry, GptError, Guid, Table};
use nos_manifest::Image;
use nos_pointer::{Fields, Name, Pointer, PointerError, Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Path of the pointer.
pub(crate) const POINTER: &str = "loader/loader.conf";

/// What the backup partition table is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTable {
    /// It says what the primary says.
    Good,
    /// It is valid and says something else: a change was cut off behind the primary.
    Stale,
    /// The device has become larger, so it is not where firmware looks for it: at the end.
    NotAtEnd,
    /// It is missing with the end of the disk, which was copied onto a smaller medium. No
    /// partition reaches so far.
    CutOff,
    /// It is not valid.
    Broken(GptError),
}

/// A disk of ours, open for reading and changing.
pub struct Disk<'d> {
    pub(crate) device: &'d mut dyn BlockDevice,
    pub(crate) state: State,
    /// Whether `state` may be from before a change that failed.
    unsure: bool,
}

/// What was read of a disk. Everything that a change needs to know.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) table: Table,
    /// Why the primary table cannot be used; `table` is the backup's then.
    pub(crate) primary: Option<GptError>,
    pub(crate) backup: BackupTable,
    /// Whether sector 0 is a protective MBR.
    pub(crate) protected: bool,
    /// Byte range of the EFI system partition.
    pub(crate) esp: Range<u64>,
    pub(crate) volume: Volume,
    pub(crate) pointer: Pointer,
    /// Offset of the pointer's sector on the disk.
    pub(crate) pointer_offset: u64,
    /// Boot entries of ours in order of number.
    pub(crate) entries: Vec<BootEntry>,
    /// Digests in hex of the kernel images on the disk, with their sizes.
    pub(crate) kernels: BTreeMap<String, u64>,
}

impl<'d> Disk<'d> {
    /// Reads the tables, the boot files and the pointer of a disk. Writes nothing.
    ///
    /// # Errors
    /// [`OpenError`] says whether it is no disk of ours, one that is damaged and where, or one of
    /// a newer format.
    pub fn open(device: &'d mut dyn BlockDevice) -> Result<Self, OpenError> {
        let state = State::read(device)?;
        Ok(Self {
            device,
            state,
            unsure: false,
        })
    }

    /// Begins a change: `state` is what is on the disk, and is doubted until
    /// [`Disk::refresh`] says how the change ended.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        if self.unsure {
            self.refresh()?;
        }
        self.unsure = true;
        Ok(())
    }

    /// Whether a change failed and the disk was not read since.
    pub(crate) fn unsure(&self) -> bool {
        self.unsure
    }

    /// Reads the disk again, behind a change.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        self.unsure = true;
        self.state = State::read(self.device)?;
        self.unsure = false;
        Ok(())
    }

    /// Number of the generation that boots.
    pub fn current(&self) -> Option<u32> {
        self.state.current().map(|entry| entry.number)
    }

    /// What the pointer says.
    pub fn pointer(&self) -> &Pointer {
        &self.state.pointer
    }

    /// What the backup partition table is worth.
    pub fn backup_table(&self) -> &BackupTable {
        &self.state.backup
    }

    /// The partitions.
    pub fn table(&self) -> &Table {
        &self.state.table
    }

    /// Why the primary partition table cannot be used, where that is so. The disk is read by the
    /// backup then, and the next change but a switch puts the primary back.
    pub fn broken_primary(&self) -> Option<&GptError> {
        self.state.primary.as_ref()
    }

    /// Every generation, in order of number.
    pub fn generations(&self) -> Vec<GenerationInfo> {
        self.state.generations()
    }

    /// Whether there is something that the next change will put right: one partition table of two,
    /// images or kernels that no generation uses, lost clusters, a torn pointer.
    ///
    /// # Errors
    /// [`Error::Esp`] where the EFI system partition cannot be read.
    pub fn has_leftovers(&self) -> Result<bool, Error> {
        let state = &self.state;
        let esp = state.esp_window(self.device);
        Ok(state.backup != BackupTable::Good
            || state.primary.is_some()
            || !state.protected
            || !state.pointer_is_whole()
            || !state.orphan_partitions().is_empty()
            || !state.orphan_kernels().is_empty()
            || !state.volume.check(&esp)?.is_empty())
    }
}

impl State {
    pub(crate) fn read(device: &dyn BlockDevice) -> Result<Self, OpenError> {
        let mut state = Self::read_without_pointer(device)?;
        let (pointer, offset) = {
            let window = state.esp_window(device);
            read_pointer(&window, &state.volume, device.sector_size()).map_err(
                |error| match error {
                    OpenError::NotOurs { .. } if state.is_ours() => OpenError::Pointer {
                        what: "is missing or damaged".into(),
                    },
                    other => state.without_boot_files(other),
                },
            )?
        };
        state.pointer = pointer;
        state.pointer_offset = state.esp.start + offset;
        Ok(state)
    }

    /// Whether there is a generation and an image: somebody else's disk has neither.
    pub(crate) fn is_ours(&self) -> bool {
        let image = guid(nos_manifest::IMAGE_TYPE_GUID);
        !self.entries.is_empty() && self.table.find_type(image).is_some()
    }

    /// Tells somebody else's disk from one of ours that lost a directory.
    pub(crate) fn without_boot_files(&self, error: OpenError) -> OpenError {
        let image = guid(nos_manifest::IMAGE_TYPE_GUID);
        match error {
            OpenError::NotOurs { why } if self.table.find_type(image).is_some() => {
                OpenError::BootFiles { why }
            }
            other => other,
        }
    }

    /// The disk with a pointer that says what the boot loader does where there is none: the newest
    /// generation boots.
    pub(crate) fn read_without_pointer(device: &dyn BlockDevice) -> Result<Self, OpenError> {
        let tables = Tables::read(device)?;
        let esp = tables.esp()?;
        let Tables {
            table,
            primary,
            backup,
        } = tables;
        let sector_size = device.sector_size();
        let mut sector = vec![0; sector_size as usize];
        device.read_at(0, &mut sector)?;
        let window = Window {
            device,
            start: esp.start,
            length: esp.end - esp.start,
        };
        let volume = Volume::open(&window, window.length)?;
        if volume.geometry().sector_size != sector_size {
            return Err(nos_formats::fat::FatError::Boot(format!(
                "its sectors have {} bytes and those of the disk {sector_size}",
                volume.geometry().sector_size
            ))
            .into());
        }
        let entries = read_entries(&window, &volume)?;
        let kernels = volume
            .list(KERNELS)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|file| {
                let digest = file
                    .name
                    .to_ascii_lowercase()
                    .strip_suffix(".efi")?
                    .to_owned();
                entry::is_digest(&digest).then_some((digest, u64::from(file.size)))
            })
            .collect();
        let mut state = Self {
            table,
            primary,
            backup,
            protected: gpt::is_protective(&sector),
            esp,
            volume,
            pointer: Pointer {
                letter: 0,
                fields: None,
            },
            pointer_offset: 0,
            entries,
            kernels,
        };
        let whole = |entry: &&BootEntry| state.why_broken(entry).is_none();
        let newest = state.entries.iter().rev().find(whole);
        state.pointer.letter = newest.map_or(0, |entry| entry.letter);
        Ok(state)
    }

    /// The bytes of the EFI system partition.
    pub(crate) fn esp_window<'a>(&self, device: &'a dyn BlockDevice) -> Window<'a> {
        Window {
            device,
            start: self.esp.start,
            length: self.esp.end - self.esp.start,
        }
    }

    /// The entry that the pointer names.
    pub(crate) fn current(&self) -> Option<&BootEntry> {
        self.entries
            .iter()
            .find(|entry| entry.letter == self.pointer.letter)
    }

    /// Whether the pointer's comment can be read and says what its letter says.
    pub(crate) fn pointer_is_whole(&self) -> bool {
        let home = self.home().map(|entry| entry.number);
        let said = self.pointer.fields.map(|fields| fields.current);
        said.is_some() && said == home
    }

    /// The entry that the pointer names but for a trial that is under way.
    pub(crate) fn home(&self) -> Option<&BootEntry> {
        let letter = self.pointer.home();
        self.entries.iter().find(|entry| entry.letter == letter)
    }

    /// The generation that a rollback goes to: the one that the pointer remembers, else the next
    /// older one.
    pub(crate) fn previous(&self) -> Option<u32> {
        let current = self.home()?.number;
        let remembered = self.pointer.fields.and_then(|fields| fields.previous);
        remembered
            .filter(|number| *number != current && self.find(*number).is_some())
            .or_else(|| self.older_than(current))
    }

    /// The newest generation that is older than this one.
    pub(crate) fn older_than(&self, number: u32) -> Option<u32> {
        let numbers = self.entries.iter().map(|entry| entry.number);
        numbers.filter(|n| *n < number).max()
    }

    /// The generation that the next boot tries.
    pub(crate) fn trial(&self) -> Option<u32> {
        let trial = self.pointer.fields?.trial?;
        self.find(trial.name.number).map(|entry| entry.number)
    }

    pub(crate) fn find(&self, number: u32) -> Option<&BootEntry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// The entry with this number.
    pub(crate) fn require(&self, number: u32) -> Result<&BootEntry, Error> {
        self.find(number).ok_or_else(|| {
            let numbers = self.entries.iter().map(|entry| entry.number);
            Error::NoGeneration {
                number,
                nearest: numbers.min_by_key(|n| n.abs_diff(number)),
            }
        })
    }

    /// The partition that holds an image.
    pub(crate) fn partition_of(&self, image: &Image) -> Option<(usize, &Entry)> {
        let uuid: Guid = image.part_uuid()?.parse().ok()?;
        let sector = u64::from(self.table.geometry().sector_size);
        self.table.numbered().find(|(_, partition)| {
            partition.unique_guid == uuid
                && partition.type_guid == guid(nos_manifest::IMAGE_TYPE_GUID)
                && partition.sectors().saturating_mul(sector) >= image.size_bytes
        })
    }

    /// Why a generation would not boot, where that can be seen without reading everything.
    pub(crate) fn why_broken(&self, entry: &BootEntry) -> Option<String> {
        let content = match &entry.content {
            Ok(content) => content,
            Err(why) => return Some(format!("its boot entry {why}")),
        };
        if !self.kernels.contains_key(&content.uki) {
            return Some(format!(
                "its kernel image {} is missing",
                entry::uki_path(&content.uki)
            ));
        }
        self.why_no_kernel(content)
            .or_else(|| self.why_no_image(content))
    }

    /// Why the kernel image of a boot entry cannot be read at all.
    pub(crate) fn why_no_kernel(&self, content: &Content) -> Option<String> {
        if !self.kernels.contains_key(&content.uki) {
            return Some("it is missing".into());
        }
        let found = self.volume.extents(&entry::uki_path(&content.uki));
        found.err().map(|error| error.to_string())
    }

    /// Why the images of a boot entry are not all there.
    pub(crate) fn why_no_image(&self, content: &Content) -> Option<String> {
        let missing = content
            .images
            .iter()
            .find(|image| self.partition_of(image).is_none());
        missing.map(|image| format!("its image {:?} is not on the disk", image.name))
    }

    /// Images that some generation names, by PARTUUID. `None` where a boot entry cannot be read,
    /// so that nothing may be thought unused.
    fn used_images(&self) -> Option<BTreeSet<Guid>> {
        let mut used = BTreeSet::new();
        for entry in &self.entries {
            let content = entry.content.as_ref().ok()?;
            let uuids = content.images.iter().filter_map(Image::part_uuid);
            used.extend(uuids.filter_map(|uuid| uuid.parse::<Guid>().ok()));
        }
        Some(used)
    }

    /// Numbers of image partitions that no generation uses.
    pub(crate) fn orphan_partitions(&self) -> Vec<usize> {
        let Some(used) = self.used_images() else {
            return Vec::new();
        };
        self.table
            .numbered()
            .filter(|(_, partition)| partition.type_guid == guid(nos_manifest::IMAGE_TYPE_GUID))
            .filter(|(_, partition)| !used.contains(&partition.unique_guid))
            .map(|(number, _)| number)
            .collect()
    }

    /// Digests of kernel images that no generation uses.
    pub(crate) fn orphan_kernels(&self) -> Vec<String> {
        let contents: Option<Vec<&Content>> = self
            .entries
            .iter()
            .map(|entry| entry.content.as_ref().ok())
            .collect();
        let Some(contents) = contents else {
            return Vec::new();
        };
        let used: BTreeSet<&str> = contents
            .iter()
            .map(|content| content.uki.as_str())
            .collect();
        let kernels = self.kernels.keys();
        kernels
            .filter(|digest| !used.contains(digest.as_str()))
            .cloned()
            .collect()
    }

    fn generations(&self) -> Vec<GenerationInfo> {
        let current = self.current().map(|entry| entry.number);
        let previous = self.previous();
        let fields = self.pointer.fields;
        let trial = fields.and_then(|fields| fields.trial);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let describe = |entry: &BootEntry| {
            let content = entry.content.clone().unwrap_or_else(|_| Content {
                title: String::new(),
                uki: String::new(),
                label: String::new(),
                kernel: String::new(),
                installed: None,
                images: Vec::new(),
            });
            let kernel_size = self.kernels.get(&content.uki).copied().unwrap_or(0);
            let mut parts = vec![(content.uki.clone(), kernel_size)];
            parts.extend(
                content
                    .images
                    .iter()
                    .map(|i| (i.root_hash.clone(), i.size_bytes)),
            );
            let size_bytes = parts
                .iter()
                .fold(0u64, |sum, part| sum.saturating_add(part.1));
            let new = parts
                .into_iter()
                .filter(|(identity, _)| seen.insert(identity.clone()));
            GenerationInfo {
                number: entry.number,
                current: current == Some(entry.number),
                previous: previous == Some(entry.number),
                trial: trial
                    .filter(|t| t.name.number == entry.number)
                    .map(|t| t.phase.text()),
                booted: fields.and_then(|fields| fields.booted) == Some(entry.number),
                verdict: fields.and_then(|fields| verdict(&fields, entry)),
                pinned: entry.pinned,
                entry: entry::file_name(entry.number, entry.letter),
                new_bytes: new.fold(0u64, |sum, part| sum.saturating_add(part.1)),
                size_bytes,
                broken: self.why_broken(entry),
                images: content
                    .images
                    .iter()
                    .map(|image| ImageInfo {
                        image: image.clone(),
                        partition: self.partition_of(image).map(|(number, _)| number),
                    })
                    .collect(),
                uki: content.uki,
                label: content.label,
                kernel: content.kernel,
                installed: content.installed,
            }
        };
        self.entries.iter().map(describe).collect()
    }
}

/// What the pointer knows of a generation.
fn verdict(fields: &Fields, entry: &BootEntry) -> Option<VerdictInfo> {
    let reason = fields.reason.filter(|reason| reason.number == entry.number);
    let reason = reason.filter(|reason| !reason.text().is_empty());
    Some(match fields.verdicts.get(entry.letter)? {
        Verdict::Good => VerdictInfo {
            good: true,
            reason: None,
        },
        Verdict::Failed(failure) => {
            let text = reason.as_ref().map_or(failure.text(), Reason::text);
            VerdictInfo {
                good: false,
                reason: Some(text.to_owned()),
            }
        }
    })
}

/// The device's size in sectors.
pub(crate) fn geometry(device: &dyn BlockDevice) -> Result<Geometry, OpenError> {
    match device.sector_size() {
        sector_size @ (512 | 4096) => Ok(Geometry {
            sector_size,
            sectors: device.size_bytes() / u64::from(sector_size),
        }),
        other => Err(OpenError::SectorSize(other)),
    }
}

/// The partition tables of a disk.
pub(crate) struct Tables {
    table: Table,
    /// Why the primary cannot be used; `table` is the backup's then.
    primary: Option<GptError>,
    backup: BackupTable,
}

impl Tables {
    /// Byte range of the EFI system partition.
    pub(crate) fn esp(&self) -> Result<Range<u64>, OpenError> {
        let found = self.table.find_type(guid(gpt::ESP_TYPE_GUID));
        let (_, esp) = found.ok_or_else(|| OpenError::NotOurs {
            why: "it has no EFI system partition".into(),
        })?;
        Ok(layout::bytes(&self.table, esp))
    }

    /// A number for the EFI system partition: the beginning of its GUID.
    pub(crate) fn esp_id(&self) -> u32 {
        let esp = self.table.find_type(guid(gpt::ESP_TYPE_GUID));
        let [a, b, c, d, ..] = esp.map_or(Guid::ZERO, |(_, entry)| entry.unique_guid).0;
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn read(device: &dyn BlockDevice) -> Result<Self, OpenError> {
        let geometry = geometry(device)?;
        // Protective MBR and header: a shorter file never was a disk.
        if geometry.sectors < 2 {
            return Err(OpenError::NotGpt);
        }
        let disk = Window::whole(device);
        let last = geometry.sectors - 1;
        let problem = match Table::read(&disk, geometry, gpt::Copy::Primary) {
            Ok(table) => {
                let backup = match Table::read(&disk, geometry, gpt::Copy::Backup(table.backup_lba))
                {
                    _ if table.backup_lba != last => BackupTable::NotAtEnd,
                    Ok(backup) if backup.agrees_with(&table) => BackupTable::Good,
                    Ok(_) => BackupTable::Stale,
                    Err(error) => BackupTable::Broken(error),
                };
                return Ok(Self {
                    table,
                    primary: None,
                    backup,
                });
            }
            Err(problem) => problem,
        };
        match Table::read(&disk, geometry, gpt::Copy::Backup(last)) {
            Ok(table) => Ok(Self {
                table,
                primary: Some(problem),
                backup: BackupTable::Good,
            }),
            Err(_) if matches!(problem, GptError::NoSignature { .. }) => Err(OpenError::NotGpt),
            Err(_) => match Table::read_of_larger(&disk, geometry) {
                Ok(table) => Self::of_cut(table),
                Err(_) => Err(OpenError::TablesBroken { problem }),
            },
        }
    }

    /// The tables of a disk that was copied onto a smaller medium, where nothing is missing but
    /// room and the backup. Partitions are as large as what is in them, so none can be shortened.
    fn of_cut(table: Table) -> Result<Self, OpenError> {
        if let Some((number, entry)) = table.cut_off() {
            let geometry = table.geometry();
            return Err(OpenError::CutOff {
                number,
                label: entry.label(),
                end: layout::bytes(&table, entry).end,
                size: geometry.sectors * u64::from(geometry.sector_size),
            });
        }
        Ok(Self {
            table,
            primary: None,
            backup: BackupTable::CutOff,
        })
    }
}

pub(crate) fn read_pointer(
    window: &Window<'_>,
    volume: &Volume,
    sector_size: u32,
) -> Result<(Pointer, u64), OpenError> {
    let bad = |what: String| OpenError::Pointer { what };
    let not_ours = |why: &str| OpenError::NotOurs {
        why: why.to_owned(),
    };
    if volume.find(POINTER).is_err() {
        return Err(not_ours("it has no \\loader\\loader.conf"));
    }
    let bytes = volume
        .read_file(window, POINTER, 64 << 10)
        .map_err(|error| match error {
            FatError::Read { .. } => OpenError::Esp(error),
            other => bad(other.to_string()),
        })?;
    let pointer = match Pointer::parse(&bytes) {
        Ok(pointer) => pointer,
        Err(PointerError::NotOurs) => {
            return Err(not_ours("its \\loader\\loader.conf was not written by nos"));
        }
        Err(PointerError::Newer(found)) => return Err(OpenError::NewerFormat { found }),
        Err(PointerError::Damaged(what)) => return Err(bad(what.to_owned())),
    };
    match volume.extents(POINTER)?.as_slice() {
        [extent] if bytes.len() == sector_size as usize => Ok((pointer, extent.start)),
        _ => Err(bad(format!(
            "has {} bytes and must be one sector",
            bytes.len()
        ))),
    }
}

fn read_entries(window: &Window<'_>, volume: &Volume) -> Result<Vec<BootEntry>, OpenError> {
    let mut entries = Vec::new();
    for file in volume.list(ENTRIES).unwrap_or_default() {
        let Some(Name { number, letter }) = Name::parse(&file.name) else {
            continue;
        };
        let path = format!("{ENTRIES}/{}", file.name);
        let content = volume
            .read_file(window, &path, entry::MAX_ENTRY_BYTES)
            .map_err(|error| format!("cannot be read ({error})"))
            .and_then(|bytes| Content::parse(&bytes));
        entries.push(BootEntry {
            number,
            letter,
            pinned: file.read_only,
            content,
        });
    }
    entries.sort_by_key(|entry| (entry.number, entry.letter));
    Ok(entries)
}
