//! Requests repeated, swallowed and changed, and which exchange a fault is for.

use http::header::RANGE;
use http::{HeaderName, HeaderValue, Method};
use meshguard_testing::{Fault, FaultHop, Injection, Match, Protocol};
use tokio::net::TcpStream;

use crate::stock::*;

#[tokio::test]
async fn a_replayed_request_is_served_twice() {
    for protocol in BOTH {
        let (mut callee, hop) = faulty(protocol, Fault::ReplayRequest).await;
        let mut order = post_sized(protocol, "/echo?n=1", pattern(100));
        order.headers_mut().insert("x-order", "7".parse().unwrap());
        let got = call(&hop, protocol, order).await.unwrap();
        assert_eq!(got.body.unwrap(), pattern(100));
        let (first, second) = (callee.seen().await, callee.seen().await);
        assert_eq!((&first.method, &first.uri), (&second.method, &second.uri));
        assert_eq!(first.headers, second.headers);
        assert_eq!((first.body.unwrap(), second.body.unwrap()), (pattern(100), pattern(100)));
        let log = soon(hop.injected(1)).await;
        assert_eq!(log[0].note, "the copy was answered 200 OK");
        assert_eq!((&log[0].method, log[0].path.as_str()), (&Method::POST, "/echo"));
    }
}

#[tokio::test]
async fn a_request_without_a_body_is_replayed_too() {
    for protocol in BOTH {
        let (mut callee, hop) = faulty(protocol, Fault::ReplayRequest).await;
        call(&hop, protocol, get(protocol, "/sized/3")).await.unwrap();
        soon(hop.injected(1)).await;
        assert!(callee.seen().await.body.unwrap().is_empty());
        assert!(callee.seen().await.body.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_swallowed_request_is_neither_forwarded_nor_answered() {
    for protocol in BOTH {
        let (mut callee, hop) = faulty(protocol, Fault::DropRequest).await;
        let lost = call(&hop, protocol, post(protocol, "/lost", pattern(3 << 20)));
        let next = async {
            soon(hop.injected(1)).await;
            call(&hop, protocol, post(protocol, "/next", pattern(3))).await.unwrap()
        };
        let got = tokio::select! {
            lost = lost => panic!("answered {lost:?}"),
            got = next => got,
        };
        assert_eq!(got.body.unwrap(), pattern(3));
        assert_eq!(callee.seen().await.uri.path(), "/next");
        assert!(!callee.saw_more());
    }
}

#[tokio::test]
async fn fields_are_added_to_and_stripped_from_a_request() {
    let authorization = HeaderName::from_static("authorization");
    for protocol in BOTH {
        let value = HeaderValue::from_static("bytes=0-1");
        let add = Fault::AddRequestHeader { name: RANGE, value: value.clone() };
        let (mut callee, hop) = faulty(protocol, add).await;
        call(&hop, protocol, get(protocol, "/sized/3")).await.unwrap();
        assert_eq!(callee.seen().await.headers[RANGE], value);
        hop.inject_next(Fault::StripRequestHeader { name: authorization.clone() });
        let mut asked = get(protocol, "/sized/3");
        asked.headers_mut().insert(&authorization, "Bearer x".parse().unwrap());
        call(&hop, protocol, asked).await.unwrap();
        assert!(!callee.seen().await.headers.contains_key(&authorization));
        assert_eq!(hop.log().len(), 2);
    }
}

#[tokio::test]
async fn swapped_bodies_arrive_under_each_others_head() {
    for protocol in BOTH {
        let (mut callee, hop) = faulty(protocol, Fault::SwapRequestBodies).await;
        let (a, b) = tokio::join!(
            call(&hop, protocol, post_sized(protocol, "/a", pattern(10))),
            call(&hop, protocol, post_sized(protocol, "/b", pattern(200))),
        );
        assert_eq!(
            (a.unwrap().body.unwrap(), b.unwrap().body.unwrap()),
            (pattern(200), pattern(10))
        );
        for _ in 0..2 {
            let seen = callee.seen().await;
            let len = if seen.uri.path() == "/a" { 200 } else { 10 };
            assert_eq!(
                (seen.body.unwrap(), &seen.headers["content-length"]),
                (pattern(len), &len.into())
            );
        }
        assert_eq!(soon(hop.injected(2)).await.len(), 2);
    }
}

#[tokio::test]
async fn a_fault_waits_for_the_exchange_it_is_for() {
    let callee = Callee::start(Protocol::Http2).await;
    let hop = FaultHop::builder(callee.addr).plain(Protocol::Http2).start().await.unwrap();
    let forged = || Fault::AnswerItself(meshguard_testing::Forged::status(http::StatusCode::GONE));
    hop.inject(Injection { fault: forged(), on: Match::path("/b").skip(1) });
    let mut statuses = Vec::new();
    for path in ["/a", "/b", "/.well-known/meshguard/session", "/b", "/b"] {
        let got = call(&hop, Protocol::Http2, get(Protocol::Http2, path)).await.unwrap();
        statuses.push(got.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 410, 200]);
    hop.inject_next(forged());
    let own = "/.well-known/meshguard/session";
    let got = call(&hop, Protocol::Http2, get(Protocol::Http2, own)).await.unwrap();
    assert_eq!(got.status, 200);
    hop.inject(Injection { fault: forged(), on: Match::path(own) });
    let got = call(&hop, Protocol::Http2, get(Protocol::Http2, own)).await.unwrap();
    assert_eq!(got.status, 410);
}

#[tokio::test]
async fn one_connection_serves_on_after_each_fault() {
    use hyper_util::rt::TokioIo;
    let (_callee, hop) = faulty(Protocol::Http1, Fault::ReplayRequest).await;
    let io = TokioIo::new(TcpStream::connect(hop.addr()).await.unwrap());
    let (mut sender, conn) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(conn);
    for _ in 0..5 {
        soon(sender.ready()).await.unwrap();
        let answer = sender.send_request(post(Protocol::Http1, "/echo", pattern(9)));
        let body = http_body_util::BodyExt::collect(soon(answer).await.unwrap()).await.unwrap();
        assert_eq!(body.to_bytes(), pattern(9));
    }
}
