//! What is other than a whole call with a whole answer.

use std::time::Instant;

use http::StatusCode;

use super::{Key, Lane};
use crate::shop::sign::Sign;

/// Something other than a whole call with a whole answer.
#[derive(Clone, Debug)]
pub(in crate::shop) struct Anomaly {
    pub(in crate::shop) lane: Lane,
    /// `None` where it is not known which call it was.
    pub(in crate::shop) key: Option<Key>,
    pub(in crate::shop) at: Instant,
    pub(in crate::shop) what: What,
}

/// On which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shop) enum End {
    Caller,
    Callee,
}

#[derive(Clone, Debug)]
pub(in crate::shop) enum What {
    /// An application was fooled.
    Fooled(Fooled),
    /// An application had an error.
    Error(End, Sign),
    /// The mesh reported a finding of this name.
    Finding(End, String),
}

/// How an application was fooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shop) enum Fooled {
    Request,
    Twice,
    Stranger,
    Answer,
    Forged,
    Outcome,
}

impl Fooled {
    pub(in crate::shop) fn text(self) -> &'static str {
        match self {
            Self::Request => "callee took a changed request",
            Self::Twice => "callee did it twice",
            Self::Stranger => "callee took a call nobody made",
            Self::Answer => "caller took a changed answer",
            Self::Forged => "caller believed a forged answer",
            Self::Outcome => "caller was told a false outcome",
        }
    }
}

/// A call with a whole answer that served nobody: refused, or failed by the callee.
#[derive(Clone, Debug)]
pub(in crate::shop) struct TurnedAway {
    pub(in crate::shop) lane: Lane,
    pub(in crate::shop) at: Instant,
    pub(in crate::shop) status: StatusCode,
}
