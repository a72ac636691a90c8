//! Flow control: what nobody reads does not stop the connection's other calls.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};

use super::ways::{Way, read};
use crate::rig::http::{get as ask, pattern, post as put};
use crate::rig::soon;

const MIB: usize = 1024 * 1024;

/// In pieces of 16 KiB, the length not stated; never an end where `open`.
fn upload(bytes: usize, open: bool) -> Body {
    let piece = pattern(16 * 1024);
    let all = futures_util::stream::iter(0..bytes / piece.len());
    let all = all.then(move |_| {
        let piece = piece.clone();
        async move {
            tokio::task::yield_now().await;
            Ok::<Bytes, std::io::Error>(piece)
        }
    });
    let end = futures_util::stream::once(async move {
        if open {
            std::future::pending::<()>().await;
        }
        Ok(Bytes::from_static(b"end"))
    });
    Body::from_stream(Box::pin(all.chain(end)))
}

/// Drops its requests, and answers when it is let.
fn dropping(let_go: &Arc<Semaphore>) -> Router {
    let let_go = Arc::clone(let_go);
    let drops = move |request: Request| {
        drop(request);
        let let_go = Arc::clone(&let_go);
        async move {
            let_go.acquire().await.unwrap().forget();
            "done"
        }
    };
    let takes = |body: Bytes| async move { body.len().to_string() };
    Router::new().route("/drop", post(drops)).route("/take", post(takes))
}

#[tokio::test]
async fn uploads_that_an_application_dropped_do_not_stop_the_others() {
    let let_go = Arc::new(Semaphore::new(0));
    for mut way in Way::all_h2(|| dropping(&let_go)).await {
        let mut dropped = Vec::new();
        for _ in 0..4 {
            let mut sender = way.another().await;
            let request = put("/drop", upload(2 * MIB, false));
            dropped.push(tokio::spawn(async move { sender.send(request).await.is_ok() }));
        }
        for _ in 0..3 {
            let answer = soon(way.send(put("/take", upload(MIB, false)))).await.unwrap();
            assert_eq!(read(answer.into_body()).await.unwrap(), "1048579", "{}", way.name());
        }
        let_go.add_permits(4);
        for call in dropped {
            assert!(soon(call).await.unwrap(), "{}", way.name());
        }
        if let Some(ours) = way.ours() {
            ours.is_at_peace().await;
        }
    }
}

#[tokio::test]
async fn uploads_that_pause_and_were_dropped_are_let_go_of() {
    let let_go = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    for mut way in Way::all_h2(|| dropping(&let_go)).await {
        // More than a connection has streams: each is over with its answer, unread as it is.
        for _ in 0..300 {
            let mut sender = way.another().await;
            let request = put("/drop", upload(32 * 1024, true));
            let answer = soon(sender.send(request)).await.unwrap();
            assert_eq!(read(answer.into_body()).await.unwrap(), "done", "{}", way.name());
        }
        let answer = soon(way.send(put("/take", "all"))).await.unwrap();
        assert_eq!(read(answer.into_body()).await.unwrap(), "3", "{}", way.name());
    }
}

/// Longer than a callee reads on what its application has dropped.
const LET_GO: Duration = Duration::from_millis(1_500);

/// Of what a callee has let go of, no more is read, and it fills no window: not its own
/// connection's either.
#[tokio::test]
async fn uploads_that_go_on_after_they_were_let_go_of_do_not_stop_the_others() {
    let end = Arc::new(Semaphore::new(0));
    for mut way in Way::all_h2(|| dropping(&end)).await {
        let (send, pieces) = mpsc::unbounded_channel::<Bytes>();
        send.send(pattern(16 * 1024)).unwrap();
        let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
            pieces.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
        });
        let mut sender = way.another().await;
        let request = put("/drop", Body::from_stream(Box::pin(pieces)));
        let dropped = tokio::spawn(async move { sender.send(request).await.is_ok() });
        tokio::time::sleep(LET_GO).await;
        // More than all windows hold.
        for _ in 0..8 * MIB / (16 * 1024) {
            send.send(pattern(16 * 1024)).unwrap();
        }
        for _ in 0..3 {
            let answer = soon(way.send(put("/take", upload(MIB, false)))).await.unwrap();
            assert_eq!(read(answer.into_body()).await.unwrap(), "1048579", "{}", way.name());
        }
        end.add_permits(1);
        assert!(soon(dropped).await.unwrap(), "{}", way.name());
    }
}

fn large() -> Router {
    let answer = || async { upload(4 * MIB, false) };
    Router::new().route("/large", get(answer)).route("/small", get(|| async { "small" }))
}

#[tokio::test]
async fn answers_that_nobody_reads_do_not_stop_the_others_sooner() {
    for mut way in Way::all_h2(large).await {
        let mut unread = Vec::new();
        for _ in 0..2 {
            unread.push(soon(way.send(ask("/large"))).await.unwrap());
        }
        // The answers fill what they may.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            let answer = soon(way.send(ask("/small"))).await.unwrap();
            assert_eq!(read(answer.into_body()).await.unwrap(), "small", "{}", way.name());
        }
        for answer in unread {
            assert_eq!(read(answer.into_body()).await.unwrap().len(), 4 * MIB + 3);
        }
    }
}
