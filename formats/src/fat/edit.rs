//! Changing a volume in memory, and handing out the sectors that make the change.

use super::boot::{DIRTY, RECORD};
use super::directory::{ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, Directory, dots, record};
use super::name;
use super::volume::{DirectoryEntry, ROOT, Volume, split};
use super::{FatError, FatKind};
use crate::read_at::ReadAt;

/// Whole sectors to be written, by their offset in the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectorWrite {
    /// Offset in bytes from the start of the volume, a multiple of the sector size.
    pub offset: u64,
    /// Bytes, a multiple of the sector size long.
    pub bytes: Vec<u8>,
}

/// What one or more changes write, sorted by what may be written when.
///
/// For files **added**, in this order: `data` and only when that is durable `tables`; and only
/// when those are durable each step of `publish`, one after the other. For files **removed**:
/// each step of `publish`, and only when that is durable `tables`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sectors that nothing refers to yet, and marks that change no meaning.
    pub data: Vec<SectorWrite>,
    /// Sectors of the allocation tables and of the free-cluster summary.
    pub tables: Vec<SectorWrite>,
    /// One step per name, in the order of the calls: the write that makes it appear or vanish.
    /// A step is one sector, or the same table sector in each table.
    pub publish: Vec<Vec<SectorWrite>>,
}

/// Changes made in memory and not yet handed out.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    data: Vec<SectorWrite>,
    publish: Vec<Publish>,
    /// Sectors outside the tables that are put right with them.
    tidy: Vec<SectorWrite>,
    /// Whether the free-cluster summary is to be written even where no table changes.
    summary: bool,
}

/// Clusters that a file had before it got other content.
#[derive(Debug)]
#[must_use = "the clusters stay taken until they are released"]
pub struct Replaced(Vec<u32>);

#[derive(Debug, Clone)]
enum Publish {
    Sectors(Vec<SectorWrite>),
    /// A directory grows: the cluster `.1` with its names appears behind cluster `.0`.
    Link(u32, u32),
}

impl Volume {
    /// Adds a file with its content to a directory that exists. Its clusters are one run where
    /// there is one. Nothing is written: see [`Volume::take_changes`].
    ///
    /// # Errors
    /// [`FatError::Exists`], [`FatError::NotFound`] (the directory), [`FatError::Name`],
    /// [`FatError::Full`], [`FatError::DirectoryFull`]. The volume is unchanged on error.
    pub fn create_file(&mut self, path: &str, content: &[u8]) -> Result<(), FatError> {
        let size = u32::try_from(content.len()).map_err(|_| self.full(content.len() as u64))?;
        let before = self.clone();
        let result = self.try_create_file(path, content, size);
        self.restore_on_error(before, result)
    }

    fn try_create_file(&mut self, path: &str, content: &[u8], size: u32) -> Result<(), FatError> {
        let (key, name) = self.free_name(path)?;
        let cluster = self.store(content)?;
        self.add_name(key, &name, path, ATTRIBUTE_ARCHIVE, cluster, size)
    }

    /// Adds a file as [`Volume::create_file`] does, without its content: whoever calls writes that
    /// to its [`Volume::extents`], together with the [`Changes::data`] of this.
    ///
    /// # Errors
    /// As [`Volume::create_file`].
    pub fn reserve_file(&mut self, path: &str, size_bytes: u64) -> Result<(), FatError> {
        let size = u32::try_from(size_bytes).map_err(|_| self.full(size_bytes))?;
        let before = self.clone();
        let result = self.try_reserve_file(path, size);
        self.restore_on_error(before, result)
    }

    fn try_reserve_file(&mut self, path: &str, size: u32) -> Result<(), FatError> {
        let (key, name) = self.free_name(path)?;
        let chain = self.chain_for(u64::from(size))?;
        let cluster = chain.first().copied().unwrap_or(0);
        self.add_name(key, &name, path, ATTRIBUTE_ARCHIVE, cluster, size)
    }

    /// Clusters for so many bytes.
    fn chain_for(&mut self, size: u64) -> Result<Vec<u32>, FatError> {
        match self.geometry.cluster_bytes() {
            _ if size == 0 => Ok(Vec::new()),
            cluster => self.allocate(size.div_ceil(cluster)),
        }
    }

    /// Puts content into free clusters and gives the first; 0 where there is none.
    fn store(&mut self, content: &[u8]) -> Result<u32, FatError> {
        let chain = self.chain_for(content.len() as u64)?;
        let mut rest = content;
        let mut runs = chain.as_slice();
        while let Some(first) = runs.first() {
            let length = runs
                .windows(2)
                .take_while(|pair| pair[1] == pair[0] + 1)
                .count()
                + 1;
            let bytes = (length as u64 * self.geometry.cluster_bytes()) as usize;
            let (part, behind) = rest.split_at(bytes.min(rest.len()));
            let offset = self.geometry.cluster_offset(*first);
            self.pending.data.push(self.padded(offset, part));
            rest = behind;
            runs = &runs[length..];
        }
        Ok(chain.first().copied().unwrap_or(0))
    }

    /// Gives a file other content, in other clusters: its name leads to the old until the one
    /// sector with its record is written. What it had stays taken until [`Volume::release`].
    ///
    /// # Errors
    /// [`FatError::NotFound`] (also for a directory), [`FatError::Full`]. The volume is unchanged
    /// on error.
    pub fn replace_file(&mut self, path: &str, content: &[u8]) -> Result<Replaced, FatError> {
        let size = u32::try_from(content.len()).map_err(|_| self.full(content.len() as u64))?;
        let entry = self.file(path)?;
        let old = self.chain_of(&entry, path);
        let cluster = self.store(content)?;
        self.alter(path, &entry, cluster, size, entry.read_only)?;
        Ok(Replaced(old))
    }

    /// Frees the clusters that a file had before [`Volume::replace_file`]. Take the changes of
    /// that first, and make these durable after them.
    pub fn release(&mut self, replaced: Replaced) {
        self.free_unused(&replaced.0);
    }

    /// Sets or clears a file's read-only attribute: one bit of one sector.
    ///
    /// # Errors
    /// [`FatError::NotFound`] (also for a directory).
    pub fn set_read_only(&mut self, path: &str, read_only: bool) -> Result<(), FatError> {
        let entry = self.file(path)?;
        self.alter(path, &entry, entry.first_cluster, entry.size, read_only)
    }

    /// The entry of a file, not of a directory.
    fn file(&self, path: &str) -> Result<DirectoryEntry, FatError> {
        let found = self.find(path)?;
        match found.directory {
            true => Err(FatError::NotFound {
                path: path.to_owned(),
            }),
            false => Ok(found),
        }
    }

    fn alter(
        &mut self,
        path: &str,
        entry: &DirectoryEntry,
        cluster: u32,
        size: u32,
        read_only: bool,
    ) -> Result<(), FatError> {
        let key = self.directory_key(&split(path).0)?;
        let slot = entry.slots.end - 1;
        self.directory_mut(key, path)?
            .alter(slot, cluster, size, read_only);
        let sector = slot * RECORD / self.geometry.sector_size as usize;
        let step = vec![self.directory_sector(key, sector)];
        self.pending.publish.push(Publish::Sectors(step));
        Ok(())
    }

    /// Adds an empty directory to a directory that exists.
    ///
    /// # Errors
    /// As [`Volume::create_file`].
    pub fn create_directory(&mut self, path: &str) -> Result<(), FatError> {
        let before = self.clone();
        let result = self.try_create_directory(path);
        self.restore_on_error(before, result)
    }

    fn try_create_directory(&mut self, path: &str) -> Result<(), FatError> {
        let (parent, name) = self.free_name(path)?;
        let clusters = self.allocate(1)?;
        let cluster = clusters[0];
        let sector_size = self.geometry.sector_size as usize;
        let mut directory = Directory {
            path: format!("{}/{name}", self.directory(parent, path)?.path),
            clusters,
            bytes: vec![0; self.geometry.cluster_bytes() as usize],
        };
        directory.put(0, &dots(cluster, parent), sector_size);
        self.pending.data.push(SectorWrite {
            offset: self.geometry.cluster_offset(cluster),
            bytes: directory.bytes.clone(),
        });
        self.directories.insert(cluster, directory);
        self.add_name(parent, &name, path, ATTRIBUTE_DIRECTORY, cluster, 0)
    }

    /// Removes a file and frees its clusters, but for those that are another's too.
    ///
    /// # Errors
    /// [`FatError::NotFound`] (also for a directory).
    pub fn remove_file(&mut self, path: &str) -> Result<(), FatError> {
        let entry = self.file(path)?;
        let chain = self.chain_of(&entry, path);
        let key = self.directory_key(&split(path).0)?;
        let per_sector = self.geometry.sector_size as usize / RECORD;
        let first_sector = entry.slots.start / per_sector;
        let last_sector = (entry.slots.end - 1) / per_sector;
        self.directory_mut(key, path)?.delete(entry.slots);
        // The sector with the short name goes first: without it the rest is no name.
        let sectors = (first_sector..=last_sector).rev();
        let step = sectors
            .map(|sector| self.directory_sector(key, sector))
            .collect();
        self.pending.publish.push(Publish::Sectors(step));
        self.free_unused(&chain);
        Ok(())
    }

    /// The clusters of a file that is about to lose them; none where they are wrong, and these
    /// stay taken then, for [`Volume::free_lost`].
    fn chain_of(&self, entry: &DirectoryEntry, path: &str) -> Vec<u32> {
        match entry.first_cluster {
            0 => Vec::new(),
            first => self.table.chain(first, path).unwrap_or_default(),
        }
    }

    /// Frees those of some clusters that no file has: on a damaged volume another one may.
    fn free_unused(&mut self, clusters: &[u32]) {
        let (_, used) = self.check_chains();
        let unused = clusters.iter().copied().filter(|c| !used.contains(*c));
        self.table.release(&unused.collect::<Vec<u32>>());
    }

    /// Frees every cluster that no file or directory uses. Gives the number of clusters freed.
    ///
    /// # Errors
    /// [`FatError::Chain`] where a file's chain is broken: nothing is freed then.
    pub fn free_lost(&mut self) -> Result<u64, FatError> {
        let used = self.used_clusters()?;
        let lost: Vec<u32> = self
            .table
            .numbers()
            .filter(|cluster| !used.contains(*cluster))
            .filter(|cluster| self.table.link(*cluster).is_lost())
            .collect();
        self.table.release(&lost);
        Ok(lost.len() as u64)
    }

    /// Asks the next [`Volume::take_changes`] for what makes copies equal and marks true: sectors
    /// in which the tables differ, as the table says that was read, the free-cluster summary, the boot sector's copy, and the
    /// marks that another system left to say that it had not finished writing.
    ///
    /// # Errors
    /// [`FatError::Read`] where the volume cannot be read.
    pub fn tidy(&mut self, source: &(impl ReadAt + ?Sized)) -> Result<(), FatError> {
        let differing = self.differing_sectors(source)?;
        self.table.mark_dirty(differing);
        self.table.mark_clean();
        let boot = self.boot_sectors(source)?;
        let mut wanted = boot.first.clone();
        wanted[self.geometry.kind.dirty_byte()] &= !DIRTY;
        if wanted != boot.first {
            self.pending.tidy.push(SectorWrite {
                offset: 0,
                bytes: wanted.clone(),
            });
        }
        if let Some((offset, copy)) = boot.copy
            && copy != wanted
        {
            let bytes = wanted;
            self.pending.tidy.push(SectorWrite { offset, bytes });
        }
        self.pending.summary |= self.summary_differs(source)?.is_some();
        Ok(())
    }

    /// Hands out what the changes so far write. Call it between additions and removals, since
    /// their orders differ.
    pub fn take_changes(&mut self) -> Changes {
        let pending = std::mem::take(&mut self.pending);
        let dirty = self.table.take_dirty();
        let mut tables: Vec<SectorWrite> = dirty
            .into_iter()
            .flat_map(|sector| self.table_sectors(sector))
            .collect();
        let mut publish = Vec::new();
        for step in pending.publish {
            publish.push(match step {
                Publish::Sectors(sectors) => sectors,
                Publish::Link(last, next) => {
                    self.table.append(last, next);
                    let dirty = self.table.take_dirty();
                    dirty
                        .into_iter()
                        .flat_map(|sector| self.table_sectors(sector))
                        .collect()
                }
            });
        }
        if !tables.is_empty() || pending.summary {
            tables.extend(self.summary());
        }
        tables.extend(pending.tidy);
        Changes {
            data: pending.data,
            tables,
            publish,
        }
    }

    /// Directory and name for a path that must not exist.
    fn free_name(&self, path: &str) -> Result<(u32, String), FatError> {
        let (parent, name) = split(path);
        name::check(name)?;
        let key = self.directory_key(&parent)?;
        let mut entries = self.directory(key, &parent)?.entries().into_iter();
        if entries.any(|entry| name::same(&entry.name, name)) {
            return Err(FatError::Exists {
                path: path.to_owned(),
            });
        }
        Ok((key, name.to_owned()))
    }

    fn add_name(
        &mut self,
        key: u32,
        name: &str,
        path: &str,
        attributes: u8,
        cluster: u32,
        size: u32,
    ) -> Result<(), FatError> {
        let sector_size = self.geometry.sector_size as usize;
        let directory = self.directory(key, path)?;
        let taken: Vec<[u8; 11]> = directory
            .entries()
            .iter()
            .map(|entry| entry.short)
            .collect();
        let mut records = Vec::new();
        let short =
            match name::as_short(name).filter(|short| !taken.contains(short)) {
                Some(short) => short,
                None => {
                    let short = name::derive_short(name, |short| taken.contains(short))
                        .ok_or_else(|| FatError::Name {
                            name: name.to_owned(),
                        })?;
                    records = name::encode_long(name, &short);
                    short
                }
            };
        records.push(record(&short, attributes, cluster, size));

        let place = directory.place(records.len(), sector_size);
        let sector = place.slot * RECORD / sector_size;
        let grows = place.slot * RECORD >= directory.bytes.len();
        if grows {
            self.grow(key, path)?;
        }
        let directory = self.directory_mut(key, path)?;
        let padded = !place.pad.is_empty();
        let pad_sector = place.pad.start * RECORD / sector_size;
        let behind = (place.slot + records.len()) * RECORD;
        let was_end = directory.bytes[place.slot * RECORD] == 0;
        if padded || grows {
            // Everything from here on was behind the end; it must not come to light.
            let end = (sector + 1) * sector_size;
            directory.bytes[sector * sector_size..end].fill(0);
        }
        directory.put(place.slot, &records, sector_size);
        directory.delete(place.pad);
        // Where the records fill their sector, the next one must mark the end.
        let exposes = was_end && behind == (sector + 1) * sector_size;
        if exposes && directory.bytes.get(behind).is_some_and(|byte| *byte != 0) {
            directory.bytes[behind..behind + sector_size].fill(0);
            let cleared = self.directory_sector(key, sector + 1);
            self.pending.data.push(cleared);
        }
        let directory = self.directory(key, path)?;
        if grows {
            let (last, new) = match directory.clusters.as_slice() {
                [.., last, new] => (*last, *new),
                _ => {
                    return Err(FatError::DirectoryFull {
                        path: path.to_owned(),
                    });
                }
            };
            let length = self.geometry.cluster_bytes() as usize;
            let bytes = directory.bytes[directory.bytes.len() - length..].to_vec();
            let offset = self.geometry.cluster_offset(new);
            self.pending.data.push(SectorWrite { offset, bytes });
            if padded {
                self.pending
                    .data
                    .push(self.directory_sector(key, pad_sector));
            }
            self.pending.publish.push(Publish::Link(last, new));
        } else if padded {
            self.pending.data.push(self.directory_sector(key, sector));
            let step = vec![self.directory_sector(key, pad_sector)];
            self.pending.publish.push(Publish::Sectors(step));
        } else {
            let step = vec![self.directory_sector(key, sector)];
            self.pending.publish.push(Publish::Sectors(step));
        }
        Ok(())
    }

    /// Adds an empty cluster to a directory in memory.
    fn grow(&mut self, key: u32, path: &str) -> Result<(), FatError> {
        if key == ROOT && self.geometry.kind == FatKind::Fat16 {
            return Err(FatError::DirectoryFull {
                path: path.to_owned(),
            });
        }
        let cluster = self.allocate(1)?[0];
        let length = self.geometry.cluster_bytes() as usize;
        let directory = self.directory_mut(key, path)?;
        directory.clusters.push(cluster);
        directory.bytes.resize(directory.bytes.len() + length, 0);
        Ok(())
    }

    fn directory_mut(&mut self, key: u32, path: &str) -> Result<&mut Directory, FatError> {
        self.directories
            .get_mut(&key)
            .ok_or_else(|| FatError::NotFound {
                path: path.to_owned(),
            })
    }

    fn allocate(&mut self, clusters: u64) -> Result<Vec<u32>, FatError> {
        let bytes = clusters.saturating_mul(self.geometry.cluster_bytes());
        self.table
            .allocate(clusters)
            .ok_or_else(|| self.full(bytes))
    }

    fn full(&self, needed: u64) -> FatError {
        FatError::Full {
            needed,
            free: self.free_bytes().min(needed),
        }
    }

    /// The sector with this number of a directory.
    fn directory_sector(&self, key: u32, sector: usize) -> SectorWrite {
        let size = self.geometry.sector_size as usize;
        let (offset, bytes) = match self.directories.get(&key) {
            Some(directory) => {
                let per_cluster = self.geometry.cluster_sectors as usize;
                let base = match directory.clusters.get(sector / per_cluster) {
                    Some(cluster) => {
                        self.geometry.cluster_offset(*cluster)
                            + (sector % per_cluster * size) as u64
                    }
                    None => (self.geometry.root_sector() + sector as u64) * size as u64,
                };
                (
                    base,
                    directory.bytes[sector * size..(sector + 1) * size].to_vec(),
                )
            }
            None => (0, Vec::new()),
        };
        SectorWrite { offset, bytes }
    }

    fn table_sectors(&self, sector: u64) -> Vec<SectorWrite> {
        let bytes = self.table.encode_sector(sector);
        (0..self.geometry.tables)
            .map(|copy| {
                let lba = self.geometry.reserved + copy * self.geometry.table_sectors + sector;
                let offset = lba * u64::from(self.geometry.sector_size);
                SectorWrite {
                    offset,
                    bytes: bytes.clone(),
                }
            })
            .collect()
    }

    /// The free-cluster summary of FAT32.
    pub(super) fn summary(&self) -> Option<SectorWrite> {
        if self.geometry.info_sector == 0 {
            return None;
        }
        let mut bytes = vec![0; self.geometry.sector_size as usize];
        bytes[0..4].copy_from_slice(b"RRaA");
        bytes[484..488].copy_from_slice(b"rrAa");
        bytes[488..492].copy_from_slice(&(self.table.free() as u32).to_le_bytes());
        // No hint where the next free cluster is.
        bytes[492..496].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
        let offset = self.geometry.info_sector * u64::from(self.geometry.sector_size);
        Some(SectorWrite { offset, bytes })
    }

    fn padded(&self, offset: u64, content: &[u8]) -> SectorWrite {
        let mut bytes = content.to_vec();
        bytes.resize(
            content
                .len()
                .next_multiple_of(self.geometry.sector_size as usize),
            0,
        );
        SectorWrite { offset, bytes }
    }

    fn restore_on_error(
        &mut self,
        before: Self,
        result: Result<(), FatError>,
    ) -> Result<(), FatError> {
        if result.is_err() {
            *self = before;
        }
        result
    }
}
