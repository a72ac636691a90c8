//! A caller that policy allows nothing any more.

use axum::http::StatusCode;
use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, SessionError};

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, http};

#[tokio::test]
async fn who_is_allowed_nothing_any_more_is_told_so_and_does_not_come_again_and_again() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let app = App::default();
        let callee = rig::mesh(CALLEE, &rig::policy(""), &Told::default());
        let addr = rig::serve(&callee, &app).await;
        let caller = rig::mesh(CALLER, &rig::policy(""), &Told::default());
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap().protocols(alpn);
        let call = || http::call(&channel, http::get("/known/10"));
        assert_eq!(call().await.answer().0, StatusCode::OK);
        callee.set_policy("mesh = \"faults.example\"\nversion = 2\n".parse().unwrap());
        let before = callee.handshakes().completed();
        for n in 0..50 {
            match call().await {
                http::Got::Answer(StatusCode::FORBIDDEN, _) => {}
                http::Got::Failed(error) => {
                    let denied = CallErrorKind::Session(SessionError::Denied(None));
                    let kind = match error.kind() {
                        CallErrorKind::Session(SessionError::Denied(_)) => denied.clone(),
                        other => other.clone(),
                    };
                    let told = (kind, error.outcome());
                    assert_eq!(told, (denied, Outcome::NotDelivered), "{alpn:?} {n}: {error}");
                }
                other => panic!("{n}: {other:?}"),
            }
        }
        let came = callee.handshakes().completed() - before;
        assert!(came <= 5, "{came} connections");
        // Allowed again, it calls again.
        let version = "version = 3";
        callee.set_policy(rig::policy("").replace("version = 1", version).parse().unwrap());
        rig::soon(async {
            while !matches!(call().await, http::Got::Answer(StatusCode::OK, _)) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}
