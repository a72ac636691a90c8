//! The status of gRPC in a failure: a client or a service of tonic's takes the first one that it
//! finds among an error's sources, and says `Unknown` where there is none.

use super::SharedError;

/// The status; without tonic there is none.
#[cfg(feature = "tonic")]
pub(crate) type Status = tonic::Status;
#[cfg(not(feature = "tonic"))]
pub(crate) type Status = std::convert::Infallible;

/// The status with this code, which says this; behind it, what caused it.
#[cfg(feature = "tonic")]
pub(crate) fn status(code: i32, text: String, source: Option<SharedError>) -> Option<Status> {
    let mut status = Status::new(code.into(), text);
    if let Some(source) = source {
        status.set_source(source);
    }
    Some(status)
}

#[cfg(not(feature = "tonic"))]
pub(crate) fn status(_: i32, _: String, _: Option<SharedError>) -> Option<Status> {
    None
}
