//! A local virtual machine: QEMU, firmware, console, forwarded ports.
#![forbid(unsafe_code)]
