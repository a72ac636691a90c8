//! What is kept: bounded, and over a restart.

use meshguard_core::baseline::{Baselines, EdgeKey, Settings, SnapshotError};

use super::traffic::{Step, Traffic};
use super::{address, caller, learnt, seed, teach};

fn callee(i: u64) -> EdgeKey {
    let id = "spiffe://shop.example/orders".parse().unwrap();
    EdgeKey::Callee { id, instance: format!("orders-{i}").into() }
}

/// A few edges of all sorts, the first known well.
fn some(seed: u64) -> (Baselines, Traffic) {
    let mut traffic = Traffic::busy(seed, 300.0);
    let mut baselines = learnt(&caller(0), &mut traffic, 3_000);
    let hop: meshguard_core::SpiffeId = "spiffe://shop.example/hop".parse().unwrap();
    let others = [address(1), callee(1), EdgeKey::HopIn(hop.clone()), EdgeKey::HopOut(hop)];
    for edge in others {
        teach(&mut baselines, &edge, &mut Traffic::busy(seed + 1, 20.0), 20);
    }
    (baselines, traffic)
}

#[test]
fn a_restart_does_not_forget() {
    let (mut before, mut traffic) = some(seed());
    let mut after = Baselines::new(Settings::default());
    after.restore(&before.snapshot()).unwrap();
    assert_eq!(after.len(), before.len());
    assert_eq!(after.snapshot(), before.snapshot());
    for i in 0..200 {
        let window = traffic.step((i == 100).then_some(Step::P99));
        let scores = [&mut before, &mut after].map(|b| b.handle_window(&caller(0), &window, true));
        assert_eq!(scores[0], scores[1], "window {i}");
    }
}

#[test]
fn a_damaged_snapshot_is_refused_whole() {
    let (baselines, _) = some(seed());
    let whole = baselines.snapshot();
    let mut other = Baselines::new(Settings::default());
    teach(&mut other, &caller(9), &mut Traffic::busy(seed(), 20.0), 20);
    let was = other.snapshot();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        let error = other.restore(&damaged).unwrap_err();
        let expected = if at < 8 { SnapshotError::Version } else { SnapshotError::Checksum };
        assert_eq!(error, expected, "byte {at}");
    }
    for length in (0..whole.len()).step_by(7) {
        assert!(other.restore(&whole[..length]).is_err(), "cut to {length}");
    }
    assert_eq!(other.snapshot(), was);
    // The control: undamaged it is taken.
    other.restore(&whole).unwrap();
    assert_eq!(other.snapshot(), whole);
}

#[test]
fn what_holds_its_checksum_but_is_no_snapshot_is_refused() {
    let (baselines, _) = some(seed());
    let whole = baselines.snapshot();
    let body = &whole[..whole.len() - 32];
    let sealed = |body: &[u8]| {
        let mut out = body.to_vec();
        out.extend_from_slice(blake3::hash(body).as_bytes());
        out
    };
    let refused = |body: &[u8]| Baselines::new(Settings::default()).restore(&sealed(body));
    assert_eq!(refused(body), Ok(()));
    // The version before, of which all edges had one season.
    let older = [b"mgbase\0\x01", &body[8..]].concat();
    assert_eq!(refused(&older), Err(SnapshotError::Version));
    assert_eq!(refused(&[body, b"x"].concat()), Err(SnapshotError::Length));
    assert_eq!(refused(&body[..body.len() - 1]), Err(SnapshotError::Length));
    let mut nan = body.to_vec();
    nan[16..20].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(refused(&nan), Err(SnapshotError::Number));
    let id = body.windows(9).position(|w| w == b"spiffe://").unwrap();
    let mut renamed = body.to_vec();
    renamed[id] = b'x';
    assert_eq!(refused(&renamed), Err(SnapshotError::Edge));
}

#[test]
fn a_snapshot_of_more_edges_than_there_are_places_for_keeps_those_used_last() {
    let (baselines, _) = some(seed());
    let mut settings = Settings::default();
    settings.max_edges = 2;
    let mut small = Baselines::new(settings);
    small.restore(&baselines.snapshot()).unwrap();
    assert_eq!(small.len(), 2);
    assert_eq!(small.known(&caller(0)), 0);
    assert_eq!(small.known(&EdgeKey::HopOut("spiffe://shop.example/hop".parse().unwrap())), 20);
}

fn settings(max_edges: usize, max_of_one: usize) -> Settings {
    let mut settings = Settings::default();
    (settings.max_edges, settings.max_of_one) = (max_edges, max_of_one);
    settings
}

/// One peer with many instances, and one network with many addresses, against two callers.
fn crowded(settings: Settings) -> (usize, bool) {
    let (mut baselines, mut traffic) = (Baselines::new(settings), Traffic::busy(seed(), 20.0));
    teach(&mut baselines, &caller(0), &mut traffic, 1);
    teach(&mut baselines, &caller(1), &mut traffic, 1);
    for i in 0..200 {
        teach(&mut baselines, &callee(i), &mut traffic, 1);
        teach(&mut baselines, &address(i % 180), &mut traffic, 1);
    }
    let kept = [0, 1].iter().all(|&i| baselines.known(&caller(i)) == 1);
    (baselines.len(), kept)
}

#[test]
fn one_peer_or_network_cannot_evict_others() {
    assert_eq!(crowded(settings(40, 10)), (22, true));
    // The defect: no quota.
    assert_eq!(crowded(settings(40, 1_000)), (40, false));
}

#[test]
fn an_edge_with_an_open_incident_is_never_evicted_and_blindness_is_counted() {
    let (mut baselines, mut traffic) =
        (Baselines::new(settings(2, 2)), Traffic::busy(seed(), 20.0));
    for i in [0, 1] {
        teach(&mut baselines, &caller(i), &mut traffic, 3);
        baselines.keep(&caller(i), true);
    }
    teach(&mut baselines, &caller(2), &mut traffic, 5);
    assert_eq!((baselines.blind(), baselines.len()), (5, 2));
    assert_eq!([0, 1, 2].map(|i| baselines.known(&caller(i))), [3, 3, 0]);
    baselines.keep(&caller(0), false);
    teach(&mut baselines, &caller(2), &mut traffic, 5);
    assert_eq!([0, 1, 2].map(|i| baselines.known(&caller(i))), [0, 3, 5]);
    assert_eq!(baselines.blind(), 5);
}

#[test]
fn no_window_of_a_known_edge_allocates() {
    let mut traffic = Traffic::busy(seed(), 100.0);
    let edge = caller(0);
    let mut baselines = learnt(&edge, &mut traffic, 2_000);
    let info = allocation_counter::measure(|| {
        for i in 0..2_000 {
            let step = (i % 100 == 0).then_some(Step::RateUp);
            baselines.handle_window(&edge, &traffic.step(step), i % 3 > 0);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn an_edge_costs_less_than_two_kibibytes() {
    println!("{} bytes an edge", Baselines::bytes_of_one());
    assert!(Baselines::bytes_of_one() <= 2_048);
}
