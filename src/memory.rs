//! How much the allocator keeps of what nobody needs any more.

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay`, in milliseconds: how long freed memory is kept before the system has it back. The enum's
/// value is the same in mimalloc 2 and 3; the binding does not name it.
const PURGE_DELAY: mi_option_t = 15;

/// Freed memory goes back to the system at once, from here on.
///
/// By default it goes when the allocator is next asked for something and a while has passed. A node's agent takes a
/// lot in its first second, to read everything there is, and then so little that the rest would stay forever: at 10,000
/// Services a third of all it has.
pub fn return_freed_at_once() {
    // SAFETY: it writes one integer of the allocator's own settings, atomically.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}

#[cfg(test)]
mod tests;
