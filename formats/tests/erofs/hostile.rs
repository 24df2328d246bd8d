//! Damaged images: an error or other content, never a panic and never endless.

use std::io::{self, Write};
use std::sync::LazyLock;

use nos_formats::erofs::{Compression, Image, Options, ReadError};
use nos_formats::tree::Kind;
use proptest::prelude::*;

use crate::support::*;

/// Counts what it is given, and refuses to take more than 64 MiB.
struct Bounded(usize);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        match self.0 {
            0..=0x400_0000 => Ok(bytes.len()),
            _ => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads all there is.
fn read_all(bytes: &[u8]) -> Result<(), ReadError> {
    let image = Image::open(bytes)?;
    for (_, node) in image.tree()?.iter() {
        if let Kind::File(inode) = &node.kind {
            image.read_to(inode, &mut Bounded(0))?;
        }
    }
    Ok(())
}

/// A small image of each form, without checksum so that damage gets past the door.
fn images() -> Vec<Vec<u8>> {
    let mut tree = sample();
    tree.remove(&path("usr/lib"));
    add_file(&mut tree, "usr/lib/text", text(1, 90_000));
    add_file(
        &mut tree,
        "usr/lib/mixed",
        [text(3, 30_000), noise(4, 50_000)].concat(),
    );
    let mut images: Vec<Vec<u8>> = forms().iter().map(|o| image(&tree, o)).collect();
    for image in &mut images {
        image[1024 + 8] &= !1;
    }
    images
}

static IMAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(images);

#[test]
fn each_byte_of_the_first_metadata_may_be_wrong() {
    for image in IMAGES.iter() {
        for at in 1024..image.len().min(3072) {
            let mut damaged = image.clone();
            // Each byte in one of four ways; what any one way misses, the random ones below try.
            damaged[at] = [0, 0xff, image[at] ^ 1, image[at] ^ 0x80][at % 4];
            let _ = read_all(&damaged);
        }
    }
}

#[test]
fn the_door_is_guarded() {
    let good = image(&sample(), &Options::default());
    let open = |bytes: &[u8]| Image::open(bytes).map(|_| ()).unwrap_err().to_string();
    assert!(open(&[]).contains("not an EROFS"));
    assert!(open(&good[..2000]).contains("shorter than one block"));
    assert!(open(&good[..good.len() - 1]).contains("cut short"));
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        open(&bytes)
    };
    assert!(with(1024, 0).contains("not an EROFS"));
    assert!(with(1024 + 12, 9).contains("block size"));
    assert!(with(1024 + 81, 1).contains("newer"));
    assert!(with(1024 + 50, 1).contains("checksum"));
}

#[test]
fn a_directory_inside_itself_is_refused() {
    let mut tree = Files::new();
    add(&mut tree, "a", 0o755, Kind::Directory);
    let options = Options {
        compression: Compression::None,
        ..Options::default()
    };
    let mut bytes = image(&tree, &options);
    bytes[1024 + 8] &= !1;
    let root = u64::from(u16::from_le_bytes([bytes[1038], bytes[1039]]));
    // The root's records are behind its 32 bytes: ".", "..", "a".
    let records = (root * 32 + 32) as usize;
    bytes[records + 24..records + 32].copy_from_slice(&root.to_le_bytes());
    let image = Image::open(&bytes).unwrap();
    assert!(image.tree().unwrap_err().to_string().contains("two names"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_damage_is_survived(
        form in 0usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        near in any::<bool>(),
    ) {
        let mut bytes = IMAGES[form].clone();
        // Metadata is where damage has consequences.
        let reach = if near { 16384.min(bytes.len()) } else { bytes.len() };
        for (at, value) in changes {
            bytes[at.index(reach)] = value;
        }
        let _ = read_all(&bytes);
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 4096..20_000)) {
        let good = &IMAGES[0][..1024 + 128];
        bytes[..good.len()].copy_from_slice(good);
        bytes[1024 + 36..1024 + 40].copy_from_slice(&4u32.to_le_bytes());
        bytes.resize(16384, 0);
        let _ = read_all(&bytes);
    }
}
