//! An upload that nobody reads, and other calls over its connection.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use meshguard_axum::Mesh;
use meshguard_axum::core::delivery::WINDOW;
use meshguard_axum::tls::Alpn;
use tokio::sync::{Notify, Semaphore};
use tower::ServiceExt as _;

use crate::rig::http::{pattern, pieces};
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, MAC, http, soon};

/// More than a server takes in unread, of one connection.
const LARGE: usize = 4 << 20;

/// One exchange that goes on keeps its session's window from moving, so that the channel opens another
/// session meanwhile: over the connection that the upload has filled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_beside_it_beyond_a_sessions_window() {
    const AT_ONCE: usize = 32;
    let (came, let_go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let held = (Arc::clone(&came), Arc::clone(&let_go));
    let hold = move |body: axum::body::Body| async move {
        held.0.notify_one();
        drop(held.1.acquire().await);
        axum::body::to_bytes(body, 2 * LARGE).await.unwrap().len().to_string()
    };
    let app = Router::new().route("/hold", post(hold)).route("/", get(|| async { "here" }));
    let policy = rig::policy(MAC);
    let callee = Mesh::dev(CALLEE).unwrap().policy(policy.parse().unwrap()).build().unwrap();
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(async { meshguard_axum::serve(listener, app).await.unwrap() });
    let caller = rig::mesh(CALLER, &policy, &Told::default());
    let channel = caller.channel(&uri, CALLEE).unwrap().protocols(Alpn::H2);

    let piece: Bytes = pattern(64 << 10);
    let body = pieces(std::iter::repeat_n(piece, LARGE >> 16).collect());
    let upload = tokio::spawn(channel.clone().oneshot(http::post("/hold", body)));
    soon(came.notified()).await;
    for _ in 0..=WINDOW as usize / AT_ONCE {
        let calls = (0..AT_ONCE).map(|_| channel.clone().oneshot(http::get("/")));
        for answer in soon(join_all(calls)).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            soon(answer.into_body().collect()).await.unwrap();
        }
    }
    let_go.add_permits(1);
    let answer = soon(upload).await.unwrap().unwrap();
    let length = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(length, LARGE.to_string());
}
