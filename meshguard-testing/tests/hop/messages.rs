//! Messages and bytes changed on the way: a stock receiver sees nothing wrong.

use meshguard_testing::{Direction, Fault, Protocol};

use crate::stock::*;

/// What a stock callee sees of five messages, and what its caller gets of five in the answer.
async fn both_ways(protocol: Protocol, fault: impl Fn(Direction) -> Fault, want: &[usize]) {
    let (mut callee, hop) = faulty(protocol, fault(Direction::Request)).await;
    let got = call(&hop, protocol, post_sized(protocol, "/grpc/5", messages(5))).await.unwrap();
    assert_eq!(callee.seen().await.body.unwrap(), in_order(want));
    assert_eq!(got.body.unwrap(), messages(5));
    hop.inject_next(fault(Direction::Response));
    let got = call(&hop, protocol, post(protocol, "/echo", messages(5))).await.unwrap();
    assert_eq!(callee.seen().await.body.unwrap(), messages(5));
    assert_eq!(got.body.unwrap(), in_order(want));
    assert_eq!((hop.log().len(), hop.misses().len()), (2, 0));
}

#[tokio::test]
async fn a_dropped_message_is_not_missed() {
    for protocol in BOTH {
        let fault = |direction| Fault::DropMessage { direction, index: 2 };
        both_ways(protocol, fault, &[0, 1, 3, 4]).await;
    }
}

#[tokio::test]
async fn the_last_message_may_be_dropped() {
    let fault = |direction| Fault::DropMessage { direction, index: 4 };
    both_ways(Protocol::Http2, fault, &[0, 1, 2, 3]).await;
}

#[tokio::test]
async fn a_repeated_message_is_taken_twice() {
    for protocol in BOTH {
        let fault = |direction| Fault::RepeatMessage { direction, index: 0 };
        both_ways(protocol, fault, &[0, 0, 1, 2, 3, 4]).await;
    }
}

#[tokio::test]
async fn swapped_messages_are_taken_in_the_wrong_order() {
    for protocol in BOTH {
        let fault = |direction| Fault::SwapMessages { direction, index: 3 };
        both_ways(protocol, fault, &[0, 1, 2, 4, 3]).await;
    }
}

#[tokio::test]
async fn a_message_that_never_comes_is_a_miss_and_nothing_is_lost() {
    for fault in [
        Fault::SwapMessages { direction: Direction::Request, index: 4 },
        Fault::DropMessage { direction: Direction::Request, index: 5 },
    ] {
        let (mut callee, hop) = faulty(Protocol::Http2, fault.clone()).await;
        let post = post(Protocol::Http2, "/echo", messages(5));
        call(&hop, Protocol::Http2, post).await.unwrap();
        assert_eq!(callee.seen().await.body.unwrap(), messages(5), "{fault:?}");
        assert_eq!(soon(hop.missed(1)).await[0].fault, fault);
        assert!(hop.log().is_empty());
    }
}

#[tokio::test]
async fn a_flipped_bit_is_not_noticed() {
    for protocol in BOTH {
        let mut changed = pattern(100).to_vec();
        changed[70] ^= 1;
        let flip = |direction| Fault::FlipByte { direction, offset: 70 };
        let (mut callee, hop) = faulty(protocol, flip(Direction::Request)).await;
        let got = call(&hop, protocol, post_sized(protocol, "/sized/100", pattern(100))).await;
        assert_eq!(callee.seen().await.body.unwrap(), changed);
        assert_eq!(got.unwrap().body.unwrap(), pattern(100));
        hop.inject_next(flip(Direction::Response));
        let got = call(&hop, protocol, get(protocol, "/sized/100")).await.unwrap();
        assert_eq!(got.body.unwrap(), changed);
        assert_eq!(soon(hop.injected(2)).await[1].fault, flip(Direction::Response));
    }
}
