//! Answers that a peer asks for, and does not read.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, soon, stock};

const STREAMS: usize = 200;
const PIECE: usize = 16 * 1024;
/// What a stream may hand out before its caller reads: its buffer, and a piece more.
const DOCUMENTED: usize = 64 * 1024 + 2 * PIECE;

/// What the system's sockets take of a connection, at most.
const SOCKETS: usize = 12 * 1024 * 1024;

/// Answers without end; how many bytes of them were handed out.
fn endless() -> (Router, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&given);
    let answer = move || async move {
        let pieces = std::iter::repeat_with(move || {
            counts.fetch_add(PIECE, Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[7; PIECE]))
        });
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    (Router::new().route("/", get(answer)).route("/first", get(|| async {})), given)
}

/// A stream that reads nothing any more once it is deaf.
struct Ear<T> {
    inner: T,
    deaf: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Ear<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deaf.load(Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Ear<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Asks for answers on one connection that has all the room there is, and reads none of it; what was
/// handed out once that rises no more.
async fn unread(addr: SocketAddr, given: &AtomicUsize) -> usize {
    let deaf = Arc::new(AtomicBool::new(false));
    let io = Ear { inner: stock::dial(addr, b"h2").await.unwrap(), deaf: Arc::clone(&deaf) };
    let mut client = h2::client::Builder::new();
    client.initial_window_size(i32::MAX as u32).initial_connection_window_size(i32::MAX as u32);
    let (mut sender, connection) = client.handshake::<_, Bytes>(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |sender: &mut h2::client::SendRequest<Bytes>, path| {
        let request = Request::get(format!("https://localhost{path}")).body(()).unwrap();
        sender.send_request(request, true).unwrap().0
    };
    // The far end has told its own settings by then.
    sender = soon(sender.ready()).await.unwrap();
    drop(soon(ask(&mut sender, "/first")).await.unwrap());
    deaf.store(true, Relaxed);
    let mut answers = Vec::new();
    for _ in 0..STREAMS {
        sender = soon(sender.ready()).await.unwrap();
        answers.push(ask(&mut sender, "/"));
    }
    let (mut before, mut now) = (usize::MAX, given.load(Relaxed));
    while before != now || now < STREAMS * PIECE {
        tokio::time::sleep(Duration::from_millis(300)).await;
        (before, now) = (now, given.load(Relaxed));
    }
    connection.abort();
    now
}

#[tokio::test]
async fn one_connection_that_reads_nothing_takes_no_more_than_is_documented() {
    let (app, given) = endless();
    let callee =
        rig::mesh(CALLEE, &rig::policy("[[delivery]]\nmode = \"off\"\n"), &Told::default());
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr();
    tokio::spawn(async { meshguard_axum::serve(listener, app).await.unwrap() });
    let ours = unread(addr, &given).await;
    assert!(ours <= STREAMS * DOCUMENTED + SOCKETS, "{ours}");

    let (app, given) = endless();
    let stock = unread(stock::serve(app).await, &given).await;
    assert!(stock > 2 * ours, "the control: {stock}, and here {ours}");
}
