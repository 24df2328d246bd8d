use super::*;
use crate::tree::{Kind, Tree};
use expect_test::expect;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::Command;

const CONTROL: &[u8] =
    b"Package: hello\nVersion: 1.2-3\nArchitecture: amd64\nDescription: x\n more\n";

/// An entry of a tar archive: type, name, link or content, mode.
struct Entry<'a>(tar::EntryType, &'a str, &'a [u8], u32);

use tar::EntryType as T;

fn header(kind: T, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(42);
    header
}

fn put_name(header: &mut tar::Header, name: &str) {
    // Written by hand, because the library refuses names that we must refuse.
    let raw = &mut header.as_old_mut().name;
    let n = name.len().min(raw.len());
    raw[..n].copy_from_slice(&name.as_bytes()[..n]);
    header.set_cksum();
}

fn raw_entry(out: &mut Vec<u8>, mut header: tar::Header, name: &str, data: &[u8]) {
    put_name(&mut header, name);
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for Entry(kind, name, data, mode) in entries {
        let is_link = matches!(kind, T::Symlink | T::Link);
        let size = if is_link { 0 } else { data.len() as u64 };
        let mut header = header(*kind, size, *mode);
        if matches!(kind, T::Char | T::Block) {
            header.set_device_major(5).unwrap();
            header.set_device_minor(1).unwrap();
        }
        if is_link {
            header.set_link_name_literal(data).unwrap();
        }
        raw_entry(&mut out, header, name, if is_link { b"" } else { data });
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn compress(kind: &str, data: &[u8]) -> Vec<u8> {
    match kind {
        "" => data.to_vec(),
        ".gz" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        ".xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(data, 3).unwrap(),
        _ => unreachable!(),
    }
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, data) in members {
        writeln!(
            out,
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
            0,
            0,
            0,
            100644,
            data.len()
        )
        .unwrap();
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

fn control_tar() -> Vec<u8> {
    tar_of(&[
        Entry(T::Directory, "./", b"", 0o755),
        Entry(T::Regular, "./control", CONTROL, 0o644),
    ])
}

fn deb_of_tar(data_tar: &[u8], kind: &str) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        (
            &format!("control.tar{kind}"),
            &compress(kind, &control_tar()),
        ),
        (&format!("data.tar{kind}"), &compress(kind, data_tar)),
    ])
}

fn sample() -> Vec<u8> {
    tar_of(&[
        Entry(T::Directory, "./", b"", 0o755),
        Entry(T::Directory, "./usr/", b"", 0o755),
        Entry(T::Directory, "./usr/bin/", b"", 0o2755),
        Entry(
            T::Regular,
            "./usr/bin/hello",
            b"#!/bin/sh\necho hello\n",
            0o4755,
        ),
        Entry(T::Link, "./usr/bin/hi", b"./usr/bin/hello", 0o755),
        Entry(T::Link, "./usr/bin/hoy", b"usr/bin/hi", 0o755),
        Entry(
            T::Symlink,
            "./usr/bin/ciao",
            b"/etc/alternatives/ciao",
            0o777,
        ),
        Entry(T::Char, "./dev/console", b"", 0o600),
        Entry(T::Fifo, "./run/pipe", b"", 0o600),
        Entry(T::Regular, "./usr/empty", b"", 0o644),
    ])
}

fn unpack_bytes(package: &[u8], limits: &Limits) -> Result<(Control, Tree<Vec<u8>>), DebError> {
    unpack(
        &mut &package[..],
        limits,
        &mut |_, content: &mut dyn io::Read, size| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            assert_eq!(bytes.len() as u64, size);
            Ok::<_, io::Error>(bytes)
        },
    )
}

fn unpacked(package: &[u8]) -> Result<(Control, Tree<Vec<u8>>), DebError> {
    unpack_bytes(package, &Limits::default())
}

fn show(tree: &Tree<Vec<u8>>) -> String {
    let mut text = String::new();
    for (path, node) in tree.iter() {
        let m = &node.metadata;
        let kind = match &node.kind {
            Kind::File(content) => format!("{:?}", String::from_utf8_lossy(content)),
            Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            other => format!("{other:?}"),
        };
        text += &format!("{path} {:o} {}:{} {kind}", m.mode, m.uid, m.gid);
        for (name, value) in &m.xattrs {
            text += &format!(" {}={:?}", String::from_utf8_lossy(name), value);
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_compression_gives_the_same_tree() {
    let mut shown = Vec::new();
    for kind in ["", ".gz", ".xz", ".zst"] {
        let package = deb_of_tar(&sample(), kind);
        let (control, tree) = unpacked(&package).unwrap();
        assert_eq!(
            (control.package(), control.version(), control.architecture()),
            ("hello", "1.2-3", "amd64")
        );
        assert_eq!(control.stanza().get("description"), Some("x\n more"));
        assert_eq!(read_control(&mut &package[..]).unwrap(), control);
        shown.push(show(&tree));
    }
    assert_eq!(shown, [&shown[0][..]; 4]);
    expect![[r##"
        / 755 0:42 Directory
        /dev 755 0:0 Directory
        /dev/console 600 0:42 CharDevice { major: 5, minor: 1 }
        /run 755 0:0 Directory
        /run/pipe 600 0:42 Fifo
        /usr 755 0:42 Directory
        /usr/bin 2755 0:42 Directory
        /usr/bin/ciao 777 0:42 -> /etc/alternatives/ciao
        /usr/bin/hello 4755 0:42 "#!/bin/sh\necho hello\n"
        /usr/bin/hi 0 0:0 HardLink(/usr/bin/hello)
        /usr/bin/hoy 0 0:0 HardLink(/usr/bin/hello)
        /usr/empty 644 0:42 ""
    "##]]
    .assert_eq(&shown[0]);
}

#[test]
fn long_names_and_attributes_are_kept() {
    let long = format!("./usr/{}/{}", "d".repeat(120), "f".repeat(200));
    let mut tar = Vec::new();
    let nul = format!("{long}\0");
    raw_entry(
        &mut tar,
        header(T::GNULongName, nul.len() as u64, 0),
        "././@LongLink",
        nul.as_bytes(),
    );
    raw_entry(&mut tar, header(T::Regular, 1, 0o644), &long, b"a");
    let pax = b"32 SCHILY.xattr.user.key=a\0b=\nc\n18 path=./usr/pax\n".to_vec();
    raw_entry(
        &mut tar,
        header(T::XHeader, pax.len() as u64, 0),
        "pax",
        &pax,
    );
    raw_entry(&mut tar, header(T::Regular, 1, 0o644), "./ignored", b"b");
    tar.resize(tar.len() + 1024, 0);
    let (_, tree) = unpacked(&deb_of_tar(&tar, "")).unwrap();
    assert!(tree.get(&TreePath::new(&long).unwrap()).is_some());
    let node = tree.get(&TreePath::new("usr/pax").unwrap()).unwrap();
    let wanted = BTreeMap::from([(b"user.key".to_vec(), b"a\0b=\nc".to_vec())]);
    assert_eq!(node.metadata.xattrs, wanted);
}

#[test]
fn unacceptable_entries_are_refused() {
    let long_target = vec![b'a'; 90];
    let deep = "a/".repeat(MAX_DEPTH + 1).into_bytes();
    let cases: &[(&[Entry<'_>], &str)] = &[
        (&[Entry(T::Regular, "../etc/passwd", b"", 0)], "'..'"),
        (&[Entry(T::Regular, "./usr/../../x", b"", 0)], "'..'"),
        (
            &[
                Entry(T::Regular, "./a", b"1", 0),
                Entry(T::Regular, "a", b"2", 0),
            ],
            "twice",
        ),
        (
            &[
                Entry(T::Directory, "./a/", b"", 0),
                Entry(T::Directory, "a", b"", 0),
            ],
            "twice",
        ),
        (
            &[
                Entry(T::Symlink, "./a", b"/etc", 0),
                Entry(T::Regular, "./a/b", b"", 0),
            ],
            "not a directory",
        ),
        (&[Entry(T::Link, "./a", b"./missing", 0)], "hard link"),
        (&[Entry(T::Link, "./a", b"../../x", 0)], "'..'"),
        (&[Entry(T::Symlink, "./a", b"", 0)], "link to nothing"),
        (
            &[
                Entry(T::GNULongName, "x", &deep, 0),
                Entry(T::Directory, "x", b"", 0),
            ],
            "deep",
        ),
        (
            &[Entry(T::GNUSparse, "./a", b"", 0)],
            "type is not supported",
        ),
        (
            &[Entry(T::Regular, "./", b"", 0)],
            "root must be a directory",
        ),
        (
            &[
                Entry(T::GNULongName, "x", b"./aa", 0),
                Entry(T::GNULongName, "x", b"./bb", 0),
            ],
            "two long names",
        ),
        (
            &[Entry(T::GNULongName, "x", &long_target, 0)],
            "long name belongs to",
        ),
        (
            &[
                Entry(T::XHeader, "x", b"12 size=123\n", 0),
                Entry(T::Regular, "./a", b"", 0),
            ],
            "not supported",
        ),
    ];
    for (entries, message) in cases {
        let error = unpacked(&deb_of_tar(&tar_of(entries), ""))
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
}

#[test]
fn outer_damage_is_named() {
    let good = control_tar();
    let data = sample();
    let other = tar_of(&[Entry(T::Regular, "./control", b"Package: x\n", 0)]);
    let none = tar_of(&[]);
    let cases: &[(Vec<u8>, &str)] = &[
        (b"PK\x03\x04 something else".to_vec(), "'!<arch>'"),
        (ar(&[("data.tar", &data)]), "debian-binary"),
        (ar(&[("debian-binary", b"3.0\n")]), "format 2"),
        (
            ar(&[("debian-binary", b"2.0\n"), ("data.tar", &data)]),
            "control.tar",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("control.tar", &good)]),
            "data.tar",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("control.tar", &none)]),
            "there is none",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("control.tar", &other)]),
            "no Version",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("control.tar.lzma", &good)]),
            "not supported",
        ),
        (
            ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &good)]),
            "control.tar.xz",
        ),
    ];
    for (package, message) in cases {
        let error = unpacked(package).unwrap_err().to_string();
        assert!(error.contains(message), "{error:?} should say {message:?}");
    }
    let with_extra = ar(&[
        ("debian-binary", b"2.0\n"),
        ("_extra", b"odd"),
        ("control.tar", &good),
        ("data.tar", &data),
        ("later", b"ignored"),
    ]);
    assert!(unpacked(&with_extra).is_ok());
}

#[test]
fn limits_hold_against_bombs() {
    let limits = Limits {
        unpacked_bytes: 1 << 20,
        entries: 100,
        name_bytes: 1 << 20,
    };
    // 64 MiB of zeros in one file, then a hundred thousand empty files.
    let zeros = vec![0; 64 << 20];
    let large = tar_of(&[Entry(T::Regular, "./zeros", &zeros, 0o644)]);
    let mut many = Vec::new();
    for i in 0..2000 {
        raw_entry(
            &mut many,
            header(T::Regular, 0, 0o644),
            &format!("./{i}"),
            b"",
        );
    }
    for kind in ["", ".gz", ".xz", ".zst"] {
        let error = unpack_bytes(&deb_of_tar(&large, kind), &limits).unwrap_err();
        assert!(
            matches!(
                error,
                DebError::TooLarge {
                    limit: 1_048_576,
                    unit: "bytes",
                    ..
                }
            ),
            "{error}"
        );
        let error = unpack_bytes(&deb_of_tar(&many, kind), &limits).unwrap_err();
        assert!(
            matches!(
                error,
                DebError::TooLarge {
                    limit: 100,
                    unit: "entries",
                    ..
                }
            ),
            "{error}"
        );
    }
    // Entries of a few KiB, each of which implies as many directories as it may.
    let mut deep = Vec::new();
    let component = "a".repeat(30) + "/";
    for i in 0..500 {
        let name = format!("{i}/{}\0", component.repeat(MAX_DEPTH - 1));
        let size = name.len() as u64;
        raw_entry(
            &mut deep,
            header(T::GNULongName, size, 0),
            "x",
            name.as_bytes(),
        );
        raw_entry(&mut deep, header(T::Directory, 0, 0o755), "x", b"");
    }
    let limits = Limits {
        entries: 1000,
        ..limits
    };
    let error = unpack_bytes(&deb_of_tar(&deep, ".xz"), &limits).unwrap_err();
    assert!(
        matches!(
            error,
            DebError::TooLarge {
                unit: "bytes of names",
                ..
            }
        ),
        "{error}"
    );
    // A long name of which only the size is there.
    let mut name = Vec::new();
    raw_entry(&mut name, header(T::GNULongName, 1 << 40, 0), "x", b"");
    let error = unpacked(&deb_of_tar(&name, ".xz")).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn a_failing_sink_is_told_apart_from_a_damaged_package() {
    let package = deb_of_tar(&sample(), ".xz");
    let error = unpack(
        &mut &package[..],
        &Limits::default(),
        &mut |_, _: &mut dyn io::Read, _| Err::<(), _>("no space"),
    );
    assert!(matches!(error, Err(DebError::Sink { .. })));
}

#[test]
fn every_cut_is_an_error_and_no_flip_panics() {
    for kind in ["", ".gz", ".xz", ".zst"] {
        let package = deb_of_tar(&sample(), kind);
        let whole = unpacked(&package).unwrap();
        for end in 0..package.len() {
            match unpacked(&package[..end]) {
                Err(_) => {}
                // Only the byte that pads the last member may be missing.
                Ok(same) => assert!(
                    end + 1 == package.len() && same == whole,
                    "{kind} cut at {end}"
                ),
            }
        }
        for at in 0..package.len() {
            let mut bad = package.clone();
            bad[at] ^= 0x41;
            if let Ok((_, tree)) = unpacked(&bad) {
                // Where a checksum covers the data, a flip cannot pass through it.
                assert!(
                    kind.is_empty() || kind == ".zst" || tree == whole.1,
                    "{kind} flip at {at}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
        kind in 0usize..4,
    ) {
        let kind = ["", ".gz", ".xz", ".zst"][kind];
        let _ = unpacked(&bytes);
        let _ = unpacked(&deb_of_tar(&bytes, kind));
        let name = format!("data.tar{kind}");
        let control = control_tar();
        let version = &b"2.0\n"[..];
        let members = [("debian-binary", version), ("control.tar", &control), (&name, &bytes)];
        let _ = unpacked(&ar(&members));
    }

    #[test]
    fn header_fields_never_panic(
        at in 0usize..257,
        value in prop::collection::vec(any::<u8>(), 1..14),
    ) {
        let mut tar = sample();
        let entry = 512 * 3;
        let end = (at + value.len()).min(500);
        tar[entry + at..entry + end].copy_from_slice(&value[..end - at]);
        // With a right checksum, or nothing behind it would be tried.
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&tar[entry..entry + 512]);
        header.set_cksum();
        tar[entry..entry + 512].copy_from_slice(header.as_bytes());
        let _ = unpacked(&deb_of_tar(&tar, ""));
    }

    #[test]
    fn stanzas_cover_any_text(text in "[A-Za-z:# \t\n.é-]{0,300}") {
        let mut end = 0;
        for stanza in deb822::stanzas(&text) {
            prop_assert!(text[end..stanza.offset()].trim().is_empty());
            prop_assert!(!stanza.as_str().is_empty());
            end = stanza.offset() + stanza.as_str().len();
            for field in stanza.fields().flatten() {
                prop_assert!(stanza.get(field.name).is_some());
            }
        }
        prop_assert!(text[end..].trim().is_empty());
    }
}

#[test]
fn stanzas_are_read_as_debian_writes_them() {
    let text = "\n \nOrigin: Debian\nSHA256:\n aa 1 main/x\n bb 2 main/y\n\n\t\n\
                # comment\nPackage: a\nEmpty:\nTail:  x  \n y\n .\n z";
    let fields = |stanza: deb822::Stanza<'_>| -> String {
        stanza
            .fields()
            .map(|field| format!("{:?}\n", field.map(|f| (f.name, f.value))))
            .collect()
    };
    let all: Vec<_> = deb822::stanzas(text).map(fields).collect();
    expect![[r#"
        Ok(("Origin", "Debian"))
        Ok(("SHA256", "\n aa 1 main/x\n bb 2 main/y"))
        --
        Ok(("Package", "a"))
        Ok(("Empty", ""))
        Ok(("Tail", "x  \n y\n .\n z"))
    "#]]
    .assert_eq(&all.join("--\n"));
    let release = deb822::stanzas(text).next().unwrap();
    let sums: Vec<_> = deb822::lines(release.get("sha256").unwrap()).collect();
    assert_eq!(sums, ["aa 1 main/x", "bb 2 main/y"]);
    assert_eq!(release.get("SHA25"), None);
}

#[test]
fn a_bad_line_is_named_by_its_place() {
    let text = "Package: a\n\nPackage: b\nno colon\n: nameless\nVersion: 1\n continued\n";
    let stanza = deb822::stanzas(text).nth(1).unwrap();
    let bad: Vec<_> = stanza
        .fields()
        .filter_map(Result::err)
        .map(|e| (e.offset, e.line))
        .collect();
    assert_eq!(
        bad,
        [(23, "no colon".to_owned()), (32, ": nameless".to_owned())]
    );
    assert_eq!(stanza.get("Version"), Some("1\n continued"));
}

#[test]
fn dpkg_packages_are_unpacked() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        eprintln!("SKIPPED dpkg_packages_are_unpacked: no dpkg-deb (package dpkg)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let deep = format!("usr/share/{}/{}", "x".repeat(150), "y".repeat(200));
    let file = |name: &str, content: &[u8]| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let fields = [
        "Package: t",
        "Version: 1",
        "Architecture: all",
        "Description: d",
    ];
    let control = format!("{}\nMaintainer: m <m@example.org>\n", fields.join("\n"));
    file("DEBIAN/control", control.as_bytes());
    file(&deep, b"deep");
    file("usr/bin/tool", &vec![b'#'; 200_000]);
    std::fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/other")).unwrap();
    std::os::unix::fs::symlink("tool", root.join("usr/bin/link")).unwrap();
    for kind in ["none", "gzip", "xz", "zstd"] {
        let package = folder.path().join("t.deb");
        let output = Command::new("dpkg-deb")
            .args(["--root-owner-group", &format!("-Z{kind}"), "--build"])
            .args([&root, &package])
            .output()
            .unwrap();
        if !output.status.success() {
            eprintln!("SKIPPED {kind} of dpkg_packages_are_unpacked: this dpkg-deb cannot make it");
            continue;
        }
        let (control, tree) = unpacked(&std::fs::read(&package).unwrap()).unwrap();
        assert_eq!(
            control.stanza().get("Maintainer"),
            Some("m <m@example.org>")
        );
        let kind_of = |path: &str| {
            tree.get(&TreePath::new(path).unwrap())
                .map(|node| &node.kind)
        };
        assert_eq!(kind_of(&deep), Some(&Kind::File(b"deep".to_vec())));
        assert_eq!(
            kind_of("usr/bin/link"),
            Some(&Kind::Symlink(b"tool".to_vec()))
        );
        let (file, link) = (kind_of("usr/bin/other"), kind_of("usr/bin/tool"));
        assert_eq!(file, Some(&Kind::File(vec![b'#'; 200_000])));
        assert_eq!(
            link,
            Some(&Kind::HardLink(TreePath::new("usr/bin/other").unwrap()))
        );
    }
}
