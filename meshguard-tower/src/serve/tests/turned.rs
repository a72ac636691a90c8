//! Connections of a peer that policy allows nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::super::turned::TURNED_AWAY;
use super::*;
use crate::dev::DevSvid;
use crate::rig::NOBODY;
use crate::session::SESSION;

/// Before a connection is closed for another reason than the one under test.
const SHORT: Duration = Duration::from_secs(20);

fn config(server: &Server, svid: &DevSvid, alpn: &[u8]) -> Arc<rustls::ClientConfig> {
    let mut config = server.rig.odd_client(Some(svid));
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

async fn nobody_h2(server: &Server, svid: &DevSvid) -> http2::SendRequest<Empty<Bytes>> {
    let stream = connect(server.addr, config(server, svid, b"h2")).await.unwrap();
    let (sender, running) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(running);
    sender
}

#[tokio::test]
async fn it_is_answered_once_and_closed() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    let svid = server.rig.ca.svid(NOBODY).unwrap();
    let mut sender = nobody_h2(&server, &svid).await;
    let answer = sender.send_request(get("https://orders/refused")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let gone = async {
        while sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    // Over HTTP/1.1 too, and though its peer does not close it.
    let stream = connect(server.addr, config(&server, &svid, b"http/1.1")).await.unwrap();
    let (mut far, mut near) = tokio::io::split(stream);
    near.write_all(b"GET /refused HTTP/1.1\r\nhost: orders\r\n\r\n").await.unwrap();
    let (start, mut answer) = (Instant::now(), String::new());
    timeout(SHORT, far.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("connection: close"), "{answer}");
    assert!(start.elapsed() < Limits::default().head_timeout);
    server.serves().await;
}

#[tokio::test]
async fn it_may_have_one_stream_and_keeps_no_connection() {
    let server = Server::start(Limits::default().with_head_timeout(TURNED_AWAY), PATIENCE).await;
    let svid = server.rig.ca.svid(NOBODY).unwrap();
    let stream = connect(server.addr, config(&server, &svid, b"h2")).await.unwrap();
    let (mut far, mut near) = tokio::io::split(stream);
    near.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut said = Vec::new();
    // It may end without a word of TLS: it is closed although its PING is not answered.
    let _ = timeout(SHORT, far.read_to_end(&mut said)).await.unwrap();
    // SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2).
    let one = [0, 3, 0, 0, 0, 1];
    assert!(said.windows(6).any(|setting| setting == one), "{said:?}");
    // GOAWAY (RFC 9113, section 6.8).
    assert!(said.windows(5).any(|head| head == [8, 7, 0, 0, 0]), "{said:?}");
}

#[tokio::test]
async fn what_comes_again_and_again_is_answered_without_a_look_at_it() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    let svid = server.rig.ca.svid(NOBODY).unwrap();
    let start = Instant::now();
    let mut looked_at = 0;
    for _ in 0..20 {
        let mut sender = nobody_h2(&server, &svid).await;
        let answer = sender.send_request(get("https://orders/refused")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(answer.headers()[SESSION], "denied");
        looked_at += usize::from(!answer.headers().contains_key("retry-after"));
    }
    // Eight, and one a second.
    let most = 8 + 1 + start.elapsed().as_secs() as usize;
    assert!((8..=most).contains(&looked_at), "{looked_at} of 20 in {:?}", start.elapsed());
    assert_eq!(server.rig.stats.turned_away(), 20 - looked_at as u64);
    server.serves().await;
}

#[tokio::test]
async fn what_policy_lets_in_meanwhile_is_answered_whole() {
    let server = Server::start(Limits::default().with_head_timeout(TURNED_AWAY), PATIENCE).await;
    let svid = server.rig.ca.svid(NOBODY).unwrap();
    let mut sender = nobody_h2(&server, &svid).await;
    let waiting = tokio::spawn(sender.send_request(get("https://orders/wait")));
    server.gate.waiting.notified().await;
    // Time is the claim: it goes on for longer than connections of such a peer last.
    tokio::time::sleep(3 * TURNED_AWAY).await;
    server.gate.open.notify_one();
    assert_eq!(text(waiting.await.unwrap().unwrap()).await, format!("{NOBODY} H2"));
}
