//! Where policies come from.
//!
//! A [`PolicySource`] brings a mesh its policies one after the other: from a [file](PolicyFile),
//! from the program itself ([`policy_channel`]), or from wherever else an implementation of the
//! trait has them. What it brings is put in force, or refused with a reason, and the source is
//! told which; [`Mesh::policy_status`](crate::Mesh::policy_status) shows the same.
//!
//! With a deadline
//! ([`policy_stale_after`](crate::MeshBuilder::policy_stale_after)) a policy holds only as long as
//! its source says that it is the newest: a service that is cut off from its source ends up
//! denying all, and not with a policy of long ago.

mod file;
mod handle;

use std::pin::Pin;
use std::sync::Arc;

use meshguard_core::Policy;

pub use file::PolicyFile;
pub(crate) use file::Reader;
pub use handle::{Offered, PolicyFeed, PolicyHandle, policy_channel};

use crate::mesh::ReloadError;

/// The future of [`PolicySource::next`].
pub type NextNews<'a> = Pin<Box<dyn Future<Output = Option<News>> + Send + 'a>>;

/// What a source has to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum News {
    /// A policy. It is put in force unless its version is below the one in force.
    Policy(Box<Policy>),
    /// What it brought last is still the newest there is.
    Fresh,
    /// There may be a newer one, and it cannot be used. What is in force stays, until its
    /// deadline.
    Failed(ReloadError),
}

/// Brings a mesh its policies.
///
/// It is polled in a task of its own, from the mesh's first `listen` or `channel` on, and dropped
/// with the mesh.
pub trait PolicySource: Send + 'static {
    /// What it is, for an operator.
    fn name(&self) -> &str;

    /// Waits for the next news; `None`: there will be none any more. The future is dropped and
    /// asked for anew at will: news must not be lost with it.
    fn next(&mut self) -> NextNews<'_>;

    /// What became of a policy or of a failure that it brought: the version that is in force now,
    /// or why that is not the one.
    fn told(&mut self, outcome: &Result<u64, Arc<ReloadError>>) {
        let _ = outcome;
    }
}
