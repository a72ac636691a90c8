//! Where a request's body ends.

use crate::wire::{Guarded, Stock};

fn post(framing: &str, body: &str) -> Vec<u8> {
    let head = "POST /public/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    format!("{head}{framing}\r\n\r\n{body}").into_bytes()
}

const TWO: [&str; 3] = [
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
];

#[tokio::test]
async fn a_coding_beside_chunked_is_refused() {
    let guarded = Guarded::new().await;
    for framing in TWO {
        let answer = guarded.send(&post(framing, "1\r\na\r\n0\r\n\r\n")).await;
        guarded.refused(&answer, 400, "more than one framing", framing);
    }
    for (framing, body) in
        [("Transfer-Encoding: chunked", "1\r\na\r\n0\r\n\r\n"), ("Content-Length: 1", "a")]
    {
        assert_eq!(guarded.send(&post(framing, body)).await.status, 200, "{framing}");
        assert_eq!(guarded.app.ran().len(), 1, "{framing}");
    }
}

#[tokio::test]
async fn stock_axum_takes_a_coding_that_it_does_not_undo() {
    let stock = Stock::new().await;
    for framing in TWO {
        let answer = stock.send(&post(framing, "1\r\na\r\n0\r\n\r\n")).await;
        assert_eq!((answer.status, stock.app.ran().len()), (200, 1), "{framing}");
    }
}

/// hyper refuses these itself.
#[tokio::test]
async fn lengths_that_are_none_or_differ_are_refused() {
    let guarded = Guarded::new().await;
    for framing in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: +1",
        "Content-Length: 0x1",
        "Content-Length: 1, 2",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \u{b}chunked",
    ] {
        let answer = guarded.send(&post(framing, "a")).await;
        assert_eq!((answer.status, guarded.app.ran().len()), (400, 0), "{framing}");
    }
}

/// With a length and `chunked`, hyper drops the length and closes the connection behind the body
/// (RFC 9112 §6.3): what hides in the difference is never a request.
#[tokio::test]
async fn what_hides_behind_two_framings_is_never_run() {
    let hidden = "GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let guarded = Guarded::new().await;
    let head = "POST /public/x HTTP/1.1\r\nHost: localhost\r\n";
    for framing in [
        "Content-Length: 60\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 60",
    ] {
        let bytes = format!("{head}{framing}\r\n\r\n0\r\n\r\n{hidden}").into_bytes();
        let answer = guarded.send(&bytes).await;
        let ran = guarded.app.ran();
        assert!(ran.iter().all(|ran| ran.handler == "public"), "{framing}: {ran:?}");
        assert!(!answer.rest.contains("HTTP/1.1"), "{framing}: {answer:?}");
    }
    // And this is how a second request looks that is one.
    let last = hidden.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{last}");
    let answer = guarded.send(bytes.as_bytes()).await;
    let handlers: Vec<_> = guarded.app.ran().iter().map(|ran| ran.handler).collect();
    assert_eq!(handlers, ["public", "admin"], "{answer:?}");
}
