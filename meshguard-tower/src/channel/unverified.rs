//! An answer whose head proves nothing: what the call has come to.

use std::sync::Arc;
use std::time::Duration;

use http::response::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body::Body as _;
use meshguard_core::delivery::{Outcome, Unknown};
use tokio::time::timeout;

use super::call::Failed;
use super::exchange::{Open, unknown};
use super::{CallError, CallErrorKind};
use crate::inbound::DECISION;
use crate::pool::{Binding, Reply, read};
use crate::session::{DENIED, SESSION, SessionError};

/// So much of an answer that asks for another session is read, in so much time.
const MAX_HINT: usize = 4096;
const HINT_TIME: Duration = Duration::from_millis(500);

/// Ends an attempt by such an answer, which came over this connection. `bad` says what is wrong
/// with its proof, if it has one.
pub(super) async fn unverified(
    open: Open,
    binding: Arc<Binding>,
    parts: &Parts,
    body: Reply,
    bad: Option<String>,
) -> Failed {
    let (status, direct) = (parts.status, open.shared.config.via.is_none());
    let error = match bad {
        None if renews(parts) => {
            // Read, so that the connection can be used again.
            drop(timeout(HINT_TIME, read(body, MAX_HINT)).await);
            open.shared.disown(&binding, &open.session);
            // On a direct connection the callee itself says that it did not act.
            return Failed::Renew(open.take_back(), status);
        }
        None if direct && denies(parts) => {
            let denied = SessionError::Denied(None);
            open.shared.denied(&open.session, denied.clone());
            CallError::new(CallErrorKind::Session(denied), Outcome::NotDelivered)
        }
        None if direct && is_refusal(parts, &body) => {
            let kind = CallErrorKind::Refused(status);
            CallError::caused(kind, Outcome::NotDelivered, refusal(parts))
        }
        None => CallError::new(CallErrorKind::Unproven(status), unknown(Unknown::Unproven)),
        Some(detail) => {
            if direct {
                // A bug of the callee's, more likely than not: not in this session again.
                open.shared.forget(&open.session);
            }
            let kind = CallErrorKind::BadProof(status);
            CallError::caused(kind, unknown(Unknown::BadProof), detail)
        }
    };
    open.fail(error).into()
}

/// Whether an answer without proof asks for another session: by that header alone. Its status is
/// that of the framework (gRPC refuses with 200).
pub(super) fn renews(parts: &Parts) -> bool {
    parts.headers.get(SESSION).is_some_and(|v| v.as_bytes() == b"renew")
}

/// Whether an answer says that its callee's policy allows this side nothing, whatever it asks.
pub(super) fn denies(parts: &Parts) -> bool {
    parts.headers.get(SESSION).is_some_and(|v| v.as_bytes() == DENIED.as_bytes())
}

/// Whether an answer says that its callee drains, and can be told soon only what arrived.
pub(super) fn drains(parts: &Parts) -> bool {
    parts.headers.get(SESSION).is_some_and(|v| v.as_bytes() == b"drain")
}

/// Whether an answer without proof says that the callee did not act on the request. On a direct
/// connection it is the callee's own, and what it answers to a request whose proof held has proof:
/// so it comes from its layer before that, which names its decision, or from its HTTP parser,
/// whose answers are empty.
fn is_refusal(parts: &Parts, body: &Reply) -> bool {
    let of_parser = matches!(
        parts.status,
        StatusCode::BAD_REQUEST
            | StatusCode::URI_TOO_LONG
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    let empty = body.is_end_stream() && !parts.headers.contains_key(header::CONTENT_TYPE);
    parts.headers.contains_key(DECISION) || (of_parser && empty)
}

/// What such an answer says beyond its status.
fn refusal(parts: &Parts) -> String {
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let by = match text(DECISION) {
        Some(decision) => format!("decision {decision}"),
        None => "its HTTP parser".to_owned(),
    };
    match text("grpc-message") {
        Some(message) => format!("{by}: {message}"),
        None => by,
    }
}
