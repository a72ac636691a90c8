//! Buffers for heads, kept by each thread: making and checking a head allocates nothing.

use std::cell::RefCell;

/// A field's text, and a base.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) field: Vec<u8>,
    pub(crate) base: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Above this many bytes a buffer is not kept.
const KEEP: usize = 64 * 1024;

/// Lends this thread's buffers. Must not be called from within `f`.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|cell| match cell.try_borrow_mut() {
        Ok(mut scratch) => {
            let result = f(&mut scratch);
            if scratch.base.capacity() > KEEP {
                scratch.base = Vec::new();
            }
            result
        }
        Err(_) => f(&mut Scratch::default()),
    })
}
