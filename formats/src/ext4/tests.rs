use super::*;
use crate::ext4::records::BLOCK;
use expect_test::expect;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

fn options(size_bytes: u64) -> Options<'static> {
    Options {
        size_bytes,
        uuid: *b"nos test uuid 16",
        label: "state",
        hash_seed: *b"nos hash seed 16",
    }
}

fn file_system(size_bytes: u64) -> FileSystem<'static> {
    FileSystem::new(&options(size_bytes)).unwrap()
}

/// Writes a file system into a sparse file. `dirty`: over a medium whose every block that will be
/// written, or lies near one, was full of something else.
fn image(path: &Path, fs: &FileSystem<'_>, dirty: bool) {
    let file = File::create(path).unwrap();
    file.set_len(fs.size_bytes()).unwrap();
    if dirty {
        for start in (0..fs.size_bytes().min(2 * GIB)).step_by(MIB as usize) {
            let size = (fs.size_bytes() - start).min(MIB);
            file.write_all_at(&vec![0xa7; size as usize], start)
                .unwrap();
        }
        let zeroed = fs.zeroed();
        let zeros = vec![0; (zeroed.end - zeroed.start) as usize];
        file.write_all_at(&zeros, zeroed.start).unwrap();
    }
    fs.write(|offset, bytes| file.write_all_at(bytes, offset))
        .unwrap();
}

fn tool(names: [&'static str; 3], test: &str) -> Option<&'static str> {
    let found = names
        .into_iter()
        .find(|tool| Command::new(tool).arg("-V").output().is_ok());
    if found.is_none() {
        eprintln!("SKIPPED {test}: no {} (package e2fsprogs)", names[0]);
    }
    found
}

fn e2fsck(test: &str) -> Option<&'static str> {
    tool(["e2fsck", "/usr/sbin/e2fsck", "/sbin/e2fsck"], test)
}

fn assert_clean(e2fsck: &str, path: &Path, what: &str) {
    let output = Command::new(e2fsck)
        .args(["-fn".as_ref(), path.as_os_str()])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}: {text}");
}

#[test]
fn bytes_are_pinned() {
    // A change here means that old and new disks of the same description differ.
    let mut text = String::new();
    for size in [8 * MIB, 256 * MIB, 20 * GIB] {
        let mut hasher = Sha256::new();
        let (mut count, mut total) = (0, 0);
        for (offset, bytes) in file_system(size).extents() {
            hasher.update(offset.to_le_bytes());
            hasher.update(&bytes);
            count += 1;
            total += bytes.len();
        }
        let hex: String = hasher.finalize()[..8]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        text += &format!(
            "{:>5} MiB: {count} extents, {total} bytes, {hex}\n",
            size / MIB
        );
    }
    expect![[r#"
            8 MiB: 2 extents, 45056 bytes, 3933f42c2add1436
          256 MiB: 4 extents, 188416 bytes, 485c9f03874d004f
        20480 MiB: 25 extents, 4464640 bytes, fb08be64bff2b938
    "#]]
    .assert_eq(&text);
}

#[test]
fn impossible_options_are_refused() {
    for size_bytes in [0, MIN_SIZE - 1, MAX_SIZE + 1, u64::MAX] {
        let error = FileSystem::new(&options(size_bytes)).unwrap_err();
        assert_eq!(error, Ext4Error::BadSize { size_bytes });
    }
    for label in ["seventeen letters", "a\0b"] {
        let options = Options {
            label,
            ..options(MIN_SIZE)
        };
        assert!(matches!(
            FileSystem::new(&options),
            Err(Ext4Error::BadLabel { .. })
        ));
    }
    let options = Options {
        label: "sixteen letters!",
        ..options(MIN_SIZE)
    };
    assert!(FileSystem::new(&options).is_ok());
}

/// Every size from 8 MiB to 16 TiB, as likely small as large.
fn sizes() -> impl Strategy<Value = u64> {
    (23u32..44, any::<u64>()).prop_map(|(log, low)| (1 << log) + low % (1 << log))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn places_never_overlap(size in sizes()) {
        let layout = Layout::new(size / BLOCK_SIZE);
        prop_assert!(layout.block_count <= size / BLOCK_SIZE);
        prop_assert!(size / BLOCK_SIZE - layout.block_count < 40_000);
        let mut places = BTreeMap::new();
        let mut place = |start: u64, blocks: u64| {
            prop_assert!(start + blocks <= layout.block_count);
            prop_assert_eq!(places.insert(start, blocks), None);
            Ok(())
        };
        // All groups near the start, then a sample.
        let step = (layout.group_count / 2000).max(1);
        for group in (0..layout.group_count).filter(|g| *g < 64 || g % step == 0) {
            if layout.base_blocks(group) > 0 {
                place(layout.group_start(group), layout.base_blocks(group))?;
            }
            place(layout.block_bitmap(group), 1)?;
            place(layout.inode_bitmap(group), 1)?;
            place(layout.inode_table(group), layout.inode_table_blocks())?;
        }
        place(layout.root, 1)?;
        place(layout.lost_found, 4)?;
        if let Some(block) = layout.resize_map {
            place(block, 1)?;
        }
        place(layout.journal.start, layout.journal.end - layout.journal.start)?;
        let starts: Vec<_> = places.iter().collect();
        for pair in starts.windows(2) {
            prop_assert!(pair[0].0 + pair[0].1 <= *pair[1].0, "{:?}", pair);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn e2fsck_accepts_every_size(size in sizes().prop_filter("slow", |size| *size < TIB)) {
        if let Some(e2fsck) = e2fsck("e2fsck_accepts_every_size") {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("fs");
            image(&path, &file_system(size), false);
            assert_clean(e2fsck, &path, &format!("{size} bytes"));
        }
    }
}

#[test]
fn e2fsck_accepts_the_edges() {
    let Some(e2fsck) = e2fsck("e2fsck_accepts_the_edges") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    let group = 128 * MIB;
    for size in [
        8 * MIB,
        8 * MIB + 4095,
        group - 4096,
        group,
        group + 4096,
        group + 5 * MIB,
        512 * MIB - 4096,
        512 * MIB,
        16 * group + MIB,
        16 * group + 8 * MIB,
        17 * group,
        64 * group + 100 * MIB,
        16 * GIB,
        TIB,
    ] {
        image(&path, &file_system(size), false);
        assert_clean(e2fsck, &path, &format!("{size} bytes"));
    }
}

#[test]
fn what_was_on_the_medium_does_not_matter() {
    let Some(e2fsck) = e2fsck("what_was_on_the_medium_does_not_matter") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    for size in [8 * MIB, 300 * MIB] {
        image(&path, &file_system(size), true);
        assert_clean(e2fsck, &path, &format!("{size} bytes"));
    }
}

#[test]
fn backups_repair_a_lost_start() {
    let Some(e2fsck) = e2fsck("backups_repair_a_lost_start") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    image(&path, &file_system(300 * MIB), false);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 2 * BLOCK], 0).unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(e2fsck).args(args).arg(&path).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(
        run(&["-fy", "-b", "32768", "-B", "4096"]) & !3,
        0,
        "repaired"
    );
    assert_eq!(run(&["-fn"]), 0);
}

#[test]
fn dumpe2fs_reads_what_was_meant() {
    let names = ["dumpe2fs", "/usr/sbin/dumpe2fs", "/sbin/dumpe2fs"];
    let Some(dumpe2fs) = tool(names, "dumpe2fs_reads_what_was_meant") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    image(&path, &file_system(300 * MIB), false);
    let output = Command::new(dumpe2fs)
        .arg(&path)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Lines that newer versions of the tool add or word otherwise.
    let unstable = [
        "Overhead", "Lifetime", "Fragment", "created", "time:", "checked",
    ];
    let lines = text
        .lines()
        .filter(|line| !unstable.iter().any(|word| line.contains(word)));
    let lines: Vec<_> = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    expect![[r#"
        Filesystem volume name:   state
        Last mounted on:          <not available>
        Filesystem UUID:          6e6f7320-7465-7374-2075-756964203136
        Filesystem magic number:  0xEF53
        Filesystem revision #:    1 (dynamic)
        Filesystem features:      has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum
        Filesystem flags:         signed_directory_hash
        Default mount options:    user_xattr acl
        Filesystem state:         clean
        Errors behavior:          Remount read-only
        Filesystem OS type:       Linux
        Inode count:              38400
        Block count:              76800
        Reserved block count:     768
        Free blocks:              70214
        Free inodes:              38389
        First block:              0
        Block size:               4096
        Group descriptor size:    64
        Reserved GDT blocks:      37
        Blocks per group:         32768
        Inodes per group:         12800
        Inode blocks per group:   800
        Flex block group size:    16
        Mount count:              0
        Maximum mount count:      -1
        Check interval:           0 (<none>)
        Reserved blocks uid:      0 (user root)
        Reserved blocks gid:      0 (group root)
        First inode:              11
        Inode size:	          256
        Required extra isize:     32
        Desired extra isize:      32
        Journal inode:            8
        Default directory hash:   half_md4
        Directory Hash Seed:      6e6f7320-6861-7368-2073-656564203136
        Journal backup:           inode blocks
        Checksum type:            crc32c
        Checksum:                 0x84c82698
        Journal features:         (none)
        Total journal size:       16M
        Total journal blocks:     4096
        Max transaction length:   4096
        Fast commit length:       0
        Journal sequence:         0x00000001
        Journal start:            0


        Group 0: (Blocks 0-32767) csum 0x7895
          Primary superblock at 0, Group descriptors at 1-1
          Reserved GDT blocks at 2-38
          Block bitmap at 39 (+39), csum 0xbce011b5
          Inode bitmap at 42 (+42), csum 0x6f793b6d
          Inode table at 45-844 (+45)
          26221 free blocks, 12789 free inodes, 2 directories, 12789 unused inodes
          Free blocks: 6547-32767
          Free inodes: 12-12800
        Group 1: (Blocks 32768-65535) csum 0x2a90 [INODE_UNINIT, BLOCK_UNINIT]
          Backup superblock at 32768, Group descriptors at 32769-32769
          Reserved GDT blocks at 32770-32806
          Block bitmap at 40 (bg #0 + 40), csum 0x00000000
          Inode bitmap at 43 (bg #0 + 43), csum 0x00000000
          Inode table at 845-1644 (bg #0 + 845)
          32729 free blocks, 12800 free inodes, 0 directories, 12800 unused inodes
          Free blocks: 32807-65535
          Free inodes: 12801-25600
        Group 2: (Blocks 65536-76799) csum 0x8624 [INODE_UNINIT]
          Block bitmap at 41 (bg #0 + 41), csum 0x69fd5d69
          Inode bitmap at 44 (bg #0 + 44), csum 0x00000000
          Inode table at 1645-2444 (bg #0 + 1645)
          11264 free blocks, 12800 free inodes, 0 directories, 12800 unused inodes
          Free blocks: 65536-76799
          Free inodes: 25601-38400
    "#]].assert_eq(&lines.concat());
}

#[test]
fn it_can_be_resized() {
    let test = "it_can_be_resized";
    let names = ["resize2fs", "/usr/sbin/resize2fs", "/sbin/resize2fs"];
    let (Some(e2fsck), Some(resize2fs)) = (e2fsck(test), tool(names, test)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    for (from, to) in [
        (8 * MIB, 40 * MIB),
        (256 * MIB, 9 * GIB),
        (9 * GIB, 20 * GIB),
    ] {
        image(&path, &file_system(from), false);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(to).unwrap();
        let output = Command::new(resize2fs)
            .arg("-f")
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_clean(e2fsck, &path, &format!("{from} to {to} bytes"));
    }
}

/// Mounts an image at `folder/mount` while `work` runs; says whether mounting worked.
fn with_mount(image: &Path, folder: &Path, work: impl FnOnce(&Path)) -> bool {
    let at = folder.join("mount");
    std::fs::create_dir_all(&at).unwrap();
    let mount = Command::new("mount")
        .args(["-o", "loop"])
        .args([image, &at])
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return false;
    }
    // Unmount before judging, or a failure would leave it mounted.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&at)));
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    true
}

#[test]
fn the_kernel_mounts_it_and_replays_its_journal() {
    let test = "the_kernel_mounts_it_and_replays_its_journal";
    let mke2fs = tool(["mke2fs", "/usr/sbin/mke2fs", "/sbin/mke2fs"], test);
    let (Some(e2fsck), Some(mke2fs)) = (e2fsck(test), mke2fs) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let [control, path, crashed] =
        ["control", "fs", "crashed"].map(|name| folder.path().join(name));
    File::create(&control).unwrap().set_len(16 * MIB).unwrap();
    assert!(
        Command::new(mke2fs)
            .args(["-q", "-t", "ext4"])
            .arg(&control)
            .status()
            .unwrap()
            .success()
    );
    if !with_mount(&control, folder.path(), |_| {}) {
        eprintln!("SKIPPED {test}: this user cannot mount an ext4 image");
        return;
    }
    image(&path, &file_system(64 * MIB), true);
    let work = |mount: &Path| {
        for i in 0..300 {
            let dir = mount.join(format!("dir{}", i % 7));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(format!("file{i}")), vec![i as u8; 1000 * (i % 50)]).unwrap();
        }
        File::open(mount.join("dir0/file0"))
            .unwrap()
            .sync_all()
            .unwrap();
        // What a power cut now would leave: the journal holds what is not yet in its place.
        std::fs::copy(&path, &crashed).unwrap();
        std::fs::remove_dir_all(mount.join("dir1")).unwrap();
    };
    assert!(with_mount(&path, folder.path(), work), "mounting ours");
    assert_clean(e2fsck, &path, "after use");
    let check = |mount: &Path| {
        assert!(mount.join("dir0/file0").exists());
        assert!(mount.join("lost+found").exists());
        std::fs::write(mount.join("later"), b"more").unwrap();
    };
    assert!(
        with_mount(&crashed, folder.path(), check),
        "mounting after a power cut"
    );
    assert_clean(e2fsck, &crashed, "after replay");
}
