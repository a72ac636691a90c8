//! Headers that conditions read: each value for itself, and only under the caller's proof.

use axum::body::Body;
use http::{Request, StatusCode};
use tower::ServiceExt as _;

use crate::rig::{self, CALLER, Rig, allowing, http as say};
use crate::wire::{Guarded, request};
use meshguard_axum::tls::Alpn;

const TENANT: &str = "when = { headers = { x-tenant = \"acme-*\" } }\n";

#[tokio::test]
async fn of_several_values_every_one_must_match() {
    let rig = Rig::with(&allowing(TENANT, ""), Alpn::Both).await;
    for (tenants, want) in [
        (&["acme-eu"][..], StatusCode::OK),
        (&["acme-eu", "acme-us"], StatusCode::OK),
        (&["acme-eu", "globex"], StatusCode::FORBIDDEN),
        (&["globex", "acme-eu"], StatusCode::FORBIDDEN),
        // A list, of which some readers take the elements: each must match.
        (&["acme-eu, acme-us"], StatusCode::OK),
        (&["acme-eu, globex, acme-"], StatusCode::FORBIDDEN),
        (&["globex, acme-eu"], StatusCode::FORBIDDEN),
        (&[""], StatusCode::FORBIDDEN),
        (&[], StatusCode::FORBIDDEN),
    ] {
        let calls = rig.app.calls();
        let head = tenants.iter().fold(Request::get("/known/3"), |r, t| r.header("x-tenant", *t));
        let answer = rig.channel.clone().oneshot(head.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), want, "{tenants:?}");
        assert_eq!(rig.app.calls() - calls, usize::from(want == StatusCode::OK), "{tenants:?}");
    }
    // The channel is in order: what matches still passes.
    let head = Request::get("/known/3").header("x-tenant", "acme-eu").body(Body::empty()).unwrap();
    assert_eq!(say::call(&rig.channel, head).await.answer().0, StatusCode::OK);
}

#[tokio::test]
async fn a_header_that_nobody_proved_satisfies_nothing() {
    let off = "[[delivery]]\nmode = \"off\"\n";
    let guarded = Guarded::with(&allowing(TENANT, off)).await;
    let headers = &["Host: localhost", "X-Tenant: acme-eu"];
    let answer = guarded.send(&request("GET", "/public/x", headers)).await;
    let reason = "all matched, but the caller proved no header x-tenant";
    guarded.refused(&answer, 403, reason, "not proved");
    let guarded = Guarded::with(&rig::policy(off)).await;
    let answer = guarded.send(&request("GET", "/public/x", headers)).await;
    assert_eq!((answer.status, guarded.app.ran().len()), (200, 1), "{CALLER} may");
}
