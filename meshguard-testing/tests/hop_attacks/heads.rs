//! Fields of a request: those that its proof covers are its caller's, all others the hop's word.

use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use meshguard_axum::CallErrorKind;
use meshguard_axum::tls::Alpn;
use meshguard_testing::Fault;

use crate::rig::{self, MAC, Rig, SUITES, http};

const TENANT: HeaderName = HeaderName::from_static("x-tenant");
const NOTE: HeaderName = HeaderName::from_static("x-note");

fn add(name: HeaderName, value: &'static str) -> Fault {
    Fault::AddRequestHeader { name, value: HeaderValue::from_static(value) }
}

fn strip(name: HeaderName) -> Fault {
    Fault::StripRequestHeader { name }
}

fn get(fields: &[(HeaderName, &'static str)]) -> Request<axum::body::Body> {
    let mut request = http::get("/known/10");
    for (name, value) in fields {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    request
}

/// The request with its fields suffers `fault`: it is refused, and no application sees it.
async fn breaks_the_proof(policy: &str, fields: &[(HeaderName, &'static str)], fault: Fault) {
    let rig = Rig::with(policy, Alpn::H2).await;
    rig.inject(fault.clone());
    let error = http::call(&rig.channel, get(fields)).await.failed();
    let refused = CallErrorKind::Unproven(StatusCode::UNAUTHORIZED);
    assert_eq!(*error.kind(), refused, "{fault:?}");
    rig.injected(1).await;
    let found = rig.at_callee.wait("bad-proof").await;
    // Somebody on the path did it: nobody else is charged.
    assert_eq!((found.from, found.via), (None, Some(rig::HOP.to_string())));
    assert_eq!(rig.app.calls(), 0, "{fault:?}");
    rig.check_books().await;
}

#[tokio::test]
async fn a_covered_field_cannot_be_added() {
    for suite in SUITES {
        for (name, value) in [
            (HeaderName::from_static("range"), "bytes=0-1"),
            (HeaderName::from_static("authorization"), "Bearer stolen"),
            (HeaderName::from_static("content-type"), "text/plain"),
            (HeaderName::from_static("idempotency-key"), "1"),
        ] {
            breaks_the_proof(&rig::policy(suite), &[], add(name, value)).await;
        }
    }
}

#[tokio::test]
async fn a_covered_field_cannot_be_dropped_or_changed() {
    let authorization = HeaderName::from_static("authorization");
    let fields = [(authorization.clone(), "Bearer mine")];
    for suite in SUITES {
        let policy = rig::policy(suite);
        breaks_the_proof(&policy, &fields, strip(authorization.clone())).await;
        breaks_the_proof(&policy, &fields, add(authorization.clone(), "Bearer other")).await;
    }
}

#[tokio::test]
async fn a_field_that_policy_names_is_covered() {
    for suite in SUITES {
        let policy = rig::allowing("when = { headers = { x-tenant = \"a\" } }\n", suite);
        let ours = [(TENANT, "a")];
        breaks_the_proof(&policy, &ours, strip(TENANT)).await;
        breaks_the_proof(&policy, &ours, add(TENANT, "b")).await;
        breaks_the_proof(&policy, &[], add(TENANT, "a")).await;
    }
}

#[tokio::test]
async fn a_field_that_policy_names_is_believed_where_its_caller_proved_it() {
    let policy = rig::allowing("when = { headers = { x-tenant = \"a\" } }\n", MAC);
    let rig = Rig::with(&policy, Alpn::H2).await;
    let (status, _) = http::call(&rig.channel, get(&[(TENANT, "a")])).await.answer();
    assert_eq!(status, StatusCode::OK);
    for fields in [&[][..], &[(TENANT, "b")]] {
        let (status, _) = http::call(&rig.channel, get(fields)).await.answer();
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    assert_eq!(rig.app.calls(), 1);
    rig.check_books().await;
}

#[tokio::test]
async fn a_field_that_is_not_covered_may_change() {
    for suite in SUITES {
        for (fields, fault, seen) in
            [(&[][..], add(NOTE, "hop"), Some("hop")), (&[(NOTE, "caller")][..], strip(NOTE), None)]
        {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(fault);
            let answer = http::call(&rig.channel, get(fields)).await.answer();
            assert_eq!(answer, (StatusCode::OK, http::pattern(10)));
            rig.injected(1).await;
            let headers = &rig.app.headers()[0];
            assert_eq!(headers.get(NOTE).map(|v| v.to_str().unwrap()), seen);
            rig.check_books().await;
        }
    }
}
