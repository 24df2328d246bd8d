//! Volumes judged by `fsck.fat`, by `mtools` and by our reader, and the same volumes cut off
//! between any two writes.

use super::*;
use expect_test::expect;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// The volume as bytes.
fn make(bytes: u64, sector_size: u32, files: &[(&str, &[u8])]) -> Vec<u8> {
    let geometry = Geometry::choose(bytes, sector_size).unwrap();
    let mut volume = vec![0xA5; bytes as usize];
    apply(
        &mut volume,
        &format(geometry, 0x1234_5678, "nos esp", 2048, files).unwrap(),
    );
    volume
}

fn apply(volume: &mut [u8], writes: &[SectorWrite]) {
    for write in writes {
        volume[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
    }
}

/// Runs an outside tool on the volume; `None` where this machine does not have it.
fn tool(volume: &[u8], program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), volume).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = arguments
        .iter()
        .map(|argument| argument.replace("VOLUME", path));
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).replace(path, "VOLUME");
            Some((output.status.success(), text))
        }
        Err(_) => {
            eprintln!("skipped: {program} is not installed, its judgement is missing here");
            None
        }
    }
}

/// `fsck.fat` finds nothing to say.
fn fsck_is_silent(volume: &[u8]) {
    let Some((good, text)) = tool(volume, "fsck.fat", &["-n", "VOLUME"]) else {
        return;
    };
    let lines: Vec<&str> = text.lines().collect();
    assert!(good && lines.len() == 2, "fsck.fat says:\n{text}");
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let content = |n: usize| (0..n).map(|i| (i * 31 % 251) as u8).collect::<Vec<u8>>();
    vec![
        ("EFI/BOOT/BOOTX64.EFI", content(100_000)),
        (
            "EFI/nos/3f2a9c00112233445566778899aabbccddeeff.efi",
            content(3_000_001),
        ),
        ("loader/loader.conf", content(512)),
        ("loader/entries/nos-000001-a.conf", content(300)),
        ("loader/entries/empty file", Vec::new()),
    ]
}

fn sample_refs(files: &[(&'static str, Vec<u8>)]) -> Vec<(&'static str, &'static [u8])> {
    files
        .iter()
        .map(|(path, content)| (*path, &*content.clone().leak()))
        .collect()
}

#[test]
fn volumes_of_every_kind_satisfy_fsck_and_read_back() {
    let files = samples();
    for (mib, sector_size, kind) in [
        (16, 512, FatKind::Fat16),
        (64, 512, FatKind::Fat16),
        (64, 4096, FatKind::Fat16),
        (300, 512, FatKind::Fat32),
        (300, 4096, FatKind::Fat32),
    ] {
        let bytes = make(mib * MIB, sector_size, &sample_refs(&files));
        fsck_is_silent(&bytes);
        let volume = Volume::open(&bytes, bytes.len() as u64).unwrap();
        assert_eq!(volume.geometry().kind, kind, "{mib} MiB with {sector_size}");
        assert_eq!(volume.check(&bytes).unwrap(), []);
        for (path, content) in &files {
            assert!(
                volume.read_file(&bytes, path, u64::MAX).unwrap() == *content,
                "{path}"
            );
            assert!(
                volume.extents(path).unwrap().len() <= 1,
                "{path} is one run"
            );
        }
        let upper = volume.find("efi\\boot\\bootx64.efi").unwrap();
        assert_eq!(upper.size, 100_000, "case and separator do not matter");
    }
}

#[test]
fn mtools_sees_the_long_names() {
    let files = samples();
    let bytes = make(64 * MIB, 512, &sample_refs(&files));
    let arguments = ["-i", "VOLUME", "-s", "-b", "-f", "::"];
    let Some((good, text)) = tool(&bytes, "mdir", &arguments) else {
        return;
    };
    assert!(good, "{text}");
    expect![[r#"
        ::/EFI/
        ::/loader/
        ::/EFI/BOOT/
        ::/EFI/nos/
        ::/EFI/BOOT/BOOTX64.EFI
        ::/EFI/nos/3f2a9c00112233445566778899aabbccddeeff.efi
        ::/loader/loader.conf
        ::/loader/entries/
        ::/loader/entries/nos-000001-a.conf
        ::/loader/entries/empty file
    "#]]
    .assert_eq(&text);
}

#[test]
fn bytes_are_pinned() {
    // A change here changes every disk image that nOs makes.
    let digest = |bytes: &[u8]| {
        let hash = Sha256::digest(bytes);
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let files = samples();
    let digests: Vec<String> = [(64, 512), (64, 4096), (300, 512)]
        .map(|(mib, sector)| digest(&make(mib * MIB, sector, &sample_refs(&files))))
        .to_vec();
    expect![[r#"
        bc11418218db050ebfa0ce6c29d35d3209b4ce934088fabc8c4ff66aa84cc8e5
        ea4d3dca0e33d21e2d1de58aa9d0d25ade6c704b3a45d8b52c8fc29944941693
        925f4de6d4612ad21bcb4dfa332d37acf0d4f891d5cc6ed48f36a1455f058ba3"#]]
    .assert_eq(&digests.join("\n"));
}

#[test]
fn a_volume_that_mkfs_made_can_be_changed() {
    for (mib, extra) in [(64, ["-F", "16"]), (64, ["-F", "32"])] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(mib * MIB).unwrap();
        let made = Command::new("mkfs.vfat")
            .args(extra)
            .arg(file.path())
            .output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: mkfs.vfat is not installed");
            return;
        }
        let mut bytes = std::fs::read(file.path()).unwrap();
        let mut volume = Volume::open(&bytes, mib * MIB).unwrap();
        volume.create_directory("/loader").unwrap();
        volume.create_directory("/loader/entries").unwrap();
        for number in 0..200 {
            let name = format!("loader/entries/nos-{number:06}-a-rather-long-name.conf");
            volume.create_file(&name, &[number as u8; 700]).unwrap();
            write_in_order(&mut bytes, volume.take_changes());
        }
        fsck_is_silent(&bytes);
        let again = Volume::open(&bytes, mib * MIB).unwrap();
        assert_eq!(again.list("loader/entries").unwrap().len(), 200);
        for number in (0..200).step_by(3) {
            let name = format!("loader/entries/nos-{number:06}-a-rather-long-name.conf");
            volume.remove_file(&name).unwrap();
            let changes = volume.take_changes();
            assert!(changes.data.is_empty());
            changes
                .publish
                .iter()
                .for_each(|step| apply(&mut bytes, step));
            apply(&mut bytes, &changes.tables);
        }
        fsck_is_silent(&bytes);
    }
}

fn write_in_order(bytes: &mut [u8], changes: Changes) {
    apply(bytes, &changes.data);
    apply(bytes, &changes.tables);
    changes.publish.iter().for_each(|step| apply(bytes, step));
}

/// After every write of an addition, directories are whole: the file is there with its content
/// or it is not there at all, and the other files are what they were.
#[test]
fn additions_appear_by_one_write() {
    let mut bytes = make(16 * MIB, 512, &[("d/first", b"1")]);
    let mut names: Vec<String> = vec!["first".into()];
    for number in 0..120 {
        let mut volume = Volume::open(&bytes, bytes.len() as u64).unwrap();
        let name = format!("{number}{}", " long".repeat(number % 30));
        let content = vec![number as u8; number * 100];
        volume.create_file(&format!("d/{name}"), &content).unwrap();
        let changes = volume.take_changes();
        assert_eq!(changes.publish.len(), 1);
        let states: Vec<&SectorWrite> = changes
            .data
            .iter()
            .chain(&changes.tables)
            .chain(&changes.publish[0])
            .collect();
        let invisible = states.len() - changes.publish[0].len();
        for (index, write) in states.iter().enumerate() {
            apply(&mut bytes, std::slice::from_ref(write));
            let now = Volume::open(&bytes, bytes.len() as u64).unwrap();
            let listed: Vec<String> = now
                .list("d")
                .unwrap()
                .into_iter()
                .map(|entry| entry.name)
                .collect();
            let mut expected = names.clone();
            if index >= invisible {
                expected.push(name.clone());
                let read = now
                    .read_file(&bytes, &format!("d/{name}"), u64::MAX)
                    .unwrap();
                assert_eq!(read, content);
            }
            expected.sort();
            let mut listed_sorted = listed.clone();
            listed_sorted.sort();
            assert_eq!(listed_sorted, expected, "after write {index} of {name}");
        }
        fsck_is_silent_sometimes(&bytes, number);
        names.push(name);
    }
}

fn fsck_is_silent_sometimes(bytes: &[u8], number: usize) {
    if number % 20 == 19 {
        fsck_is_silent(bytes);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_changes() {
    let bytes = make(16 * MIB, 512, &[]);
    let mut volume = Volume::open(&bytes, bytes.len() as u64).unwrap();
    let free = volume.free_bytes();
    let error = volume.create_file("big", &vec![1; 17 << 20]).unwrap_err();
    assert!(matches!(error, FatError::Full { .. }), "{error}");
    assert_eq!(volume.free_bytes(), free);
    assert_eq!(volume.take_changes(), Changes::default());
    for name in ["", "a/b*c", "trailing.", " leading", &"x".repeat(300)] {
        assert!(volume.create_file(name, b"").is_err(), "{name:?}");
    }
    volume
        .create_file("exactly", &vec![1; free as usize])
        .unwrap();
    assert_eq!(volume.free_bytes(), 0);
}

#[test]
fn geometries_keep_their_distance_from_the_limits() {
    for sector_size in [512, 1024, 2048, 4096] {
        let least = Geometry::minimum_bytes(sector_size);
        assert!(
            Geometry::choose(least, sector_size).is_ok(),
            "{sector_size}"
        );
        assert!(
            Geometry::choose(least / 2, sector_size).is_err(),
            "{sector_size}"
        );
        let mut bytes = least;
        while bytes < 3 << 40 {
            if let Ok(geometry) = Geometry::choose(bytes, sector_size) {
                let boot = geometry.encode(1, b"X          ", 0);
                assert_eq!(Geometry::parse(&boot, bytes), Ok(geometry), "{bytes}");
                let data = geometry.data_sector() * u64::from(sector_size);
                assert_eq!(data % geometry.cluster_bytes(), 0);
            } else {
                assert!(bytes > 100 << 30, "{bytes}");
            }
            bytes += bytes / 7;
        }
    }
}

#[test]
fn loops_and_double_directories_are_errors() {
    let bytes = make(16 * MIB, 512, &[("a/b/c", b"1")]);
    let volume = Volume::open(&bytes, bytes.len() as u64).unwrap();
    let a = volume.find("a").unwrap().first_cluster;
    let b = volume.find("a/b").unwrap().first_cluster;
    let table = (volume.geometry().reserved * 512) as usize;
    let second = table + (volume.geometry().table_sectors * 512) as usize;
    let mut looped = bytes.clone();
    for table in [table, second] {
        looped[table + 2 * a as usize..][..2].copy_from_slice(&(a as u16).to_le_bytes());
    }
    assert!(matches!(
        Volume::open(&looped, 16 * MIB),
        Err(FatError::Chain { .. })
    ));
    let mut double = bytes.clone();
    let slot = volume.geometry().cluster_offset(a) as usize + 3 * 32;
    assert_eq!(double[slot], b'B');
    double[slot + 26..slot + 28].copy_from_slice(&(a as u16).to_le_bytes());
    assert!(matches!(
        Volume::open(&double, 16 * MIB),
        Err(FatError::Chain { .. })
    ));
    let _ = b;
}

#[test]
fn check_names_what_is_wrong() {
    let bytes = make(16 * MIB, 512, &[("one", &[1; 9000]), ("two", &[2; 9000])]);
    let volume = Volume::open(&bytes, bytes.len() as u64).unwrap();
    let table = (volume.geometry().reserved * 512) as usize;
    let one = volume.find("one").unwrap().first_cluster as usize;
    let two = volume.find("two").unwrap().first_cluster as usize;
    // Another sector of the second table differs, and has lost a file of its own there.
    let second = table + (volume.geometry().table_sectors * 512) as usize;
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        bytes[second..][..16].fill(0);
        change(&mut bytes);
        let volume = Volume::open(&bytes, 16 * MIB).unwrap();
        let problems = volume.check(&bytes).unwrap();
        problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect::<String>()
    };
    expect![[r#"
        /one: its clusters are wrong: 6 clusters hold 9000 bytes
        /two: another file has cluster 7 too
        4 clusters (8192 bytes) belong to no file
        1 sectors of the second allocation table differ from the first
    "#]]
    .assert_eq(&broken(&|bytes| {
        bytes[table + 2 * one..][..2].copy_from_slice(&(two as u16).to_le_bytes());
    }));
    expect![[r#"
        1 clusters (2048 bytes) belong to no file
        2 sectors of the second allocation table differ from the first
    "#]]
    .assert_eq(&broken(&|bytes| {
        bytes[table + 2 * 4000..][..2].copy_from_slice(&[0xFF, 0xFF]);
    }));
    expect![[r#"
        /one: its clusters are wrong: cluster 2 is marked free
        4 clusters (8192 bytes) belong to no file
        1 sectors of the second allocation table differ from the first
    "#]]
    .assert_eq(&broken(&|bytes| {
        bytes[table + 2 * one..][..2].copy_from_slice(&[0, 0]);
    }));
}

/// A file gets other content and loses what it had, by steps of which each leaves a volume that
/// `fsck.fat` accepts, and a read-only attribute is one bit of one sector.
#[test]
fn a_file_is_replaced_in_steps() {
    for size in [16 * MIB, 300 * MIB] {
        let mut bytes = make(size, 512, &[("a.conf", &[1; 700]), ("other", &[2; 9000])]);
        let mut volume = Volume::open(&bytes, size).unwrap();
        let free = volume.free_bytes();
        let old = volume.replace_file("a.conf", &[3; 70_000]).unwrap();
        volume.set_read_only("a.conf", true).unwrap();
        let changes = volume.take_changes();
        apply(&mut bytes, &changes.data);
        apply(&mut bytes, &changes.tables);
        let content = |bytes: &Vec<u8>| {
            let volume = Volume::open(bytes, size).unwrap();
            volume.read_file(bytes, "a.conf", u64::MAX).unwrap()
        };
        assert_eq!(content(&bytes), [1; 700]);
        for step in &changes.publish {
            assert_eq!(step.len(), 1, "one sector decides");
            apply(&mut bytes, step);
        }
        assert_eq!(content(&bytes), vec![3; 70_000]);
        volume.release(old);
        apply(&mut bytes, &volume.take_changes().tables);
        fsck_is_silent(&bytes);
        let volume = Volume::open(&bytes, size).unwrap();
        assert!(volume.find("a.conf").unwrap().read_only);
        assert_eq!(volume.check(&bytes).unwrap(), []);
        assert_eq!(
            free - volume.free_bytes(),
            volume.file_bytes(70_000) - volume.file_bytes(700)
        );
    }
}

/// What another system leaves that did not unmount, and damage outside the first table, is named
/// and put right, to the satisfaction of `fsck.fat`.
#[test]
fn marks_and_copies_are_put_right() {
    for size in [16 * MIB, 300 * MIB] {
        let good = make(size, 512, &[("one", &[1; 9000])]);
        let geometry = *Volume::open(&good, size).unwrap().geometry();
        let fat32 = geometry.kind == FatKind::Fat32;
        let table = (geometry.reserved * 512) as usize;
        let second = table + (geometry.table_sectors * 512) as usize;
        let mut damage: Vec<(&str, Vec<(usize, u8)>)> = vec![
            ("not unmounted", vec![(if fat32 { 65 } else { 37 }, 1)]),
            (
                "not unmounted",
                vec![if fat32 {
                    (table + 7, 0x07)
                } else {
                    (table + 3, 0x7f)
                }],
            ),
            ("second allocation table", vec![(second + 1000, 7)]),
        ];
        if fat32 {
            damage.push(("summary says", vec![(512 + 488, 9)]));
            damage.push(("summary of free clusters is damaged", vec![(512 + 484, 9)]));
            damage.push(("copy of the boot sector", vec![(6 * 512 + 80, 9)]));
        }
        let every: Vec<(usize, u8)> = damage.iter().flat_map(|d| d.1.clone()).collect();
        damage.push(("", every));
        for (said, changes) in damage {
            let mut bytes = good.clone();
            changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
            let mut volume = Volume::open(&bytes, size).unwrap();
            let problems = volume.check(&bytes).unwrap();
            assert!(
                problems.iter().any(|p| p.to_string().contains(said)),
                "{said}: {problems:?}"
            );
            volume.tidy(&bytes).unwrap();
            let changes = volume.take_changes();
            assert_eq!(changes.publish.len(), 0);
            apply(&mut bytes, &changes.tables);
            assert!(bytes == good, "{said}");
        }
    }
}

#[test]
fn a_damaged_first_table_comes_back_from_the_second() {
    let files = [("one", &[1; 90_000][..]), ("a/b/two", &[2; 700_000])];
    for (mib, sector_size) in [(16, 512), (64, 4096), (300, 512)] {
        let size = mib * MIB;
        let good = make(size, sector_size, &files);
        let geometry = *Volume::open(&good, size).unwrap().geometry();
        let sector = sector_size as usize;
        let table = geometry.reserved as usize * sector;
        let length = geometry.table_sectors as usize * sector;
        // A sector with the middle of a file, the start of the table, and all of it.
        for place in [
            table + sector..table + 2 * sector,
            table..table + 64,
            table..table + length,
        ] {
            let mut bytes = good.clone();
            bytes[place.clone()].fill(0xA5);
            let mut volume = Volume::open(&bytes, size).unwrap();
            for (path, content) in files {
                assert!(volume.read_file(&bytes, path, MIB).unwrap() == content);
            }
            let sectors = (place.len().div_ceil(sector)) as u64;
            let first = Problem::FirstTable { sectors };
            assert!(volume.check(&bytes).unwrap().contains(&first), "{place:?}");
            // What puts it right may itself be cut off after any of its writes.
            volume.tidy(&bytes).unwrap();
            for write in volume.take_changes().tables {
                apply(&mut bytes, &[write]);
                let volume = Volume::open(&bytes, size).unwrap();
                assert!(volume.read_file(&bytes, "a/b/two", MIB).unwrap() == files[1].1);
            }
            assert!(bytes == good);
            // The second alone is made like the first.
            bytes[place.start + length..place.end + length].fill(0xA5);
            let mut volume = Volume::open(&bytes, size).unwrap();
            let second = Problem::TablesDiffer { sectors };
            assert!(volume.check(&bytes).unwrap().contains(&second), "{place:?}");
            volume.tidy(&bytes).unwrap();
            apply(&mut bytes, &volume.take_changes().tables);
            assert!(bytes == good);
        }
    }
}

#[test]
fn a_file_with_wrong_clusters_goes_and_takes_none_of_another() {
    let good = make(16 * MIB, 512, &[("one", &[1; 9000]), ("two", &[2; 9000])]);
    let volume = Volume::open(&good, 16 * MIB).unwrap();
    let geometry = *volume.geometry();
    let first = |path: &str| volume.find(path).unwrap().first_cluster as usize;
    let (one, two) = (first("one"), first("two"));
    // The second cluster of one is free, and then the second one of two.
    for second in [0, two + 1] {
        let mut bytes = good.clone();
        for table in 0..2 {
            let start = (geometry.reserved + table * geometry.table_sectors) as usize * 512;
            bytes[start + 2 * one..][..2].copy_from_slice(&(second as u16).to_le_bytes());
        }
        let mut volume = Volume::open(&bytes, 16 * MIB).unwrap();
        volume.remove_file("one").unwrap();
        volume.free_lost().unwrap();
        write_in_order(&mut bytes, volume.take_changes());
        let volume = Volume::open(&bytes, 16 * MIB).unwrap();
        assert_eq!(volume.check(&bytes).unwrap(), []);
        assert!(volume.read_file(&bytes, "two", MIB).unwrap() == [2; 9000]);
        fsck_is_silent(&bytes);
    }
}

/// What is found of a lost boot sector by someone who knows what [`make`] wrote there.
fn restored(bytes: &[u8], size: u64) -> Option<SectorWrite> {
    let identity = BootIdentity {
        hidden: 2048,
        volume_id: 0x1234_5678,
    };
    restored_boot_sector(bytes, size, 512, identity).unwrap()
}

#[test]
fn a_lost_boot_sector_comes_back_from_its_copy() {
    let good = make(300 * MIB, 512, &[]);
    let mut bytes = good.clone();
    bytes[..512].fill(0xA5);
    let found = restored(&bytes, 300 * MIB).unwrap();
    apply(&mut bytes, &[found]);
    assert!(bytes == good);
    assert_eq!(restored(&bytes, 300 * MIB), None);
}

#[test]
fn a_lost_boot_sector_without_a_copy_follows_from_the_size_where_all_else_is_sound() {
    let good = make(16 * MIB, 512, &[("one", b"1")]);
    let mut bytes = good.clone();
    bytes[..512].fill(0xA5);
    let found = restored(&bytes, 16 * MIB).unwrap();
    let mut healed = bytes.clone();
    apply(&mut healed, &[found]);
    assert!(healed == good);
    // Not where the tables say nothing of the kind.
    let tables = Geometry::choose(16 * MIB, 512).unwrap().reserved as usize * 512;
    bytes[tables] ^= 1;
    assert_eq!(restored(&bytes, 16 * MIB), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Noise over the boot sector, the tables and the directories gives a volume or an error.
    #[test]
    fn hostile_volumes_are_errors(
        changes in proptest::collection::vec((0usize..140_000, any::<u8>()), 1..200),
        boot in proptest::collection::vec((11usize..64, any::<u8>()), 0..3),
    ) {
        let mut bytes = make(4 * MIB, 512, &[("a/b/long name of a file", &[1; 5000])]);
        for (at, byte) in changes.iter().chain(&boot) {
            bytes[*at] = *byte;
        }
        if let Ok(mut volume) = Volume::open(&bytes, bytes.len() as u64) {
            let _ = volume.check(&bytes);
            let _ = volume.read_file(&bytes, "a/b/long name of a file", 1 << 20);
            let _ = volume.create_file("a/new name", &[3; 3000]);
            let _ = volume.remove_file("a/b/long name of a file");
            let _ = volume.free_lost();
            volume.take_changes();
        }
    }

    #[test]
    fn names_survive(name in "[a-zA-Z0-9 ._~äß漢🦀-]{1,60}") {
        let mut bytes = make(4 * MIB, 512, &[]);
        let mut volume = Volume::open(&bytes, bytes.len() as u64).unwrap();
        if volume.create_file(&name, b"x").is_ok() {
            write_in_order(&mut bytes, volume.take_changes());
            let again = Volume::open(&bytes, bytes.len() as u64).unwrap();
            prop_assert_eq!(&again.list("").unwrap()[0].name, &name);
        }
    }
}
