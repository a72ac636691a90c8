mod drain;
mod slow;
mod stalls;
mod turned;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Drained, serve};
use crate::connection::{Connection, Protocol};
use crate::limits::Limits;
use crate::rig::{CHECKOUT, PATIENCE, Rig, connect};
use crate::tls::Alpn;

/// Says who called, and over what. `/wait` answers once `Gate::open` is notified; `/close` ends
/// the connection that it came over.
#[derive(Clone, Default)]
struct WhoAmI(Arc<Gate>);

#[derive(Default)]
struct Gate {
    waiting: Notify,
    open: Notify,
}

impl tower_service::Service<Request<Incoming>> for WhoAmI {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            let connection = request.extensions().get::<Connection>().unwrap();
            match request.uri().path() {
                "/wait" => {
                    gate.waiting.notify_one();
                    gate.open.notified().await;
                }
                "/close" => connection.close(),
                _ => {}
            }
            if request.uri().path() == "/refused" {
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::FORBIDDEN;
                return Ok(answer);
            }
            let text = format!("{} {:?}", connection.peer().id(), connection.protocol());
            Ok(Response::new(Full::from(text)))
        })
    }
}

/// A server under test: its service, and how to tell it to stop.
struct Server {
    rig: Rig,
    addr: SocketAddr,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
    running: JoinHandle<std::io::Result<Drained>>,
}

impl Server {
    async fn start(limits: Limits, deadline: Duration) -> Self {
        let rig = Rig::new();
        let listener = rig.listen(limits).await;
        let addr = listener.local_addr();
        let (service, stop) = (WhoAmI::default(), Arc::new(Notify::new()));
        let (gate, signal) = (Arc::clone(&service.0), Arc::clone(&stop));
        let serving = serve(listener, service)
            .with_graceful_shutdown(async move { signal.notified().await }, deadline);
        Self { rig, addr, gate, stop, running: tokio::spawn(serving.into_future()) }
    }

    async fn h1(&self) -> http1::SendRequest<Empty<Bytes>> {
        let stream = connect(self.addr, self.rig.client(Alpn::Http11)).await.unwrap();
        let (sender, running) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(running);
        sender
    }

    async fn h2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let stream = connect(self.addr, self.rig.client(Alpn::H2)).await.unwrap();
        let (sender, running) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(running);
        sender
    }

    /// A call of another client is answered, over either protocol.
    async fn serves(&self) {
        let answer = self.h1().await.send_request(get("/")).await.unwrap();
        assert_eq!(text(answer).await, format!("{CHECKOUT} {:?}", Protocol::H1));
        let answer = self.h2().await.send_request(get("https://orders/")).await.unwrap();
        assert_eq!(text(answer).await, format!("{CHECKOUT} {:?}", Protocol::H2));
    }
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).header("host", "orders").body(Empty::new()).unwrap()
}

async fn text(answer: Response<Incoming>) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    let body = timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn each_request_knows_the_connection_it_came_over() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    server.serves().await;
}

#[tokio::test]
async fn a_service_can_end_the_connection_of_its_caller() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    let (mut h1, mut h2) = (server.h1().await, server.h2().await);
    let answer = timeout(PATIENCE, h1.send_request(get("/close"))).await.unwrap();
    assert!(answer.is_err());
    let waiting = h2.send_request(get("https://orders/wait"));
    let closing = h2.send_request(get("https://orders/close"));
    let (waited, closed) =
        timeout(PATIENCE, async { tokio::join!(waiting, closing) }).await.unwrap();
    assert!(waited.is_err() && closed.is_err(), "every stream ends with the connection");
    server.serves().await;
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    let mut h2 = server.h2().await;
    h2.send_request(get("https://orders/")).await.unwrap();
    server.running.abort();
    let answer = timeout(PATIENCE, h2.send_request(get("https://orders/wait"))).await.unwrap();
    assert!(answer.is_err());
}
