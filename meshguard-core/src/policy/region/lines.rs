//! The axes, each with its classes.

pub(super) mod claims;
pub(super) mod header;
pub(super) mod operations;
pub(super) mod ordered;
pub(super) mod peers;

use super::TooComplex;

/// The most classes that sets of one kind have together: 128 MiB of bits.
const MOST: usize = 1 << 30;

/// Whether so many sets of so many classes have room.
pub(super) fn room(sets: usize, classes: usize) -> Result<(), TooComplex> {
    let bits = sets.checked_mul(classes).filter(|bits| *bits <= MOST);
    bits.map(|_| ()).ok_or(TooComplex::Size)
}
