//! Why a body was not delivered.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use meshguard_core::delivery::{RecordError, RecordErrorKind};

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A body that is not, or not all, what its sender sent. Cloning is cheap.
///
/// Application code meets it as the error of a request's or an answer's body, and may ask
/// [`Delivery::failure`](crate::Delivery::failure) for it.
#[derive(Clone)]
pub struct DeliveryError(Arc<Inner>);

struct Inner {
    kind: DeliveryErrorKind,
    got: u64,
    of: Option<u64>,
    records: Option<RecordError>,
    source: Option<BoxError>,
}

/// What was wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryErrorKind {
    /// Its records are not a whole body.
    Records(RecordErrorKind),
    /// It ended short of what its head had promised.
    Short,
    /// It is not the body that its head was proved with.
    Digest,
    /// It is longer than its head allows: any at all where there should be none.
    Long,
    /// Trailers that were promised did not come, or others did.
    Trailers,
    /// It did not come in time.
    Timeout,
    /// It came whole, but not the receipt of the request that it answers.
    NoReceipt,
    /// It was cut off: its far end has no right to be here any more.
    Withdrawn,
    /// The connection failed, or the far application's body did, under a body that nothing
    /// proves.
    Transport,
}

impl DeliveryErrorKind {
    /// A short name, for logs and counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Records(kind) => kind.as_str(),
            Self::Short => "short",
            Self::Digest => "digest",
            Self::Long => "long",
            Self::Trailers => "trailers",
            Self::Timeout => "timeout",
            Self::NoReceipt => "no-receipt",
            Self::Withdrawn => "withdrawn",
            Self::Transport => "transport",
        }
    }
}

impl DeliveryError {
    pub(crate) fn new(kind: DeliveryErrorKind, got: u64, of: Option<u64>) -> Self {
        Self(Arc::new(Inner { kind, got, of, records: None, source: None }))
    }

    pub(crate) fn caused(kind: DeliveryErrorKind, got: u64, source: impl Into<BoxError>) -> Self {
        let source = Some(source.into());
        Self(Arc::new(Inner { kind, got, of: None, records: None, source }))
    }

    /// The connection failed under a body of which `got` bytes had come.
    pub(crate) fn transport(got: u64, of: Option<u64>, source: BoxError) -> Self {
        let kind = DeliveryErrorKind::Transport;
        Self(Arc::new(Inner { kind, got, of, records: None, source: Some(source) }))
    }

    /// An error from a body that another layer guards: its own, if it is one of these.
    pub(crate) fn passed(error: BoxError) -> Self {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&*error);
        while let Some(cause) = next {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            next = cause.source();
        }
        Self::caused(DeliveryErrorKind::Transport, 0, error)
    }

    pub(crate) fn records(error: RecordError, source: Option<BoxError>) -> Self {
        Self(Arc::new(Inner {
            kind: DeliveryErrorKind::Records(error.kind()),
            got: error.got().1,
            of: error.expected().map(|(_, len)| len),
            records: Some(error),
            source,
        }))
    }

    /// What was wrong.
    #[must_use]
    pub fn kind(&self) -> DeliveryErrorKind {
        self.0.kind
    }

    /// Payload bytes that came, verified where records prove them.
    #[must_use]
    pub fn got(&self) -> u64 {
        self.0.got
    }

    /// Payload bytes that there should have been, where that is known.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.0.of
    }
}

impl From<RecordError> for DeliveryError {
    fn from(error: RecordError) -> Self {
        Self::records(error, None)
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, got, of, records, source } = &*self.0;
        if let Some(records) = records {
            records.fmt(f)?;
        } else {
            f.write_str(match kind {
                DeliveryErrorKind::Short => "the body was cut before its end",
                DeliveryErrorKind::Digest => "the body is not what its head was proved with",
                DeliveryErrorKind::Long => "there is more body than the head allows",
                DeliveryErrorKind::Trailers => "the trailers are not those that were promised",
                DeliveryErrorKind::Timeout => "the body did not come in time",
                DeliveryErrorKind::NoReceipt => "the callee did not confirm the request",
                DeliveryErrorKind::Withdrawn => "its far end has no right to be here any more",
                DeliveryErrorKind::Records(_) => "the records are not a whole body",
                DeliveryErrorKind::Transport => "the body failed on its way",
            })?;
            match of {
                Some(of) => write!(f, ": got {got} of {of} bytes")?,
                None => write!(f, ": got {got} bytes")?,
            }
        }
        match source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveryError({:?}: {self})", self.0.kind)
    }
}

impl StdError for DeliveryError {
    /// Never the transport's error: whoever looks for one would judge by it. tonic takes a
    /// stream that fails with h2's CANCEL for complete. It stands in the text.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.0.kind {
            DeliveryErrorKind::Records(_) | DeliveryErrorKind::Transport => None,
            _ => self.0.source.as_ref().map(|e| &**e as _),
        }
    }
}
