//! Fields of a request: those that its proof covers are its caller's, all others the hop's word.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Cadence, CallErrorKind, Mesh, Policy};
use meshguard_testing::{Fault, FaultHop};

use crate::rig::app::App;
use crate::rig::tell::Told;
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

fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

const MATCH: HeaderName = HeaderName::from_static("if-match");

/// The proof is over the joined value, so either passes: the application gets that value, and not
/// what the hop made of it.
#[tokio::test]
async fn a_covered_field_that_a_hop_splits_or_joins_arrives_as_the_value_that_was_proved() {
    for suite in SUITES {
        let policy = rig::allowing("when = { headers = { x-tenant = \"a*\" } }\n", suite);
        for name in [MATCH, TENANT] {
            let list = [(name.clone(), "a1, a2"), (TENANT, "a")];
            let two = [(name.clone(), "a1"), (name.clone(), "a2"), (TENANT, "a")];
            let split = Fault::SplitRequestHeader { name: name.clone() };
            let join = Fault::JoinRequestHeader { name: name.clone() };
            let want = if name == TENANT { "a1, a2, a" } else { "a1, a2" };
            for (fields, fault) in
                [(&list[..], Some(split)), (&two, Some(join)), (&two, None), (&list, None)]
            {
                let rig = Rig::with(&policy, Alpn::H2).await;
                let faults = usize::from(fault.is_some());
                fault.clone().into_iter().for_each(|fault| rig.inject(fault));
                let answer = http::call(&rig.channel, get(fields)).await.answer();
                assert_eq!(answer.0, StatusCode::OK, "{name} {fault:?}");
                rig.injected(faults).await;
                assert_eq!(lines(&rig.app.headers()[0], &name), [want], "{fault:?}");
                rig.check_books().await;
            }
        }
    }
}

/// Its lines are its caller's own: nobody stands between.
#[tokio::test]
async fn a_covered_field_of_a_direct_call_arrives_as_it_was_sent() {
    let rig = Rig::new(MAC, Alpn::H2).await;
    let direct = rig.caller.channel(&format!("https://{}", rig.addr), rig::CALLEE).unwrap();
    let two = [(MATCH, "a1"), (MATCH, "a2")];
    assert_eq!(http::call(&direct, get(&two)).await.answer().0, StatusCode::OK);
    assert_eq!(lines(&rig.app.headers()[0], &MATCH), ["a1", "a2"]);
}

/// What a condition says of one value of a list, it says of the list however it is written.
#[tokio::test]
async fn a_hop_that_joins_what_policy_denies_does_not_get_it_in() {
    let policy = rig::allowing("when = { headers = { x-tenant = \"a*\" } }\n", MAC);
    let (two, list) = (&[(TENANT, "a"), (TENANT, "b")][..], &[(TENANT, "a, b")][..]);
    let join = Fault::JoinRequestHeader { name: TENANT };
    let split = Fault::SplitRequestHeader { name: TENANT };
    for (fields, fault) in [(two, join), (list, split)] {
        let rig = Rig::with(&policy, Alpn::H2).await;
        rig.inject(fault);
        let (status, _) = http::call(&rig.channel, get(fields)).await.answer();
        assert_eq!((status, rig.app.calls()), (StatusCode::FORBIDDEN, 0), "{fields:?}");
        rig.injected(1).await;
    }
}

/// Cookies, metadata of gRPC and what applications call `x-…` are on no list.
#[tokio::test]
async fn what_no_proof_covers_is_the_hops_word() {
    for name in ["cookie", "x-user", "accept", "user-metadata-bin", "x-grpc-metadata"] {
        let name = HeaderName::from_static(name);
        let rig = Rig::new("", Alpn::H2).await;
        rig.inject(add(name.clone(), "hop"));
        let answer = http::call(&rig.channel, get(&[(name.clone(), "caller")])).await.answer();
        assert_eq!(answer.0, StatusCode::OK, "{name}");
        rig.injected(1).await;
        assert_eq!(lines(&rig.app.headers()[0], &name), ["caller", "hop"]);
        rig.check_books().await;
    }
}

/// A window closes with its 25th call.
const BY_COUNT: Cadence =
    Cadence { busy: Duration::from_millis(20), quiet: Duration::from_secs(3600), calls: 25 };

/// What makes a head ambiguous need not be its caller's word: the callee refuses it, and measures no
/// refusal of the caller.
#[tokio::test]
async fn what_a_hop_adds_to_a_head_costs_its_caller_nothing() {
    let (told, app) = (Told::default(), App::default());
    let policy: Policy = rig::policy(MAC).parse().unwrap();
    let callee = Mesh::dev(rig::CALLEE).unwrap().policy(policy).sink(told.clone());
    let callee = callee.cadence(BY_COUNT).build().unwrap();
    let addr = rig::serve(&callee, &app).await;
    let hop = FaultHop::builder(addr).tls(&rig::ca(), &rig::HOP).unwrap().start().await.unwrap();
    let caller = rig::mesh(rig::CALLER, &rig::policy(MAC), &Told::default());
    let channel = rig::through(&caller, &hop, Alpn::Http11);
    let call = || http::call(&channel, get(&[]));
    assert_eq!(call().await.answer().0, StatusCode::OK);
    const TIMES: usize = 20;
    for n in 1..=TIMES {
        hop.inject_next(add(HeaderName::from_static("upgrade"), "x"));
        assert_eq!(call().await.answer().0, StatusCode::BAD_REQUEST);
        rig::soon(hop.injected(n)).await;
    }
    assert_eq!(told.named("upgrade").len(), TIMES);
    for _ in 1..BY_COUNT.calls {
        assert_eq!(call().await.answer().0, StatusCode::OK);
    }
    let window = || {
        let edges = callee.edges().into_iter();
        let caller = EdgeKey::Caller(rig::CALLER);
        edges.filter(|status| status.edge == caller).map(|status| status.window).next()
    };
    rig::until(|| window().is_some()).await;
    let window = window().unwrap();
    assert_eq!((window.asked, window.refused, window.errors), (BY_COUNT.calls, 0, 0));
}

/// An application that takes offence at a field of the hop's answers as if its caller had erred.
#[tokio::test]
async fn an_answer_to_what_a_hop_has_added_is_no_error_of_its_caller() {
    let policy: Policy = rig::policy(MAC).parse().unwrap();
    let callee = Mesh::dev(rig::CALLEE).unwrap().policy(policy).cadence(BY_COUNT).build().unwrap();
    let app = axum::Router::new().route(
        "/known/10",
        axum::routing::get(|headers: HeaderMap| async move {
            if headers.contains_key("cookie") { StatusCode::BAD_REQUEST } else { StatusCode::OK }
        }),
    );
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr();
    tokio::spawn(async { meshguard_axum::serve(listener, app).await.unwrap() });
    let hop = FaultHop::builder(addr).tls(&rig::ca(), &rig::HOP).unwrap().start().await.unwrap();
    let caller = rig::mesh(rig::CALLER, &rig::policy(MAC), &Told::default());
    let channel = rig::through(&caller, &hop, Alpn::H2);
    for n in 1..=BY_COUNT.calls as usize {
        hop.inject_next(add(HeaderName::from_static("cookie"), "junk"));
        let answer = http::call(&channel, get(&[])).await.answer();
        assert_eq!(answer.0, StatusCode::BAD_REQUEST);
        rig::soon(hop.injected(n)).await;
    }
    let caller = EdgeKey::Caller(rig::CALLER);
    let status = || callee.edges().into_iter().find(|status| status.edge == caller);
    rig::until(|| status().is_some()).await;
    let window = status().unwrap().window;
    assert_eq!((window.asked, window.errors), (BY_COUNT.calls, 0));
}
