//! Streams whose peers give no window for what is ready for them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::stream;
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;
use hyper::server;
use hyper::service::service_fn;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::duplex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::http2::Http2;
use super::super::streams::{PIECE, STALLED, Stalls, Streams};
use super::*;
use crate::connection::Ends;
use crate::limits::{SEND_BUFFER, STALL_TIMEOUT};
use crate::listener::Standing;
use crate::tls::peer_of;

/// Bytes that a client lets come before it reads.
const WINDOW: u32 = 1000;
/// Bytes of an answer.
const LENGTH: usize = 200_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Answers that are not at their end.
#[derive(Clone, Default)]
struct Open(Arc<AtomicUsize>);

struct Guard(Open);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl Open {
    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Frames of `frame` bytes, [`LENGTH`] in all; after one of them, `/quiet` has no more for now.
    fn answer(&self, path: &str, frame: usize) -> UnsyncBoxBody<Bytes, Infallible> {
        self.0.fetch_add(1, Relaxed);
        let (guard, quiet) = (Guard(self.clone()), path == "/quiet");
        let frames = stream::unfold((guard, 0), move |(guard, sent)| async move {
            if quiet && sent > 0 {
                std::future::pending::<()>().await;
            }
            let more = sent < LENGTH;
            more.then(|| (Ok(Frame::data(vec![7; frame].into())), (guard, sent + frame)))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

struct Caller {
    sender: http2::SendRequest<Empty<Bytes>>,
    open: Open,
}

impl Caller {
    fn new(stalls: &Stalls, standing: Standing, frame: usize) -> Self {
        let (near, far) = duplex(1 << 20);
        let rig = Rig::new();
        let svid = rig.ca.svid(CHECKOUT).unwrap();
        let leaf = CertificateDer::from_pem_slice(svid.cert_pem().as_bytes()).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let ends = Ends { remote: any, local: any, server_name: None };
        let (peer, end) = (peer_of(&leaf).unwrap(), CancellationToken::new());
        let connection = Connection::new(1, peer, ends, Protocol::H2, standing, end);
        let streams = Streams::new(stalls.clone(), connection);
        let open = Open::default();
        let answers = open.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let body = answers.answer(request.uri().path(), frame);
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let serving = server::conn::http2::Builder::new(streams)
            .max_send_buf_size(SEND_BUFFER)
            .serve_connection(TokioIo::new(near), Http2(service));
        tokio::spawn(serving);
        let (sender, running) = futures_util::FutureExt::now_or_never(
            http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .handshake(TokioIo::new(far)),
        )
        .unwrap()
        .unwrap();
        tokio::spawn(running);
        Self { sender, open }
    }

    async fn asks(&mut self, path: &str) -> Incoming {
        let answer = self.sender.send_request(get(&format!("https://orders{path}"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body()
    }
}

/// Reads to the end; how many bytes there were.
async fn read(body: Incoming) -> Result<usize, hyper::Error> {
    Ok(body.collect().await?.to_bytes().len())
}

fn stalls(most: usize, most_of_peer: usize) -> Stalls {
    Stalls::with(most, most_of_peer, &Limits::default())
}

#[tokio::test(start_paused = true)]
async fn where_a_peer_has_many_a_stream_is_ended_that_has_waited_for_its_time() {
    // Half of it is two.
    let mut caller = Caller::new(&stalls(1000, 4), Standing::Caller, 1000);
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(caller.asks("/").await);
    }
    sleep(STALL_TIMEOUT - STALLED).await;
    assert_eq!(caller.open.count(), 3, "before its time");
    sleep(2 * STALLED).await;
    assert_eq!(caller.open.count(), 2, "the others are few");
    sleep(HOUR).await;
    assert_eq!(caller.open.count(), 2);
    let mut whole = 0;
    for body in bodies {
        match read(body).await {
            Ok(length) => whole += usize::from(length == LENGTH),
            Err(error) => {
                let source = std::error::Error::source(&error).unwrap();
                let reason = source.downcast_ref::<h2::Error>().unwrap().reason();
                assert_eq!(reason, Some(h2::Reason::CANCEL));
            }
        }
    }
    assert_eq!(whole, 2);
}

#[tokio::test(start_paused = true)]
async fn a_hop_may_have_more_of_them() {
    let mut caller = Caller::new(&stalls(1000, 4), Standing::Hop, 1000);
    let mut bodies = Vec::new();
    for _ in 0..8 {
        bodies.push(caller.asks("/").await);
    }
    sleep(HOUR).await;
    assert_eq!(caller.open.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn where_half_of_all_places_are_taken_time_counts_for_everybody() {
    let stalls = stalls(8, 1000);
    let mut callers = [0; 4].map(|_| Caller::new(&stalls, Standing::Caller, 1000));
    let mut bodies = Vec::new();
    for caller in &mut callers[..3] {
        bodies.push(caller.asks("/").await);
    }
    sleep(HOUR).await;
    assert!(callers[..3].iter().all(|caller| caller.open.count() == 1));
    bodies.push(callers[3].asks("/").await);
    sleep(HOUR).await;
    let left: usize = callers.iter().map(|caller| caller.open.count()).sum();
    assert_eq!(left, 3);
}

#[tokio::test(start_paused = true)]
async fn one_more_than_a_peers_share_ends_the_one_that_has_waited_longest() {
    let mut caller = Caller::new(&stalls(1000, 4), Standing::Caller, 1000);
    let mut bodies = Vec::new();
    for _ in 0..5 {
        bodies.push(caller.asks("/").await);
        sleep(2 * STALLED).await;
    }
    assert_eq!(caller.open.count(), 4);
    let first = bodies.remove(0);
    assert!(read(first).await.is_err());
    for body in bodies {
        assert_eq!(read(body).await.unwrap(), LENGTH);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_bytes_to_send_rests_for_ever() {
    let mut caller = Caller::new(&stalls(1000, 4), Standing::Caller, 500);
    let mut bodies = Vec::new();
    for _ in 0..20 {
        bodies.push(caller.asks("/quiet").await);
    }
    sleep(24 * HOUR).await;
    assert_eq!(caller.open.count(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_reads_to_the_end() {
    let mut caller = Caller::new(&stalls(8, 16), Standing::Caller, 1000);
    let mut others = Vec::new();
    for _ in 0..7 {
        others.push(caller.asks("/").await);
    }
    let mut body = caller.asks("/").await;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
        sleep(STALL_TIMEOUT / 2).await;
    }
    assert_eq!(length, LENGTH);
    assert!(caller.open.count() < 7, "others were pressed meanwhile");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_waits_in_pieces() {
    let mut caller = Caller::new(&stalls(1000, 32), Standing::Caller, LENGTH);
    let body = caller.asks("/").await;
    sleep(HOUR).await;
    assert_eq!(caller.open.count(), 1, "it is watched");
    const { assert!(LENGTH > 2 * PIECE) };
    assert_eq!(read(body).await.unwrap(), LENGTH);
    sleep(STALLED).await;
    assert_eq!(caller.open.count(), 0);
}
