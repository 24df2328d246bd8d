use super::*;
use expect_test::expect;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::process::Command;

const SBAT: &[u8] = b"sbat,1,SBAT Version,sbat,1,https://example.org\nstub,1,Stub,stub,1,x\n";

/// A small PE32+ image with the given sections, `spare` section headers of room in its headers.
fn pe(sections: &[(&str, &[u8])], spare: usize, dll_characteristics: u16) -> Vec<u8> {
    let headers_end = 0x40 + 24 + 240 + 40 * (sections.len() + spare);
    let headers = headers_end.next_multiple_of(512);
    let mut bytes = vec![0; 0x40];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x40;
    let mut push = |field: &[u8]| bytes.extend_from_slice(field);
    push(b"PE\0\0");
    push(&0x8664u16.to_le_bytes());
    push(&(sections.len() as u16).to_le_bytes());
    push(&[0; 12]);
    push(&240u16.to_le_bytes());
    push(&0x22eu16.to_le_bytes());
    let optional = bytes.len();
    bytes.resize(optional + 240, 0);
    let mut put = |at: usize, field: &[u8]| {
        bytes[optional + at..optional + at + field.len()].copy_from_slice(field);
    };
    put(0, &0x20bu16.to_le_bytes());
    put(16, &0x1000u32.to_le_bytes());
    put(24, &0x1_4000_0000u64.to_le_bytes());
    put(32, &4096u32.to_le_bytes());
    put(36, &512u32.to_le_bytes());
    put(60, &(headers as u32).to_le_bytes());
    put(64, &0xdead_beefu32.to_le_bytes());
    put(68, &10u16.to_le_bytes());
    put(70, &dll_characteristics.to_le_bytes());
    put(108, &16u32.to_le_bytes());
    let (mut address, mut offset) = (0x1000u32, headers as u32);
    for (name, data) in sections {
        let size = data.len() as u32;
        let file_size = size.next_multiple_of(512);
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        for (at, value) in [
            (8, size),
            (12, address),
            (16, file_size),
            (20, offset),
            (36, 0x4000_0040),
        ] {
            header[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        bytes.extend(header);
        address = (address + size).next_multiple_of(4096);
        offset += file_size;
    }
    bytes.resize(headers, 0);
    for (_, data) in sections {
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn stub(spare: usize) -> Vec<u8> {
    pe(
        &[
            (".text", &[0xcc; 700]),
            (".sbat", SBAT),
            (".sdmagic", b"#### x ####"),
        ],
        spare,
        0x160,
    )
}

fn kernel(dll_characteristics: u16) -> Vec<u8> {
    let sbat = b"sbat,1,SBAT Version,sbat,1,https://example.org\nlinux,1,Linux,linux,6,y\n\0";
    pe(
        &[(".text", &[0x90; 5000]), (".sbat", sbat)],
        0,
        dll_characteristics,
    )
}

fn uki<'a>(linux: &'a [u8], initrd: &'a [u8]) -> Uki<'a> {
    Uki {
        os_release: b"ID=nos\nPRETTY_NAME=nOs\n",
        cmdline: b"console=ttyS0 quiet",
        uname: b"6.12.1-test",
        linux,
        initrd,
        ..Uki::default()
    }
}

fn show(bytes: &[u8]) -> String {
    let image = Image::parse(bytes).unwrap();
    let line = |s: &Section<'_>| {
        format!(
            "{:<9} memory {:#07x}+{:#x} file {:#x}+{:#x}\n",
            String::from_utf8_lossy(s.name),
            s.virtual_address,
            s.virtual_size,
            s.file_offset,
            s.file_size
        )
    };
    image.sections().iter().map(line).collect()
}

#[test]
fn sections_are_appended_in_order() {
    let kernel = kernel(0x100);
    let image = uki(&kernel, &[1; 9000]).build(&stub(8)).unwrap();
    expect![[r#"
        .text     memory 0x01000+0x2bc file 0x400+0x400
        .sbat     memory 0x02000+0xcc file 0x800+0x200
        .sdmagic  memory 0x03000+0xb file 0xa00+0x200
        .osrel    memory 0x04000+0x17 file 0xc00+0x200
        .cmdline  memory 0x05000+0x13 file 0xe00+0x200
        .uname    memory 0x06000+0xb file 0x1000+0x200
        .linux    memory 0x07000+0x1800 file 0x1200+0x1800
        .initrd   memory 0x09000+0x2328 file 0x2a00+0x2400
    "#]]
    .assert_eq(&show(&image));
    let parsed = Image::parse(&image).unwrap();
    let sbat = parsed.section(".sbat").unwrap();
    expect![[r#"
        sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md
        stub,1,Stub,stub,1,x
        linux,1,Linux,linux,6,y
        uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/
        \x00"#]]
    .assert_eq(&sbat.escape_ascii().to_string().replace("\\n", "\n"));
    assert_eq!(parsed.optional_u32(image::SIZE_OF_IMAGE) % 4096, 0);
    assert_eq!(parsed.optional_u32(image::CHECKSUM), 0);
    assert_eq!(image.len() % 512, 0, "a certificate table can follow");
    assert_eq!(Uki::parse(&image).unwrap(), uki(&kernel, &[1; 9000]));
}

#[test]
fn bytes_are_pinned() {
    // A change here changes every kernel image, and with it every generation.
    let image = uki(&kernel(0), b"initrd").build(&stub(8)).unwrap();
    let hex: Vec<_> = Sha256::digest(&image)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    expect!["13ca53dd45c091ce3d56c7e61c6193a5fdc46f8755e0dfd46994de56da722b21"]
        .assert_eq(&hex.concat());
}

#[test]
fn room_for_headers_is_made() {
    let kernel = kernel(0x100);
    let wide = uki(&kernel, b"initrd").build(&stub(8)).unwrap();
    // Three sections and no spare room: the header block must grow by 512 bytes.
    let cramped = stub(0);
    let narrow = uki(&kernel, b"initrd").build(&cramped).unwrap();
    assert_eq!(Uki::parse(&narrow).unwrap(), Uki::parse(&wide).unwrap());
    let (narrow, wide) = (Image::parse(&narrow).unwrap(), Image::parse(&wide).unwrap());
    for (a, b) in narrow.sections().iter().zip(wide.sections()) {
        assert_eq!(
            (a.name, a.data, a.virtual_address),
            (b.name, b.data, b.virtual_address)
        );
    }
}

#[test]
fn a_kernel_without_nx_clears_it_from_the_image() {
    for (kernel_flags, wanted) in [(0x100, 0x160), (0, 0x60)] {
        let image = uki(&kernel(kernel_flags), b"i").build(&stub(8)).unwrap();
        assert_eq!(Image::parse(&image).unwrap().dll_characteristics(), wanted);
    }
}

#[test]
fn unusable_stubs_are_refused() {
    let kernel = kernel(0);
    let refuse = |stub: &[u8]| uki(&kernel, b"i").build(stub).unwrap_err().to_string();
    let coff = 0x44;
    let optional = coff + 20;
    let with = |at: usize, value: u8| {
        let mut stub = stub(8);
        stub[at] = value;
        stub
    };
    for (stub, message) in [
        (b"ELF".to_vec(), "does not begin with 'MZ'"),
        (with(optional + 1, 1), "PE32+"),
        (with(optional + 112 + 32, 1), "signed"),
        (with(coff + 8, 1), "symbol table"),
        (with(optional + 36, 1), "alignment"),
        (with(optional + 240 + 20, 1), "not aligned"),
        (pe(&[(".text", b"x")], 8, 0), ".sbat"),
        (
            pe(&[(".text", b"x"), (".sbat", SBAT)], 80, 0).split_off(5),
            "'MZ'",
        ),
    ] {
        let text = refuse(&stub);
        assert!(text.contains(message), "{text:?} should say {message:?}");
    }
    let uki = Uki {
        initrd: b"",
        ..uki(&kernel, b"")
    };
    let missing = Uki::parse(&uki.build(&stub(8)).unwrap()).err();
    assert_eq!(missing, Some(PeError::MissingSection { name: ".initrd" }));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        initrd in prop::collection::vec(any::<u8>(), 1..9000),
        spare in 0usize..12,
        splash in prop::option::of(prop::collection::vec(any::<u8>(), 1..3000)),
    ) {
        let kernel = kernel(0);
        let uki = Uki { splash: splash.as_deref(), ..uki(&kernel, &initrd) };
        let image = uki.build(&stub(spare)).unwrap();
        prop_assert_eq!(Uki::parse(&image).unwrap(), uki);
    }

    #[test]
    fn damage_never_panics(
        flips in prop::collection::vec((0usize..0x400, any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let kernel = kernel(0);
        let mut bad = stub(2);
        for (at, value) in flips {
            bad[at] = value;
        }
        let _ = uki(&kernel, b"i").build(&bad);
        let _ = uki(&bad, b"i").build(&stub(8));
        let cut = cut.index(bad.len());
        let _ = uki(&kernel, b"i").build(&bad[..cut]);
        let _ = Uki::parse(&bad[..cut]);
    }

    #[test]
    fn header_words_never_panic(words in prop::collection::vec((0usize..0x1f0, prop::sample::select(
        vec![0u32, 1, 0x200, 0xfff, 0x7fff_ffff, 0x8000_0000, 0xffff_fe00, u32::MAX])), 1..4)) {
        let kernel = kernel(0);
        let mut bad = stub(0);
        for (at, word) in words {
            bad[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        let _ = uki(&kernel, b"i").build(&bad);
        let _ = Uki::parse(&bad);
    }
}

#[test]
fn objdump_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uki.efi");
    let kernel = kernel(0x100);
    std::fs::write(&path, uki(&kernel, &[1; 9000]).build(&stub(8)).unwrap()).unwrap();
    let Ok(output) = Command::new("objdump")
        .arg("-hp")
        .arg(&path)
        .env("LC_ALL", "C")
        .output()
    else {
        eprintln!("SKIPPED objdump_agrees: no objdump (package binutils)");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("pei-x86-64") {
        eprintln!("SKIPPED objdump_agrees: this objdump does not know PE images");
        return;
    }
    let wanted = [
        "SizeOfImage",
        "SizeOfHeaders",
        "SizeOfInitializedData",
        " .",
        "File",
    ];
    let lines = text.lines().filter(|line| {
        wanted.iter().any(|word| line.contains(word))
            && !line.contains("Directory")
            && !line.contains("efi:")
    });
    let lines: Vec<_> = lines.map(|line| format!("{}\n", line.trim_end())).collect();
    expect![[r#"
        SizeOfInitializedData	0000000000003b5d
        FileAlignment		00000200
        SizeOfImage		0000c000
        SizeOfHeaders		00000400
        Idx Name          Size      VMA               LMA               File off  Algn
          0 .text         000002bc  0000000140001000  0000000140001000  00000400  2**4
          1 .sbat         000000cc  0000000140002000  0000000140002000  00000800  2**2
          2 .sdmagic      0000000b  0000000140003000  0000000140003000  00000a00  2**2
          3 .osrel        00000017  0000000140004000  0000000140004000  00000c00  2**2
          4 .cmdline      00000013  0000000140005000  0000000140005000  00000e00  2**2
          5 .uname        0000000b  0000000140006000  0000000140006000  00001000  2**2
          6 .linux        00001800  0000000140007000  0000000140007000  00001200  2**2
          7 .initrd       00002328  0000000140009000  0000000140009000  00002a00  2**2
    "#]]
    .assert_eq(&lines.concat());
}

/// Where systemd's own tool and stub are installed, ours must give its bytes.
#[test]
fn ukify_gives_the_same_bytes() {
    let stub = std::env::var("NOS_TEST_STUB")
        .unwrap_or_else(|_| "/usr/lib/systemd/boot/efi/linuxx64.efi.stub".into());
    let ukify = std::env::var("NOS_TEST_UKIFY").unwrap_or_else(|_| "ukify".into());
    let version = Command::new(&ukify).arg("--version").output();
    let version = version.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    // Other versions may well choose otherwise.
    if !version.is_ok_and(|text| text.contains(" 257")) || !Path::new(&stub).exists() {
        eprintln!(
            "SKIPPED ukify_gives_the_same_bytes: needs systemd-ukify and systemd-boot-efi 257"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, data: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, data).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (kernel, initrd) in [(kernel(0x100), vec![7; 5000]), (kernel(0), b"x".to_vec())] {
        let ours = uki(&kernel, &initrd);
        let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
        let theirs = file("theirs.efi", b"");
        let status = Command::new(&ukify)
            .arg("build")
            .args([
                "--linux",
                &file("linux", &kernel),
                "--initrd",
                &file("initrd", &initrd),
            ])
            .args([
                "--cmdline",
                &text(ours.cmdline),
                "--uname",
                &text(ours.uname),
            ])
            .args([
                "--os-release",
                &text(ours.os_release),
                "--stub",
                &stub,
                "--output",
                &theirs,
            ])
            .output()
            .unwrap();
        assert!(
            status.status.success(),
            "{}",
            String::from_utf8_lossy(&status.stderr)
        );
        let ours = ours.build(&std::fs::read(&stub).unwrap()).unwrap();
        assert!(
            std::fs::read(theirs).unwrap() == ours,
            "ukify's bytes differ from ours"
        );
    }
}
