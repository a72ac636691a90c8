//! HTTP/2 on both sides (RFC 9113), on the h2 crate so that every frame that matters is ours.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;

use super::body::{Failure, Source};
use super::drive::{Control, drive};
use super::exchange::{Exchange, run};
use super::io::HopIo;
use super::reply::Reply;
use super::upstream::{Link, Upstream};
use super::{Protocol, Shared};

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_HEADERS: u32 = 64 << 10;
const MAX_STREAMS: u32 = 256;
/// Far beyond the default: a stream of small messages must not end here but at the receiver.
const SMALL_FRAMES: usize = 64 << 20;

/// Serves one caller's connection until it is over.
pub(super) async fn serve(shared: Arc<Shared>, io: HopIo) {
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .data_frame_budget(SMALL_FRAMES)
        .max_concurrent_streams(MAX_STREAMS)
        .handshake::<_, Bytes>(io.clone());
    let Ok(mut connection) = handshake.await else { return };
    let (control, orders) = Control::new();
    let upstream = Arc::new(Upstream::new(&shared, Protocol::Http2));
    let poll = move |cx: &mut std::task::Context<'_>| {
        loop {
            let Some(Ok((head, reply))) = ready!(connection.poll_accept(cx)) else {
                return Poll::Ready(());
            };
            let (head, body) = head.into_parts();
            let exchange = Exchange {
                head: http::Request::from_parts(head, ()),
                body: Source::H2(body),
                reply: Reply::H2(reply, control.clone()),
                upstream: Arc::clone(&upstream),
            };
            shared.tasks.spawn(run(exchange, Arc::clone(&shared)));
        }
    };
    drive(poll, io, orders).await;
}

/// Makes a connection to the callee and a task that drives it.
pub(super) async fn connect(shared: &Shared, io: HopIo) -> Result<Link, Failure> {
    let (sender, mut connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .data_frame_budget(SMALL_FRAMES)
        .enable_push(false)
        .handshake(io.clone())
        .await?;
    let (control, orders) = Control::new();
    shared.tasks.spawn(drive(move |cx| Pin::new(&mut connection).poll(cx).map(drop), io, orders));
    Ok(Link::H2(sender, control))
}
