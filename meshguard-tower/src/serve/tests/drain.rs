use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn a_drained_server_finishes_what_it_has() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    let (mut h1, mut h2, mut resting) = (server.h1().await, server.h2().await, server.h1().await);
    resting.send_request(get("/")).await.unwrap();
    let first = tokio::spawn(h1.send_request(get("/wait")));
    server.gate.waiting.notified().await;
    let second = tokio::spawn(h2.send_request(get("https://orders/wait")));
    server.gate.waiting.notified().await;
    server.stop.notify_one();
    // The socket is closed by then, and the resting connection too.
    timeout(PATIENCE, async {
        while resting.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(connect(server.addr, server.rig.client(Alpn::H2)).await.is_err());
    server.gate.open.notify_waiters();
    for answer in [first, second] {
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    let drained = timeout(PATIENCE, server.running).await.unwrap().unwrap().unwrap();
    assert_eq!(drained, Drained { finished: 3, cut: 0 });
}

#[tokio::test]
async fn what_does_not_finish_by_the_deadline_is_cut_and_reported() {
    let server = Server::start(Limits::default(), Duration::from_millis(200)).await;
    let (mut h1, mut h2) = (server.h1().await, server.h2().await);
    let first = tokio::spawn(h1.send_request(get("/wait")));
    server.gate.waiting.notified().await;
    let second = tokio::spawn(h2.send_request(get("https://orders/wait")));
    server.gate.waiting.notified().await;
    server.stop.notify_one();
    let drained = timeout(PATIENCE, server.running).await.unwrap().unwrap().unwrap();
    assert_eq!(drained, Drained { finished: 0, cut: 2 });
    for answer in [first, second] {
        assert!(timeout(PATIENCE, answer).await.unwrap().unwrap().is_err());
    }
}

#[tokio::test]
async fn a_revocation_while_draining_still_ends_the_connection() {
    let server = Server::start(Limits::default(), PATIENCE).await;
    let svid = server.rig.ca.svid(CHECKOUT).unwrap();
    let mut config = server.rig.odd_client(Some(&svid));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(server.addr, Arc::new(config)).await.unwrap();
    let (mut h2, running) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(running);
    let answer = tokio::spawn(h2.send_request(get("https://orders/wait")));
    server.gate.waiting.notified().await;
    server.stop.notify_one();
    server.rig.revoke(&[&svid]);
    assert!(timeout(PATIENCE, answer).await.unwrap().unwrap().is_err());
    let drained = timeout(PATIENCE, server.running).await.unwrap().unwrap().unwrap();
    assert_eq!(drained, Drained { finished: 1, cut: 0 });
}

/// Whoever sends a request to an HTTP/1.1 connection while that closes does not know what came of
/// it: one that rests takes what is on its way, and closes with that answer.
#[tokio::test]
async fn a_request_on_its_way_to_a_resting_connection_is_not_lost_when_the_drain_begins() {
    // Less than such a connection has.
    const IN_TIME: Duration = Duration::from_millis(200);
    loop {
        let server = Server::start(Limits::default(), PATIENCE).await;
        let mut h1 = server.h1().await;
        text(h1.send_request(get("/")).await.unwrap()).await;
        let since = Instant::now();
        server.stop.notify_one();
        while connect(server.addr, server.rig.client(Alpn::Http11)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        // The socket is closed: the server drains.
        let answer = timeout(PATIENCE, h1.send_request(get("/"))).await.unwrap();
        if since.elapsed() > IN_TIME {
            continue; // this says nothing
        }
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["connection"], "close");
        text(answer).await;
        let drained = timeout(PATIENCE, server.running).await.unwrap().unwrap().unwrap();
        assert_eq!(drained.cut, 0);
        return;
    }
}

/// A caller that is writing when it is told to go fails to write to a socket that is closed, and then reads
/// no more: it would not learn which of its requests were not acted on.
#[tokio::test]
async fn what_is_written_after_the_goodbye_does_not_fail() {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let server = Server::start(Limits::default(), PATIENCE).await;
    let mut stream = connect(server.addr, server.rig.client(Alpn::H2)).await.unwrap();
    let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&settings).await.unwrap();
    let ping = loop {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            SETTINGS => server.stop.notify_one(),
            PING => break payload,
            _ => {}
        }
    };
    stream.write_all(&[0, 0, 8, PING, 1, 0, 0, 0, 0]).await.unwrap();
    stream.write_all(&ping).await.unwrap();
    let mut goodbye = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut goodbye)).await.unwrap().unwrap();
    assert!(!goodbye.is_empty());
    for _ in 0..8 {
        stream.write_all(&settings).await.unwrap();
        stream.flush().await.unwrap();
    }
    drop(stream);
    assert_eq!(server.running.await.unwrap().unwrap(), Drained { finished: 1, cut: 0 });
}
