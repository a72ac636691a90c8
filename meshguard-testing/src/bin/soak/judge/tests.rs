//! Each verdict holds on a good run, and turns with one planted fault.

use std::time::{Duration, Instant};

use super::*;
use crate::evidence::{Books, Edge, Failed, Found, Repeated, Restart, Tally};
use crate::shape::{Callee, Http, Lane};

const SECOND: Duration = Duration::from_secs(1);

const DIRECT: Lane = Lane { side: Side::Mesh, callee: Callee::Mac, via: false, http: Http::Two };
const VIA: Lane = Lane { side: Side::Mesh, callee: Callee::Mac, via: true, http: Http::Two };

/// A run of ten minutes in which all went well; the callee `Mac` restarted after 10 s and after
/// 20 s.
fn good(start: Instant) -> Evidence {
    let tally = Tally { whole: 1000, failed: 4, cancelled: 10 };
    let restart = |s| Restart {
        side: Side::Mesh,
        callee: Callee::Mac,
        from: start + s * SECOND,
        to: start + s * SECOND + SECOND / 10,
        gone: Some(start + s * SECOND + SECOND / 2),
    };
    let trust = Edge {
        at: "caller",
        edge: "callee orders".into(),
        trust: 0.6,
        start: 0.5,
        restricted: false,
    };
    Evidence {
        counts: [[tally; Shape::COUNT]; 2],
        restarts: vec![restart(10), restart(20)],
        findings: vec![found(true, "truncated"), found(false, "no-answer")],
        edges: vec![trust],
        memory: (0..=600).map(|s| (s * SECOND, 100 << 20)).collect(),
        books: vec![Books { at: "caller", text: "all".into(), balance: true }],
        ..Evidence::default()
    }
}

fn found(inbound: bool, name: &str) -> Found {
    Found { at: "orders", inbound, name: name.into(), times: 1, example: "so".into() }
}

fn failed(start: Instant, lane: Lane, shape: Shape, begun: f64, ended: f64) -> Failed {
    let at = |s| start + Duration::from_secs_f64(s);
    let (begun, ended) = (at(begun), at(ended));
    Failed { lane, shape, begun, ended, first: false, why: "so".into() }
}

/// The claims that do not hold.
fn red(evidence: &Evidence) -> Vec<&'static str> {
    judge(evidence).into_iter().filter(|v| !v.holds()).map(|v| v.claim).collect()
}

/// A good run with this fault is red for one reason only.
fn turns(claim: &str, plant: impl FnOnce(&mut Evidence, Instant)) {
    let start = Instant::now();
    let mut evidence = good(start);
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
    plant(&mut evidence, start);
    let red = red(&evidence);
    assert!(red.len() == 1 && red[0].starts_with(claim), "{red:?}");
}

#[test]
fn a_run_that_leaves_a_shape_out_is_red() {
    turns("every shape ran", |e, _| e.counts[1][Shape::Sse.index()] = Tally::default());
    turns("every shape ran", |e, _| e.restarts.truncate(1));
}

#[test]
fn a_call_that_fails_away_from_any_restart_is_red() {
    for (lane, shape, begun, ended) in [
        // Before, between, long after.
        (DIRECT, Shape::Post, 3.0, 4.0),
        (DIRECT, Shape::Get, 10.2, 11.0),
        (VIA, Shape::Unary, 400.0, 401.0),
        // Under way when another callee restarted.
        (Lane { callee: Callee::Seal, ..DIRECT }, Shape::Post, 9.0, 11.0),
    ] {
        turns("no call failed", |e, start| {
            e.failed.push(failed(start, lane, shape, begun, ended));
        });
    }
    turns("no call failed", |e, _| e.failed_beyond = 1);
}

#[test]
fn a_call_that_was_under_way_at_a_restart_may_fail() {
    let start = Instant::now();
    let mut evidence = good(start);
    for (begun, ended) in [(9.0, 10.0), (10.05, 10.08), (10.1, 12.0), (2.0, 30.0)] {
        evidence.failed.push(failed(start, DIRECT, Shape::Upload, begun, ended));
    }
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
}

#[test]
fn a_connection_that_a_hop_lost_in_a_restart_is_the_hops_for_a_second() {
    let start = Instant::now();
    let lost = |lane, begun| Failed {
        why: "the answer (502 Bad Gateway) carries no proof".into(),
        ..failed(start, lane, Shape::Upload, begun, begun + 0.1)
    };
    let mut evidence = good(start);
    evidence.failed.push(lost(VIA, 10.8));
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
    for planted in
        [lost(DIRECT, 10.8), lost(VIA, 12.0), failed(start, VIA, Shape::Upload, 10.8, 10.9)]
    {
        turns("no call failed", |e, _| e.failed.push(planted));
    }
}

#[test]
fn a_renewal_through_a_hop_is_excused_while_the_former_instance_drains() {
    let start = Instant::now();
    let renewed = |lane, shape, begun| failed(start, lane, shape, begun, begun + 0.1);
    let mut evidence = good(start);
    evidence.failed.push(renewed(VIA, Shape::Upload, 10.3));
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
    for planted in [
        renewed(DIRECT, Shape::Upload, 10.3),
        renewed(VIA, Shape::Get, 10.3),
        renewed(VIA, Shape::Upload, 10.7),
    ] {
        turns("no call failed", |e, _| e.failed.push(planted));
    }
}

#[test]
fn only_the_first_unrepeatable_call_through_a_hop_may_fail_after_a_restart() {
    let start = Instant::now();
    let first = |lane, shape| Failed { first: true, ..failed(start, lane, shape, 12.0, 12.5) };
    let mut evidence = good(start);
    evidence.failed.push(first(VIA, Shape::Unary));
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
    for planted in [
        first(DIRECT, Shape::Unary),
        first(VIA, Shape::Get),
        first(VIA, Shape::PostIdempotent),
        first(Lane { callee: Callee::Seal, ..VIA }, Shape::Unary),
        failed(start, VIA, Shape::Unary, 12.0, 12.5),
        // Before there was a restart at all.
        Failed { first: true, ..failed(start, VIA, Shape::Unary, 2.0, 3.0) },
    ] {
        turns("no call failed", |e, _| e.failed.push(planted));
    }
}

#[test]
fn what_fails_on_stock_is_no_fault_of_this_mesh() {
    let start = Instant::now();
    let mut evidence = good(start);
    let lane = Lane { side: Side::Stock, ..DIRECT };
    evidence.failed.push(failed(start, lane, Shape::Post, 3.0, 4.0));
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
}

#[test]
fn a_call_that_was_handled_twice_is_red() {
    turns("no call was handled twice", |e, _| {
        e.repeated.push(Repeated { side: Side::Mesh, id: 7, times: 2 });
    });
}

#[test]
fn a_finding_that_blames_or_that_nobody_knows_is_red() {
    for (inbound, name) in
        [(true, "bad-tag"), (true, "divergence"), (false, "bad-proof"), (true, "new-one")]
    {
        turns("no finding blames", |e, _| e.findings.push(found(inbound, name)));
    }
    // What a caller may find is not what a callee may.
    turns("no finding blames", |e, _| e.findings.push(found(true, "unproven")));
}

#[test]
fn lost_trust_a_restriction_and_an_action_are_red() {
    turns("no trust was lost", |e, _| e.edges[0].trust = 0.49);
    turns("no trust was lost", |e, _| e.edges[0].restricted = true);
    turns("no trust was lost", |e, _| e.acted.push("quarantine".into()));
    turns("no trust was lost", |e, _| e.edges.clear());
}

#[test]
fn memory_that_grows_is_red() {
    turns("memory", |e, _| e.memory[600].1 = (118 << 20) + 1);
    // It may have grown before it settled.
    let mut evidence = good(Instant::now());
    evidence.memory[..100].iter_mut().for_each(|m| m.1 = 1 << 20);
    evidence.memory[600].1 = 118 << 20;
    assert!(red(&evidence).is_empty(), "{:?}", judge(&evidence));
    // A short run is compared with its middle.
    evidence.memory.truncate(61);
    evidence.memory[60].1 = 200 << 20;
    assert_eq!(red(&evidence).len(), 1);
}

#[test]
fn a_shape_that_fails_more_often_than_on_stock_is_red() {
    turns("no shape fails here", |e, _| e.counts[0][Shape::PingPong.index()].failed = 14);
    turns("no shape fails here", |e, _| {
        let tallies = &mut e.counts;
        tallies[1][Shape::Get.index()].failed = 0;
        tallies[0][Shape::Get.index()].failed = 6;
    });
}

#[test]
fn books_that_do_not_balance_are_red() {
    turns("books balance", |e, _| e.books[0].balance = false);
    turns("books balance", |e, _| e.books.clear());
}
