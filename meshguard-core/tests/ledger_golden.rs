//! One entry of each kind, to the byte: the vectors of `docs/ledger.md`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::fmt::Write as _;
use std::time::Duration;

use meshguard_core::delivery::{Counts, Outcome, Sid};
use meshguard_core::ledger::{
    Action, Adopted, Change, Decision, Dropped, Effect, End, Entry, Exchange, Gap, GapCause,
    Incident, KINDS, Operator, PolicyChange, Received, Refusals, Rewritten, Sent, Stamp, Start,
    Stop, Unconfirmed,
};
use meshguard_core::{Evidence, Timestamp};

const ORDERS: &str = "spiffe://shop.example/orders";
const CHECKOUT: &str = "spiffe://shop.example/checkout";
const HOP: &str = "spiffe://shop.example/hop";
const AT: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

fn exchange() -> Option<Exchange> {
    Some(Exchange { sid: Sid::from_random([0x51; 16]), seq: 1842, attempt: 0 })
}

fn sent() -> Entry<'static> {
    Entry::Sent(Sent {
        to: ORDERS,
        via: Some(HOP),
        instance: Some("orders-1"),
        method: Some("POST"),
        route: None,
        exchange: exchange(),
        outcome: Outcome::Delivered,
        status: Some(201),
        evidence: Evidence::Verified,
        request_bytes: 1024,
        response_bytes: 17,
        latency: Duration::from_micros(750),
        digest: Some([0xd1; 32]),
    })
}

fn received() -> Entry<'static> {
    Entry::Received(Received {
        from: Some(CHECKOUT),
        via: None,
        route: Some("/orders/{id}"),
        rule: Some("checkout-reads-orders"),
        exchange: exchange(),
        status: Some(200),
        evidence: Evidence::Verified,
        end: End::Partial,
        request_bytes: 512,
        response_bytes: 0,
        latency: Duration::from_millis(3),
        digest: None,
        failure: Some("truncated"),
    })
}

fn reactions() -> [Entry<'static>; 4] {
    let decision = Decision {
        id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        from: Some(CHECKOUT),
        via: None,
        allowed: false,
        reason: "no rule allows it",
        route: None,
        policy_version: 7,
    };
    let incident = Incident {
        id: 1,
        edge: "caller spiffe://shop.example/checkout",
        reflex: "cut-off",
        signal: "error-share",
        bits: 31.5,
        state: "open",
        text: "errors: 0.4, usually 0.01",
    };
    let action = Action {
        id: 2,
        incident: Some(1),
        kind: "quarantine",
        edge: "caller spiffe://shop.example/checkout",
        change: Change::Applied,
        why: "31.5 bits, one in 30 days",
        expires: Some(AT + Duration::from_secs(300)),
    };
    let effect =
        Effect { action: 2, incident: Some(1), effect: "worked", before: 31.5, after: 0.25 };
    [
        Entry::Decision(decision),
        Entry::Incident(incident),
        Entry::Action(action),
        Entry::Effect(effect),
    ]
}

fn refusals() -> Entry<'static> {
    Entry::Refusals(Refusals {
        from: Some(CHECKOUT),
        via: None,
        route: Some("/orders/{id}"),
        code: 403,
        reason: "no rule allows it",
        policy_version: 7,
        count: 4711,
        accepted: 4700,
        first: exchange(),
        last: exchange().map(|exchange| Exchange { seq: 6600, ..exchange }),
        since: AT,
        until: AT + Duration::from_millis(999),
    })
}

fn entries() -> Vec<Entry<'static>> {
    let start =
        Start { service: ORDERS, instance: "orders-1", version: "0.1.0", policy_version: 7 };
    let counts = Counts {
        begun: 28,
        delivered: 6,
        answered_early: 7,
        rejected: 5,
        failed: 4,
        not_delivered: 3,
        indeterminate: 2,
        open: 1,
    };
    let gap = Gap {
        cause: GapCause::QueueFull,
        count: Some(12),
        first_seq: Some(10),
        since: Some(AT),
        until: Some(AT + Duration::from_millis(8)),
    };
    let mut entries = vec![
        Entry::Start(start),
        Entry::Stop(Stop { sent: counts, accepted: 40, settled: 39 }),
        Entry::Policy(PolicyChange { version: 8, replaced: Some(7) }),
        sent(),
        received(),
    ];
    entries.extend(reactions());
    entries.push(Entry::Operator(Operator { verb: "lift", target: CHECKOUT }));
    entries.push(Entry::Gap(gap));
    let sid = Sid::from_random([0x51; 16]);
    let left = Unconfirmed { from: CHECKOUT, via: Some(HOP), sid, first: 1840, last: 1842 };
    entries.push(Entry::Unconfirmed(left));
    entries.push(refusals());
    entries.push(Entry::Adopted(Adopted { first_seq: 4096, count: 17 }));
    entries.push(Entry::Dropped(Dropped { first_kept: 2048, archived: true }));
    let rewritten = Rewritten { version: 8, before: [0xb1; 32], after: [0xa2; 32] };
    entries.push(Entry::Rewritten(rewritten));
    entries
}

#[test]
fn the_golden_entries_are_written_to_the_byte() {
    let golden = include_str!("data/ledger_entries.txt");
    let mut lines = String::new();
    for (seq, entry) in (0..).zip(entries()) {
        assert_eq!(u64::from(entry.number()), seq + 1);
        let stamp = Stamp { seq, at: AT, elapsed: Duration::from_millis(seq) };
        let mut bytes = Vec::new();
        entry.encode(&stamp, &mut bytes);
        assert_eq!(Entry::decode(&bytes), Ok((stamp, entry)));
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(lines, "# {entry:?}\n{hex}").unwrap();
    }
    assert_eq!(lines.lines().count(), 2 * KINDS);
    assert_eq!(lines, golden, "the encoding has changed: it needs another version\n{lines}");
}
