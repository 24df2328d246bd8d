use super::*;
use crate::tree::{Kind, Metadata, Node, Tree, TreePath};
use expect_test::expect;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn sample() -> Tree<&'static [u8]> {
    let mut tree = Tree::new();
    let mut add = |path: &str, mode, kind| {
        let metadata = Metadata::with_mode(mode);
        let path = TreePath::new(path).unwrap();
        tree.insert_with_parents(path, Node { metadata, kind })
            .unwrap();
    };
    let target = TreePath::new("bin/m").unwrap();
    add("bin/m", 0o755, Kind::File(&b"#!/bin/true\n"[..]));
    add("bin/z", 0o777, Kind::HardLink(target.clone()));
    add("bin/a", 0o777, Kind::HardLink(target));
    add("empty", 0o600, Kind::File(&b""[..]));
    add("etc/link", 0o777, Kind::Symlink(b"../bin/m".to_vec()));
    add(
        "dev/console",
        0o600,
        Kind::CharDevice { major: 5, minor: 1 },
    );
    add(
        "dev/vda",
        0o660,
        Kind::BlockDevice {
            major: 254,
            minor: 300,
        },
    );
    add("run/pipe", 0o622, Kind::Fifo);
    add("run/socket", 0o755, Kind::Socket);
    add("tmp", 0o1777, Kind::Directory);
    tree
}

fn write(tree: &Tree<&[u8]>) -> Vec<u8> {
    archive(tree, |_, content| Ok(Cow::Borrowed(*content))).unwrap()
}

fn list(bytes: &[u8]) -> Result<String, CpioError> {
    let mut reader = Reader::new(bytes);
    let mut text = String::new();
    while let Some(e) = reader.next_entry()? {
        text += &format!(
            "{} {:06o} x{} {}:{} {:?} {}\n",
            e.inode,
            e.mode,
            e.link_count,
            e.device.0,
            e.device.1,
            String::from_utf8_lossy(e.name),
            e.data.escape_ascii()
        );
    }
    Ok(text)
}

#[test]
fn entries_are_in_tree_order_and_links_share_an_inode() {
    expect![[r#"
        1 040755 x1 0:0 "bin" 
        2 100755 x3 0:0 "bin/a" 
        2 100755 x3 0:0 "bin/m" 
        2 100755 x3 0:0 "bin/z" #!/bin/true\n
        3 040755 x1 0:0 "dev" 
        4 020600 x1 5:1 "dev/console" 
        5 060660 x1 254:300 "dev/vda" 
        6 100600 x1 0:0 "empty" 
        7 040755 x1 0:0 "etc" 
        8 120777 x1 0:0 "etc/link" ../bin/m
        9 040755 x1 0:0 "run" 
        10 010622 x1 0:0 "run/pipe" 
        11 140755 x1 0:0 "run/socket" 
        12 041777 x1 0:0 "tmp" 
    "#]]
    .assert_eq(&list(&write(&sample())).unwrap());
}

#[test]
fn bytes_are_pinned() {
    // A change here changes every kernel image, and with it every generation.
    let digest = Sha256::digest(write(&sample()));
    expect!["7ce28ca58010985e63bd002ea538b2bc6ab0f64a2ab661480e0e5f27360811a1"].assert_eq(
        &digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    );
}

#[test]
fn the_format_refuses_what_it_cannot_hold() {
    let mut tree = sample();
    let path = TreePath::new("empty").unwrap();
    let node = tree.get_mut(&path).unwrap();
    node.metadata.xattrs = BTreeMap::from([(b"user.a".to_vec(), b"b".to_vec())]);
    let refused = archive(&tree, |_, content| Ok(Cow::Borrowed(*content)));
    assert!(matches!(refused, Err(CpioError::Xattrs { path: p }) if p == path));

    let failing = archive(&sample(), |_, _| Err(std::io::ErrorKind::NotFound.into()));
    assert!(matches!(failing, Err(CpioError::Content { .. })));

    tree.remove(&TreePath::new("bin/m").unwrap());
    let dangling = archive(&tree, |_, content| Ok(Cow::Borrowed(*content)));
    assert!(matches!(dangling, Err(CpioError::Tree(_))));
}

#[test]
fn the_manifest_is_found_without_unpacking() {
    let path = TreePath::new("nos/manifest.json").unwrap();
    let bytes = initramfs::write(
        (&path, b"{}\n"),
        &sample(),
        |_, content| Ok(Cow::Borrowed(*content)),
        19,
    )
    .unwrap();
    let find = |path| initramfs::find_plain(&bytes, path).unwrap();
    assert_eq!(find("nos/manifest.json"), Some(&b"{}\n"[..]));
    assert_eq!(find("nos"), None);
    assert_eq!(find("bin/m"), None, "it is in the compressed segment");

    let mut reader = Reader::new(&bytes);
    while reader.next_entry().unwrap().is_some() {}
    assert_eq!(reader.offset() % 4, 0);
    let second = zstd::decode_all(&bytes[reader.offset()..]).unwrap();
    assert_eq!(second, write(&sample()));
    assert!(initramfs::compress(b"", 0).is_err());
    assert!(initramfs::compress(b"", 23).is_err());
}

#[test]
fn the_zstd_frame_suits_the_kernel() {
    // Larger than the window, at the level with the largest window of its own.
    let archive = vec![7; 20 << 20];
    let frame = initramfs::compress(&archive, 22).unwrap();
    // RFC 8878, 3.1.1: magic, descriptor, window descriptor, content size.
    assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    let descriptor = frame[4];
    assert_eq!(descriptor >> 6, 2, "content size in four bytes");
    assert_eq!(descriptor & 0b10_0000, 0, "not a single segment");
    assert_eq!(descriptor & 0b100, 0b100, "checksum");
    assert_eq!(descriptor & 0b11, 0, "no dictionary");
    let (exponent, mantissa) = (frame[5] >> 3, frame[5] & 7);
    let base = 1u64 << (10 + exponent);
    assert!(base + base / 8 * u64::from(mantissa) <= 8 << 20);
    assert_eq!(zstd::decode_all(&frame[..]).unwrap(), archive);
}

#[test]
fn cuts_and_flips_never_panic() {
    let good = write(&sample());
    for end in 0..good.len() {
        // Only the three bytes of padding behind the trailer may be missing.
        assert_eq!(
            list(&good[..end]).is_ok(),
            end + 3 >= good.len(),
            "cut at {end}"
        );
        let _ = initramfs::find_plain(&good[..end], "tmp");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x13;
        let _ = list(&bad);
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        fields in any::<[u32; 13]>(),
    ) {
        let _ = list(&bytes);
        let mut with_header = MAGIC.to_vec();
        for field in fields {
            with_header.extend(format!("{field:08x}").bytes());
        }
        with_header.extend(&bytes);
        let _ = list(&with_header);
    }
}

#[test]
fn cpio_unpacks_it() {
    let tool = Command::new("cpio").arg("--version").output();
    if tool.is_err() {
        eprintln!("SKIPPED cpio_unpacks_it: no cpio (package cpio)");
        return;
    }
    // Devices need root to be made; listing them does not.
    let mut unprivileged = sample();
    for path in ["dev/console", "dev/vda"] {
        unprivileged.remove(&TreePath::new(path).unwrap());
    }
    let run = |args: &[&str], tree: &Tree<&[u8]>, folder: &std::path::Path| {
        let mut child = Command::new("cpio")
            .args(args)
            .current_dir(folder)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&write(tree)).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let listing = run(
        &["-itv", "--numeric-uid-gid", "--quiet"],
        &sample(),
        folder.path(),
    );
    expect![[r#"
        drwxr-xr-x   1 0        0               0 Jan  1  1970 bin
        -rwxr-xr-x   3 0        0               0 Jan  1  1970 bin/a
        -rwxr-xr-x   3 0        0               0 Jan  1  1970 bin/m
        -rwxr-xr-x   3 0        0              12 Jan  1  1970 bin/z
        drwxr-xr-x   1 0        0               0 Jan  1  1970 dev
        crw-------   1 0        0          5,   1 Jan  1  1970 dev/console
        brw-rw----   1 0        0        254, 300 Jan  1  1970 dev/vda
        -rw-------   1 0        0               0 Jan  1  1970 empty
        drwxr-xr-x   1 0        0               0 Jan  1  1970 etc
        lrwxrwxrwx   1 0        0               8 Jan  1  1970 etc/link -> ../bin/m
        drwxr-xr-x   1 0        0               0 Jan  1  1970 run
        prw--w--w-   1 0        0               0 Jan  1  1970 run/pipe
        srwxr-xr-x   1 0        0               0 Jan  1  1970 run/socket
        drwxrwxrwt   1 0        0               0 Jan  1  1970 tmp
    "#]]
    .assert_eq(&listing);

    run(&["-id", "--quiet"], &unprivileged, folder.path());
    let names = ["bin/a", "bin/m", "bin/z"];
    let inodes = names.map(|name| {
        let path = folder.path().join(name);
        assert_eq!(std::fs::read(&path).unwrap(), b"#!/bin/true\n", "{name}");
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap())
    });
    assert_eq!(inodes, [inodes[0]; 3]);
    let target = std::fs::read_link(folder.path().join("etc/link")).unwrap();
    assert_eq!(target.to_str(), Some("../bin/m"));
}
