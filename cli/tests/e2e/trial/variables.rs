//! A firmware variable, written into the file that keeps them while the machine is off.
//!
//! By EDK2's `VariableFormat.h`: a firmware volume whose header says its own length, the header
//! of the variable store, then one record after the other.

use std::path::Path;

/// GUID of the boot loader's variables, as stored.
const LOADER: [u8; 16] = [
    0x82, 0xb0, 0x67, 0x4a, 0x4c, 0x0a, 0xcf, 0x41, 0xb6, 0xc7, 0x44, 0x0b, 0x29, 0xbb, 0x8c, 0x4f,
];
/// Offset of the volume header's length in it, and length of the store's header.
const VOLUME_HEADER_LENGTH: usize = 48;
const STORE_HEADER: usize = 28;
/// Start of a record, and the state of one that counts.
const START: u16 = 0x55AA;
const ADDED: u8 = 0x3F;
/// Length of a record's head in a store for authenticated variables.
const HEAD: usize = 60;

fn utf16(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// Adds a variable of the boot loader's to a file of variables.
pub(super) fn add(path: &Path, name: &str, text: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    let word = |bytes: &[u8], at: usize| -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let header = usize::from(u16::from_le_bytes(
        bytes[VOLUME_HEADER_LENGTH..][..2].try_into().unwrap(),
    ));
    let mut at = header + STORE_HEADER;
    while bytes[at..at + 2] == START.to_le_bytes() {
        let lengths = word(&bytes, at + 36) + word(&bytes, at + 40);
        at = (at + HEAD + lengths).next_multiple_of(4);
    }
    let (name, data) = (utf16(name), utf16(text));
    let mut record = Vec::from(START.to_le_bytes());
    record.extend([ADDED, 0]);
    record.extend(7_u32.to_le_bytes());
    // A count and a time that say nothing, and no key.
    record.extend([0; 8 + 16 + 4]);
    record.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
    record.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    record.extend(LOADER);
    assert_eq!(record.len(), HEAD);
    record.extend(name);
    record.extend(data);
    assert!(
        bytes[at..at + record.len()]
            .iter()
            .all(|byte| *byte == 0xFF)
    );
    bytes[at..at + record.len()].copy_from_slice(&record);
    std::fs::write(path, bytes).unwrap();
}
