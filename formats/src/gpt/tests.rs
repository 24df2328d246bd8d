use super::*;
use proptest::prelude::*;

fn geometry(sector_size: u32) -> Geometry {
    Geometry {
        sector_size,
        sectors: (8 << 20) / u64::from(sector_size),
    }
}

fn entry(first: u64, last: u64, name: &str) -> Entry {
    Entry {
        type_guid: ESP_TYPE_GUID.parse().unwrap(),
        unique_guid: Guid::from_entropy([first as u8; 16]),
        first_lba: first,
        last_lba: last,
        attributes: 0,
        name: Entry::encode_name(name),
    }
}

/// A disk image with both copies of `table`.
fn image(table: &Table) -> Vec<u8> {
    let Geometry {
        sector_size,
        sectors,
    } = table.geometry();
    let size = sector_size as usize;
    let mut disk = vec![0; size * sectors as usize];
    let mut put = |lba: u64, bytes: &[u8]| {
        disk[lba as usize * size..][..bytes.len()].copy_from_slice(bytes);
    };
    put(0, &protective_mbr(sectors, size));
    put(1, &table.encode_primary());
    put(table.array_lba(table.place), &table.encode_array());
    put(table.backup_array_lba(), &table.encode_array());
    put(table.backup_lba, &table.encode_backup());
    disk
}

fn sample(sector_size: u32) -> Table {
    let geometry = geometry(sector_size);
    let mut table = Table::new(geometry, Guid::from_entropy([7; 16])).unwrap();
    table.add(entry(256, 511, "EFI system")).unwrap();
    table
        .add(entry(
            512,
            600,
            "web 3f2a9c — ünïcode 🦀 and much too long for it",
        ))
        .unwrap();
    table
}

#[test]
fn guids_are_written_in_mixed_order() {
    let guid: Guid = "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap();
    assert_eq!(
        guid.0[..8],
        [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66]
    );
    assert_eq!(guid.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    for wrong in [
        "",
        "00112233-4455-6677-8899-aabbccddeef",
        "0011223344556677-8899-aabb-ccddeeff0",
    ] {
        assert!(wrong.parse::<Guid>().is_err(), "{wrong}");
    }
}

#[test]
fn names_are_cut_at_a_character() {
    let name = Entry::encode_name(&format!("{}🦀", "x".repeat(35)));
    assert_eq!(name[34], u16::from(b'x'));
    assert_eq!(name[35], 0, "half a surrogate pair would be left");
}

#[test]
fn both_copies_read_back_in_both_places_and_sector_sizes() {
    for sector_size in [512, 4096] {
        let mut table = sample(sector_size);
        for place in [ArrayPlace::A, ArrayPlace::B] {
            table.place = place;
            let disk = image(&table);
            let primary = Table::read(&disk, table.geometry(), Copy::Primary).unwrap();
            assert_eq!(primary, table);
            let backup =
                Table::read(&disk, table.geometry(), Copy::Backup(table.backup_lba)).unwrap();
            assert!(backup.agrees_with(&table));
            assert!(is_protective(&disk[..sector_size as usize]));
        }
    }
}

#[test]
fn any_changed_byte_of_header_or_array_is_noticed() {
    let table = sample(512);
    let disk = image(&table);
    for offset in (512..512 + 92).chain((1024..1024 + ARRAY_SIZE).step_by(37)) {
        let mut broken = disk.clone();
        broken[offset] ^= 0x10;
        assert!(
            Table::read(&broken, table.geometry(), Copy::Primary).is_err(),
            "byte {offset} is not covered"
        );
    }
}

#[test]
fn overlapping_and_outlying_entries_are_refused() {
    let mut table = sample(512);
    table.entries[5] = Some(entry(511, 520, "over"));
    assert!(matches!(
        table.check(),
        Err(GptError::BadEntry { number: 2 | 6, .. })
    ));
    table.entries[5] = Some(entry(table.last_usable(), table.last_usable() + 1, "out"));
    assert!(matches!(
        table.check(),
        Err(GptError::BadEntry { number: 6, .. })
    ));
    table.entries[5] = Some(entry(9, 8, "backwards"));
    assert!(table.check().is_err());
}

#[test]
fn free_runs_and_first_fit() {
    let table = sample(512);
    let free = table.free();
    assert_eq!(free, [66..256, 601..table.last_usable() + 1]);
    assert_eq!(table.first_fit(10, 8, 0), Some(72));
    assert_eq!(table.first_fit(10, 8, 256), Some(608));
    assert_eq!(table.first_fit(1 << 40, 8, 0), None);
    assert_eq!(table.first_fit(u64::MAX, 8, 0), None);
}

#[test]
fn a_disk_without_room_is_refused() {
    for sectors in [0, 1, 34, 99] {
        assert!(
            Table::new(
                Geometry {
                    sector_size: 512,
                    sectors
                },
                Guid::ZERO
            )
            .is_err()
        );
    }
}

proptest! {
    /// A header with a right checksum and anything in its fields gives a table or an error.
    #[test]
    fn hostile_headers_are_errors(
        numbers in proptest::collection::vec(
            prop_oneof![any::<u64>(), 0u64..20_000], 5
        ),
        array in proptest::collection::vec(any::<u8>(), ARRAY_SIZE),
        backup in any::<bool>(),
    ) {
        let geometry = geometry(512);
        let lba = if backup { geometry.sectors - 1 } else { 1 };
        let header = Header {
            my_lba: lba,
            alternate_lba: numbers[0],
            first_usable: numbers[1],
            last_usable: numbers[2],
            disk_guid: Guid::ZERO,
            array_lba: numbers[3] % 16_000,
            array_crc: crc32(&array),
        };
        let mut disk = vec![0; geometry.sectors as usize * 512];
        let start = header.array_lba as usize * 512;
        let end = (start + ARRAY_SIZE).min(disk.len());
        disk[start..end].copy_from_slice(&array[..end - start]);
        disk[lba as usize * 512..][..512].copy_from_slice(&header.encode(512));
        let copy = if backup { Copy::Backup(lba) } else { Copy::Primary };
        if let Ok(table) = Table::read(&disk, geometry, copy) {
            table.check().unwrap();
            table.free();
            table.encode_primary();
        }
    }

    #[test]
    fn noise_is_an_error(sector in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Header::parse(&sector, 1).is_err());
    }
}
