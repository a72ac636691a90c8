//! `limit` of a rule.

use http::{Response, StatusCode};
use meshguard_axum::DecisionId;
use meshguard_axum::tls::Alpn;
use tower::ServiceExt as _;

use crate::rig::{self, Rig, allowing, grpc, http as say};

/// None of them comes back while a test runs.
fn limit(burst: u32, per: &str) -> String {
    format!("limit = {{ rate = \"1/h\", burst = {burst}, per = \"{per}\" }}\n")
}

async fn get(rig: &Rig) -> Response<impl http_body::Body> {
    rig.channel.clone().oneshot(say::get("/known/3")).await.unwrap()
}

async fn statuses(rig: &Rig, calls: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..calls {
        all.push(get(rig).await.status().as_u16());
    }
    all
}

#[tokio::test]
async fn calls_beyond_a_limit_do_not_reach_the_application() {
    for per in ["caller", "rule"] {
        let rig = Rig::with(&allowing(&limit(2, per), ""), Alpn::Both).await;
        assert_eq!(statuses(&rig, 2).await, [200, 200]);
        let refused = get(&rig).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait = refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
        assert!((3500..=3600).contains(&wait), "{wait}");
        let number = refused.headers()["meshguard-decision"].to_str().unwrap();
        let explained = rig.callee.explain(DecisionId::parse(number).unwrap()).unwrap();
        let why = format!("all lets through no more than 1 in 3600s and 2 at once, per {per}");
        assert_eq!(explained.reason, why);
        assert_eq!(rig.app.calls(), 2);
        assert_eq!(rig.at_callee.wait("limited").await.from, Some(rig::CALLER.to_string()));
    }
}

#[tokio::test]
async fn a_grpc_call_beyond_a_limit_is_resource_exhausted() {
    let rig = Rig::with(&allowing(&limit(1, "caller"), ""), Alpn::Both).await;
    assert_eq!(grpc::client(rig.channel.clone(), grpc::ready(3)).await.unwrap(), 3);
    let status = grpc::client(rig.channel.clone(), grpc::ready(3)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.metadata().get("meshguard-decision").is_some());
    assert_eq!(rig.app.calls(), 1);
}

#[tokio::test]
async fn a_count_outlives_its_policy_as_long_as_the_limit_is_the_same() {
    let rig = Rig::with(&allowing(&limit(1, "caller"), ""), Alpn::Both).await;
    assert_eq!(statuses(&rig, 2).await, [200, 429]);
    let next = |version: u32, burst| {
        let text = allowing(&limit(burst, "caller"), "");
        text.replace("version = 1", &format!("version = {version}")).parse().unwrap()
    };
    rig.callee.set_policy(next(2, 1));
    assert_eq!(statuses(&rig, 1).await, [429]);
    rig.callee.set_policy(next(3, 2));
    assert_eq!(statuses(&rig, 3).await, [200, 200, 429]);
}

#[tokio::test]
async fn what_policy_denies_is_not_counted() {
    let rule = format!("http = [\"* /known/{{n}}\"]\n{}", limit(1, "caller"));
    let rig = Rig::with(&allowing(&rule, ""), Alpn::Both).await;
    for _ in 0..3 {
        let denied = say::call(&rig.channel, say::get("/empty")).await.answer();
        assert_eq!(denied.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(statuses(&rig, 2).await, [200, 429]);
}

/// The seeded fault: without the rule's `limit`, as many pass as are sent.
#[tokio::test]
async fn without_a_limit_all_pass() {
    let rig = Rig::with(&allowing("", ""), Alpn::Both).await;
    assert_eq!(statuses(&rig, 5).await, [200; 5]);
}
