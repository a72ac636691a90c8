//! Why a call failed, behind its status.

use std::error::Error;

use meshguard_tower::{CallError, DeliveryError};
use tonic::Status;

/// What the mesh knows of a failed call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// There is no verified answer; says what is known of the request.
    Call(&'a CallError),
    /// A stream failed: what came of it was verified, and it is not all.
    Delivery(&'a DeliveryError),
}

/// Why the mesh failed a call. `None` where the status is the application's or tonic's, and where it
/// says all there is: of a call that its deadline ended, or of a message above a limit.
#[must_use]
pub fn cause(status: &Status) -> Option<Cause<'_>> {
    let mut next: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = next {
        if let Some(call) = error.downcast_ref() {
            return Some(Cause::Call(call));
        }
        if let Some(delivery) = error.downcast_ref() {
            return Some(Cause::Delivery(delivery));
        }
        next = error.source();
    }
    None
}
