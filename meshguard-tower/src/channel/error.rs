//! Why a call failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use meshguard_core::delivery::{Failure, Outcome};

use crate::error::{BoxError, DeliveryError, Said, SharedError, Status, status};
use crate::pool::ConnectError;
use crate::session::SessionError;
use crate::tls::{Alert, HandshakeErrorKind};

/// A call that failed, and what is known of its request. Cloning is cheap.
#[derive(Clone)]
pub struct CallError(Arc<Inner>);

struct Inner {
    kind: CallErrorKind,
    outcome: Outcome,
    source: Option<SharedError>,
    status: Option<Status>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// There is no connection. Nothing was sent.
    Connect,
    /// The callee, or the hop, refused this side in the TLS handshake, with this alert: its
    /// certificate has expired, was revoked, or is signed by nobody who is trusted there. Nothing
    /// was sent.
    HandshakeRefused(Alert),
    /// There is no session with the callee. Nothing was sent.
    Session(SessionError),
    /// The callee has spoken the delivery protocol before, and now does not. Nothing was sent.
    Downgrade,
    /// The request cannot be sent: its URI or its head.
    Request(&'static str),
    /// The request's own body broke off, or cannot be sent as it is: a message above the callee's
    /// limit, or one that is none of gRPC.
    Body(DeliveryError),
    /// The callee refused the request before it acted on it, over a direct connection: its HTTP
    /// parser did, or its layer, which names a decision. It can be sent again as far as that goes.
    Refused(StatusCode),
    /// The connection was lost before an answer came.
    NoAnswer,
    /// The answer carries no proof: the callee, a hop, or anybody on the path may have made it.
    Unproven(StatusCode),
    /// The answer's proof does not hold: it was changed, or answers something else.
    BadProof(StatusCode),
    /// The callee has seen this request before: somebody on the path repeated it.
    Duplicate,
    /// The callee refused the exchange: its window, its clock or its books.
    NotAdmitted,
    /// The callee answered, and its receipt says that it did not get what was sent.
    NotConfirmed {
        /// How.
        failure: Failure,
        /// Records and payload bytes that the callee got, where it says so.
        got: Option<(u64, u64)>,
        /// Records and payload bytes that were sent.
        of: Option<(u64, u64)>,
    },
    /// The answer's body failed.
    Answer(DeliveryError),
    /// The caller's deadline has passed.
    Deadline,
    /// The loop has cut this callee off: see [`Mesh::incidents`](crate::Mesh::incidents).
    /// Nothing was sent.
    Restricted,
}

impl PartialEq for DeliveryError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind(), self.got(), self.expected()) == (other.kind(), other.got(), other.expected())
    }
}

impl Eq for DeliveryError {}

impl CallErrorKind {
    /// A short name, for logs and counters.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::HandshakeRefused(_) => "handshake-refused",
            Self::Session(_) => "session",
            Self::Downgrade => "downgrade",
            Self::Request(_) => "request",
            Self::Body(error) => error.kind().as_str(),
            Self::Refused(_) => "refused",
            Self::NoAnswer => "no-answer",
            Self::Unproven(_) => "unproven",
            Self::BadProof(_) => "bad-proof",
            Self::Duplicate => "duplicate",
            Self::NotAdmitted => "not-admitted",
            Self::NotConfirmed { .. } => "not-confirmed",
            Self::Answer(error) => error.kind().as_str(),
            Self::Deadline => "deadline",
            Self::Restricted => "restricted",
        }
    }

    /// The code of gRPC that says it (<https://grpc.io/docs/guides/status-codes/>).
    #[must_use]
    pub fn grpc_code(&self) -> i32 {
        match self {
            Self::Session(SessionError::Denied(_)) => 7, // PERMISSION_DENIED
            Self::Connect
            | Self::HandshakeRefused(_)
            | Self::Session(_)
            | Self::Downgrade
            | Self::NoAnswer
            | Self::NotAdmitted
            | Self::Restricted => UNAVAILABLE,
            Self::Request(_) => 13,                              // INTERNAL
            Self::Deadline => 4,                                 // DEADLINE_EXCEEDED
            Self::Duplicate => 10,                               // ABORTED
            Self::BadProof(_) | Self::NotConfirmed { .. } => 15, // DATA_LOSS
            Self::Refused(status) | Self::Unproven(status) => code_of(*status),
            Self::Body(error) | Self::Answer(error) => error.kind().grpc_code(),
        }
    }
}

const UNAVAILABLE: i32 = 14;

/// The code of an answer that was not made by gRPC (gRPC's "HTTP to gRPC Status Code Mapping").
fn code_of(status: StatusCode) -> i32 {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 13, // INTERNAL
        StatusCode::UNAUTHORIZED => 16, // UNAUTHENTICATED
        StatusCode::FORBIDDEN => 7,     // PERMISSION_DENIED
        StatusCode::NOT_FOUND => 12,    // UNIMPLEMENTED
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => UNAVAILABLE,
        _ => 2, // UNKNOWN
    }
}

impl CallError {
    pub(crate) fn new(kind: CallErrorKind, outcome: Outcome) -> Self {
        Self(Arc::new(Inner { kind, outcome, source: None, status: None }))
    }

    pub(crate) fn caused(
        kind: CallErrorKind,
        outcome: Outcome,
        source: impl Into<BoxError>,
    ) -> Self {
        let source = Some(source.into().into());
        Self(Arc::new(Inner { kind, outcome, source, status: None }))
    }

    /// The far end refused this side before it said anything else.
    pub(crate) fn refused(kind: HandshakeErrorKind) -> Self {
        ConnectError::Handshake(kind).into()
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &CallErrorKind {
        &self.0.kind
    }

    /// The same with the status of gRPC that says it, for who looks for one among the sources.
    pub(crate) fn with_status(self) -> Self {
        let Inner { kind, outcome, source, .. } = &*self.0;
        let behind = match kind {
            CallErrorKind::Answer(error) | CallErrorKind::Body(error) => {
                Some(Arc::new(error.clone()) as SharedError)
            }
            CallErrorKind::Session(error) => Some(Arc::new(error.clone()) as SharedError),
            _ => source.clone(),
        };
        let status = status(self.grpc_code(), self.to_string(), behind);
        let (kind, outcome, source) = (kind.clone(), *outcome, source.clone());
        Self(Arc::new(Inner { kind, outcome, source, status }))
    }

    /// Whether a limit of the callee's stands in the way of the request's own body.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self.kind(), CallErrorKind::Body(error) if error.exceeded().is_some())
    }

    /// The code of gRPC that says it: that of its [kind](CallErrorKind::grpc_code); but UNAVAILABLE
    /// where nothing proved anything and the request was not delivered.
    #[must_use]
    pub fn grpc_code(&self) -> i32 {
        match (self.kind(), self.outcome()) {
            (CallErrorKind::Unproven(_), Outcome::NotDelivered) => UNAVAILABLE,
            (kind, _) => kind.grpc_code(),
        }
    }

    /// What is known of the request: only [`Outcome::NotDelivered`] says that sending it again
    /// is safe whatever it does.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            CallErrorKind::Connect => f.write_str("there is no connection")?,
            CallErrorKind::HandshakeRefused(alert) => {
                write!(f, "the far end refused this side's certificate (TLS alert {alert})")?;
            }
            CallErrorKind::Session(error) => error.fmt(f)?,
            CallErrorKind::Downgrade => {
                f.write_str(
                    "the callee has spoken the delivery protocol before, and now does not",
                )?;
            }
            CallErrorKind::Request(what) => write!(f, "the request cannot be sent: {what}")?,
            CallErrorKind::Body(error) => write!(f, "the request's body: {error}")?,
            CallErrorKind::Refused(s) => write!(f, "the callee refused the request with {s}")?,
            CallErrorKind::NoAnswer => f.write_str("no answer came")?,
            CallErrorKind::Unproven(s) => write!(f, "the answer ({s}) carries no proof")?,
            CallErrorKind::BadProof(s) => write!(f, "the proof of the answer ({s}) does not hold")?,
            CallErrorKind::Duplicate => f.write_str(
                "the callee has seen this request before: somebody on the path repeated it",
            )?,
            CallErrorKind::NotAdmitted => f.write_str("the callee did not admit the request")?,
            CallErrorKind::NotConfirmed { got, of, .. } => not_confirmed(f, *got, *of)?,
            CallErrorKind::Answer(error) => write!(f, "the answer: {error}")?,
            CallErrorKind::Deadline => f.write_str("the deadline has passed")?,
            CallErrorKind::Restricted => f.write_str("the loop has cut this callee off")?,
        }
        if let Some(source) = &self.0.source {
            write!(f, " ({})", Said(&**source))?;
        }
        write!(f, "; the request is {}", self.0.outcome)
    }
}

fn not_confirmed(
    f: &mut fmt::Formatter<'_>,
    got: Option<(u64, u64)>,
    of: Option<(u64, u64)>,
) -> fmt::Result {
    f.write_str("the callee did not get what was sent")?;
    match (got, of) {
        (Some((n, len)), Some((of_n, of_len))) => {
            write!(f, ": it got {n} of {of_n} messages ({len} of {of_len} bytes)")
        }
        (Some((n, len)), None) => write!(f, ": it got {n} messages ({len} bytes)"),
        (None, _) => f.write_str(": its receipt is for something else"),
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError")
            .field("kind", &self.0.kind)
            .field("outcome", &self.0.outcome)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for CallError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Some(status) = &self.0.status {
            return Some(status);
        }
        match (&self.0.kind, &self.0.source) {
            (CallErrorKind::Answer(error) | CallErrorKind::Body(error), _) => Some(error),
            (CallErrorKind::Session(error), _) => Some(error),
            (_, Some(source)) => Some(&**source),
            (_, None) => None,
        }
    }
}

impl From<ConnectError> for CallError {
    fn from(error: ConnectError) -> Self {
        let kind = match &error {
            ConnectError::Handshake(HandshakeErrorKind::PeerRefused(alert)) => {
                return Self::new(CallErrorKind::HandshakeRefused(*alert), Outcome::NotDelivered);
            }
            _ => CallErrorKind::Connect,
        };
        Self::caused(kind, Outcome::NotDelivered, error)
    }
}

impl From<SessionError> for CallError {
    fn from(error: SessionError) -> Self {
        Self::new(CallErrorKind::Session(error), Outcome::NotDelivered)
    }
}

/// Why a channel was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// Not a URI with a host.
    Uri(String),
    /// A scheme other than `https`.
    Scheme(String),
    /// The callee's name is not a SPIFFE ID.
    Callee(String),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "not a URI with a host: {uri:?}"),
            Self::Scheme(uri) => write!(f, "the scheme must be https: {uri:?}"),
            Self::Callee(error) => write!(f, "the callee: {error}"),
        }
    }
}

impl StdError for ChannelError {}
