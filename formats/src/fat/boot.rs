//! The boot sector: choosing a geometry, writing it, reading it.

use super::edit::SectorWrite;
use super::volume::{Volume, read};
use super::{FatError, MAX_TABLE_BYTES};
use crate::read_at::ReadAt;

/// Width of the table's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatKind {
    /// 4,085 to 65,524 clusters, fixed root directory.
    Fat16,
    /// 65,525 clusters or more, root directory in clusters.
    Fat32,
}

/// Cluster counts that decide the kind. Every reader computes the kind from the count, so a
/// volume on the wrong side of these is misread, or refused as EDK2 does.
const FAT16_CLUSTERS: std::ops::RangeInclusive<u64> = 4085..=65_524;
const FAT32_MIN_CLUSTERS: u64 = 65_525;
const FAT32_MAX_CLUSTERS: u64 = 0x0FFF_FFF4;

/// Distance that chosen volumes keep from the limits: readers are known that are off by a few.
const MARGIN: u64 = 16;

/// Root directory records of a FAT16 volume that is made here.
const ROOT_RECORDS: u64 = 512;

/// The bit by which a system that mounts a volume says in the boot sector that it has not finished.
pub(super) const DIRTY: u8 = 1;

impl FatKind {
    /// Where in the boot sector [`DIRTY`] is.
    pub(super) fn dirty_byte(self) -> usize {
        match self {
            Self::Fat16 => 37,
            Self::Fat32 => 65,
        }
    }
}

/// A medium that stays in its drive, as boot sector and tables say it.
const MEDIUM: u8 = 0xF8;

/// Bytes of one directory record.
pub(super) const RECORD: usize = 32;

/// Largest cluster that every reader takes.
const MAX_CLUSTER: u64 = 32 << 10;

/// FAT32 is taken only where its clusters are at least this large: firmware reads a file cluster
/// by cluster, and a large volume of small clusters boots slowly.
const MIN_FAT32_CLUSTER: u64 = 4 << 10;

/// Where everything is. Counts are in sectors unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Width of table entries.
    pub kind: FatKind,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Sectors of a cluster.
    pub cluster_sectors: u32,
    /// Sectors before the first table.
    pub reserved: u64,
    /// Number of tables.
    pub tables: u64,
    /// Sectors of one table.
    pub table_sectors: u64,
    /// Records in the fixed root directory; 0 for FAT32.
    pub root_records: u64,
    /// Sectors of the volume.
    pub total: u64,
    /// First cluster of the root directory; 0 for FAT16.
    pub root_cluster: u32,
    /// Sector of the free-cluster summary; 0 for none.
    pub info_sector: u64,
}

impl Geometry {
    /// The best layout for a new volume: FAT32 where that is legal with clusters of 4 KiB or
    /// more, else FAT16, each with the largest clusters that keep it legal. The data begins at a
    /// multiple of the cluster size.
    ///
    /// # Errors
    /// [`FatError::Size`] where no FAT16 or FAT32 volume of that size is legal.
    pub fn choose(bytes: u64, sector_size: u32) -> Result<Self, FatError> {
        let error = |hint: String| FatError::Size {
            bytes,
            sector_size,
            hint,
        };
        if !matches!(sector_size, 512 | 1024 | 2048 | 4096) {
            return Err(error("sectors have 512 to 4096 bytes".into()));
        }
        let total = bytes / u64::from(sector_size);
        if total > u64::from(u32::MAX) {
            return Err(error("it must be smaller".into()));
        }
        let sizes = |least: u64| {
            std::iter::successors(Some(MAX_CLUSTER), |size| Some(size / 2))
                .take_while(move |size| *size >= least.max(u64::from(sector_size)))
        };
        let fat32 = sizes(MIN_FAT32_CLUSTER).map(|size| (FatKind::Fat32, size));
        let fat16 = sizes(0).map(|size| (FatKind::Fat16, size));
        fat32
            .chain(fat16)
            .find_map(|(kind, size)| {
                let cluster_sectors = u32::try_from(size / u64::from(sector_size)).ok()?;
                let geometry = Self::lay_out(kind, sector_size, cluster_sectors, total)?;
                let clusters = geometry.clusters();
                let legal = match kind {
                    FatKind::Fat16 => {
                        clusters >= FAT16_CLUSTERS.start() + MARGIN
                            && clusters <= FAT16_CLUSTERS.end() - MARGIN
                    }
                    FatKind::Fat32 => {
                        (FAT32_MIN_CLUSTERS + MARGIN..=FAT32_MAX_CLUSTERS).contains(&clusters)
                    }
                };
                let table_bytes = geometry.table_sectors * u64::from(sector_size);
                (legal && table_bytes <= MAX_TABLE_BYTES).then_some(geometry)
            })
            .ok_or_else(|| {
                error(format!(
                    "use at least {} bytes, and less than 512 GiB",
                    Self::minimum_bytes(sector_size)
                ))
            })
    }

    /// Smallest volume that [`Geometry::choose`] accepts for this sector size, a multiple of
    /// 64 KiB.
    pub fn minimum_bytes(sector_size: u32) -> u64 {
        let sector = u64::from(sector_size);
        let clusters = FAT16_CLUSTERS.start() + MARGIN;
        let tables = 2 * ((clusters + 2) * 2).div_ceil(sector) * sector;
        let root = ROOT_RECORDS * RECORD as u64;
        (clusters * sector + tables + root + 8 * sector).next_multiple_of(64 << 10)
    }

    fn lay_out(kind: FatKind, sector_size: u32, cluster_sectors: u32, total: u64) -> Option<Self> {
        let sector = u64::from(sector_size);
        let (entry, least_reserved, root_records) = match kind {
            FatKind::Fat16 => (2, 1, ROOT_RECORDS),
            FatKind::Fat32 => (4, 32, 0),
        };
        let root = (root_records * RECORD as u64).div_ceil(sector);
        let cluster = u64::from(cluster_sectors);
        // More clusters than there can be, so the table is never too short.
        let table_sectors = ((total / cluster + 2) * entry).div_ceil(sector);
        let behind = 2 * table_sectors + root;
        let data = (least_reserved + behind).next_multiple_of(cluster);
        (data + cluster < total)
            .then_some(Self {
                kind,
                sector_size,
                cluster_sectors,
                reserved: data - behind,
                tables: 2,
                table_sectors,
                root_records,
                total,
                root_cluster: if kind == FatKind::Fat32 { 2 } else { 0 },
                info_sector: u64::from(kind == FatKind::Fat32),
            })
            .filter(|geometry| geometry.reserved <= u64::from(u16::MAX))
    }

    /// Number of data clusters; they are numbered from 2.
    pub fn clusters(&self) -> u64 {
        self.total.saturating_sub(self.data_sector()) / u64::from(self.cluster_sectors)
    }

    /// Sectors of the fixed root directory.
    pub fn root_sectors(&self) -> u64 {
        (self.root_records * RECORD as u64).div_ceil(u64::from(self.sector_size))
    }

    /// First sector of the fixed root directory.
    pub fn root_sector(&self) -> u64 {
        self.reserved + self.tables * self.table_sectors
    }

    /// First sector of cluster 2.
    pub fn data_sector(&self) -> u64 {
        self.root_sector() + self.root_sectors()
    }

    /// Bytes of a cluster.
    pub fn cluster_bytes(&self) -> u64 {
        u64::from(self.cluster_sectors) * u64::from(self.sector_size)
    }

    /// Offset in bytes of a data cluster, whose number is at least 2.
    pub fn cluster_offset(&self, cluster: u32) -> u64 {
        let index = u64::from(cluster).saturating_sub(2);
        (self.data_sector() + index * u64::from(self.cluster_sectors)) * u64::from(self.sector_size)
    }

    /// Whether `cluster` is the number of a data cluster.
    pub fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= 2 && u64::from(cluster) < self.clusters() + 2
    }

    /// Writes the boot sector, `sector_size` bytes long.
    pub(super) fn encode(&self, volume_id: u32, label: &[u8; 11], hidden: u64) -> Vec<u8> {
        let mut sector = vec![0; self.sector_size as usize];
        let mut put = |offset: usize, bytes: &[u8]| {
            sector[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        let le16 = |value: u64| (value as u16).to_le_bytes();
        let le32 = |value: u64| (value as u32).to_le_bytes();
        // Jump over the parameters to a loop that does nothing.
        put(0, &[0xEB, 0x58, 0x90]);
        put(3, b"MSWIN4.1");
        put(11, &le16(u64::from(self.sector_size)));
        put(13, &[self.cluster_sectors as u8]);
        put(14, &le16(self.reserved));
        put(16, &[self.tables as u8]);
        put(17, &le16(self.root_records));
        let short = self.kind == FatKind::Fat16 && self.total <= u64::from(u16::MAX);
        put(19, &le16(if short { self.total } else { 0 }));
        put(21, &[MEDIUM]);
        put(24, &le16(32));
        put(26, &le16(64));
        put(28, &le32(hidden.min(u64::from(u32::MAX))));
        put(32, &le32(if short { 0 } else { self.total }));
        let tail = match self.kind {
            FatKind::Fat16 => {
                put(22, &le16(self.table_sectors));
                36
            }
            FatKind::Fat32 => {
                put(36, &le32(self.table_sectors));
                put(44, &le32(u64::from(self.root_cluster)));
                put(48, &le16(self.info_sector));
                put(50, &le16(u64::from(BACKUP_BOOT)));
                64
            }
        };
        put(tail, &[0x80, 0, 0x29]);
        put(tail + 3, &volume_id.to_le_bytes());
        put(tail + 7, label);
        put(
            tail + 18,
            match self.kind {
                FatKind::Fat16 => b"FAT16   ",
                FatKind::Fat32 => b"FAT32   ",
            },
        );
        put(90, &[0xEB, 0xFE]);
        put(510, &[0x55, 0xAA]);
        sector
    }

    /// Reads a boot sector; `volume_bytes` is the room that the volume really has.
    ///
    /// # Errors
    /// [`FatError::Boot`] naming the field.
    pub fn parse(sector: &[u8], volume_bytes: u64) -> Result<Self, FatError> {
        let bad = |what: String| FatError::Boot(what);
        if sector.len() < 512 || sector[510..512] != [0x55, 0xAA] {
            return Err(bad("it does not end with 55 AA".into()));
        }
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        let sector_size = match u16_at(11) {
            size @ (512 | 1024 | 2048 | 4096) => size as u32,
            other => return Err(bad(format!("sectors of {other} bytes"))),
        };
        let cluster_sectors = sector[13];
        if !cluster_sectors.is_power_of_two() {
            return Err(bad(format!("clusters of {cluster_sectors} sectors")));
        }
        let nonzero = |short: u64, long: u64| if short == 0 { long } else { short };
        let fat32_layout = u16_at(22) == 0;
        let mut geometry = Self {
            kind: FatKind::Fat16,
            sector_size,
            cluster_sectors: u32::from(cluster_sectors),
            reserved: u16_at(14),
            tables: u64::from(sector[16]),
            table_sectors: nonzero(u16_at(22), u32_at(36)),
            root_records: u16_at(17),
            total: nonzero(u16_at(19), u32_at(32)),
            root_cluster: 0,
            info_sector: 0,
        };
        if geometry.reserved == 0 || !matches!(geometry.tables, 1 | 2) {
            return Err(bad(format!(
                "{} reserved sectors, {} tables",
                geometry.reserved, geometry.tables
            )));
        }
        if geometry.total * u64::from(sector_size) > volume_bytes {
            return Err(bad(format!(
                "it says {} sectors of {sector_size} bytes, the partition has {volume_bytes} bytes",
                geometry.total
            )));
        }
        if geometry.data_sector() >= geometry.total {
            return Err(bad("no room for data".into()));
        }
        let clusters = geometry.clusters();
        geometry.kind = match (fat32_layout, clusters) {
            (false, n) if FAT16_CLUSTERS.contains(&n) => FatKind::Fat16,
            (true, n) if (FAT32_MIN_CLUSTERS..=FAT32_MAX_CLUSTERS).contains(&n) => FatKind::Fat32,
            _ => return Err(bad(format!("{clusters} clusters"))),
        };
        if geometry.kind == FatKind::Fat32 {
            geometry.root_cluster = u32_at(44) as u32;
            let info = u16_at(48);
            geometry.info_sector = if info < geometry.reserved { info } else { 0 };
            if !geometry.has_cluster(geometry.root_cluster) || geometry.root_records != 0 {
                return Err(bad(format!(
                    "root directory in cluster {}",
                    geometry.root_cluster
                )));
            }
        } else if geometry.root_records == 0 {
            return Err(bad("no root directory".into()));
        }
        let table_bytes = geometry.table_sectors * u64::from(sector_size);
        let entry = if geometry.kind == FatKind::Fat32 {
            4
        } else {
            2
        };
        if table_bytes < (clusters + 2) * entry || table_bytes > MAX_TABLE_BYTES {
            return Err(bad(format!(
                "a table of {table_bytes} bytes for {clusters} clusters"
            )));
        }
        Ok(geometry)
    }
}

/// Sector of the boot sector's copy on FAT32.
pub(super) const BACKUP_BOOT: u16 = 6;

/// What a boot sector says that does not follow from the volume's size.
#[derive(Debug, Clone, Copy)]
pub struct BootIdentity {
    /// Sectors before the volume on its disk.
    pub hidden: u64,
    /// Serial number of the volume, for where the old one is lost.
    pub volume_id: u32,
}

/// What to write where the boot sector is damaged: FAT32's copy of it, or the one that
/// [`super::format`] gave a volume of this size, where the allocation tables, every chain and every
/// directory are sound when read by it. `None` where nothing is to be done or nothing can be.
///
/// # Errors
/// [`FatError::Read`] where the volume cannot be read.
pub fn restored_boot_sector(
    source: &(impl ReadAt + ?Sized),
    volume_bytes: u64,
    sector_size: u32,
    identity: BootIdentity,
) -> Result<Option<SectorWrite>, FatError> {
    let mut sector = vec![0; sector_size.max(512) as usize];
    let is_good = |sector: &[u8]| {
        Geometry::parse(sector, volume_bytes).is_ok_and(|it| it.sector_size == sector_size)
    };
    read(source, 0, &mut sector)?;
    if is_good(&sector) {
        return Ok(None);
    }
    let damaged = sector.clone();
    let write = |bytes| Some(SectorWrite { offset: 0, bytes });
    let copy = u64::from(BACKUP_BOOT) * u64::from(sector_size);
    if copy + sector.len() as u64 <= volume_bytes {
        read(source, copy, &mut sector)?;
        if is_good(&sector) && u16::from_le_bytes([sector[50], sector[51]]) == BACKUP_BOOT {
            return Ok(write(sector));
        }
    }
    Ok(derived(source, volume_bytes, &damaged, identity).and_then(write))
}

/// The boot sector that a volume of this size was given when it was made, where all of the volume
/// makes sense by it.
fn derived(
    source: &(impl ReadAt + ?Sized),
    volume_bytes: u64,
    damaged: &[u8],
    identity: BootIdentity,
) -> Option<Vec<u8>> {
    let sector_size = u32::try_from(damaged.len()).ok()?;
    let geometry = Geometry::choose(volume_bytes, sector_size).ok()?;
    // Tables begin with the medium's mark, which nothing else holds in both their places.
    for table in 0..geometry.tables {
        let mut mark = [0; 2];
        let at = (geometry.reserved + table * geometry.table_sectors) * u64::from(sector_size);
        read(source, at, &mut mark).ok()?;
        if mark != [MEDIUM, 0xFF] {
            return None;
        }
    }
    let tail = geometry.kind.dirty_byte() + 1;
    let volume_id = match damaged[tail..tail + 5] {
        [0x29, a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => identity.volume_id,
    };
    let encode = |label: &[u8; 11]| geometry.encode(volume_id, label, identity.hidden);
    let first = encode(&[b' '; 11]);
    let volume = Volume::open(&Patched { source, first }, volume_bytes).ok()?;
    let label = volume.label()?;
    volume.is_sound().then(|| encode(&label))
}

/// A volume with another first sector.
struct Patched<'a, S: ?Sized> {
    source: &'a S,
    first: Vec<u8>,
}

impl<S: ReadAt + ?Sized> ReadAt for Patched<'_, S> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.source.read_at(offset, buf)?;
        let known = usize::try_from(offset)
            .ok()
            .and_then(|at| self.first.get(at..));
        if let Some(known) = known {
            let length = known.len().min(buf.len());
            buf[..length].copy_from_slice(&known[..length]);
        }
        Ok(())
    }
}
