//! Claims about drafts.

use super::{DraftError, draft};
use crate::Evidence;
use crate::policy::{Flow, Flows, Policy, Was};

fn flow<'a>(from: &'a str, to: &'a str, route: Option<&'a str>) -> Flow<'a> {
    Flow {
        from: Some(from),
        via: None,
        to: Some(to),
        method: None,
        route,
        evidence: Some(Evidence::Verified),
        policy_version: 1,
        was: Was::Allowed("all"),
    }
}

const A: &str = "spiffe://m/ns/a/sa/web";
const B: &str = "spiffe://m/ns/b/sa/web";
const ORDERS: &str = "spiffe://m/ns/a/sa/orders";
const EDGE: &str = "spiffe://m/edge";

fn seen(all: &[Flow<'_>]) -> Flows {
    let mut flows = Flows::default();
    all.iter().for_each(|flow| flows.add(flow).unwrap());
    flows
}

#[test]
fn a_draft_allows_what_was_seen_and_nothing_else() {
    let recorded: Policy = "mesh='m'\nversion=1\n[[allow]]\nname='all'\n\
         http=['GET /orders/{id}', 'POST /orders', 'DELETE /orders/{id}']\n\
         grpc=['shop.Orders/Get', 'shop.Orders/Put']\n"
        .parse()
        .unwrap();
    let get = flow(A, ORDERS, Some("/orders/{id}"));
    let flows = seen(&[
        Flow { method: Some("GET"), ..get },
        Flow { method: Some("GET"), evidence: Some(Evidence::Digest), ..get },
        flow(A, ORDERS, Some("shop.Orders/Get")),
        Flow { from: Some(B), via: Some(EDGE), ..flow(B, ORDERS, Some("/orders")) },
        Flow { was: Was::Refused("no rule allows it"), ..flow(B, ORDERS, Some("/orders")) },
    ]);
    let draft = draft(&flows, Some(&recorded), 7).unwrap();
    assert_eq!((draft.calls, draft.left_out, &draft.wide[..]), (4, 0, &[][..]), "{}", draft.text);
    let want = r#"mesh = "m"
version = 7
hops = ["edge"]

[peers]
edge = "spiffe://m/edge"
ns-a-sa-web = "spiffe://m/ns/a/sa/web"
ns-b-sa-web = "spiffe://m/ns/b/sa/web"
orders = "spiffe://m/ns/a/sa/orders"

# 3 calls
[[allow]]
name = "ns-a-sa-web-orders"
from = ["ns-a-sa-web"]
to = ["orders"]
http = [
    "GET /orders/{id}", # 2
]
grpc = [
    "shop.Orders/Get", # 1
]
when = { evidence = "digest", direct = true }

# 1 call
[[allow]]
name = "ns-b-sa-web-orders-via-edge"
from = ["ns-b-sa-web"]
to = ["orders"]
via = ["edge"]
http = [
    "POST /orders", # 1
]
when = { evidence = "verified" }
"#;
    assert_eq!(draft.text, want);
    let replay = draft.policy.replay(&flows, Some(&recorded)).unwrap();
    assert!(replay.is_unchanged(), "{replay}");
    assert!(replay.unused.is_empty(), "each rule was needed: {replay}");
    let again: Policy = draft.policy.to_toml().parse().unwrap();
    assert_eq!(again.to_toml(), draft.policy.to_toml());
}

#[test]
fn what_a_record_does_not_tell_is_left_wide_and_said() {
    let flows = seen(&[flow(A, ORDERS, Some("/orders/{id}")), flow(B, ORDERS, None)]);
    let draft = draft(&flows, None, 1).unwrap();
    assert_eq!(draft.wide, ["ns-a-sa-web-orders", "ns-b-sa-web-orders"]);
    assert!(draft.text.contains("# nothing tells the methods"), "{}", draft.text);
    assert!(draft.text.contains("\"* /orders/{id}\", # 1"), "{}", draft.text);
    assert!(draft.text.contains("# of 1 nothing tells the operation"), "{}", draft.text);
    assert!(draft.policy.replay(&flows, None).unwrap().newly_denied.is_empty());
}

#[test]
fn callers_of_other_trust_domains_are_federated() {
    let flows = seen(&[flow("spiffe://other/x", ORDERS, Some("/a"))]);
    let draft = draft(&flows, None, 1).unwrap();
    assert!(draft.text.contains("federates = [\"other\"]"), "{}", draft.text);
    assert!(draft.policy.replay(&flows, None).unwrap().is_unchanged());
}

#[test]
fn nothing_to_draw_from_is_no_draft() {
    let refused = Flow { was: Was::Refused("no rule allows it"), ..flow(A, ORDERS, None) };
    let nobody = Flow { from: None, ..flow(A, ORDERS, None) };
    let error = draft(&seen(&[refused, nobody]), None, 1).unwrap_err();
    assert_eq!(error, DraftError::NoCalls);
    let both = draft(&seen(&[nobody, flow(A, ORDERS, Some("/a"))]), None, 1).unwrap();
    assert_eq!(both.left_out, 1);
}
