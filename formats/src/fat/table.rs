//! The allocation table in memory.

use super::{FatError, FatKind, Geometry};
use std::collections::BTreeSet;

/// One allocation table, entry by entry, and which of its sectors were changed.
#[derive(Debug, Clone)]
pub(super) struct Table {
    kind: FatKind,
    sector_size: usize,
    /// Raw entries; a FAT32 entry keeps its four reserved top bits.
    entries: Vec<u32>,
    dirty: BTreeSet<u64>,
    free: u64,
}

/// What an entry says about its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Free,
    Next(u32),
    End,
    /// The mark of a cluster that the medium cannot hold: nobody's, and not to be used.
    Bad,
    /// A number that no cluster has.
    Wrong(u32),
}

impl Link {
    /// Whether a cluster that no file has should be free, and is not.
    pub(super) fn is_lost(self) -> bool {
        matches!(self, Self::Next(_) | Self::End | Self::Wrong(_))
    }
}

const FAT32_MASK: u32 = 0x0FFF_FFFF;

impl Table {
    /// An empty table: the two reserved entries, everything else free.
    pub(super) fn new(geometry: &Geometry) -> Self {
        let count = geometry.clusters() as usize + 2;
        let mut entries = vec![0; count];
        (entries[0], entries[1]) = match geometry.kind {
            FatKind::Fat16 => (0xFFF8, 0xFFFF),
            FatKind::Fat32 => (0x0FFF_FFF8, 0x0FFF_FFFF),
        };
        Self {
            kind: geometry.kind,
            sector_size: geometry.sector_size as usize,
            entries,
            dirty: (0..geometry.table_sectors).collect(),
            free: geometry.clusters(),
        }
    }

    /// Reads a table from its bytes, which [`Geometry::parse`] found long enough.
    pub(super) fn parse(geometry: &Geometry, bytes: &[u8]) -> Self {
        let count = geometry.clusters() as usize + 2;
        let entries: Vec<u32> = match geometry.kind {
            FatKind::Fat16 => bytes
                .chunks_exact(2)
                .take(count)
                .map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))
                .collect(),
            FatKind::Fat32 => bytes
                .chunks_exact(4)
                .take(count)
                .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        };
        let mask = if geometry.kind == FatKind::Fat32 {
            FAT32_MASK
        } else {
            u32::MAX
        };
        let free = entries.iter().skip(2).filter(|e| **e & mask == 0).count() as u64;
        Self {
            kind: geometry.kind,
            sector_size: geometry.sector_size as usize,
            entries,
            dirty: BTreeSet::new(),
            free,
        }
    }

    /// Number of free clusters.
    pub(super) fn free(&self) -> u64 {
        self.free
    }

    /// Numbers of all clusters.
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        2..self.entries.len() as u32
    }

    pub(super) fn link(&self, cluster: u32) -> Link {
        let Some(raw) = self.entries.get(cluster as usize).filter(|_| cluster >= 2) else {
            return Link::Wrong(cluster);
        };
        let (value, end) = match self.kind {
            FatKind::Fat16 => (*raw, 0xFFF8),
            FatKind::Fat32 => (raw & FAT32_MASK, 0x0FFF_FFF8),
        };
        match value {
            0 => Link::Free,
            value if value >= end => Link::End,
            value if value == end - 1 => Link::Bad,
            value if value >= 2 && (value as usize) < self.entries.len() => Link::Next(value),
            value => Link::Wrong(value),
        }
    }

    fn set(&mut self, cluster: u32, value: u32) {
        let index = cluster as usize;
        let old = self.entries[index];
        let new = match self.kind {
            FatKind::Fat16 => value & 0xFFFF,
            FatKind::Fat32 => (old & !FAT32_MASK) | (value & FAT32_MASK),
        };
        let width = self.width();
        let mask = if self.kind == FatKind::Fat32 {
            FAT32_MASK
        } else {
            u32::MAX
        };
        match (old & mask == 0, new & mask == 0) {
            (true, false) => self.free -= 1,
            (false, true) => self.free += 1,
            _ => {}
        }
        self.entries[index] = new;
        self.dirty.insert((index * width / self.sector_size) as u64);
    }

    fn width(&self) -> usize {
        match self.kind {
            FatKind::Fat16 => 2,
            FatKind::Fat32 => 4,
        }
    }

    /// The clusters of the chain that begins at `first`; a chain never holds more clusters than
    /// there are, so a loop is noticed.
    pub(super) fn chain(&self, first: u32, path: &str) -> Result<Vec<u32>, FatError> {
        let wrong = |what: String| FatError::Chain {
            path: path.to_owned(),
            what,
        };
        let mut chain = Vec::new();
        let mut cluster = first;
        loop {
            if chain.len() >= self.entries.len() {
                return Err(wrong("they form a loop".into()));
            }
            chain.push(cluster);
            match self.link(cluster) {
                Link::End => return Ok(chain),
                Link::Next(next) => cluster = next,
                Link::Free => return Err(wrong(format!("cluster {cluster} is marked free"))),
                Link::Bad => return Err(wrong(format!("cluster {cluster} is marked bad"))),
                Link::Wrong(value) => {
                    return Err(wrong(format!("cluster {cluster} leads to {value}")));
                }
            }
        }
    }

    /// Takes `count` free clusters as one chain: the first run that holds them all, else the
    /// first free ones. `None` where there are too few.
    pub(super) fn allocate(&mut self, count: u64) -> Option<Vec<u32>> {
        if count == 0 || count > self.free {
            return None;
        }
        let count = usize::try_from(count).ok()?;
        let mut run = 0;
        let mut chain: Vec<u32> = Vec::new();
        for cluster in self.numbers() {
            run = if self.link(cluster) == Link::Free {
                run + 1
            } else {
                0
            };
            if run == count {
                chain = (cluster + 1 - count as u32..=cluster).collect();
                break;
            }
        }
        if chain.is_empty() {
            chain = self
                .numbers()
                .filter(|cluster| self.link(*cluster) == Link::Free)
                .take(count)
                .collect();
        }
        for pair in chain.windows(2) {
            self.set(pair[0], pair[1]);
        }
        self.set(*chain.last()?, FAT32_MASK);
        Some(chain)
    }

    /// Appends `next`, the start of a chain, behind `last`, the end of another.
    pub(super) fn append(&mut self, last: u32, next: u32) {
        self.set(last, next);
    }

    /// Marks clusters free.
    pub(super) fn release(&mut self, clusters: &[u32]) {
        for cluster in clusters {
            self.set(*cluster, 0);
        }
    }

    /// Whether the second entry says that everything was written and no error was seen.
    pub(super) fn is_clean(&self) -> bool {
        self.entries
            .get(1)
            .is_none_or(|entry| entry & self.clean() == self.clean())
    }

    /// Makes the second entry say so.
    pub(super) fn mark_clean(&mut self) {
        let clean = self.clean();
        if !self.is_clean() {
            self.entries[1] |= clean;
            self.dirty.insert(0);
        }
    }

    fn clean(&self) -> u32 {
        match self.kind {
            FatKind::Fat16 => 0xC000,
            FatKind::Fat32 => 0x0C00_0000,
        }
    }

    /// Bytes of one sector of the table.
    pub(super) fn encode_sector(&self, sector: u64) -> Vec<u8> {
        let per_sector = self.sector_size / self.width();
        let mut bytes = vec![0; self.sector_size];
        let start = sector as usize * per_sector;
        let entries = self.entries.iter().skip(start).take(per_sector);
        for (slot, entry) in bytes.chunks_exact_mut(self.width()).zip(entries) {
            slot.copy_from_slice(&entry.to_le_bytes()[..slot.len()]);
        }
        bytes
    }

    /// Sectors changed since the last call.
    pub(super) fn take_dirty(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.dirty)
    }

    /// Marks sectors as needing to be written.
    pub(super) fn mark_dirty(&mut self, sectors: impl IntoIterator<Item = u64>) {
        self.dirty.extend(sectors);
    }
}
