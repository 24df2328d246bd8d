//! The memory functions that the compiler calls by name.
//!
//! `rep movsb` and `rep stosb` are the shortest form and, on any processor of the last ten years,
//! also a fast one. Nothing here may be written as a loop that the compiler could turn back into
//! a call of the very same function, hence the volatile reads of the comparison.

use core::arch::asm;

/// Copies `n` bytes between buffers that do not overlap.
///
/// # Safety
/// As the C function: both buffers are valid for `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller vouches for `n` readable and `n` writable bytes; the direction flag is
    // clear at every function's entry.
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
    to
}

/// Copies `n` bytes between buffers that may overlap.
///
/// # Safety
/// As the C function: both buffers are valid for `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: the target begins before the source or after its end: a forward copy reads
        // every byte before it is overwritten.
        return unsafe { memcpy(to, from, n) };
    }
    // SAFETY: `n` > 0 here, so the last byte of each buffer exists. Copying backwards reads every
    // byte before it is overwritten; the direction flag is restored.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _,
             inout("rdi") to.add(n - 1) => _, inout("rsi") from.add(n - 1) => _,
             options(nostack));
    }
    to
}

/// Sets `n` bytes.
///
/// # Safety
/// As the C function: the buffer is valid for `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller vouches for `n` writable bytes.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8,
             options(nostack, preserves_flags));
    }
    to
}

/// Compares `n` bytes.
///
/// # Safety
/// As the C function: both buffers are valid for `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: `i` < `n`, for which the caller vouches.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// Whether `n` bytes differ.
///
/// # Safety
/// As the C function: both buffers are valid for `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: same contract.
    unsafe { memcmp(a, b, n) }
}

/// Length of a C string.
///
/// # Safety
/// As the C function: the string ends with a zero byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: no byte after the terminating one is read.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}
