//! What is measured and written down of a body is what came of it.

use bytes::Bytes;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::field::Body;
use meshguard_core::delivery::known;

use super::{Callee, Caller, connection, id, plain};

const HUGE: (&str, &str) = ("content-length", "9999999999999999999");
const OFF: &str = "[[delivery]]\nmode = 'off'\n";

fn measured(callee: &Callee, name: &str) -> u64 {
    let now = crate::clock::steady();
    callee.mesh.0.gate.edges.get(&EdgeKey::Caller(id(name))).take(now, now).request_bytes
}

#[tokio::test]
async fn a_known_body_that_breaks_off_is_not_received_and_counts_what_came() {
    let callee = Callee::new("");
    let mut caller = Caller::new(&callee, "checkout");
    let claimed = Body::Known(known::digest(b"what never comes", None));
    let (sender, request) = caller.head(&[HUGE], &claimed);
    sender.abort("reset".into());
    drop(callee.ask(request).await);
    let (mut sender, request) = caller.head(&[("content-length", "16")], &claimed);
    sender.send_data(Bytes::from_static(b"what")).await.unwrap();
    sender.abort("reset".into());
    drop(callee.ask(request).await);
    let expected = [0, 4].map(|n| format!("Bad {n} bytes, digest false, transport"));
    assert_eq!(callee.received(), expected);
    assert_eq!(measured(&callee, "checkout"), 4);
}

#[tokio::test]
async fn a_held_body_that_nobody_waits_for_any_more_is_not_received() {
    let callee = Callee::new("");
    let mut caller = Caller::new(&callee, "checkout");
    let claimed = Body::Known(known::digest(b"what never comes", None));
    let (mut sender, request) = caller.head(&[("content-length", "16")], &claimed);
    sender.send_data(Bytes::from_static(b"what")).await.unwrap();
    {
        let mut asked = Box::pin(callee.ask(request));
        let once =
            std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx).is_pending()));
        assert!(once.await, "it is held");
    }
    assert_eq!(callee.received(), ["Partial 4 bytes, digest false, whole"]);
    assert_eq!(measured(&callee, "checkout"), 4);
}

#[tokio::test]
async fn a_known_body_that_came_whole_is_consumed_with_its_digest() {
    let callee = Callee::new("");
    let mut caller = Caller::new(&callee, "checkout");
    let (mut sender, request) = caller.head(&[], &Body::Known(known::digest(b"all", None)));
    sender.send_data(Bytes::from_static(b"all")).await.unwrap();
    drop(sender);
    drop(callee.ask(request).await);
    assert_eq!(callee.received(), ["Consumed 3 bytes, digest true, whole"]);
    assert_eq!(measured(&callee, "checkout"), 3);
}

#[tokio::test]
async fn a_body_that_a_head_says_is_not_there_and_that_breaks_off_is_not_received() {
    let callee = Callee::new("");
    let mut caller = Caller::new(&callee, "checkout");
    let (sender, request) = caller.head(&[], &Body::None);
    sender.abort("reset".into());
    drop(callee.ask(request).await);
    assert_eq!(callee.received(), ["Bad 0 bytes, digest false, transport"]);
}

#[tokio::test]
async fn a_length_without_a_body_is_no_bytes_of_a_peer_that_proves_nothing() {
    let callee = Callee::new(OFF);
    let (sender, mut request) = plain(&connection(&id("checkout")));
    let (name, value) = HUGE;
    request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    sender.abort("reset".into());
    drop(callee.ask(request).await);
    let (mut sender, request) = plain(&connection(&id("checkout")));
    sender.send_data(Bytes::from_static(b"seven b")).await.unwrap();
    drop(sender);
    drop(callee.ask(request).await);
    let expected = ["Plain 0 bytes, digest false, transport", "Plain 7 bytes, digest false, whole"];
    assert_eq!(callee.received(), expected);
    assert_eq!(measured(&callee, "checkout"), 7);
}
