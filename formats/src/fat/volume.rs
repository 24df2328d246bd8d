//! Reading a volume: table and directories into memory, file content on demand.

use super::boot::{Geometry, RECORD};
use super::directory::{ATTRIBUTE_LABEL, Directory, MAX_BYTES};
use super::edit::Pending;
use super::name;
use super::table::{Link, Table};
use super::{FatError, FatKind, MAX_DIRECTORIES};
use crate::read_at::ReadAt;
use std::collections::BTreeMap;
use std::ops::Range;

/// Key of the root directory among [`Volume`]'s directories.
pub(super) const ROOT: u32 = 0;

/// Deepest nesting of directories that is read.
const MAX_DEPTH: usize = 32;

/// A FAT volume: its geometry, allocation table and directories.
#[derive(Debug, Clone)]
pub struct Volume {
    pub(super) geometry: Geometry,
    pub(super) table: Table,
    /// Which allocation table that was read from: the first, or its copy where the first leads
    /// files astray and the copy does not.
    pub(super) table_read: TableCopy,
    /// Directories by first cluster; the root directory by [`ROOT`].
    pub(super) directories: BTreeMap<u32, Directory>,
    pub(super) pending: Pending,
}

/// One of a volume's two allocation tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableCopy {
    First,
    Second,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Long name, or the short one where there is no long one.
    pub name: String,
    /// Short name as stored.
    pub(super) short: [u8; 11],
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether its read-only attribute is set.
    pub read_only: bool,
    /// First cluster, 0 for an empty file.
    pub(super) first_cluster: u32,
    /// Bytes of the file; 0 for a directory.
    pub size: u32,
    /// Its records in the directory.
    pub(super) slots: Range<usize>,
}

impl Volume {
    /// Reads the boot sector, an allocation table and every directory of a volume of
    /// `volume_bytes` bytes.
    ///
    /// The table is the first one, unless it says what cannot be, such as that two files share a
    /// cluster, and the second does not. No change of ours that is cut off leaves such a first
    /// table, so what is in it is damage; and to make the second one like it would lose files for
    /// good.
    ///
    /// # Errors
    /// [`FatError::Boot`] where it is no volume this module reads, [`FatError::Chain`] or
    /// [`FatError::TooMany`] where its directories cannot be walked.
    pub fn open(source: &(impl ReadAt + ?Sized), volume_bytes: u64) -> Result<Self, FatError> {
        let mut boot = [0; 512];
        read(source, 0, &mut boot)?;
        let geometry = Geometry::parse(&boot, volume_bytes)?;
        let first = Self::by_table(source, geometry, TableCopy::First);
        if geometry.tables != 2 || first.as_ref().is_ok_and(Self::is_sound) {
            return first;
        }
        match Self::by_table(source, geometry, TableCopy::Second) {
            Ok(second) if second.is_sound() => Ok(second),
            _ => first,
        }
    }

    fn by_table(
        source: &(impl ReadAt + ?Sized),
        geometry: Geometry,
        copy: TableCopy,
    ) -> Result<Self, FatError> {
        let sector = u64::from(geometry.sector_size);
        let mut bytes = vec![0; (geometry.table_sectors * sector) as usize];
        let start = geometry.reserved + copy as u64 * geometry.table_sectors;
        read(source, start * sector, &mut bytes)?;
        let table = Table::parse(&geometry, &bytes);
        let mut volume = Self {
            geometry,
            table,
            table_read: copy,
            directories: BTreeMap::new(),
            pending: Pending::default(),
        };
        volume.walk(source)?;
        Ok(volume)
    }

    fn walk(&mut self, source: &(impl ReadAt + ?Sized)) -> Result<(), FatError> {
        let mut queue = vec![(ROOT, String::new(), 0)];
        while let Some((key, path, depth)) = queue.pop() {
            if self.directories.len() >= MAX_DIRECTORIES || depth > MAX_DEPTH {
                return Err(FatError::TooMany { path });
            }
            let directory = self.load(source, key, path)?;
            for entry in directory.entries().into_iter().filter(|e| e.directory) {
                let path = format!("{}/{}", directory.path, entry.name);
                let seen = entry.first_cluster == key
                    || self.directories.contains_key(&entry.first_cluster)
                    || queue.iter().any(|(key, ..)| *key == entry.first_cluster);
                if seen {
                    let what = "another directory has them too".to_owned();
                    return Err(FatError::Chain { path, what });
                }
                queue.push((entry.first_cluster, path, depth + 1));
            }
            self.directories.insert(key, directory);
        }
        Ok(())
    }

    fn load(
        &self,
        source: &(impl ReadAt + ?Sized),
        key: u32,
        path: String,
    ) -> Result<Directory, FatError> {
        let geometry = &self.geometry;
        let first = if key == ROOT {
            geometry.root_cluster
        } else {
            key
        };
        if key == ROOT && geometry.kind == FatKind::Fat16 {
            let sector = u64::from(geometry.sector_size);
            let mut bytes = vec![0; (geometry.root_sectors() * sector) as usize];
            read(source, geometry.root_sector() * sector, &mut bytes)?;
            return Ok(Directory {
                path,
                clusters: Vec::new(),
                bytes,
            });
        }
        let clusters = self.table.chain(first, &path)?;
        let size = geometry.cluster_bytes();
        if clusters.len() as u64 * size > MAX_BYTES.max(size) {
            let what = "the directory is larger than any may be".to_owned();
            return Err(FatError::Chain { path, what });
        }
        let mut bytes = vec![0; clusters.len() * size as usize];
        for (cluster, chunk) in clusters.iter().zip(bytes.chunks_exact_mut(size as usize)) {
            read(source, geometry.cluster_offset(*cluster), chunk)?;
        }
        Ok(Directory {
            path,
            clusters,
            bytes,
        })
    }

    /// Where everything is.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The name of the volume: the first record of the root directory, where that is one.
    pub(super) fn label(&self) -> Option<[u8; 11]> {
        let record = self.directories.get(&ROOT)?.bytes.get(..RECORD)?;
        (record[11] == ATTRIBUTE_LABEL).then(|| record.first_chunk().copied())?
    }

    /// Bytes in free clusters.
    pub fn free_bytes(&self) -> u64 {
        self.table.free() * self.geometry.cluster_bytes()
    }

    /// The byte ranges of the volume that mean something, in order: boot sectors, allocation
    /// tables, the root directory, and every cluster that is not free.
    pub fn used(&self) -> Vec<Range<u64>> {
        let sector = u64::from(self.geometry.sector_size);
        let size = self.geometry.cluster_bytes();
        let tables = 0..self.geometry.data_sector() * sector;
        let mut used = vec![tables];
        for cluster in self.table.numbers() {
            if self.table.link(cluster) == Link::Free {
                continue;
            }
            let start = self.geometry.cluster_offset(cluster);
            match used.last_mut() {
                Some(last) if last.end == start => last.end += size,
                _ => used.push(start..start + size),
            }
        }
        used
    }

    /// Bytes of the clusters that a file of `size` bytes takes.
    pub fn file_bytes(&self, size: u64) -> u64 {
        size.div_ceil(self.geometry.cluster_bytes())
            .saturating_mul(self.geometry.cluster_bytes())
    }

    /// The names in a directory, in the order in which they are stored.
    ///
    /// # Errors
    /// [`FatError::NotFound`] where there is no such directory.
    pub fn list(&self, path: &str) -> Result<Vec<DirectoryEntry>, FatError> {
        Ok(self.directory(self.directory_key(path)?, path)?.entries())
    }

    /// Finds a file or directory by its path with `/` or `\`, case ignored.
    ///
    /// # Errors
    /// [`FatError::NotFound`].
    pub fn find(&self, path: &str) -> Result<DirectoryEntry, FatError> {
        let (parent, name) = split(path);
        self.list(&parent)
            .ok()
            .and_then(|entries| {
                entries
                    .into_iter()
                    .find(|entry| name::same(&entry.name, name))
            })
            .ok_or_else(|| FatError::NotFound {
                path: path.to_owned(),
            })
    }

    /// The key of a directory in [`Volume::directories`].
    pub(super) fn directory_key(&self, path: &str) -> Result<u32, FatError> {
        let mut key = ROOT;
        for part in parts(path) {
            key = self
                .directory(key, path)?
                .entries()
                .into_iter()
                .find(|entry| entry.directory && name::same(&entry.name, part))
                .map(|entry| entry.first_cluster)
                .ok_or_else(|| FatError::NotFound {
                    path: path.to_owned(),
                })?;
        }
        Ok(key)
    }

    pub(super) fn directory(&self, key: u32, path: &str) -> Result<&Directory, FatError> {
        self.directories
            .get(&key)
            .ok_or_else(|| FatError::NotFound {
                path: path.to_owned(),
            })
    }

    /// The byte ranges of the volume that hold a file's content, in order, together exactly its
    /// size; neighbours are joined.
    ///
    /// # Errors
    /// [`FatError::Chain`] where the chain is broken, or longer or shorter than the size says.
    pub fn extents(&self, path: &str) -> Result<Vec<Range<u64>>, FatError> {
        let entry = self.find(path)?;
        let mut left = u64::from(entry.size);
        if entry.directory || left == 0 {
            return Ok(Vec::new());
        }
        let size = self.geometry.cluster_bytes();
        let chain = self.table.chain(entry.first_cluster, path)?;
        if chain.len() as u64 != left.div_ceil(size) {
            let what = format!("{} clusters hold {left} bytes", chain.len());
            return Err(FatError::Chain {
                path: path.to_owned(),
                what,
            });
        }
        let mut extents: Vec<Range<u64>> = Vec::new();
        for cluster in chain {
            let start = self.geometry.cluster_offset(cluster);
            let length = left.min(size);
            left -= length;
            match extents.last_mut() {
                Some(last) if last.end == start => last.end += length,
                _ => extents.push(start..start + length),
            }
        }
        Ok(extents)
    }

    /// Reads a whole file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`FatError::NotFound`], [`FatError::Chain`] (also for a file larger than `limit`),
    /// [`FatError::Read`].
    pub fn read_file(
        &self,
        source: &(impl ReadAt + ?Sized),
        path: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FatError> {
        let size = self.find(path)?.size;
        if u64::from(size) > limit {
            let what = format!("{size} bytes are more than the {limit} such a file may have");
            return Err(FatError::Chain {
                path: path.to_owned(),
                what,
            });
        }
        let mut content = vec![0; size as usize];
        let mut rest = content.as_mut_slice();
        for extent in self.extents(path)? {
            let (chunk, behind) = rest.split_at_mut((extent.end - extent.start) as usize);
            read(source, extent.start, chunk)?;
            rest = behind;
        }
        Ok(content)
    }
}

pub(super) fn read(
    source: &(impl ReadAt + ?Sized),
    offset: u64,
    buf: &mut [u8],
) -> Result<(), FatError> {
    source.read_at(offset, buf).map_err(|error| FatError::Read {
        offset,
        message: error.to_string(),
    })
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '\\']).filter(|part| !part.is_empty())
}

/// Parent and last name of a path.
pub(super) fn split(path: &str) -> (String, &str) {
    let mut all: Vec<&str> = parts(path).collect();
    let name = all.pop().unwrap_or("");
    (all.join("/"), name)
}
