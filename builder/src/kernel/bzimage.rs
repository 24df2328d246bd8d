//! The release string of an x86 Linux image.

/// How much of an image [`release_of_image`] needs: the setup code, at most 64 sectors.
pub const RELEASE_SCAN_BYTES: usize = 65 * 512;

/// Longest release accepted (`__NEW_UTS_LEN`).
const MAX_RELEASE_BYTES: usize = 64;

/// Reads the release from the beginning of a `bzImage`, by the
/// [x86 boot protocol](https://docs.kernel.org/arch/x86/boot.html): `kernel_version` at 0x20E
/// points, less 0x200, to a text that begins with the release.
///
/// # Errors
/// What is wrong with the image.
pub fn release_of_image(head: &[u8]) -> Result<String, &'static str> {
    if head.get(0x202..0x206) != Some(b"HdrS") {
        return Err("the boot protocol's header is missing");
    }
    let pointer = head
        .get(0x20e..0x210)
        .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
        .filter(|&pointer| pointer != 0)
        .ok_or("it does not say its release")?;
    let text = head
        .get(pointer + 0x200..)
        .ok_or("its release lies outside the file")?;
    let text = &text[..text.len().min(MAX_RELEASE_BYTES + 1)];
    let end = text
        .iter()
        .position(|&b| b == b' ' || b == 0)
        .ok_or("its release is longer than 64 bytes")?;
    match std::str::from_utf8(&text[..end]) {
        Ok(release) if !release.is_empty() => Ok(release.to_owned()),
        _ => Err("its release is not text"),
    }
}
