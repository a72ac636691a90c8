//! Bodies cut short: what a stock receiver takes for complete, and what it does not.

use bytes::Bytes;
use h2::Reason;
use meshguard_testing::{Cut, Fault, FaultHop, Protocol};
use tokio::net::TcpListener;

use crate::stock::*;

fn cut_request(how: Cut) -> Fault {
    Fault::CutRequest { after: 50, how }
}

fn cut_response(how: Cut) -> Fault {
    Fault::CutResponse { after: 50, how }
}

/// What a stock callee makes of 50 of 100 bytes.
async fn callee_sees(protocol: Protocol, how: Cut, sized: bool) -> Result<Bytes, String> {
    let (mut callee, hop) = faulty(protocol, cut_request(how)).await;
    let post = if sized { post_sized } else { post };
    let outcome = call(&hop, protocol, post(protocol, "/echo", pattern(100)));
    let (seen, _) = tokio::join!(callee.seen(), outcome);
    assert_eq!(soon(hop.injected(1)).await[0].fault, cut_request(how));
    seen.body
}

/// What a stock caller makes of 50 of 100 bytes.
async fn caller_gets(protocol: Protocol, how: Cut, path: &str) -> Got {
    let (mut callee, hop) = faulty(protocol, cut_response(how)).await;
    let got = call(&hop, protocol, get(protocol, path)).await.unwrap();
    callee.seen().await;
    assert_eq!(soon(hop.injected(1)).await[0].fault, cut_response(how));
    got
}

#[tokio::test]
async fn a_stock_callee_takes_a_request_reset_without_error_for_complete() {
    for sized in [false, true] {
        let body = callee_sees(Protocol::Http2, Cut::ResetNoError, sized).await;
        assert_eq!(body.unwrap(), pattern(50), "content-length: {sized}");
    }
}

#[tokio::test]
async fn a_stock_callee_notices_a_cancelled_request() {
    for sized in [false, true] {
        callee_sees(Protocol::Http2, Cut::ResetCancel, sized).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_stock_callee_takes_a_clean_early_end_for_complete() {
    for protocol in BOTH {
        for sized in [false, true] {
            let body = callee_sees(protocol, Cut::EndStream, sized).await;
            assert_eq!(body.unwrap(), pattern(50), "{protocol:?}, content-length: {sized}");
        }
    }
}

/// A call whose connection to the callee the hop closes once the callee has the head: where head
/// and end come in one read, stock h2 never tells the handler.
async fn closed_amid(callee: &mut Callee, hop: &FaultHop, protocol: Protocol, sized: bool) -> Seen {
    let (open, body) = Parts::gated(pattern(40), pattern(60));
    let mut post = request(protocol, http::Method::POST, "/echo", body);
    if sized {
        post.headers_mut().insert("content-length", 100.into());
    }
    let middle = async {
        callee.head().await;
        open.send(()).unwrap();
        callee.seen().await
    };
    let (seen, got) = tokio::join!(middle, call(hop, protocol, post));
    assert_eq!(got.unwrap().status, 502);
    seen
}

#[tokio::test]
async fn a_stock_callee_notices_a_closed_connection() {
    for protocol in BOTH {
        for sized in [false, true] {
            let (mut callee, hop) = faulty(protocol, cut_request(Cut::CloseConnection)).await;
            let seen = closed_amid(&mut callee, &hop, protocol, sized).await;
            seen.body.unwrap_err();
            assert_eq!(soon(hop.injected(1)).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn all_bytes_before_a_closed_connection_are_written_and_none_after() {
    use tokio::io::AsyncReadExt;
    for protocol in BOTH {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let hop = FaultHop::builder(addr).plain(protocol).start().await.unwrap();
        hop.inject_next(cut_request(Cut::CloseConnection));
        let callee = async {
            let mut raw = Vec::new();
            listener.accept().await.unwrap().0.read_to_end(&mut raw).await.unwrap();
            raw
        };
        let asked = call(&hop, protocol, post(protocol, "/", pattern(100)));
        let (raw, _) = tokio::join!(soon(callee), asked);
        let has = |n| raw.windows(n).any(|w| w == pattern(n));
        assert!(has(50) && !has(51), "{protocol:?} {raw:?}");
    }
}

#[tokio::test]
async fn the_reason_of_a_cut_and_all_bytes_before_it_reach_the_callee() {
    for (how, reason) in [(Cut::ResetNoError, Reason::NO_ERROR), (Cut::ResetCancel, Reason::CANCEL)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let callee = tokio::spawn(async move {
            let mut conn = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
            let (request, _reply) = conn.accept().await.unwrap().unwrap();
            let drive = tokio::spawn(async move { while conn.accept().await.is_some() {} });
            let mut body = request.into_body();
            let mut got = Vec::new();
            loop {
                match body.data().await {
                    Some(Ok(data)) => got.extend_from_slice(&data),
                    end => {
                        drive.abort();
                        return (got, end.map(|e| e.unwrap_err().reason()));
                    }
                }
            }
        });
        let hop = FaultHop::builder(addr).plain(Protocol::Http2).start().await.unwrap();
        let three = messages(3);
        hop.inject_next(Fault::CutRequest { after: three.len() as u64, how });
        let post = post(Protocol::Http2, "/x/y", messages(10));
        let error = call(&hop, Protocol::Http2, post).await.unwrap_err();
        assert_eq!(soon(callee).await.unwrap(), (three.to_vec(), Some(Some(reason))));
        let source = std::error::Error::source(&error).unwrap();
        let reset: &h2::Error = source.downcast_ref().unwrap();
        assert_eq!(reset.reason(), Some(reason));
    }
}

#[tokio::test]
async fn a_stock_caller_takes_an_answer_reset_without_error_for_complete() {
    for path in ["/sized/100", "/stream/100"] {
        let got = caller_gets(Protocol::Http2, Cut::ResetNoError, path).await;
        assert_eq!(got.body.unwrap(), pattern(50), "{path}");
        assert_eq!(got.headers.contains_key("content-length"), path == "/sized/100");
    }
}

#[tokio::test]
async fn a_stock_caller_notices_a_cancelled_answer() {
    for path in ["/sized/100", "/stream/100"] {
        let got = caller_gets(Protocol::Http2, Cut::ResetCancel, path).await;
        got.body.unwrap_err();
    }
}

#[tokio::test]
async fn a_stock_caller_takes_a_clean_early_end_for_complete() {
    for protocol in BOTH {
        for path in ["/sized/100", "/stream/100"] {
            let got = caller_gets(protocol, Cut::EndStream, path).await;
            assert_eq!(got.body.unwrap(), pattern(50), "{protocol:?} {path}");
            assert!(!got.headers.contains_key("content-length"));
        }
    }
}

#[tokio::test]
async fn a_cut_grpc_answer_ends_in_a_good_status() {
    let (_callee, hop) = faulty(Protocol::Http2, cut_response(Cut::EndStream)).await;
    let got = call(&hop, Protocol::Http2, get(Protocol::Http2, "/grpc/20")).await.unwrap();
    assert_eq!(got.body.unwrap(), messages(20).slice(..50));
    let trailers = got.trailers.unwrap();
    assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &"0".parse().unwrap()));
}

#[tokio::test]
async fn a_stock_caller_notices_a_closed_connection() {
    for protocol in BOTH {
        for path in ["/sized/100", "/stream/100"] {
            let got = caller_gets(protocol, Cut::CloseConnection, path).await;
            got.body.unwrap_err();
        }
    }
}

#[tokio::test]
async fn a_stock_caller_takes_a_close_delimited_answer_for_complete() {
    for path in ["/sized/100", "/stream/100"] {
        let got = caller_gets(Protocol::Http1, Cut::CloseDelimited, path).await;
        assert_eq!(got.body.unwrap(), pattern(50), "{path}");
        assert_eq!(
            (&got.headers["x-callee"], &got.headers["connection"]),
            (&"stock".parse().unwrap(), &"close".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn a_hop_cuts_at_the_first_byte_and_behind_the_last() {
    for after in [0, 100] {
        let fault = Fault::CutResponse { after, how: Cut::ResetCancel };
        let (_callee, hop) = faulty(Protocol::Http2, fault).await;
        let got = call(&hop, Protocol::Http2, get(Protocol::Http2, "/stream/100")).await.unwrap();
        got.body.unwrap_err();
    }
}

#[tokio::test]
async fn a_cut_beyond_the_end_is_a_miss() {
    for protocol in BOTH {
        let fault = Fault::CutResponse { after: 101, how: Cut::EndStream };
        let (_callee, hop) = faulty(protocol, fault.clone()).await;
        let got = call(&hop, protocol, get(protocol, "/stream/100")).await.unwrap();
        assert_eq!(got.body.unwrap(), pattern(100));
        assert_eq!(soon(hop.missed(1)).await[0].fault, fault);
        assert!(hop.log().is_empty());
    }
}

#[tokio::test]
async fn a_connection_closed_by_the_hop_is_renewed() {
    let (mut callee, hop) = faulty(Protocol::Http2, cut_request(Cut::CloseConnection)).await;
    let seen = closed_amid(&mut callee, &hop, Protocol::Http2, false).await;
    seen.body.unwrap_err();
    let got =
        call(&hop, Protocol::Http2, post(Protocol::Http2, "/echo", pattern(9))).await.unwrap();
    assert_eq!(got.body.unwrap(), pattern(9));
}
