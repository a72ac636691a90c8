//! Calling over HTTP, with the caller's side of the books.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::clients::HttpClient;
use super::rng::hash;
use super::sign::Sign;
use super::truth::{Key, Lane, Op, Truth};

/// How long the gateway waits for a whole answer of orders: longer than orders for payments.
pub(super) const PATIENCE: Duration = Duration::from_millis(2000);

/// By this number a refusal is explained. It stands in refusals only.
const DECISION: &str = "meshguard-decision";

/// Calls over one lane.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) lane: Lane,
    pub(super) client: HttpClient,
    pub(super) truth: Arc<Truth>,
    pub(super) patience: Duration,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) op: Op,
    pub(super) order: String,
    /// A condition on the order's version (RFC 9110, section 13.1.1).
    pub(super) if_match: Option<String>,
    /// A part of the answer only (RFC 9110, section 14.2). Nobody here asks for that.
    pub(super) range: Option<String>,
    /// The body, in the pieces in which it is sent.
    pub(super) body: Vec<Bytes>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
    /// It is the callee's mesh that answers, and refuses; no application was asked.
    pub(super) refusal: bool,
}

impl Ask {
    pub(super) fn digest(&self) -> u64 {
        let text = |t: &Option<String>| t.as_deref().unwrap_or("-").as_bytes().to_vec();
        let body = self.body.concat();
        hash(&[self.op.path().as_bytes(), &text(&self.if_match), &text(&self.range), &body])
    }

    fn request(self) -> Result<Request<Body>, http::Error> {
        let method = match self.op {
            Op::Order => Method::PUT,
            Op::Lines => Method::POST,
            _ => Method::GET,
        };
        let mut request =
            Request::builder().method(method).uri(format!("{}{}", self.op.path(), self.order));
        if let Some(version) = self.if_match {
            request = request.header(header::IF_MATCH, version);
        }
        request.body(match self.body.len() {
            0 => Body::empty(),
            1 => self.body.into_iter().next().unwrap_or_default().into(),
            _ => streamed(self.body),
        })
    }
}

impl Reply {
    pub(super) fn digest(&self) -> u64 {
        let etag = self.etag.as_deref().unwrap_or("-").as_bytes();
        hash(&[self.status.as_str().as_bytes(), etag, &self.body])
    }
}

impl Caller {
    /// Asks, and waits for the whole answer.
    pub(super) async fn call(&self, ask: Ask) -> Result<Reply, Sign> {
        let key = Key::new(self.lane, ask.op, &ask.order);
        self.truth.sent(&key, ask.digest());
        let waited = timeout(self.patience, self.exchange(ask)).await;
        match waited.unwrap_or_else(|_| Err(Sign::patience())) {
            Ok(reply) => {
                match reply.refusal {
                    true => self.truth.refused(&key, reply.status),
                    false => self.truth.accepted(&key, reply.digest()),
                }
                if reply.status.is_server_error() {
                    self.truth.turned_away(self.lane, reply.status);
                }
                Ok(reply)
            }
            Err(sign) => {
                self.truth.failed(&key, sign.clone());
                Err(sign)
            }
        }
    }

    async fn exchange(&self, ask: Ask) -> Result<Reply, Sign> {
        let request = ask.request().map_err(|e| Sign::of(&e))?;
        let answer = self.client.clone().oneshot(request).await.map_err(|e| Sign::of(&e))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|e| Sign::of(&e))?.to_bytes();
        let etag = head.headers.get(header::ETAG).and_then(|v| v.to_str().ok());
        let refusal = head.headers.contains_key(DECISION);
        Ok(Reply { status: head.status, etag: etag.map(ToOwned::to_owned), body, refusal })
    }
}

/// A body of pieces that come one by one.
fn streamed(pieces: Vec<Bytes>) -> Body {
    let pieces = futures_util::stream::iter(pieces).then(|piece| async move {
        tokio::task::yield_now().await;
        Ok::<_, std::convert::Infallible>(piece)
    });
    Body::from_stream(Box::pin(pieces))
}
