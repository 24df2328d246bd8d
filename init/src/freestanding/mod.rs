//! What a standard library would bring: the entry point, memory functions, an allocator and a
//! panic handler.

mod allocator;
mod memory;
mod unwind;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

// The kernel enters with the argument count at the stack pointer and no return address. PID 1
// needs no arguments (the command line is in /proc/cmdline), so all that is left to do is to
// align the stack as the ABI wants it before a call.
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym start,
);

extern "C" fn start() -> ! {
    nos_init::run()
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    nos_init::on_panic(info)
}
