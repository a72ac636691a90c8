//! Over real sockets, against a stock hyper server.

mod early;
mod failures;
mod server;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::timeout;

use super::*;
use crate::rig::{CHECKOUT, ORDERS, PATIENCE, Rig, credentials, eventually};
use server::Server;

type Outgoing = UnsyncBoxBody<Bytes, BoxError>;

/// A pool of `checkout` to a server that is `orders`.
struct Caller {
    pool: Pool<Outgoing>,
    tls: TlsContext,
    rig: Rig,
}

impl Caller {
    fn to(server: &Server, rig: Rig, alpn: Alpn) -> Self {
        Self::with(server.target(alpn), rig, PoolLimits::default())
    }

    fn with(target: Target, rig: Rig, limits: PoolLimits) -> Self {
        let svid = rig.ca.svid(CHECKOUT).unwrap();
        let tls = TlsContext::new(credentials(&rig.ca, &svid, None)).unwrap();
        Self { pool: Pool::new(tls.clone(), target, limits), tls, rig }
    }

    /// The whole body of the answer.
    async fn get(&self, path: &str) -> Bytes {
        let response = patiently(self.pool.send(get(path))).await.unwrap();
        patiently(response.into_body().collect()).await.unwrap().to_bytes()
    }

    fn rotate(&self) {
        let svid = self.rig.ca.svid(CHECKOUT).unwrap();
        self.tls.replace(credentials(&self.rig.ca, &svid, None)).unwrap();
    }
}

async fn patiently<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("took too long")
}

fn get(path: &str) -> Request<Outgoing> {
    let body = Full::new(Bytes::new()).map_err(|e| match e {}).boxed_unsync();
    Request::get(format!("https://orders.shop.example:8443{path}")).body(body).unwrap()
}

/// A body of `chunks` times 64 KiB, with a trailer that says so.
fn large(chunks: usize) -> Outgoing {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-chunks", chunks.into());
    let data = std::iter::repeat_n(Bytes::from(vec![7; 64 * 1024]), chunks).map(Frame::data);
    let frames = data.chain([Frame::trailers(trailers)]).map(Ok);
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

#[tokio::test]
async fn http1_requests_in_turn_use_one_connection() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Caller::to(&server, rig, Alpn::Both);
    for _ in 0..20 {
        let response = patiently(caller.pool.send(get("/"))).await.unwrap();
        let via = response.extensions().get::<Via>().unwrap();
        assert_eq!((via.peer.id(), via.version), (ORDERS, Version::HTTP_11));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "GET / HTTP/1.1 host=orders.shop.example:8443");
    }
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn an_answer_without_a_body_need_not_be_read() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Caller::to(&server, rig, Alpn::Http11);
    for _ in 0..5 {
        drop(patiently(caller.pool.send(get("/empty"))).await.unwrap());
    }
    assert_eq!(server.accepts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_first_http2_requests_share_one_connection() {
    const CALLS: usize = 64;
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Both).await;
    let caller = Arc::new(Caller::to(&server, rig, Alpn::Both));
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let caller = Arc::clone(&caller);
            tokio::spawn(async move { caller.get("/gate").await })
        })
        .collect();
    eventually("all calls are on the server", || server.waiting() == CALLS).await;
    server.open_gate(CALLS);
    for body in patiently(join_all(calls)).await {
        assert_eq!(body.unwrap(), "GET /gate HTTP/2.0 host=-");
    }
    assert_eq!(server.accepts(), 1);
    caller.get("/").await;
    assert_eq!(server.accepts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_http1_requests_have_a_connection_each() {
    const CALLS: usize = 8;
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Caller::to(&server, rig, Alpn::Both);
    for _ in 0..2 {
        let calls = join_all((0..CALLS).map(|_| caller.get("/gate")));
        let opened = async {
            eventually("all calls are on the server", || server.waiting() == CALLS).await;
            server.open_gate(CALLS);
        };
        patiently(futures_util::future::join(calls, opened)).await;
    }
    assert_eq!(server.accepts(), CALLS);
}

#[tokio::test]
async fn large_bodies_and_trailers_pass_both_ways() {
    const CHUNKS: usize = 64; // 4 MiB: more than both windows
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let caller = Caller::to(&server, rig, alpn);
        for _ in 0..2 {
            let request = Request::post("https://orders.shop.example/echo")
                .header("te", "trailers")
                .header("trailer", "x-chunks")
                .body(large(CHUNKS))
                .unwrap();
            let response = patiently(caller.pool.send(request)).await.unwrap();
            let body = patiently(response.into_body().collect()).await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-chunks"], CHUNKS.to_string(), "{alpn:?}");
            assert_eq!(body.to_bytes().len(), CHUNKS * 64 * 1024);
        }
        assert_eq!(server.accepts(), 1, "{alpn:?}");
    }
}

#[tokio::test]
async fn a_response_outlives_its_pool_and_the_connections_do_not() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let caller = Caller::to(&server, rig, alpn);
        let response = patiently(caller.pool.send(get("/big"))).await.unwrap();
        drop(caller);
        let body = patiently(response.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(body.len(), server::BIG, "{alpn:?}");
        eventually("the connection is closed", || server.live() == 0).await;
    }
}

#[tokio::test]
async fn idle_connections_end_with_their_time_and_with_the_pool() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let limits = PoolLimits { idle: Duration::from_millis(20), ..PoolLimits::default() };
    let brief = Caller::with(server.target(Alpn::Http11), rig, limits);
    for _ in 0..2 {
        brief.get("/").await;
        eventually("the connection's time is up", || server.live() == 0).await;
    }
    assert_eq!(server.accepts(), 2);
    let lasting = Caller::to(&server, brief.rig, Alpn::Http11);
    lasting.get("/").await;
    assert_eq!(server.live(), 1);
    drop(lasting.pool);
    eventually("the pool's connection is closed", || server.live() == 0).await;
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let limits = PoolLimits { max_idle_h1: 2, ..PoolLimits::default() };
    let caller = Caller::with(server.target(Alpn::Http11), rig, limits);
    let calls = join_all((0..5).map(|_| caller.get("/gate")));
    let opened = async {
        eventually("all calls are on the server", || server.waiting() == 5).await;
        server.open_gate(5);
    };
    patiently(futures_util::future::join(calls, opened)).await;
    eventually("the others are closed", || server.live() == 2).await;
}

#[tokio::test]
async fn replaced_credentials_mean_new_connections() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let caller = Caller::to(&server, rig, alpn);
        caller.get("/").await;
        caller.rotate();
        caller.get("/").await;
        caller.get("/").await;
        assert_eq!(server.accepts(), 2, "{alpn:?}");
        eventually("the old connection is closed", || server.live() == 1).await;
    }
}

#[tokio::test]
async fn a_resumed_connection_has_proved_its_peer_too() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Caller::to(&server, rig, Alpn::Http11);
    let calls = 3;
    for _ in 0..calls {
        let response = patiently(caller.pool.send(get("/last"))).await.unwrap();
        assert_eq!(response.extensions().get::<Via>().unwrap().peer.id(), ORDERS);
        patiently(response.into_body().collect()).await.unwrap();
    }
    assert_eq!(server.accepts(), calls);
    assert_eq!(server.resumed(), calls - 1);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_take_the_connection_from_the_others() {
    let rig = Rig::new();
    let server = Server::start_held(&rig, Alpn::H2).await;
    let caller = Arc::new(Caller::to(&server, rig, Alpn::H2));
    let call = || {
        let (caller, asked) = (Arc::clone(&caller), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            flag.store(true, Ordering::Relaxed);
            caller.get("/").await
        });
        (task, asked)
    };
    let (first, _) = call();
    eventually("the first connects", || server.accepts() == 1).await;
    let (second, asked) = call();
    // One thread: when this sees the flag, the second's first poll is over.
    eventually("the second waits", || asked.load(Ordering::Relaxed)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    server.let_in();
    assert_eq!(patiently(second).await.unwrap(), "GET / HTTP/2.0 host=-");
    assert_eq!(server.accepts(), 1);
}
