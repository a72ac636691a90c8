//! Without injections, nothing is lost or changed.

use http::Method;
use meshguard_testing::{FaultHop, Protocol};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::stock::*;

#[tokio::test]
async fn heads_bodies_and_trailers_pass_unchanged() {
    for protocol in BOTH {
        let mut callee = Callee::start(protocol).await;
        let hop = FaultHop::builder(callee.addr).plain(protocol).start().await.unwrap();
        let body = Parts::of([pattern(10), pattern(20)]).with_trailers(&[("x-sum", "7")]);
        let mut put = request(protocol, Method::PUT, "/grpc/3?a=b%20c", body);
        put.headers_mut().insert("x-one", "1".parse().unwrap());
        put.headers_mut().insert("trailer", "x-sum".parse().unwrap());
        put.headers_mut().insert("te", "trailers".parse().unwrap());
        let got = call(&hop, protocol, put).await.unwrap();
        let seen = callee.seen().await;
        assert_eq!((seen.method, seen.uri.path()), (Method::PUT, "/grpc/3"));
        assert_eq!(seen.uri.query(), Some("a=b%20c"));
        match protocol {
            Protocol::Http1 => assert_eq!(seen.headers["host"], "callee.example"),
            Protocol::Http2 => assert_eq!(seen.uri.authority().unwrap(), "callee.example"),
        }
        assert_eq!(seen.headers["x-one"], "1");
        assert_eq!(seen.body.unwrap(), [pattern(10), pattern(20)].concat());
        assert_eq!(seen.trailers.unwrap()["x-sum"], "7");
        assert_eq!(
            (got.status.as_u16(), &got.headers["x-callee"]),
            (200, &"stock".parse().unwrap())
        );
        assert_eq!(got.body.unwrap(), messages(3));
        if protocol == Protocol::Http2 {
            assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
        }
        assert!(hop.log().is_empty() && hop.misses().is_empty());
    }
}

#[tokio::test]
async fn bodies_larger_than_every_window_pass_both_ways() {
    for protocol in BOTH {
        let mut callee = Callee::start(protocol).await;
        let hop = FaultHop::builder(callee.addr).plain(protocol).start().await.unwrap();
        let body = pattern(9 << 20);
        let got = call(&hop, protocol, post(protocol, "/echo", body.clone())).await.unwrap();
        assert!(callee.seen().await.body.unwrap() == body, "the request's body");
        assert!(got.body.unwrap() == body, "the answer's body");
    }
}

#[tokio::test]
async fn bodiless_exchanges_stay_bodiless() {
    for protocol in BOTH {
        let mut callee = Callee::start(protocol).await;
        let hop = FaultHop::builder(callee.addr).plain(protocol).start().await.unwrap();
        let head = request(protocol, Method::HEAD, "/sized/0", Parts::of([]));
        let got = call(&hop, protocol, head).await.unwrap();
        assert_eq!(got.headers["content-length"], "0");
        let seen = callee.seen().await;
        assert!(seen.body.unwrap().is_empty());
        assert!(!seen.headers.contains_key("transfer-encoding"));
        let got = call(&hop, protocol, get(protocol, "/sized/5")).await.unwrap();
        assert_eq!((&got.headers["content-length"], got.body.unwrap().len()), (&5.into(), 5));
    }
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    let mut callee = Callee::start(Protocol::Http2).await;
    let hop = FaultHop::builder(callee.addr).plain(Protocol::Http2).start().await.unwrap();
    let tcp = TcpStream::connect(hop.addr()).await.unwrap();
    // By default this caller gives up on so many small frames that it has not read yet.
    let mut builder = h2::client::Builder::new();
    let handshake = builder.data_frame_budget(1 << 20).handshake::<_, bytes::Bytes>(tcp);
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200_usize {
        let mut sender = sender.clone().ready().await.unwrap();
        let path = format!("http://callee.example/stream/{n}");
        let get = http::Request::get(path).body(()).unwrap();
        let (answer, _) = sender.send_request(get, true).unwrap();
        calls.spawn(async move {
            let mut body = answer.await.unwrap().into_body();
            let mut len = 0;
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                len += data.len();
            }
            (n, len)
        });
    }
    let done = soon(calls.join_all()).await;
    assert_eq!(done.len(), 200);
    assert!(done.iter().all(|(n, len)| n == len), "{done:?}");
    for _ in 0..200 {
        callee.seen().await;
    }
}

#[tokio::test]
async fn resets_keep_their_reason_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (arrived_tx, arrived) = oneshot::channel();
    let callee = tokio::spawn(async move {
        let mut conn = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (first, mut reply) = conn.accept().await.unwrap().unwrap();
        reply.send_reset(h2::Reason::REFUSED_STREAM);
        drop(first);
        let (second, reply) = conn.accept().await.unwrap().unwrap();
        arrived_tx.send(()).unwrap();
        let watch = tokio::spawn(async move {
            let _open = reply;
            second.into_body().data().await.unwrap().unwrap_err().reason()
        });
        while conn.accept().await.is_some() {}
        watch.await.unwrap()
    });
    let hop = FaultHop::builder(addr).plain(Protocol::Http2).start().await.unwrap();
    let tcp = TcpStream::connect(hop.addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(tcp).await.unwrap();
    let driver = tokio::spawn(connection);
    let get = || http::Request::get("http://callee.example/").body(()).unwrap();
    let (answer, _) = sender.send_request(get(), true).unwrap();
    let error = soon(answer).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    let (answer, mut stream) = sender.send_request(get(), false).unwrap();
    soon(arrived).await.unwrap();
    stream.send_reset(h2::Reason::ENHANCE_YOUR_CALM);
    drop((answer, stream, sender));
    soon(driver).await.unwrap().unwrap();
    assert_eq!(soon(callee).await.unwrap(), Some(h2::Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn informational_heads_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut conn = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (_request, mut reply) = conn.accept().await.unwrap().unwrap();
        let hints = http::Response::builder().status(103).header("link", "</a.css>");
        reply.send_informational(hints.body(()).unwrap()).unwrap();
        reply.send_response(http::Response::new(()), true).unwrap();
        while conn.accept().await.is_some() {}
    });
    let hop = FaultHop::builder(addr).plain(Protocol::Http2).start().await.unwrap();
    let tcp = TcpStream::connect(hop.addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let get = http::Request::get("http://callee.example/").body(()).unwrap();
    let (mut answer, _) = sender.send_request(get, true).unwrap();
    let hints = soon(std::future::poll_fn(|cx| answer.poll_informational(cx))).await;
    let hints = hints.unwrap().unwrap();
    assert_eq!(
        (hints.status().as_u16(), &hints.headers()["link"]),
        (103, &"</a.css>".parse().unwrap())
    );
    assert_eq!(soon(answer).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_caller_that_leaves_an_idle_answer_is_noticed_by_the_callee() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let callee = tokio::spawn(async move {
        let mut conn = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (_request, mut reply) = conn.accept().await.unwrap().unwrap();
        let mut stream = reply.send_response(http::Response::new(()), false).unwrap();
        let drive = tokio::spawn(async move { while conn.accept().await.is_some() {} });
        let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
        drive.abort();
        reason
    });
    let hop = FaultHop::builder(addr).plain(Protocol::Http2).start().await.unwrap();
    let tcp = TcpStream::connect(hop.addr()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let get = http::Request::get("http://callee.example/").body(()).unwrap();
    let (answer, _) = sender.send_request(get, true).unwrap();
    drop(soon(answer).await.unwrap());
    assert_eq!(soon(callee).await.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn a_callee_that_is_not_there_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    for protocol in BOTH {
        let hop = FaultHop::builder(nobody).plain(protocol).start().await.unwrap();
        let got = call(&hop, protocol, get(protocol, "/")).await.unwrap();
        assert_eq!(got.status, 502);
    }
}

#[tokio::test]
async fn a_stopped_hop_closes_its_connections_and_its_port() {
    let callee = Callee::start(Protocol::Http2).await;
    for graceful in [true, false] {
        let hop = FaultHop::builder(callee.addr).plain(Protocol::Http2).start().await.unwrap();
        let addr = hop.addr();
        let tcp = TcpStream::connect(addr).await.unwrap();
        let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        drop(sender.clone().ready().await.unwrap());
        match graceful {
            true => soon(hop.shutdown()).await,
            false => drop(hop),
        }
        soon(driver).await.unwrap().ok();
        if graceful {
            TcpStream::connect(addr).await.unwrap_err();
        }
    }
}
