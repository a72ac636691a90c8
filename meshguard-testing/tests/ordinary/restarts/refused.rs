//! A caller that the callee refuses in the TLS handshake is told why.

use std::time::{Duration, SystemTime};

use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallError, CallErrorKind, Channel};
use meshguard_testing::{DevCa, LeafSpec};

use super::shapes::Shape;
use crate::rig::revoking::Revoking;
use crate::rig::{self, CALLEE, CALLER};

const OFF: &str = "[[delivery]]\nmode = \"off\"\n";

async fn refused(channel: &Channel, shape: Shape, alert: &str) {
    for _ in 0..3 {
        let failed = shape.call(channel).await.unwrap_err();
        let error = failed.error.as_ref().unwrap_or_else(|| panic!("{failed:?}"));
        let CallErrorKind::HandshakeRefused(got) = error.kind() else {
            panic!("{shape:?}, {alert}: {error}");
        };
        assert_eq!(got.as_str(), alert, "{error}");
        assert!(error.to_string().contains(alert), "{error}");
    }
}

#[tokio::test]
async fn every_call_says_which_alert_refused_it() {
    for more in ["", OFF] {
        let mut callee = Revoking::new(more).await;
        let other = DevCa::new(CALLEE.trust_domain()).unwrap();
        let revoked = callee.ca.svid(&CALLER).unwrap();
        callee.revoke(&[&revoked]);
        // No service starts with an SVID that has expired: this one does while it runs.
        let mut spec = LeafSpec::of(&CALLER);
        spec.not_after = SystemTime::now() + Duration::from_secs(3);
        let expired = callee.caller(&callee.ca.issue(&spec).unwrap(), more);
        rig::until(|| SystemTime::now() > spec.not_after + Duration::from_secs(1)).await;
        for (caller, alert) in [
            (callee.caller_of(&other, &other.svid(&CALLER).unwrap(), more), "unknown_ca"),
            (callee.caller(&revoked, more), "certificate_revoked"),
            (expired, "certificate_expired"),
        ] {
            for alpn in [Alpn::H2, Alpn::Http11] {
                let channel = callee.channel(&caller, alpn);
                refused(&channel, Shape::Get, alert).await;
                refused(&channel, Shape::Upload, alert).await;
            }
            refused(&callee.channel(&caller, Alpn::H2), Shape::Unary, alert).await;
        }
    }
}

#[tokio::test]
async fn a_caller_that_is_revoked_is_told_so_and_calls_again_once_it_is_allowed() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let mut callee = Revoking::new("").await;
        let svid = callee.ca.svid(&CALLER).unwrap();
        let caller = callee.caller(&svid, "");
        let channel = callee.channel(&caller, alpn);
        Shape::Get.call(&channel).await.unwrap();
        callee.revoke(&[&svid]);
        // The call that meets the end of its connection may not have heard of anything else; and
        // a connection that is resumed is refused without an alert.
        rig::soon(async {
            loop {
                let failed = Shape::Get.call(&channel).await.unwrap_err();
                if let Some(CallErrorKind::HandshakeRefused(alert)) =
                    failed.error.as_ref().map(CallError::kind)
                {
                    assert_eq!(alert.as_str(), "certificate_revoked");
                    break;
                }
            }
        })
        .await;
        refused(&channel, Shape::Get, "certificate_revoked").await;
        callee.revoke(&[]);
        for shape in [Shape::Get, Shape::Post, Shape::Upload] {
            let got = shape.call(&channel).await;
            assert!(got.is_ok(), "{shape:?} over {alpn:?}: {got:?}");
        }
    }
}
