//! The protective MBR: a record that tells old tools the whole disk is taken.

/// Boot sector offset of the first of four records.
const RECORDS: usize = 446;

/// Type of the record that covers a GPT.
const PROTECTIVE: u8 = 0xEE;

/// Sector 0 of a disk of `sectors` sectors, `sector_size` bytes long, with no boot code.
pub fn protective_mbr(sectors: u64, sector_size: usize) -> Vec<u8> {
    let mut sector = vec![0; sector_size.max(512)];
    let length = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let record = &mut sector[RECORDS..RECORDS + 16];
    // First sector as cylinder/head/sector 0/0/2; the last one as "too large to say".
    record[1..4].copy_from_slice(&[0x00, 0x02, 0x00]);
    record[4] = PROTECTIVE;
    record[5..8].copy_from_slice(&[0xFF, 0xFF, 0xFF]);
    record[8..12].copy_from_slice(&1u32.to_le_bytes());
    record[12..16].copy_from_slice(&length.to_le_bytes());
    sector[510..512].copy_from_slice(&[0x55, 0xAA]);
    sector
}

/// Whether firmware takes this sector 0 for that of a GPT disk: a record of the protective type
/// that begins at sector 1.
pub fn is_protective(sector: &[u8]) -> bool {
    sector.len() >= 512
        && sector[510..512] == [0x55, 0xAA]
        && sector[RECORDS..RECORDS + 64]
            .chunks_exact(16)
            .any(|record| record[4] == PROTECTIVE && record[8..12] == [1, 0, 0, 0])
}
