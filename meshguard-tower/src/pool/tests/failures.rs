//! What goes wrong, and what the pool makes of it.

use tokio::net::TcpListener;

use super::*;
use crate::tls::HandshakeErrorKind;

fn unsent<T>(result: Result<T, SendError<Outgoing>>) -> (ConnectError, Request<Outgoing>) {
    match result {
        Err(SendError::NotSent { error, request }) => (error, *request),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was sent"),
    }
}

fn post(path: &str, body: &'static str) -> Request<Outgoing> {
    let body = Full::new(Bytes::from(body)).map_err(|e| match e {}).boxed_unsync();
    Request::post(format!("https://orders.shop.example:8443{path}")).body(body).unwrap()
}

#[tokio::test]
async fn another_workload_is_refused() {
    for alpn in [Alpn::H2, Alpn::Http11, Alpn::Both] {
        let rig = Rig::new();
        let server = Server::start(&rig, Alpn::Both).await;
        let target = Target { expect: CHECKOUT.clone(), ..server.target(alpn) };
        let caller = Caller::with(target, rig, PoolLimits::default());
        let (error, _) = unsent(patiently(caller.pool.send(get("/"))).await);
        let wrong = HandshakeErrorKind::WrongPeer;
        assert!(matches!(error, ConnectError::Handshake(kind) if kind == wrong), "{error}");
        assert_eq!(server.requests(), 0);
    }
}

/// A proof over anything else than what leaves would make a forger of an honest caller.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_head_that_is_not_what_was_proved_does_not_leave() {
    use meshguard_core::delivery::base::Cover;

    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let caller = Caller::to(&server, rig, alpn);
        let mut request = get("/");
        crate::head::keep_request(request.extensions_mut(), b"another", &Cover::default());
        let pool = caller.pool.clone();
        let sent = tokio::spawn(async move { pool.send(request).await.map(drop).map_err(drop) });
        let panicked = patiently(sent).await.unwrap_err().into_panic();
        let text = panicked.downcast_ref::<String>().unwrap();
        assert!(text.contains("a request changed after its proof"), "{text}");
        assert_eq!(server.requests(), 0);
    }
}

/// A server that answers each request with a reset of this reason.
async fn resetting(rig: &Rig, reason: ::h2::Reason) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(rig.tls.outer_server(Alpn::H2));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut http = ::h2::server::handshake(acceptor.accept(tcp).await.unwrap()).await.unwrap();
        while let Some(Ok((_, mut respond))) = http.accept().await {
            respond.send_reset(reason);
        }
    });
    addr
}

#[tokio::test]
async fn a_stream_that_is_refused_was_not_processed_and_one_that_is_reset_may_have_been() {
    for (reason, unprocessed) in
        [(::h2::Reason::REFUSED_STREAM, true), (::h2::Reason::INTERNAL_ERROR, false)]
    {
        let rig = Rig::new();
        let server = Server::start(&rig, Alpn::H2).await;
        let connect_to = Some(resetting(&rig, reason).await);
        let target = Target { connect_to, ..server.target(Alpn::H2) };
        let caller = Caller::with(target, rig, PoolLimits::default());
        match patiently(caller.pool.send(get("/"))).await {
            Err(SendError::Unprocessed { .. }) => assert!(unprocessed, "{reason:?}"),
            Err(SendError::Lost { .. }) => assert!(!unprocessed, "{reason:?}"),
            other => panic!("{reason:?}: {:?}", other.map(|_| ())),
        }
    }
}

#[tokio::test]
async fn where_nothing_listens_the_request_comes_back_as_it_was() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect_to = Some(listener.local_addr().unwrap());
        drop(listener);
        let target = Target { connect_to, ..server.target(alpn) };
        let caller = Caller::with(target, rig, PoolLimits::default());
        let (error, request) = unsent(patiently(caller.pool.send(post("/a?b", "body"))).await);
        assert!(matches!(error, ConnectError::Connect(_)), "{error}");
        assert_eq!(request.uri(), "https://orders.shop.example:8443/a?b");
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "body");
    }
}

#[tokio::test]
async fn a_server_that_does_not_shake_hands_is_given_up() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start_held(&rig, alpn).await;
        let limits =
            PoolLimits { handshake_timeout: Duration::from_millis(20), ..PoolLimits::default() };
        let caller = Caller::with(server.target(alpn), rig, limits);
        let (error, _) = unsent(patiently(caller.pool.send(get("/"))).await);
        let late = HandshakeErrorKind::Timeout;
        assert!(matches!(error, ConnectError::Handshake(kind) if kind == late), "{error}");
    }
}

#[tokio::test]
async fn http2_must_be_agreed() {
    let rig = Rig::new();
    let server = Server::start_without_alpn(&rig).await;
    let caller = Caller::to(&server, rig, Alpn::H2);
    let (error, _) = unsent(patiently(caller.pool.send(get("/"))).await);
    let none = HandshakeErrorKind::NoAlpn;
    assert!(matches!(error, ConnectError::Handshake(kind) if kind == none), "{error}");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let caller = Caller::to(&server, rig, alpn);
        for round in 1..=3 {
            caller.get("/").await;
            assert_eq!(server.accepts(), round, "{alpn:?}");
            server.finish();
            eventually("the client has seen it", || caller.pool.0.state().is_worn()).await;
        }
    }
}

#[tokio::test]
async fn an_http2_connection_that_goes_away_finishes_its_requests_and_takes_no_more() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::H2).await;
    let caller = Arc::new(Caller::to(&server, rig, Alpn::H2));
    let slow = tokio::spawn({
        let caller = Arc::clone(&caller);
        async move { caller.get("/gate").await }
    });
    eventually("the slow call is on the server", || server.waiting() == 1).await;
    server.finish();
    patiently(async {
        // Until the client has heard of it, requests are still answered over the first.
        while server.accepts() == 1 {
            caller.get("/").await;
        }
    })
    .await;
    caller.get("/").await;
    assert_eq!((server.accepts(), server.live()), (2, 2));
    server.open_gate(1);
    assert_eq!(patiently(slow).await.unwrap(), "GET /gate HTTP/2.0 host=-");
    eventually("the first connection is closed", || server.live() == 1).await;
}

#[tokio::test]
async fn a_request_on_a_connection_that_dies_is_lost() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Server::start(&rig, alpn).await;
        let caller = Caller::to(&server, rig, alpn);
        let die = async {
            eventually("the call is on the server", || server.waiting() == 1).await;
            server.kill();
        };
        let sending = caller.pool.send(get("/gate"));
        let (sent, ()) = patiently(futures_util::future::join(sending, die)).await;
        assert!(matches!(sent, Err(SendError::Lost { .. })), "{alpn:?}");
        assert_eq!(server.requests(), 1, "{alpn:?}: not sent again");
    }
}

#[tokio::test]
async fn a_response_dropped_half_way_closes_its_http1_connection() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Caller::to(&server, rig, Alpn::Http11);
    for round in 1..=3 {
        let mut body = patiently(caller.pool.send(get("/endless"))).await.unwrap().into_body();
        assert!(patiently(body.frame()).await.unwrap().unwrap().is_data());
        drop(body);
        assert!(caller.pool.0.state().is_worn());
        assert_eq!(server.accepts(), round);
        eventually("the connection is closed", || server.live() == 0).await;
    }
}

#[tokio::test]
async fn a_response_dropped_half_way_leaves_the_http2_connection_alone() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::H2).await;
    let caller = Caller::to(&server, rig, Alpn::H2);
    for _ in 0..3 {
        let mut body = patiently(caller.pool.send(get("/endless"))).await.unwrap().into_body();
        assert!(patiently(body.frame()).await.unwrap().unwrap().is_data());
    }
    caller.get("/").await;
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_cancelled_http1_request_closes_its_connection() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Arc::new(Caller::to(&server, rig, Alpn::Http11));
    let call = tokio::spawn({
        let caller = Arc::clone(&caller);
        async move { caller.get("/gate").await }
    });
    eventually("the call is on the server", || server.waiting() == 1).await;
    call.abort();
    eventually("the connection is closed", || server.live() == 0).await;
    caller.get("/").await;
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn no_more_http1_connections_are_made_than_allowed() {
    for alpn in [Alpn::Http11, Alpn::Both] {
        let rig = Rig::new();
        let server = Server::start(&rig, Alpn::Http11).await;
        let limits = PoolLimits { max_h1: 2, ..PoolLimits::default() };
        let caller = Caller::with(server.target(alpn), rig, limits);
        let checks = async {
            eventually("all places are taken", || server.waiting() == 2).await;
            // The third is not refused, and nothing is connected for it.
            let third = timeout(Duration::from_millis(50), caller.pool.send(get("/"))).await;
            assert!(third.is_err());
            assert_eq!(server.accepts(), 2);
            server.open_gate(3);
        };
        let calls = join_all((0..3).map(|_| caller.get("/gate")));
        patiently(futures_util::future::join(calls, checks)).await;
        for _ in 0..4 {
            // Two are dropped half way: their places are free at once.
            drop(patiently(caller.pool.send(get("/endless"))).await.unwrap());
        }
        caller.get("/").await;
    }
}

/// A stock client that keeps its `SendRequest` while it waits, waits for ever: what enters tokio's channel
/// while its receiver is dropped stays there until its last sender is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_sent_while_its_connection_ends_is_told() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let rig = Rig::new();
        let server = Arc::new(Server::start(&rig, alpn).await);
        let caller = Caller::to(&server, rig, alpn);
        let ending = Arc::clone(&server);
        let ending = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(3)).await;
                ending.finish();
            }
        });
        let callers = (0..8).map(|_| {
            let pool = caller.pool.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    // Sent or not, it comes to an end.
                    if let Ok(answer) = patiently(pool.send(get("/"))).await {
                        let _ = patiently(answer.into_body().collect()).await;
                    }
                }
            })
        });
        for caller in join_all(callers).await {
            caller.unwrap();
        }
        ending.abort();
        assert!(server.accepts() > 20, "{alpn:?}: {} connections", server.accepts());
    }
}
