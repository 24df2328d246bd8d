//! Kernel modules.

use super::{Errno, Fd, Result, call, file, zero_terminated};

/// What the kernel appends to a signed module, after the signature and its description.
const MARKER: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature`: the last four bytes are the signature's length.
const DESCRIPTION_BYTES: usize = 12;

/// Length of a module without the signature at its end, given the end of its file.
fn unsigned_length(length: usize, end: &[u8]) -> Option<usize> {
    let description = end.strip_suffix(MARKER)?;
    let signature = description
        .last_chunk::<4>()
        .map(|b| u32::from_be_bytes(*b))?;
    let appended = MARKER.len() + DESCRIPTION_BYTES + usize::try_from(signature).ok()?;
    length.checked_sub(appended).filter(|rest| *rest > 0)
}

/// Loads a module from an open file, first without its signature; one that is compressed goes to
/// the kernel as it is.
///
/// The kernel spends more time on checking the signature of a module than on all else that it
/// does with it, and here the check proves nothing: the module lies in the same file, covered by
/// the same signature or measurement, as this program, which is asking for it. A kernel that
/// insists on signatures (Secure Boot) refuses, and then gets the whole file.
///
/// `parameters` are as on a command line without the module's name: `queue_depth=128 other=1`.
///
/// # Errors
/// What the kernel says; `EEXIST` for a module that is already there, `ENODEV` for one that finds
/// nothing to drive.
pub fn load(file: &Fd, is_compressed: bool, parameters: &str) -> Result<()> {
    const MODULE_INIT_COMPRESSED_FILE: usize = 4;
    if is_compressed {
        return load_whole(file, MODULE_INIT_COMPRESSED_FILE, parameters);
    }
    match load_unsigned(file, parameters) {
        Err(Errno(libc::EPERM | libc::EKEYREJECTED | libc::ENOKEY | libc::EINVAL)) => {
            load_whole(file, 0, parameters)
        }
        other => other,
    }
}

fn load_whole(file: &Fd, flags: usize, parameters: &str) -> Result<()> {
    let parameters = zero_terminated(parameters)?;
    // SAFETY: the parameters are a zero-terminated string that outlives the call.
    unsafe {
        call(
            libc::SYS_finit_module,
            &[file.argument(), parameters.as_ptr() as usize, flags],
        )
        .map(drop)
    }
}

fn load_unsigned(file: &Fd, parameters: &str) -> Result<()> {
    let parameters = zero_terminated(parameters)?;
    let length = file::length(file)?;
    let mut end = [0_u8; DESCRIPTION_BYTES + MARKER.len()];
    let offset = length.checked_sub(end.len()).ok_or(Errno(libc::EINVAL))?;
    file::read_at(file, &mut end, offset as u64)?;
    let unsigned = unsigned_length(length, &end).ok_or(Errno(libc::EINVAL))?;
    // SAFETY: a private, read-only mapping at an address of the kernel's choice.
    let address = unsafe {
        call(
            libc::SYS_mmap,
            &[
                0,
                length,
                libc::PROT_READ as usize,
                libc::MAP_PRIVATE as usize,
                file.argument(),
                0,
            ],
        )
    }?;
    // SAFETY: the kernel reads `unsigned` bytes, fewer than are mapped, and the zero-terminated string
    // of parameters.
    let loaded = unsafe {
        call(
            libc::SYS_init_module,
            &[address, unsigned, parameters.as_ptr() as usize],
        )
    };
    // SAFETY: the mapping was made above and no reference into it was ever taken.
    let _ = unsafe { call(libc::SYS_munmap, &[address, length]) };
    loaded.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(signature: u32) -> Vec<u8> {
        let mut end = vec![0_u8; 8];
        end.extend_from_slice(&signature.to_be_bytes());
        end.extend_from_slice(MARKER);
        end
    }

    #[test]
    fn the_signature_is_cut_off() {
        assert_eq!(unsigned_length(1000, &end(256)), Some(1000 - 256 - 12 - 28));
    }

    #[test]
    fn what_is_not_signed_or_lies_is_left_whole() {
        assert_eq!(unsigned_length(1000, &[0; 40]), None);
        assert_eq!(unsigned_length(1000, &end(961)), None);
        assert_eq!(unsigned_length(1000, &end(960)), None);
        assert_eq!(unsigned_length(1000, &end(u32::MAX)), None);
        assert_eq!(unsigned_length(10, MARKER), None);
    }
}
