//! A new volume.

use super::boot::BACKUP_BOOT;
use super::directory::{ATTRIBUTE_LABEL, Directory, record};
use super::edit::{Pending, SectorWrite};
use super::table::Table;
use super::volume::{ROOT, TableCopy, Volume};
use super::{FatError, FatKind, Geometry};
use std::collections::BTreeMap;

/// Makes a volume that holds `files` (path and content, directories made as needed), and gives
/// every sector that must not keep what it held before, in order of offset. `label` is cut to 11
/// ASCII characters; `hidden` is the number of sectors before the volume on its disk.
///
/// The same arguments give the same bytes: there is no clock in them and no random number.
///
/// # Errors
/// [`FatError::Full`], [`FatError::Name`], [`FatError::Exists`].
pub fn format(
    geometry: Geometry,
    volume_id: u32,
    label: &str,
    hidden: u64,
    files: &[(&str, &[u8])],
) -> Result<Vec<SectorWrite>, FatError> {
    let mut label_bytes = [b' '; 11];
    for (slot, byte) in label_bytes
        .iter_mut()
        .zip(label.to_ascii_uppercase().bytes())
    {
        *slot = byte;
    }
    let mut volume = empty(geometry, &label_bytes);
    for (path, content) in files {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            match volume.create_directory(&path[..end]) {
                Ok(()) | Err(FatError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        volume.create_file(path, content)?;
    }
    let mut sectors = BTreeMap::new();
    let sector_size = geometry.sector_size as usize;
    let boot = geometry.encode(volume_id, &label_bytes, hidden);
    let mut put = |write: SectorWrite| sectors.insert(write.offset, write.bytes);
    put(SectorWrite {
        offset: 0,
        bytes: boot.clone(),
    });
    if geometry.kind == FatKind::Fat32 {
        let at = |sector: u16| u64::from(sector) * sector_size as u64;
        put(SectorWrite {
            offset: at(BACKUP_BOOT),
            bytes: boot,
        });
        if let Some(mut summary) = volume.summary() {
            put(summary.clone());
            summary.offset = at(BACKUP_BOOT + 1);
            put(summary);
        }
        put(boot_signature(at(2), sector_size));
        put(boot_signature(at(BACKUP_BOOT + 2), sector_size));
    }
    // A directory's cluster is written empty first and whole at the end.
    let changes = volume.take_changes();
    changes
        .data
        .into_iter()
        .chain(changes.tables)
        .for_each(|write| {
            put(write);
        });
    changes.publish.into_iter().flatten().for_each(|write| {
        put(write);
    });
    for write in volume.directory_images() {
        put(write);
    }
    Ok(sectors
        .into_iter()
        .map(|(offset, bytes)| SectorWrite { offset, bytes })
        .collect())
}

/// The third boot sector of FAT32, which holds nothing but its mark.
fn boot_signature(offset: u64, sector_size: usize) -> SectorWrite {
    let mut bytes = vec![0; sector_size];
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    SectorWrite { offset, bytes }
}

fn empty(geometry: Geometry, label: &[u8; 11]) -> Volume {
    let mut table = Table::new(&geometry);
    let (clusters, length) = match geometry.kind {
        FatKind::Fat16 => (
            Vec::new(),
            geometry.root_sectors() * u64::from(geometry.sector_size),
        ),
        FatKind::Fat32 => (
            table.allocate(1).unwrap_or_default(),
            geometry.cluster_bytes(),
        ),
    };
    let mut root = Directory {
        path: String::new(),
        clusters,
        bytes: vec![0; length as usize],
    };
    let label = record(label, ATTRIBUTE_LABEL, 0, 0);
    root.put(0, &[label], geometry.sector_size as usize);
    Volume {
        geometry,
        table,
        directories: BTreeMap::from([(ROOT, root)]),
        table_read: TableCopy::First,
        pending: Pending::default(),
    }
}

impl Volume {
    /// Every directory whole, cluster by cluster.
    fn directory_images(&self) -> Vec<SectorWrite> {
        let geometry = self.geometry();
        let mut writes = Vec::new();
        for directory in self.directories.values() {
            if directory.clusters.is_empty() {
                let offset = geometry.root_sector() * u64::from(geometry.sector_size);
                writes.push(SectorWrite {
                    offset,
                    bytes: directory.bytes.clone(),
                });
            }
            let chunks = directory
                .bytes
                .chunks_exact(geometry.cluster_bytes() as usize);
            for (cluster, bytes) in directory.clusters.iter().zip(chunks) {
                let offset = geometry.cluster_offset(*cluster);
                writes.push(SectorWrite {
                    offset,
                    bytes: bytes.to_vec(),
                });
            }
        }
        writes
    }
}
