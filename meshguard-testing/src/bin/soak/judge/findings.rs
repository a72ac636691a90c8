//! Which findings an honest day may have: those that say only that something ended early.

use super::Verdict;
use crate::evidence::{Evidence, Found};

/// What a callee may find: a caller that cancels, a caller or a connection that is cut, a session
/// that a restart has ended.
const INBOUND: [&str; 11] = [
    // A handshake that a hop has split between two instances: it names nobody.
    "unknown-sid",
    // A caller that gave up its upload says so.
    "aborted",
    // A connection that was cut under a body, or a stream that was reset.
    "truncated",
    "short",
    "transport",
    // A caller that wanted no more of an answer says how far it got.
    "answer-not-received",
    // A number that its caller gave up before it arrived.
    "given-up",
    // A receipt that a cut connection took with it.
    "receipt-overdue",
    // A body that its caller stopped sending.
    "timeout",
    // A request that came although its caller had given it up.
    "void-seen",
    // Answers whose caller left without a receipt.
    "unconfirmed",
];

/// What a caller may find: calls that a restart cut, and that are judged by themselves.
const OUTBOUND: [&str; 12] = [
    "connect",
    "session",
    "no-answer",
    "not-confirmed",
    "no-receipt",
    "truncated",
    "aborted",
    "short",
    "transport",
    "timeout",
    "deadline",
    // A hop that has no callee answers 502 itself, and a hint is nobody's proof.
    "unproven",
];

pub(super) fn verdict(evidence: &Evidence) -> Verdict {
    let (mut against, mut allowed) = (Vec::new(), Vec::new());
    for found in &evidence.findings {
        let list: &[&str] = if found.inbound { &INBOUND } else { &OUTBOUND };
        if list.contains(&found.name.as_str()) {
            allowed.push(format!("{} {}", found.times, found.name));
        } else {
            against.push(tell(found));
        }
    }
    super::verdict("no finding blames an honest peer", against, allowed.join(", "))
}

fn tell(found: &Found) -> String {
    let Found { at, inbound, name, times, example } = found;
    let way = if *inbound { "inbound" } else { "outbound" };
    format!("{at}: {times} {way} {name}: {example}")
}
