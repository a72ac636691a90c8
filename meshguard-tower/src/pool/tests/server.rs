//! A stock hyper server over TLS, which counts.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{HandshakeKind, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::*;

/// Bytes of the answer to `/big`.
pub(super) const BIG: usize = 3 * 1024 * 1024;

pub(super) struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _end: tokio_util::sync::DropGuard,
}

struct Shared {
    accepts: AtomicUsize,
    live: AtomicUsize,
    resumed: AtomicUsize,
    requests: AtomicUsize,
    waiting: AtomicUsize,
    gate: Semaphore,
    /// A permit lets one connection's handshake begin; closed, all may.
    door: Semaphore,
    finish: watch::Sender<()>,
    kill: watch::Sender<()>,
}

impl Server {
    pub(super) async fn start(rig: &Rig, alpn: Alpn) -> Self {
        let server = Self::start_held(rig, alpn).await;
        server.let_in();
        server
    }

    /// Accepts, and does nothing until [`Self::let_in`].
    pub(super) async fn start_held(rig: &Rig, alpn: Alpn) -> Self {
        Self::start_with(rig.tls.outer_server(alpn)).await
    }

    pub(super) async fn start_without_alpn(rig: &Rig) -> Self {
        let mut config = (*rig.tls.outer_server(Alpn::Http11)).clone();
        config.alpn_protocols.clear();
        let server = Self::start_with(Arc::new(config)).await;
        server.let_in();
        server
    }

    async fn start_with(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let count = || AtomicUsize::new(0);
        let shared = Arc::new(Shared {
            accepts: count(),
            live: count(),
            resumed: count(),
            requests: count(),
            waiting: count(),
            gate: Semaphore::new(0),
            door: Semaphore::new(0),
            finish: watch::Sender::new(()),
            kill: watch::Sender::new(()),
        });
        let end = CancellationToken::new();
        let accepting = accept(listener, TlsAcceptor::from(config), Arc::clone(&shared));
        tokio::spawn(end.clone().run_until_cancelled_owned(accepting));
        Self { addr, shared, _end: end.drop_guard() }
    }

    pub(super) fn target(&self, alpn: Alpn) -> Target {
        let (host, expect) = ("orders.shop.example".to_owned(), ORDERS.clone());
        Target { host, port: 8443, connect_to: Some(self.addr), expect, alpn }
    }

    pub(super) fn accepts(&self) -> usize {
        self.shared.accepts.load(Ordering::SeqCst)
    }

    pub(super) fn live(&self) -> usize {
        self.shared.live.load(Ordering::SeqCst)
    }

    pub(super) fn resumed(&self) -> usize {
        self.shared.resumed.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Requests at the gate.
    pub(super) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    pub(super) fn open_gate(&self, requests: usize) {
        self.shared.gate.add_permits(requests);
    }

    pub(super) fn let_in(&self) {
        self.shared.door.close();
    }

    /// Finishes all connections politely.
    pub(super) fn finish(&self) {
        self.shared.finish.send_replace(());
    }

    /// Drops all connections.
    pub(super) fn kill(&self) {
        self.shared.kill.send_replace(());
    }
}

/// Counts while it lives.
struct Counted(Arc<Shared>, fn(&Shared) -> &AtomicUsize);

impl Counted {
    fn new(shared: &Arc<Shared>, which: fn(&Shared) -> &AtomicUsize) -> Self {
        which(shared).fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        shared.accepts.fetch_add(1, Ordering::SeqCst);
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let _live = Counted::new(&shared, |s| &s.live);
            let mut kill = shared.kill.subscribe();
            tokio::select! {
                () = serve(tcp, acceptor, Arc::clone(&shared)) => {}
                _ = kill.changed() => {}
            }
        });
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    drop(shared.door.acquire().await);
    let Ok(stream) = acceptor.accept(tcp).await else { return };
    let connection = stream.get_ref().1;
    if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
        shared.resumed.fetch_add(1, Ordering::SeqCst);
    }
    let h2 = connection.alpn_protocol() == Some(b"h2");
    let mut finish = shared.finish.subscribe();
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let io = TokioIo::new(stream);
    // Errors are what some tests provoke; they look at the client's side.
    if h2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut serving = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            served = &mut serving => drop(served),
            _ = finish.changed() => {
                serving.as_mut().graceful_shutdown();
                drop(serving.await);
            }
        }
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        let mut serving = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            served = &mut serving => drop(served),
            _ = finish.changed() => {
                serving.as_mut().graceful_shutdown();
                drop(serving.await);
            }
        }
    }
}

type Answer = BoxBody<Bytes, BoxError>;

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Answer>, Infallible> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let path = &*request.uri().path().to_owned();
    let host = request.headers().get("host").map_or("-", |h| h.to_str().unwrap());
    let line = format!("{} {path} {:?} host={host}", request.method(), request.version());
    if path == "/gate" {
        let _waiting = Counted::new(&shared, |s| &s.waiting);
        shared.gate.acquire().await.unwrap().forget();
    }
    let mut response = Response::new(match path {
        "/empty" => full(Bytes::new()),
        "/big" => full(Bytes::from(vec![7; BIG])),
        "/endless" => {
            let frames =
                std::iter::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 16 * 1024]))));
            BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
        }
        "/echo" => {
            let mut response = Response::new(request.into_body().map_err(Into::into).boxed());
            response.headers_mut().insert("trailer", "x-chunks".parse().unwrap());
            return Ok(response);
        }
        "/early" => {
            // Answered while the request's body is still on its way.
            tokio::spawn(request.into_body().collect());
            full(Bytes::from(line))
        }
        _ => full(Bytes::from(line)),
    });
    if path == "/last" {
        response.headers_mut().insert("connection", "close".parse().unwrap());
    }
    Ok(response)
}

fn full(bytes: Bytes) -> Answer {
    Full::new(bytes).map_err(|e| match e {}).boxed()
}
