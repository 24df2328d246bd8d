//! A small allocator for one thread: powers of two, one free list each.
//!
//! init allocates little and for long; what matters is that it never grows without bound and
//! costs few pages. Blocks of up to half a page-run come from a region that grows by whole pages,
//! a freed block returns to the list of its size; larger ones are mappings of their own.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

const SMALLEST_SHIFT: u32 = 4;
const LARGEST_SHIFT: u32 = 15;
const CLASSES: usize = (LARGEST_SHIFT - SMALLEST_SHIFT + 1) as usize;
const REGION_BYTES: usize = 64 * 1024;

struct State {
    free: [*mut u8; CLASSES],
    next: usize,
    end: usize,
}

/// The allocator; see the module.
pub(crate) struct Allocator(UnsafeCell<State>);

// SAFETY: init never has a second thread, and no signal handler (signals arrive through a
// descriptor), so no two calls overlap.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// An allocator that owns nothing yet.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(State {
            free: [null_mut(); CLASSES],
            next: 0,
            end: 0,
        }))
    }
}

/// The size class of a layout, or `None` where it is a mapping of its own.
fn class(layout: &Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(1 << SMALLEST_SHIFT);
    let shift = size.checked_next_power_of_two()?.trailing_zeros();
    (shift <= LARGEST_SHIFT).then_some((shift - SMALLEST_SHIFT) as usize)
}

// SAFETY: every block is handed out to one owner at a time: it is either on exactly one free list
// or allocated. Block addresses are multiples of their size, which is at least the alignment
// asked for (mappings: of a page, and no type of init is aligned to more).
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(&layout) else {
            return nos_init::map_memory(layout.size());
        };
        // SAFETY: one thread, no reentrance (see `Sync`), so this is the only reference.
        let state = unsafe { &mut *self.0.get() };
        let head = state.free[class];
        if !head.is_null() {
            // SAFETY: a block on a free list is at least 16 bytes, is aligned to 16 and holds
            // the address of the next one in its first word.
            state.free[class] = unsafe { head.cast::<*mut u8>().read() };
            return head;
        }
        let size = 1_usize << (class as u32 + SMALLEST_SHIFT);
        let mut at = state.next.next_multiple_of(size);
        if state.next == 0 || at + size > state.end {
            let region = nos_init::map_memory(REGION_BYTES);
            if region.is_null() {
                return null_mut();
            }
            state.end = region as usize + REGION_BYTES;
            at = (region as usize).next_multiple_of(size);
        }
        state.next = at + size;
        at as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class(&layout) else {
            nos_init::unmap_memory(block, layout.size());
            return;
        };
        // SAFETY: as in `alloc`.
        let state = unsafe { &mut *self.0.get() };
        // SAFETY: the caller gives the block back, so nobody else uses its first word.
        unsafe { block.cast::<*mut u8>().write(state.free[class]) };
        state.free[class] = block;
    }
}
