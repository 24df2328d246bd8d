//! Checking that a volume's parts agree with each other.

use super::boot::DIRTY;
use super::directory::Directory;
use super::table::Link;
use super::volume::{TableCopy, Volume, read};
use super::{FatError, FatKind};
use crate::read_at::ReadAt;

/// Clusters, one bit for each.
pub(super) struct ClusterSet(Vec<u64>);

impl ClusterSet {
    /// A set of clusters below `end`.
    fn below(end: u32) -> Self {
        Self(vec![0; (end as usize).div_ceil(64)])
    }

    /// Puts a cluster in; whether it was not there yet. One that the volume has not stays out.
    fn insert(&mut self, cluster: u32) -> bool {
        let bit = 1 << (cluster % 64);
        match self.0.get_mut(cluster as usize / 64) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    pub(super) fn contains(&self, cluster: u32) -> bool {
        let word = self.0.get(cluster as usize / 64);
        word.is_some_and(|word| word >> (cluster % 64) & 1 == 1)
    }
}

/// Something that is not as it should be in a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file's clusters are broken or do not hold its size.
    #[error("{0}")]
    Broken(FatError),
    /// A cluster belongs to two files.
    #[error("{path}: another file has cluster {cluster} too")]
    CrossLinked {
        /// The second file.
        path: String,
        /// The cluster.
        cluster: u32,
    },
    /// Clusters that are neither free nor used: what a change that was cut off leaves.
    #[error("{clusters} clusters ({bytes} bytes) belong to no file")]
    Lost {
        /// How many.
        clusters: u64,
        /// Their size together.
        bytes: u64,
    },
    /// The second table differs from the first.
    #[error("{sectors} sectors of the second allocation table differ from the first")]
    TablesDiffer {
        /// How many sectors.
        sectors: u64,
    },
    /// The first table says what cannot be; the second one, which does not, was read instead.
    #[error("{sectors} sectors of the first allocation table are damaged, and whole in the second")]
    FirstTable {
        /// How many sectors.
        sectors: u64,
    },
    /// The free-cluster summary is wrong, which costs nothing but a warning elsewhere.
    #[error("{what}, {counted} are")]
    Summary {
        /// What the summary says.
        what: String,
        /// Number in the table.
        counted: u64,
    },
    /// Another system mounted the volume, and was stopped before it had written everything.
    #[error("it is marked as not unmounted")]
    Dirty,
    /// FAT32's copy of the boot sector is not one.
    #[error("the copy of the boot sector differs from it")]
    BootCopy,
}

/// The boot sector and FAT32's copy of it, with its offset.
pub(super) struct BootSectors {
    pub(super) first: Vec<u8>,
    pub(super) copy: Option<(u64, Vec<u8>)>,
}

impl Volume {
    /// Checks the chain of every file and directory, both tables and the summary, and gives
    /// everything that is wrong.
    ///
    /// # Errors
    /// [`FatError::Read`] where the volume cannot be read.
    pub fn check(&self, source: &(impl ReadAt + ?Sized)) -> Result<Vec<Problem>, FatError> {
        let (mut problems, used) = self.check_chains();
        let lost = self
            .table
            .numbers()
            .filter(|cluster| !used.contains(*cluster))
            .filter(|cluster| self.table.link(*cluster).is_lost())
            .count() as u64;
        if lost > 0 {
            let bytes = lost * self.geometry.cluster_bytes();
            problems.push(Problem::Lost {
                clusters: lost,
                bytes,
            });
        }
        self.check_copies(source, &mut problems)?;
        Ok(problems)
    }

    /// Whether the clusters of every file and directory are its own, as many as it needs, and
    /// nothing in the table is what nobody writes there.
    pub(super) fn is_sound(&self) -> bool {
        let wrong = |cluster| matches!(self.table.link(cluster), Link::Wrong(_));
        !self.table.numbers().any(wrong) && self.check_chains().0.is_empty()
    }

    /// What is wrong with the clusters of files and directories; and those that they have.
    pub(super) fn check_chains(&self) -> (Vec<Problem>, ClusterSet) {
        let mut problems = Vec::new();
        let mut used = ClusterSet::below(self.table.numbers().end);
        for directory in self.directories.values() {
            claim(
                &mut used,
                &directory.clusters,
                &directory.path,
                &mut problems,
            );
            for (path, cluster) in files(directory) {
                if let Err(error) = self.extents(&path) {
                    problems.push(Problem::Broken(error));
                }
                match self.table.chain(cluster, &path) {
                    Ok(chain) => claim(&mut used, &chain, &path, &mut problems),
                    Err(error) => problems.push(Problem::Broken(error)),
                }
            }
        }
        problems.dedup();
        (problems, used)
    }

    fn check_copies(
        &self,
        source: &(impl ReadAt + ?Sized),
        problems: &mut Vec<Problem>,
    ) -> Result<(), FatError> {
        let sectors = self.differing_sectors(source)?.len() as u64;
        if sectors > 0 {
            problems.push(match self.table_read {
                TableCopy::First => Problem::TablesDiffer { sectors },
                TableCopy::Second => Problem::FirstTable { sectors },
            });
        }
        problems.extend(self.summary_differs(source)?);
        let boot = self.boot_sectors(source)?;
        let dirty = self.geometry.kind.dirty_byte();
        if boot.first[dirty] & DIRTY != 0 || !self.table.is_clean() {
            problems.push(Problem::Dirty);
        }
        let mut first = boot.first;
        first[dirty] &= !DIRTY;
        if boot.copy.is_some_and(|(_, copy)| copy != first) {
            problems.push(Problem::BootCopy);
        }
        Ok(())
    }

    /// Sectors in which the two tables differ.
    pub(super) fn differing_sectors(
        &self,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<Vec<u64>, FatError> {
        let geometry = &self.geometry;
        if geometry.tables != 2 {
            return Ok(Vec::new());
        }
        let size = u64::from(geometry.sector_size);
        let mut tables = [(); 2].map(|()| vec![0; (geometry.table_sectors * size) as usize]);
        for (copy, bytes) in tables.iter_mut().enumerate() {
            let sector = geometry.reserved + copy as u64 * geometry.table_sectors;
            read(source, sector * size, bytes)?;
        }
        let [first, second] = &tables;
        if first == second {
            return Ok(Vec::new());
        }
        let pairs = first
            .chunks(size as usize)
            .zip(second.chunks(size as usize));
        Ok((0..)
            .zip(pairs)
            .filter(|(_, (a, b))| a != b)
            .map(|(n, _)| n)
            .collect())
    }

    /// What is wrong with the free-cluster summary of FAT32.
    pub(super) fn summary_differs(
        &self,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<Option<Problem>, FatError> {
        let geometry = &self.geometry;
        if geometry.kind != FatKind::Fat32 || geometry.info_sector == 0 {
            return Ok(None);
        }
        let size = u64::from(geometry.sector_size);
        let mut info = vec![0; size as usize];
        read(source, geometry.info_sector * size, &mut info)?;
        let counted = self.table.free();
        let stated = u32::from_le_bytes([info[488], info[489], info[490], info[491]]);
        let marks = [
            (0, b"RRaA".as_slice()),
            (484, b"rrAa"),
            (510, &[0x55, 0xAA]),
        ];
        let what = if marks
            .iter()
            .any(|(at, mark)| !info[*at..].starts_with(mark))
        {
            "the summary of free clusters is damaged".into()
        } else if u64::from(stated) != counted {
            format!("the summary says {stated} clusters are free")
        } else {
            return Ok(None);
        };
        Ok(Some(Problem::Summary { what, counted }))
    }

    pub(super) fn boot_sectors(
        &self,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<BootSectors, FatError> {
        let size = u64::from(self.geometry.sector_size);
        let mut first = vec![0; size as usize];
        read(source, 0, &mut first)?;
        let place = u64::from(u16::from_le_bytes([first[50], first[51]]));
        let is_place = self.geometry.kind == FatKind::Fat32
            && (1..self.geometry.reserved).contains(&place)
            && place != self.geometry.info_sector;
        let copy = is_place
            .then(|| {
                let mut copy = vec![0; size as usize];
                read(source, place * size, &mut copy).map(|()| (place * size, copy))
            })
            .transpose()?;
        Ok(BootSectors { first, copy })
    }

    /// Clusters of all files and directories.
    pub(super) fn used_clusters(&self) -> Result<ClusterSet, FatError> {
        let mut used = ClusterSet::below(self.table.numbers().end);
        for directory in self.directories.values() {
            let mut put = |clusters: &[u32]| {
                for cluster in clusters {
                    used.insert(*cluster);
                }
            };
            put(&directory.clusters);
            for (path, cluster) in files(directory) {
                put(&self.table.chain(cluster, &path)?);
            }
        }
        Ok(used)
    }
}

/// Path and first cluster of each file with content.
fn files(directory: &Directory) -> impl Iterator<Item = (String, u32)> {
    directory
        .entries()
        .into_iter()
        .filter(|entry| !entry.directory && entry.first_cluster != 0)
        .map(|entry| {
            (
                format!("{}/{}", directory.path, entry.name),
                entry.first_cluster,
            )
        })
}

fn claim(used: &mut ClusterSet, clusters: &[u32], path: &str, problems: &mut Vec<Problem>) {
    let twice: Vec<u32> = clusters
        .iter()
        .copied()
        .filter(|c| !used.insert(*c))
        .collect();
    if let Some(cluster) = twice.first() {
        problems.push(Problem::CrossLinked {
            path: path.to_owned(),
            cluster: *cluster,
        });
    }
}
