//! Two names that the prebuilt `alloc` refers to in its clean-up paths for unwinding.
//!
//! Panics here abort, so nothing ever unwinds and neither is ever called; the linker only wants
//! the names.

/// Would choose the clean-up of a frame.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Would go on unwinding after a clean-up.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    nos_init::sys::process::exit(1)
}
