//! Why a body was not delivered.

mod cut;
mod kind;
mod status;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use meshguard_core::delivery::{Exceeded, RecordError, RecordErrorKind};

pub(crate) use cut::Said;
pub use kind::DeliveryErrorKind;
pub(crate) use status::{Status, status};

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

pub(crate) type SharedError = Arc<dyn StdError + Send + Sync>;

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
    source: Option<SharedError>,
    status: Option<Status>,
}

impl Inner {
    fn new(kind: DeliveryErrorKind, got: u64, of: Option<u64>) -> Self {
        Self { kind, got, of, records: None, source: None, status: None }
    }
}

impl DeliveryError {
    pub(crate) fn new(kind: DeliveryErrorKind, got: u64, of: Option<u64>) -> Self {
        Self(Arc::new(Inner::new(kind, got, of)))
    }

    pub(crate) fn caused(kind: DeliveryErrorKind, got: u64, source: impl Into<BoxError>) -> Self {
        let source = Some(source.into().into());
        Self(Arc::new(Inner { source, ..Inner::new(kind, got, None) }))
    }

    /// The connection failed under a body of which `got` bytes had come.
    pub(crate) fn transport(got: u64, of: Option<u64>, source: BoxError) -> Self {
        let source = Some(source.into());
        Self(Arc::new(Inner { source, ..Inner::new(DeliveryErrorKind::Transport, got, of) }))
    }

    /// An error from a body that another layer guards: its own, if it is one of these.
    pub(crate) fn passed(error: BoxError) -> Self {
        match Self::find(&*error) {
            Some(own) => own,
            None => Self::caused(DeliveryErrorKind::Transport, 0, error),
        }
    }

    pub(crate) fn records(error: RecordError, source: Option<BoxError>) -> Self {
        let kind = DeliveryErrorKind::Records(error.kind());
        let of = error.expected().map(|(_, len)| len);
        let inner = Inner::new(kind, error.got().1, of);
        Self(Arc::new(Inner { records: Some(error), source: source.map(Arc::from), ..inner }))
    }

    /// The same with the status of gRPC that says it, for who looks for one among the sources.
    pub(crate) fn with_status(self) -> Self {
        let Inner { kind, got, of, records, source, .. } = &*self.0;
        let shown = source.clone().filter(|_| kind.shows_source());
        let status = status(kind.grpc_code(), self.to_string(), shown);
        let (records, source) = (records.clone(), source.clone());
        Self(Arc::new(Inner { kind: *kind, got: *got, of: *of, records, source, status }))
    }

    /// This side's body broke off: one of these errors is behind it, or the application's own.
    pub(crate) fn own(error: &(dyn StdError + 'static)) -> Self {
        let of_application =
            || Self::caused(DeliveryErrorKind::OwnBody, 0, Said(error).to_string());
        Self::find(error).unwrap_or_else(of_application)
    }

    /// The first of these errors among an error and what caused it.
    fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return Some(own.clone());
            }
            next = cause.source();
        }
        None
    }

    /// Whether the stream or its connection ended with an error under it. What ends cleanly and is
    /// not whole is something else: somebody made it look whole.
    pub(crate) fn is_broken_off(&self) -> bool {
        use DeliveryErrorKind::{Records, Transport};
        let of_transport = matches!(self.0.kind, Records(RecordErrorKind::Truncated) | Transport);
        of_transport && self.0.source.is_some()
    }

    /// Which limit was exceeded, and by what.
    #[must_use]
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.0.records.as_ref()?.exceeded()
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
        let Inner { kind, got, of, records, source, .. } = &*self.0;
        if let Some(records) = records {
            records.fmt(f)?;
        } else {
            f.write_str(kind.sentence())?;
            match of {
                // What this side has given itself is not counted here.
                _ if *kind == DeliveryErrorKind::OwnBody => {}
                Some(of) => write!(f, ": got {got} of {of} bytes")?,
                None => write!(f, ": got {got} bytes")?,
            }
        }
        match source {
            Some(source) => write!(f, " ({})", Said(&**source)),
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
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Some(status) = &self.0.status {
            return Some(status);
        }
        let source = self.0.source.as_ref().filter(|_| self.0.kind.shows_source());
        source.map(|e| &**e as _)
    }
}
