//! Opening an image through dm-verity.
//!
//! The device mapper is told by ioctl (`include/uapi/linux/dm-ioctl.h`, interface version 4);
//! the messages are built as bytes here and sent by [`crate::sys::device_mapper`]. With no
//! option in the table, a block that does not match its root hash is an input/output error for
//! whoever reads it, and never data.

use crate::sys::{self, Errno, Fd, file};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use nos_manifest::Image;

const HEADER_BYTES: usize = 312;
const TARGET_BYTES: usize = 40;
const NAME_BYTES: usize = 128;
const READ_ONLY: u32 = 1;
const CREATE: u8 = 3;
const REMOVE: u8 = 4;
const SUSPEND_OR_RESUME: u8 = 6;
const LOAD_TABLE: u8 = 9;
const SECTORS_PER_BLOCK: u64 = 8;

/// The parameters of a verity target (`Documentation/admin-guide/device-mapper/verity.rst`);
/// `device` is `major:minor` or a path.
pub fn table(image: &Image, device: &str) -> String {
    let salt = if image.salt.is_empty() {
        "-"
    } else {
        &image.salt
    };
    format!(
        "1 {device} {device} 4096 4096 {} {} sha256 {} {salt}",
        image.data_blocks, image.hash_start_block, image.root_hash
    )
}

fn message(name: &str, flags: u32, payload: &[u8]) -> Option<Vec<u8>> {
    if name.len() >= NAME_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    for word in [4, 0, 0, u32::try_from(HEADER_BYTES + payload.len()).ok()?] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let targets = u32::from(!payload.is_empty());
    for word in [HEADER_BYTES as u32, targets, 0, flags, 0, 0] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(payload);
    Some(bytes)
}

fn target(sectors: u64, parameters: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&0_u64.to_ne_bytes());
    bytes.extend_from_slice(&sectors.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(b"verity");
    bytes.resize(TARGET_BYTES, 0);
    bytes.extend_from_slice(parameters.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// The minor number that the kernel has written into a message.
fn minor(message: &[u8]) -> u32 {
    let device = message
        .get(40..48)
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_ne_bytes);
    (device & 0xff | device >> 12 & 0xfff_ff00) as u32
}

/// The device mapper's control device.
///
/// # Errors
/// What the kernel says: `ENOENT` where it has no device mapper.
pub fn control() -> sys::Result<Fd> {
    file::open("/dev/mapper/control", file::Mode::Read)
}

/// Opens the image on `device` (`major:minor`) and gives the path of the verified device.
///
/// # Errors
/// What the kernel says; nothing is left behind.
pub fn open(control: &Fd, image: &Image, device: &str) -> sys::Result<String> {
    let invalid = Errno(libc::EINVAL);
    let name = format!("nos-{}", image.name);
    let sectors = image
        .data_blocks
        .checked_mul(SECTORS_PER_BLOCK)
        .ok_or(invalid)?;
    let send = |number, flags, payload: &[u8]| {
        let mut bytes = message(&name, flags, payload).ok_or(invalid)?;
        sys::device_mapper(control, number, &mut bytes).map(|()| bytes)
    };
    let created = send(CREATE, 0, &[])?;
    let loaded = send(
        LOAD_TABLE,
        READ_ONLY,
        &target(sectors, &table(image, device)),
    )
    .and_then(|_| send(SUSPEND_OR_RESUME, 0, &[]));
    if let Err(error) = loaded {
        let _ = send(REMOVE, 0, &[]);
        return Err(error);
    }
    Ok(format!("/dev/dm-{}", minor(&created)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            name: "web".into(),
            root_hash: "ab".repeat(32),
            salt: String::new(),
            data_blocks: 7,
            hash_start_block: 8,
            size_bytes: 0,
        }
    }

    #[test]
    fn the_table_is_what_veritysetup_would_load() {
        let hash = "ab".repeat(32);
        assert_eq!(
            table(&image(), "254:2"),
            format!("1 254:2 254:2 4096 4096 7 8 sha256 {hash} -")
        );
        let salted = Image {
            salt: "00ff".into(),
            ..image()
        };
        assert!(table(&salted, "254:2").ends_with(" 00ff"));
    }

    #[test]
    fn messages_have_the_kernel_s_layout() {
        let payload = target(56, "1 a b");
        assert_eq!(payload.len(), 48);
        assert_eq!(payload[8..16], 56_u64.to_ne_bytes());
        assert_eq!(&payload[24..31], b"verity\0");
        assert_eq!(&payload[40..], b"1 a b\0\0\0");
        let bytes = message("nos-web", READ_ONLY, &payload).unwrap();
        assert_eq!(bytes[0..4], 4_u32.to_ne_bytes());
        assert_eq!(bytes[12..16], 360_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], 312_u32.to_ne_bytes());
        assert_eq!(bytes[20..24], 1_u32.to_ne_bytes());
        assert_eq!(bytes[28..32], 1_u32.to_ne_bytes());
        assert_eq!(&bytes[48..56], b"nos-web\0");
        assert_eq!(bytes[312..], payload);
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert_eq!(message(&"x".repeat(128), 0, &[]), None);
        assert!(message(&"x".repeat(127), 0, &[]).is_some());
    }

    #[test]
    fn minor_numbers_above_255_are_read() {
        let mut bytes = message("x", 0, &[]).unwrap();
        // 253:300 in the kernel's split form.
        let device: u64 = 300 & 0xff | 253 << 8 | (300 & !0xff) << 12;
        bytes[40..48].copy_from_slice(&device.to_ne_bytes());
        assert_eq!(minor(&bytes), 300);
    }
}
