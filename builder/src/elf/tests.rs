use super::testing::TestElf;
use super::*;
use proptest::prelude::*;

fn sample() -> Vec<u8> {
    TestElf {
        interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
        needed: &["libc.so.6", "libz.so.1"],
        soname: Some("libme.so.1"),
        rpath: Some("/old"),
        runpath: Some("$ORIGIN/../lib:/opt/lib"),
        imports: &["x_pthread_cancel", "pthread_exit"],
        versions: &[("libc.so.6", "GLIBC_2.34"), ("libz.so.1", "ZLIB_1.2")],
        defines: &["libme.so.1", "ME_1", "ME_2"],
        dlopen: Some(r#"[{"soname":["liblz4.so.1"],"feature":"lz4","priority":"suggested"}]"#),
        modinfo: Some("name=me\0depends=a,b\0"),
        machine: None,
        code: b"",
    }
    .bytes()
}

#[test]
fn every_part_is_read() {
    let bytes = sample();
    let elf = Elf::open(&bytes).unwrap().unwrap();
    assert_eq!(elf.machine, MACHINE_X86_64);
    assert_eq!(
        elf.interpreter().unwrap().unwrap(),
        b"/lib64/ld-linux-x86-64.so.2"
    );
    let dynamic = elf.dynamic().unwrap().unwrap();
    assert_eq!(dynamic.needed, [b"libc.so.6", b"libz.so.1"]);
    assert_eq!(dynamic.soname.as_deref(), Some(&b"libme.so.1"[..]));
    assert_eq!(dynamic.rpath, [b"/old"]);
    assert_eq!(dynamic.runpath, [&b"$ORIGIN/../lib"[..], b"/opt/lib"]);
    assert_eq!(dynamic.imports.len(), 2);
    assert!(dynamic.imports.contains("pthread_exit"));
    assert!(!dynamic.imports.contains("pthread_exi"));
    assert!(!dynamic.imports.contains("pthread_cancel"));
    let versions = dynamic.needed_versions.iter();
    let versions: Vec<_> = versions.map(|v| (&v.library[..], &v.version[..])).collect();
    let expected: [(&[u8], &[u8]); 2] =
        [(b"libc.so.6", b"GLIBC_2.34"), (b"libz.so.1", b"ZLIB_1.2")];
    assert_eq!(versions, expected);
    assert_eq!(dynamic.defined_versions, [b"ME_1", b"ME_2"]);
    assert_eq!(
        elf.section(b".modinfo").unwrap().unwrap(),
        b"name=me\0depends=a,b\0"
    );
    assert_eq!(elf.section(b".text").unwrap(), None);
    let notes = elf.dlopen_notes().unwrap();
    assert_eq!(notes[0].soname, ["liblz4.so.1"]);
    assert_eq!(notes[0].priority, DlopenPriority::Suggested);
}

#[test]
fn a_program_without_its_sections_is_the_same_program() {
    let whole = sample();
    let cut = loaded_part(whole.clone()).unwrap();
    assert!(cut.len() <= whole.len());
    let elf = Elf::open(&cut).unwrap().unwrap();
    assert_eq!(elf.section(b".modinfo").unwrap(), None);
    assert_eq!(elf.dynamic().unwrap().unwrap().needed.len(), 2);
    assert!(loaded_part(b"#!/bin/sh\n".to_vec()).is_err());
    assert!(loaded_part(cut[..cut.len() - 1].to_vec()).is_err());
}

#[test]
fn this_program_runs_without_its_sections() {
    use std::os::unix::fs::PermissionsExt;
    let whole = std::fs::read("/proc/self/exe").unwrap();
    let cut = loaded_part(whole).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut");
    std::fs::write(&path, cut).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let listed = std::process::Command::new(&path).arg("--list").output();
    assert!(listed.unwrap().status.success());
}

#[test]
fn other_files_are_none_or_named() {
    assert!(Elf::open(&b"#!/bin/sh\n"[..]).unwrap().is_none());
    assert!(Elf::open(&b""[..]).unwrap().is_none());
    assert!(matches!(
        Elf::open(&b"\x7fELF"[..]),
        Err(ElfError::Damaged { .. })
    ));
    let mut narrow = sample();
    narrow[4] = 1;
    let error = Elf::open(&narrow).unwrap_err().to_string();
    assert!(error.starts_with("it is a 32-bit program"), "{error}");
}

#[test]
fn this_test_program_is_read_as_the_linker_wrote_it() {
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let elf = Elf::open(&file).unwrap().unwrap();
    let dynamic = elf.dynamic().unwrap().unwrap();
    assert!(dynamic.needed.iter().any(|n| n == b"libc.so.6"));
    assert!(dynamic.imports.contains("__libc_start_main"));
    assert!(!dynamic.imports.contains("main"));
    let of_libc = dynamic
        .needed_versions
        .iter()
        .filter(|v| v.library == b"libc.so.6");
    assert!(of_libc.clone().any(|v| v.version == b"GLIBC_2.2.5"));
    assert!(of_libc.clone().all(|v| v.version.starts_with(b"GLIBC_")));
    assert_eq!(dynamic.defined_versions, [] as [&[u8]; 0]);
    assert!(
        elf.interpreter()
            .unwrap()
            .unwrap()
            .starts_with(b"/lib64/ld-linux")
    );
    assert!(!elf.section(b".dynstr").unwrap().unwrap().is_empty());
}

/// Everything the reader can be asked, for its side effects.
fn read_all(bytes: &[u8]) {
    if let Ok(Some(elf)) = Elf::open(bytes) {
        let _ = elf.interpreter();
        let _ = elf.dynamic();
        let _ = elf.dlopen_notes();
        let _ = elf.section(b".modinfo");
        let _ = elf.code();
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_less() {
    let bytes = sample();
    for end in 0..bytes.len() {
        read_all(&bytes[..end]);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(
        changes in proptest::collection::vec((0usize..2000, any::<u8>()), 1..24),
    ) {
        let mut bytes = sample();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        // The magic stays, so that the rest is reached.
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        read_all(&bytes);
    }

    #[test]
    fn hostile_offsets_never_panic(
        field in 0usize..70,
        value in prop_oneof![Just(u64::MAX), Just(u64::MAX - 7), any::<u64>()],
    ) {
        let mut bytes = sample();
        let at = 8 + field * 8;
        if at + 8 <= bytes.len() {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        read_all(&bytes);
    }
}
