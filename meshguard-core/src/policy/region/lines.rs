//! The axes, each with its classes.

pub(super) mod claims;
pub(super) mod header;
pub(super) mod operations;
pub(super) mod ordered;
pub(super) mod peers;
