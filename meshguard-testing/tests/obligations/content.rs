//! `content` of a rule: the application is called with what it asks for, or not at all.

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode, header};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, DecisionId, Mesh};

use crate::rig::app::Saw;
use crate::rig::{CALLEE, Rig, allowing, grpc, http as say, soon};

const OFF: &str = "[[delivery]]\nmode = \"off\"\n";
const SEALED: &str = "[[delivery]]\nseal = true\n";

fn content(max_bytes: usize) -> String {
    format!(
        "when = {{ content = {{ json = [\"/id\", \"/items/0/sku\"], max_bytes = {max_bytes} }} }}\n"
    )
}

const ORDER: &str = r#"{"id": 7, "items": [{"sku": "a"}]}"#;

/// So many bytes of an order.
fn order(bytes: usize) -> String {
    let rest = bytes - ORDER.len();
    format!("{ORDER}{}", " ".repeat(rest))
}

fn post(kind: &'static str, body: impl Into<Body>) -> Request<Body> {
    let mut request = say::post("/take", body);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    request
}

const JSON: &str = "application/json";

/// A rig, and every way to call it: through the hop, sealed and not, and without proof.
async fn ways(rule: &str) -> Vec<(Rig, Channel, &'static str)> {
    let mut ways = Vec::new();
    for (delivery, name) in [("", "proved"), (SEALED, "sealed"), (OFF, "plain")] {
        let rig = Rig::with(&allowing(rule, delivery), Alpn::Both).await;
        let direct = rig.caller.channel(&format!("https://{}", rig.addr), CALLEE).unwrap();
        let channel = if delivery == OFF { direct } else { rig.channel.clone() };
        ways.push((rig, channel, name));
    }
    ways
}

/// A body whose head has its length, and one that comes in pieces.
fn both(text: &str) -> [Body; 2] {
    let whole = bytes::Bytes::from(text.to_owned());
    [Body::from(whole.clone()), say::halves(&whole)]
}

async fn sent(channel: &Channel, request: Request<Body>) -> (StatusCode, Option<DecisionId>) {
    use tower::ServiceExt as _;
    let answer = soon(channel.clone().oneshot(request)).await.unwrap();
    let id = answer.headers().get("meshguard-decision");
    (answer.status(), id.and_then(|id| DecisionId::parse(id.to_str().unwrap())))
}

fn reason(callee: &Mesh, id: Option<DecisionId>) -> String {
    callee.explain(id.expect("a number")).unwrap().reason
}

#[tokio::test]
async fn a_body_that_is_what_the_rule_asks_for_reaches_the_application_whole() {
    for (rig, channel, way) in ways(&content(300_000)).await {
        for text in [ORDER.to_owned(), order(300_000)] {
            for body in both(&text) {
                let answer = say::call(&channel, post(JSON, body)).await.answer();
                assert_eq!(answer.0, StatusCode::OK, "{way}");
                let Saw::Clean { bytes, .. } = rig.app.saw().await else { panic!("{way}") };
                assert_eq!(bytes, text.as_bytes(), "{way}");
            }
        }
        assert!(rig.at_callee.all().is_empty(), "{way}: {:?}", rig.at_callee.all());
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_body_that_is_not_does_not_reach_the_application() {
    let missing = StatusCode::UNPROCESSABLE_ENTITY;
    for (rig, channel, way) in ways(&content(1000)).await {
        for (text, status, why) in [
            (r#"{"id": 7}"#, missing, "the body has no /items/0/sku"),
            (r#"{"id": 7, "items": []}"#, missing, "the body has no /items/0/sku"),
            (r#"{"id": 7, "items": [{"sku": 1}"#, missing, "the body is not JSON"),
            (r#"{"id": 7, "items": [{"sku": 1}], "id": 8}"#, missing, "a member stands twice"),
            (&order(1001), StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1000 bytes"),
            (&order(200_000), StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 1000 bytes"),
        ] {
            for body in both(text) {
                let (got, id) = sent(&channel, post(JSON, body)).await;
                assert_eq!(got, status, "{way}: {why}");
                let reason = reason(&rig.callee, id);
                assert!(reason.contains(why), "{way}: {reason}");
            }
        }
        let (empty, id) = sent(&channel, post(JSON, Body::empty())).await;
        assert_eq!(empty, missing, "{way}");
        assert!(reason(&rig.callee, id).contains("not JSON"), "{way}");
        assert_eq!(rig.app.calls(), 0, "{way}");
        assert!(rig.at_callee.named("content").len() >= 13, "{way}");
        // What is refused is refused, and the channel is as good as before.
        let answer = say::call(&channel, post(JSON, ORDER)).await.answer();
        assert_eq!(answer.0, StatusCode::OK, "{way}");
        rig.check_books().await;
    }
}

#[tokio::test]
async fn what_cannot_be_checked_is_refused_by_its_head() {
    for (rig, channel, way) in ways(&content(1000)).await {
        let (text, _) = sent(&channel, post("text/plain", ORDER)).await;
        assert_eq!(text, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{way}");
        let mut zipped = post(JSON, say::halves(&ORDER.into()));
        zipped.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(sent(&channel, zipped).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{way}");
        let status = grpc::client(channel, grpc::ready(3)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{way}: {status}");
        assert_eq!(rig.app.calls(), 0, "{way}");
    }
}

/// The seeded fault: without the rule's `content` the same bodies run the handler.
#[tokio::test]
async fn without_content_any_body_reaches_the_application() {
    for (rig, channel, way) in ways("").await {
        for text in [r#"{"id": 7}"#, "{", &order(2000)] {
            for body in both(text) {
                let answer = say::call(&channel, post(JSON, body)).await.answer();
                assert_eq!(answer.0, StatusCode::OK, "{way}");
            }
        }
        assert_eq!(rig.app.calls(), 6, "{way}");
    }
}
