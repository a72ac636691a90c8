//! Peers that are slow on purpose: each is closed in time, and holds up nobody.

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};
use tokio_rustls::client::TlsStream;

use super::*;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);
/// How often a trickling peer sends a byte: well within every [`SHORT`].
const TRICKLE: Duration = Duration::from_millis(20);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// A PING's frame header and no more of it; nothing else may come in its midst.
const PING_HEAD: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0];
/// The head of a DATA frame of 16,384 bytes on stream 1.
const DATA_HEAD: &[u8] = &[0, 64, 0, 0, 0, 0, 0, 0, 1];

/// Limits of which only the one under test can end the connection.
fn lax() -> Limits {
    Limits::default().with_head_timeout(LONG).with_idle_timeout(LONG).with_keep_alive(LONG, LONG)
}

type Halves = (ReadHalf<TlsStream<TcpStream>>, WriteHalf<TlsStream<TcpStream>>);

async fn raw(server: &Server, alpn: Alpn) -> Halves {
    tokio::io::split(connect(server.addr, server.rig.client(alpn)).await.unwrap())
}

/// Sends `first`, then `more` byte by byte for ever; the server is to close the connection, and
/// to serve another client meanwhile.
async fn closed_in_time(limits: Limits, alpn: Alpn, first: &[u8], more: Option<u8>) {
    let server = Server::start(limits, PATIENCE).await;
    let start = Instant::now();
    let (mut far, mut near) = raw(&server, alpn).await;
    near.write_all(first).await.unwrap();
    near.flush().await.unwrap();
    let trickling = tokio::spawn(async move {
        let Some(byte) = more else { return std::future::pending().await };
        let mut tick = interval(TRICKLE);
        loop {
            tick.tick().await;
            if near.write_all(&[byte]).await.is_err() || near.flush().await.is_err() {
                return;
            }
        }
    });
    server.serves().await;
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, far.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open after {:?}", start.elapsed());
    assert!(start.elapsed() >= SHORT, "closed at once: for another reason");
    server.serves().await;
    trickling.abort();
}

#[tokio::test]
async fn a_trickled_head_is_closed() {
    let limits = lax().with_head_timeout(SHORT);
    closed_in_time(limits, Alpn::Http11, b"GET / HTTP/1.1\r\nx-slow: ", Some(b'a')).await;
}

#[tokio::test]
async fn half_a_head_is_closed() {
    let limits = lax().with_head_timeout(SHORT);
    closed_in_time(limits, Alpn::Http11, b"GET / HTTP/1.1\r\nhost:", None).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    closed_in_time(lax().with_head_timeout(SHORT), Alpn::Http11, b"", None).await;
    closed_in_time(lax().with_head_timeout(SHORT), Alpn::H2, b"", None).await;
    closed_in_time(lax().with_idle_timeout(SHORT), Alpn::H2, b"", None).await;
}

#[tokio::test]
async fn half_a_preface_is_closed() {
    closed_in_time(lax().with_head_timeout(SHORT), Alpn::H2, &PREFACE[..10], None).await;
}

#[tokio::test]
async fn an_http2_peer_that_answers_no_ping_is_closed() {
    let limits = lax().with_keep_alive(SHORT, SHORT);
    closed_in_time(limits, Alpn::H2, &[PREFACE, EMPTY_SETTINGS].concat(), None).await;
}

#[tokio::test]
async fn a_trickled_frame_is_closed() {
    let limits = lax().with_keep_alive(SHORT, SHORT);
    let start = [PREFACE, EMPTY_SETTINGS, DATA_HEAD].concat();
    closed_in_time(limits, Alpn::H2, &start, Some(0)).await;
}

#[tokio::test]
async fn half_a_frame_is_closed() {
    let limits = lax().with_keep_alive(SHORT, SHORT);
    let start = [PREFACE, EMPTY_SETTINGS, PING_HEAD].concat();
    closed_in_time(limits, Alpn::H2, &start, None).await;
}

#[tokio::test]
async fn silence_is_closed_where_there_are_no_pings() {
    let limits = lax().with_idle_timeout(SHORT);
    closed_in_time(limits, Alpn::H2, &[PREFACE, EMPTY_SETTINGS].concat(), None).await;
}

/// The control to the tests above: under the same short limits, a peer that behaves stays.
#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let server = Server::start(lax().with_keep_alive(SHORT, SHORT), PATIENCE).await;
    let mut h2 = server.h2().await;
    let mut waiting = tokio::spawn(h2.send_request(get("https://orders/wait")));
    server.gate.waiting.notified().await;
    // Time is the claim here: several PINGs pass, and the call is still waiting.
    assert!(timeout(SHORT * 5, &mut waiting).await.is_err());
    server.gate.open.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_head_beyond_its_bound_is_refused() {
    let server = Server::start(Limits::default().with_head_bytes(8 * 1024), PATIENCE).await;
    let long = "a".repeat(9 * 1024);
    let mut request = get("/");
    request.headers_mut().insert("x-long", long.parse().unwrap());
    let answer = server.h1().await.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut request = get("https://orders/");
    request.headers_mut().insert("x-long", long.parse().unwrap());
    let answer = server.h2().await.send_request(request).await;
    assert!(!answer.is_ok_and(|a| a.status() == StatusCode::OK));
}
