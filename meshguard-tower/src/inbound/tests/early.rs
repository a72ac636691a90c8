//! What is refused before anybody has proved whose it is counts against the peer that has sent it.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::channel::Sender;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::field::Body;

use super::{Callee, Caller, Piecewise, connection, id, plain};
use crate::connection::Connection;
use crate::control::Overlay;
use crate::error::BoxError;
use crate::session::{HANDSHAKE, MAX_HANDSHAKE, MAX_PENDING_PER_PEER, path};

/// Heads that no honest peer sends, and how each is answered.
const BAD: [(&str, &str, u16); 2] =
    [("x-http-method-override", "DELETE", 400), ("meshguard", "no field of ours", 401)];

fn head(over: &Connection, name: &'static str, value: &'static str) -> Request<Piecewise> {
    let (_, mut request) = plain(over);
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

/// Refusals that count against a peer.
fn refused(callee: &Callee, name: &str) -> u64 {
    let now = crate::clock::steady();
    callee.mesh.0.gate.edges.get(&EdgeKey::Caller(id(name))).take(now, now).refused
}

#[tokio::test]
async fn heads_that_no_honest_peer_sends_count_as_refusals_of_a_direct_peer() {
    let callee = Callee::new("");
    let (direct, hop) = (connection(&id("wicked")), connection(&id("hop")));
    for (name, value, status) in BAD {
        for over in [&direct, &hop] {
            assert_eq!(callee.ask(head(over, name, value)).await.status(), status, "{name}");
        }
        assert_eq!((refused(&callee, "wicked"), refused(&callee, "hop")), (1, 0), "{name}");
    }
    let (_, mut own) = plain(&direct);
    *own.uri_mut() = path("nothing").parse().unwrap();
    assert_eq!(callee.ask(own).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(refused(&callee, "wicked"), 1);
}

#[tokio::test]
async fn a_session_that_is_not_the_peers_own_counts_against_the_peer() {
    let callee = Callee::new("");
    let mut caller = Caller::new(&callee, "checkout");
    let (_, mut stolen) = caller.head(&[], &Body::None);
    stolen.extensions_mut().insert(connection(&id("wicked")));
    assert_eq!(callee.ask(stolen).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((refused(&callee, "wicked"), refused(&callee, "checkout")), (1, 0));
}

#[tokio::test]
async fn what_the_loop_asks_of_a_direct_peer_holds_for_such_heads_and_is_not_measured() {
    let callee = Callee::new("");
    callee.mesh.0.gate.put(Arc::new(Overlay::cutting_off(&id("wicked"))));
    let (direct, other) = (connection(&id("wicked")), connection(&id("other")));
    for (name, value, status) in BAD {
        assert_eq!(callee.ask(head(&direct, name, value)).await.status(), StatusCode::FORBIDDEN);
        assert_eq!(refused(&callee, "wicked"), 0);
        assert_eq!(callee.ask(head(&other, name, value)).await.status(), status);
    }
}

/// A post of a handshake's body, which is still to come.
fn post(over: &Connection) -> (Sender<Bytes, BoxError>, Request<Piecewise>) {
    let (sender, mut request) = plain(over);
    *request.uri_mut() = path(HANDSHAKE).parse().unwrap();
    (sender, request)
}

#[tokio::test]
async fn bodies_of_handshakes_are_counted_before_they_are_read() {
    let callee = Callee::new("");
    let (greedy, other) = (connection(&id("greedy")), connection(&id("other")));
    let mut reading = Vec::new();
    for _ in 0..MAX_PENDING_PER_PEER {
        let (sender, request) = post(&greedy);
        let mut asked = Box::pin(callee.ask(request));
        let once = std::future::poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_pending()));
        assert!(once.await, "its body is still to come");
        reading.push((sender, asked));
    }
    let (_sender, beyond) = post(&greedy);
    assert_eq!(callee.ask(beyond).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let (mut sender, too_large) = post(&other);
    sender.send_data(vec![0; MAX_HANDSHAKE + 1].into()).await.unwrap();
    assert_eq!(callee.ask(too_large).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // One that has left gives its place back.
    reading.pop();
    let (mut sender, next) = post(&greedy);
    sender.send_data(vec![0; MAX_HANDSHAKE + 1].into()).await.unwrap();
    assert_eq!(callee.ask(next).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
