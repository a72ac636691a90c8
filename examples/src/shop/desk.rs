//! Taking HTTP requests, with the callee's side of the books.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::BodyExt as _;
use meshguard_axum::{Delivery, Evidence};
use serde_json::json;

use super::calls::{Ask, Reply};
use super::goods::PIECE;
use super::sign::Sign;
use super::truth::{Key, Lane, Op, Truth};

/// Where requests of one service come in.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    truth: Arc<Truth>,
    lane: fn(&str) -> Lane,
}

impl Desk {
    /// `lane` tells from an order's name over which lane its requests come.
    pub(super) fn new(truth: &Arc<Truth>, lane: fn(&str) -> Lane) -> Self {
        Self { truth: Arc::clone(truth), lane }
    }

    /// Reads a request to its end. `Err`: what to answer to one that broke off.
    pub(super) async fn take(
        &self,
        op: Op,
        order: &str,
        request: Request,
    ) -> Result<Ask, Box<Response>> {
        let key = Key::new((self.lane)(order), op, order);
        let delivery = request.extensions().get::<Delivery>().cloned();
        let verified = delivery.is_some_and(|d| d.evidence() == Evidence::Verified);
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                self.truth.broke_off(key.lane, Some(&key), Sign::of(&error));
                return Err(Box::new((StatusCode::BAD_REQUEST, "broken off").into_response()));
            }
        };
        let (if_match, range) =
            (text(&head.headers, header::IF_MATCH), text(&head.headers, header::RANGE));
        let ask = Ask { op, order: order.to_owned(), if_match, range, body: pieces(op, &body) };
        self.truth.received(&key, ask.digest(), verified);
        Ok(ask)
    }

    /// Answers.
    pub(super) fn give(&self, op: Op, order: &str, reply: Reply) -> Response {
        self.truth.answers(&Key::new((self.lane)(order), op, order), reply.digest());
        let mut response = (reply.status, reply.body).into_response();
        let etag = reply.etag.and_then(|text| text.parse().ok());
        if let Some(etag) = etag {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

impl Reply {
    pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self { status, etag: None, body: value.to_string().into(), refusal: false }
    }

    /// Whom this service asked has failed it.
    pub(super) fn failed(whom: &str, sign: &Sign) -> Self {
        let value = json!({ "failed": whom, "error": sign.name, "detail": sign.detail });
        Self::json(StatusCode::BAD_GATEWAY, &value)
    }

    pub(super) fn tagged(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = Some(format!("\"{:016x}\"", super::rng::hash(&[&body])));
        Self { status: StatusCode::OK, etag, body, refusal: false }
    }
}

/// What a person without an order is told.
pub(super) async fn index() -> Json<serde_json::Value> {
    Json(json!({ "shop": "GET /invoice/{order}" }))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(ToOwned::to_owned)
}

/// Uploads go on in pieces, all else whole.
fn pieces(op: Op, body: &Bytes) -> Vec<Bytes> {
    let size = if op == Op::Lines { PIECE } else { usize::MAX };
    let step = size.min(body.len().max(1));
    (0..body.len()).step_by(step).map(|at| body.slice(at..body.len().min(at + step))).collect()
}
