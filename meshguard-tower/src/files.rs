//! Files that others write, read when they are whole.
//!
//! A writer may be at work at any moment, and half of a policy may allow what the whole denies. So a
//! file is read when its [`Mark`] was the same at two looks, and is the same again after the reading.
//! What is mounted by a `..data` link, as Kubernetes does, is written before the link is swapped: that
//! is read at once.
//!
//! **Two looks and the clock.** A system notes times of files as coarsely as its timer ticks, 10 ms at
//! most. Looks are at least [`MIN_EVERY`] apart, so a write after the second of two equal looks has a
//! later time than they show, and the look after the reading, or the next one, sees it. Where times are
//! coarser (FAT, old file servers), the length tells of what is appended.
//!
//! **At a start** nobody has looked before. A file whose two times (of its content and of its inode)
//! are older than [`QUIET`] showed the same mark at any moment since: that is as good as a first look
//! [`QUIET`] ago, and it is read without waiting. A younger one is looked at again after [`PAUSE`], and
//! one that is still being written after [`PATIENCE`] such looks is an error. This trusts the clock
//! that the file was stamped with to be less than [`QUIET`] behind the own one; a time in the future
//! is a young one. `Mesh::reload`, for which somebody waits, does the same. A service that follows its
//! files trusts no clock: there two looks count, and nothing else.
//!
//! All of this blocks. A mesh that runs calls it in threads that may (`spawn_blocking`).

mod disk;
mod watched;

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests;

pub(crate) use disk::{Disk, Mark, System};
pub(crate) use watched::{Look, Text, Unsettled, Watched};

use std::time::Duration;

/// The shortest time between two looks at a file: the times that a system notes of files are no finer than some
/// milliseconds.
pub(crate) const MIN_EVERY: Duration = Duration::from_millis(20);
/// The time between two looks at a file by a caller that waits for it.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// A file that has not changed for so long needs no second look by a caller that waits for it.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
/// At a start, looks at a file that is being written.
pub(crate) const PATIENCE: u32 = 20;
/// Looks in a row at a file that changes all the time, after which that is told.
pub(crate) const RESTLESS: u32 = 30;
