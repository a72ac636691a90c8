//! Requests and answers over HTTP.

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use meshguard_axum::{CallError, Channel, DeliveryError};
use tower::ServiceExt as _;

use super::app::App;
use super::soon;

/// `n` bytes that differ from their neighbours.
pub fn pattern(n: usize) -> Bytes {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// In two pieces that are not ready at once, so that the length is not known beforehand.
pub fn halves(whole: &Bytes) -> Body {
    let mid = whole.len() / 2;
    pieces(vec![whole.slice(..mid), whole.slice(mid..)])
}

/// Pieces, none of them ready at once.
pub fn pieces(pieces: Vec<Bytes>) -> Body {
    let stream = futures_util::stream::iter(pieces).then(|piece| async move {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(piece)
    });
    Body::from_stream(stream)
}

/// The first half, and the second once the application has been called.
pub fn gated(whole: &Bytes, app: &App) -> Body {
    let (mid, app) = (whole.len() / 2, app.clone());
    let (first, second) = (whole.slice(..mid), whole.slice(mid..));
    let first = futures_util::stream::once(async move {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(first)
    });
    let second = futures_util::stream::once(async move {
        app.called().await;
        Ok::<_, std::io::Error>(second)
    });
    Body::from_stream(Box::pin(first.chain(second)))
}

pub fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

pub fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, Body::empty())
}

pub fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    request(Method::POST, path, body)
}

/// What came of a call.
#[derive(Debug)]
pub enum Got {
    /// An answer, and its body to a clean end.
    Answer(StatusCode, Bytes),
    /// An answer whose body failed after these bytes.
    Broken(StatusCode, Bytes, DeliveryError),
    Failed(CallError),
}

impl Got {
    pub fn answer(self) -> (StatusCode, Bytes) {
        match self {
            Self::Answer(status, body) => (status, body),
            other => panic!("{other:?}"),
        }
    }

    pub fn failed(self) -> CallError {
        match self {
            Self::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    pub fn broken(self) -> (Bytes, DeliveryError) {
        match self {
            Self::Broken(_, body, error) => (body, error),
            other => panic!("{other:?}"),
        }
    }
}

/// Calls, and reads all of the answer.
pub async fn call(channel: &Channel, request: Request<Body>) -> Got {
    soon(call_now(channel, request)).await
}

async fn call_now(channel: &Channel, request: Request<Body>) -> Got {
    let response = match channel.clone().oneshot(request).await {
        Ok(response) => response,
        Err(error) => return Got::Failed(error),
    };
    let status = response.status();
    let mut body = response.into_body();
    let mut all = Vec::new();
    loop {
        match body.frame().await {
            None => return Got::Answer(status, all.into()),
            Some(Ok(frame)) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => return Got::Broken(status, all.into(), error),
        }
    }
}
