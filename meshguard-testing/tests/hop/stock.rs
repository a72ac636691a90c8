//! Stock hyper callers and callees.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Collected};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshguard_testing::{Fault, FaultHop, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

pub(crate) const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test instead of hanging it.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// What the callee saw of a request; its body is an error where hyper reported one.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, String>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A callee, and what it saw.
pub(crate) struct Callee {
    pub(crate) addr: SocketAddr,
    heads: mpsc::UnboundedReceiver<()>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

/// Where a callee tells that a head came, and then what the whole request was.
#[derive(Clone)]
pub(crate) struct Tell {
    pub(crate) heads: mpsc::UnboundedSender<()>,
    pub(crate) seen: mpsc::UnboundedSender<Seen>,
}

impl Callee {
    pub(crate) async fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (heads_tx, heads) = mpsc::unbounded_channel();
        let (seen_tx, seen) = mpsc::unbounded_channel();
        let tell = Tell { heads: heads_tx, seen: seen_tx };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, protocol, tell.clone()));
            }
        });
        Self { addr, heads, seen }
    }

    /// Waits until a request's head is with the handler.
    pub(crate) async fn head(&mut self) {
        soon(self.heads.recv()).await.expect("a head");
    }

    pub(crate) async fn seen(&mut self) -> Seen {
        soon(self.seen.recv()).await.expect("a request")
    }

    pub(crate) fn saw_more(&mut self) -> bool {
        self.seen.try_recv().is_ok()
    }
}

/// A callee, a hop before it with this fault queued, both plain.
pub(crate) async fn faulty(protocol: Protocol, fault: Fault) -> (Callee, FaultHop) {
    let callee = Callee::start(protocol).await;
    let hop = FaultHop::builder(callee.addr).plain(protocol).start().await.unwrap();
    hop.inject_next(fault);
    (callee, hop)
}

pub(crate) async fn serve<S>(io: S, protocol: Protocol, tell: Tell)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, tell.clone()));
    let io = TokioIo::new(io);
    // How the connection ends is for the caller to see.
    let _ = match protocol {
        Protocol::Http1 => {
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
        }
        Protocol::Http2 => {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(io, service).await
        }
    };
}

/// `/echo` answers with the request's body, `/sized/N` with N bytes of known length, `/stream/N`
/// with N bytes of unknown length, `/grpc/N` with N messages and trailers.
async fn answer(request: Request<Incoming>, tell: Tell) -> Result<Response<Parts>, Infallible> {
    let _ = tell.heads.send(());
    let (head, body) = request.into_parts();
    let (body, trailers) = whole(body.collect().await);
    let path = head.uri.path().to_owned();
    let echo = body.clone().unwrap_or_default();
    let (method, uri, headers) = (head.method, head.uri, head.headers);
    let _ = tell.seen.send(Seen { method, uri, headers, body, trailers });
    let count = path.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let answer = Response::builder().header("x-callee", "stock").header("x-path", &path);
    Ok(match path.split('/').nth(1) {
        Some("sized") => {
            answer.header(header::CONTENT_LENGTH, count).body(Parts::of([pattern(count)]))
        }
        Some("stream") => answer.body(Parts::of(halves(&pattern(count)))),
        Some("grpc") => answer.header(header::CONTENT_TYPE, "application/grpc").body(
            Parts::of([messages(count)]).with_trailers(&[("grpc-status", "0"), ("x-n", "all")]),
        ),
        _ => answer.body(Parts::of(halves(&echo))),
    }
    .unwrap())
}

fn whole<E: std::fmt::Display>(
    body: Result<Collected<Bytes>, E>,
) -> (Result<Bytes, String>, Option<HeaderMap>) {
    match body {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            (Ok(body.to_bytes()), trailers)
        }
        Err(e) => (Err(e.to_string()), None),
    }
}

/// What a caller got; its body is an error where hyper reported one.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Bytes, String>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// One call by a stock hyper client on a connection of its own.
pub(crate) async fn call(
    hop: &FaultHop,
    protocol: Protocol,
    request: Request<Parts>,
) -> Result<Got, hyper::Error> {
    let tcp = TcpStream::connect(hop.addr()).await.unwrap();
    soon(call_over(tcp, protocol, request)).await
}

pub(crate) async fn call_over<S>(
    io: S,
    protocol: Protocol,
    request: Request<Parts>,
) -> Result<Got, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(io);
    let answer = match protocol {
        Protocol::Http1 => {
            let (mut sender, conn) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(conn);
            sender.send_request(request).await?
        }
        Protocol::Http2 => {
            let exec = TokioExecutor::new();
            let (mut sender, conn) = hyper::client::conn::http2::handshake(exec, io).await?;
            tokio::spawn(conn);
            sender.send_request(request).await?
        }
    };
    let (head, body) = answer.into_parts();
    let (body, trailers) = whole(body.collect().await);
    Ok(Got { status: head.status, headers: head.headers, body, trailers })
}

/// A request as both protocols take it.
pub(crate) fn request(
    protocol: Protocol,
    method: Method,
    path: &str,
    body: Parts,
) -> Request<Parts> {
    let builder = Request::builder().method(method);
    match protocol {
        Protocol::Http1 => builder.uri(path).header(header::HOST, "callee.example"),
        Protocol::Http2 => builder.uri(format!("http://callee.example{path}")),
    }
    .body(body)
    .unwrap()
}

pub(crate) fn get(protocol: Protocol, path: &str) -> Request<Parts> {
    request(protocol, Method::GET, path, Parts::of([]))
}

/// A POST of unknown length.
pub(crate) fn post(protocol: Protocol, path: &str, body: impl Into<Bytes>) -> Request<Parts> {
    request(protocol, Method::POST, path, Parts::of([body.into()]))
}

/// A POST whose `content-length` is stated.
pub(crate) fn post_sized(protocol: Protocol, path: &str, body: impl Into<Bytes>) -> Request<Parts> {
    let body = body.into();
    let length = body.len().into();
    let mut request = post(protocol, path, body);
    request.headers_mut().insert(header::CONTENT_LENGTH, length);
    request
}

/// A body of parts; of unknown length, unless it is empty.
pub(crate) struct Parts {
    frames: VecDeque<Frame<Bytes>>,
    /// Awaited before the last frame.
    gate: Option<oneshot::Receiver<()>>,
}

impl Parts {
    /// Two parts, the second when the gate is opened.
    pub(crate) fn gated(first: Bytes, second: Bytes) -> (oneshot::Sender<()>, Self) {
        let (open, gate) = oneshot::channel();
        (open, Self { gate: Some(gate), ..Self::of([first, second]) })
    }

    pub(crate) fn of(data: impl IntoIterator<Item = Bytes>) -> Self {
        Self { frames: data.into_iter().map(Frame::data).collect(), gate: None }
    }

    pub(crate) fn with_trailers(mut self, trailers: &[(&'static str, &'static str)]) -> Self {
        let map = trailers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        self.frames.push_back(Frame::trailers(map));
        self
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.frames.len() == 1
            && let Some(gate) = &mut self.gate
        {
            std::task::ready!(Pin::new(gate).poll(cx)).expect("the gate is opened");
            self.gate = None;
        }
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }
}

/// `n` bytes that differ from their neighbours.
pub(crate) fn pattern(n: usize) -> Bytes {
    (0..n).map(|i| (i % 251) as u8).collect()
}

fn halves(whole: &Bytes) -> Vec<Bytes> {
    let mid = whole.len() / 2;
    [whole.slice(..mid), whole.slice(mid..)].into_iter().filter(|p| !p.is_empty()).collect()
}

/// Message `i`, framed: it has `i + 1` bytes of value `i`.
pub(crate) fn message(i: usize) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(i + 1).unwrap().to_be_bytes());
    framed.extend(vec![i as u8; i + 1]);
    framed
}

/// The first `n` messages.
pub(crate) fn messages(n: usize) -> Bytes {
    (0..n).flat_map(message).collect()
}

/// Messages by their index, in this order.
pub(crate) fn in_order(order: &[usize]) -> Bytes {
    order.iter().copied().flat_map(message).collect()
}
