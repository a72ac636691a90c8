//! What looks at a port, and is no caller.

use std::time::Duration;

use meshguard_axum::core::control::Cadence;
use meshguard_axum::tls::HandshakeErrorKind;
use meshguard_axum::{Mesh, Policy};
use tokio::net::TcpStream;

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, http, soon};

/// Windows of 20 ms with ten handshakes in them.
const QUICK: Cadence =
    Cadence { busy: Duration::from_millis(20), quiet: Duration::from_millis(50), calls: 10 };

const ALERT: &str = "[[reflex]]\nname = \"storm\"\ndo = [\"alert\"]\n\
    on = { signal = \"handshake_failures\", false_alarms = \"1 in 1 day\" }\n";

/// A balancer connects, and closes: it wants to know whether somebody listens. Honest callers come
/// from its address, too.
#[tokio::test]
async fn health_checks_over_tcp_count_against_nobody() {
    let (told, app) = (Told::default(), App::default());
    let policy: Policy = rig::policy(ALERT).parse().unwrap();
    let callee = Mesh::dev(CALLEE).unwrap().policy(policy).sink(told.clone()).cadence(QUICK);
    let callee = callee.build().unwrap();
    let addr = rig::serve(&callee, &app).await;
    let caller = rig::mesh(CALLER, &rig::policy(""), &Told::default());
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    http::call(&channel, http::get("/known/10")).await.answer();
    for checks in 1..=10 {
        for _ in 0..20 {
            drop(TcpStream::connect(addr).await.unwrap());
        }
        let seen = || callee.handshakes().failed(HandshakeErrorKind::Disconnected);
        soon(async {
            while seen() < 20 * checks {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        http::call(&channel, http::get("/known/10")).await.answer();
    }
    // Windows have closed over all of it.
    let began = || callee.edges().iter().map(|edge| edge.window.start).max();
    for _ in 0..3 {
        let before = began();
        soon(async {
            while began() == before {
                http::call(&channel, http::get("/known/10")).await.answer();
            }
        })
        .await;
    }
    assert!(callee.incidents().is_empty(), "{:?}", callee.incidents());
}
