//! HTTP/1.1 on both sides (RFC 9112), on hyper; a close-delimited answer is written by hand.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::body::{Failure, Source};
use super::drive::{Control, drive};
use super::exchange::{Exchange, run};
use super::io::HopIo;
use super::reply::Reply;
use super::upstream::{Link, Upstream};
use super::{Protocol, Shared};

/// Serves one caller's connection until it is over.
pub(super) async fn serve(shared: Arc<Shared>, io: HopIo) {
    let (control, orders) = Control::new();
    let upstream = Arc::new(Upstream::new(&shared, Protocol::Http1));
    let service = service_fn(|request: Request<Incoming>| {
        let (mut head, body) = request.into_parts();
        strip_hop_by_hop(&mut head.headers);
        let (reply, answer) = oneshot::channel();
        let exchange = Exchange {
            head: Request::from_parts(head, ()),
            body: Source::H1(body),
            reply: Reply::H1(reply, control.clone()),
            upstream: Arc::clone(&upstream),
        };
        shared.tasks.spawn(run(exchange, Arc::clone(&shared)));
        // An error ends the connection without an answer: what a dropped reply stands for.
        async move { answer.await.map(inbound) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(io.clone()), service);
    let mut connection = Box::pin(connection);
    drive(move |cx| connection.as_mut().poll(cx).map(drop), io, orders).await;
}

/// Makes a connection to the callee and a task that drives it.
pub(super) async fn connect(shared: &Shared, io: HopIo) -> Result<Link, Failure> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(io.clone()));
    let (sender, mut connection) = handshake.await.map_err(|_| Failure::Broken)?;
    let (control, orders) = Control::new();
    shared.tasks.spawn(drive(move |cx| Pin::new(&mut connection).poll(cx).map(drop), io, orders));
    Ok(Link::H1(sender, control))
}

/// A caller's head as it goes on. What spoke of the caller's connection only is gone from it already;
/// what a fault has added is not.
pub(super) fn outbound(mut head: Request<()>) -> Request<()> {
    *head.version_mut() = Version::HTTP_11;
    head
}

/// An answer's head and bytes, without a length: EOF ends it (RFC 9112, section 6.3).
pub(super) fn close_delimited(head: &Response<()>, body: &[u8]) -> Vec<u8> {
    let status = head.status();
    let mut text = String::new();
    let reason = status.canonical_reason().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(text, "HTTP/1.1 {} {reason}\r\nconnection: close\r\n", status.as_u16());
    let mut raw = text.into_bytes();
    for (name, value) in head.headers() {
        if !is_hop_by_hop(name) && name != CONTENT_LENGTH {
            raw.extend_from_slice(name.as_str().as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(value.as_bytes());
            raw.extend_from_slice(b"\r\n");
        }
    }
    raw.extend_from_slice(b"\r\n");
    raw.extend_from_slice(body);
    raw
}

fn inbound<B>(mut answer: Response<B>) -> Response<B> {
    strip_hop_by_hop(answer.headers_mut());
    *answer.version_mut() = Version::HTTP_11;
    answer
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// RFC 9110, section 7.6.1; `te` and `trailer` stay, since the hop speaks for its peer there.
const HOP_BY_HOP: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
