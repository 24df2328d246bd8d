//! Checking that a volume's parts agree with each other.

use super::directory::Directory;
use super::table::Link;
use super::volume::{Volume, read};
use super::{FatError, FatKind};
use crate::read_at::ReadAt;
use std::collections::BTreeSet;

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
    #[error("{clusters} clusters ({bytes} bytes) are lost; they are freed by the next change")]
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
    /// The free-cluster summary is wrong, which costs nothing but a warning elsewhere.
    #[error("the summary says {stated} clusters are free, {counted} are")]
    Summary {
        /// Number in the summary.
        stated: u32,
        /// Number in the table.
        counted: u64,
    },
}

impl Volume {
    /// Checks the chain of every file and directory, both tables and the summary, and gives
    /// everything that is wrong.
    ///
    /// # Errors
    /// [`FatError::Read`] where the volume cannot be read.
    pub fn check(&self, source: &(impl ReadAt + ?Sized)) -> Result<Vec<Problem>, FatError> {
        let mut problems = Vec::new();
        let mut used = BTreeSet::new();
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
        let lost = self
            .table
            .numbers()
            .filter(|cluster| !used.contains(cluster))
            .filter(|cluster| matches!(self.table.link(*cluster), Link::Next(_) | Link::End))
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

    fn check_copies(
        &self,
        source: &(impl ReadAt + ?Sized),
        problems: &mut Vec<Problem>,
    ) -> Result<(), FatError> {
        let geometry = &self.geometry;
        let size = u64::from(geometry.sector_size);
        if geometry.tables == 2 {
            let mut tables = [(); 2].map(|()| vec![0; (geometry.table_sectors * size) as usize]);
            for (copy, bytes) in tables.iter_mut().enumerate() {
                let sector = geometry.reserved + copy as u64 * geometry.table_sectors;
                read(source, sector * size, bytes)?;
            }
            let [first, second] = &tables;
            let pairs = first
                .chunks(size as usize)
                .zip(second.chunks(size as usize));
            let sectors = pairs.filter(|(a, b)| a != b).count() as u64;
            if sectors > 0 {
                problems.push(Problem::TablesDiffer { sectors });
            }
        }
        if geometry.kind == FatKind::Fat32 && geometry.info_sector != 0 {
            let mut info = vec![0; size as usize];
            read(source, geometry.info_sector * size, &mut info)?;
            let stated = u32::from_le_bytes([info[488], info[489], info[490], info[491]]);
            let counted = self.table.free();
            if u64::from(stated) != counted {
                problems.push(Problem::Summary { stated, counted });
            }
        }
        Ok(())
    }

    /// Clusters of all files and directories.
    pub(super) fn used_clusters(&self) -> Result<BTreeSet<u32>, FatError> {
        let mut used = BTreeSet::new();
        for directory in self.directories.values() {
            used.extend(&directory.clusters);
            for (path, cluster) in files(directory) {
                used.extend(self.table.chain(cluster, &path)?);
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

fn claim(used: &mut BTreeSet<u32>, clusters: &[u32], path: &str, problems: &mut Vec<Problem>) {
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
