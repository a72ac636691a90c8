//! The three services, as anybody would write them, and their books.

pub(super) mod gateway;
pub(super) mod orders;
pub(super) mod payments;
