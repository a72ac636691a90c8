//! Claims about ledgers read as calls.

use std::time::Duration;

use meshguard_core::Evidence;
use meshguard_core::delivery::{Outcome, Sid};
use meshguard_core::ledger::{Decision, End, Entry, Exchange, PolicyChange, Received, Sent, Start};
use meshguard_core::policy::{Flow, Was};

use crate::ledger::{FlowReader, Methods};

fn exchange(seq: u64) -> Exchange {
    Exchange { sid: Sid::from_random([7; 16]), seq, attempt: 0 }
}

fn received(rule: Option<&'static str>, seq: u64) -> Entry<'static> {
    Entry::Received(Received {
        from: Some("spiffe://a/from"),
        via: None,
        route: rule.map(|_| "/a/{id}"),
        rule,
        exchange: Some(exchange(seq)),
        status: Some(200),
        evidence: Evidence::Verified,
        end: End::Consumed,
        request_bytes: 0,
        response_bytes: 0,
        latency: Duration::ZERO,
        digest: None,
        failure: None,
    })
}

fn sent(method: &'static str, seq: u64) -> Entry<'static> {
    Entry::Sent(Sent {
        to: "spiffe://a/to",
        via: None,
        instance: None,
        method: Some(method),
        route: None,
        exchange: Some(exchange(seq)),
        outcome: Outcome::Delivered,
        status: Some(200),
        evidence: Evidence::Verified,
        request_bytes: 0,
        response_bytes: 0,
        latency: Duration::ZERO,
        digest: None,
    })
}

#[test]
fn a_ledger_tells_each_decided_call_once() {
    let mut methods = Methods::default();
    methods.note(&sent("PATCH", 2));
    let mut reader = FlowReader::new(&methods);
    let start = Start { service: "spiffe://a/to", instance: "1", version: "1", policy_version: 3 };
    assert_eq!(reader.read(&received(Some("r"), 1)).unwrap().to, None, "nothing said whose it is");
    assert_eq!(reader.read(&Entry::Start(start)), None);
    let allowed = Flow {
        from: Some("spiffe://a/from"),
        via: None,
        to: Some("spiffe://a/to"),
        method: None,
        route: Some("/a/{id}"),
        evidence: Some(Evidence::Verified),
        policy_version: 3,
        was: Was::Allowed("r"),
    };
    assert_eq!(reader.read(&received(Some("r"), 1)), Some(allowed));
    let change = Entry::Policy(PolicyChange { version: 4, replaced: Some(3) });
    assert_eq!(reader.read(&change), None);
    let patched = Flow { method: Some("PATCH"), policy_version: 4, ..allowed };
    assert_eq!(reader.read(&received(Some("r"), 2)), Some(patched));
    // A refusal is told by its decision, not by the exchange that it ended.
    let refused = Decision {
        id: 1,
        from: Some("spiffe://a/from"),
        via: None,
        allowed: false,
        reason: "no rule allows it",
        route: Some("/a/{id}"),
        policy_version: 4,
    };
    let was = Was::Refused("no rule allows it");
    let flow = Flow { method: None, evidence: None, policy_version: 4, was, ..allowed };
    assert_eq!(reader.read(&Entry::Decision(refused)), Some(flow));
    assert_eq!(reader.read(&received(None, 3)), None);
}
