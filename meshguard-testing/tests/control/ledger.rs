//! What both sides write down is what both sides' books say.

use std::collections::HashMap;
use std::time::Instant;

use meshguard_axum::core::delivery::Sid;
use meshguard_axum::core::ledger::{Entry, Exchange, Received, Sent};
use meshguard_axum::ledger::{Ledger, verify, verify_against};
use meshguard_axum::{Mesh, Outcome, Policy};

use crate::mall::{HONEST, Mall, policy};
use crate::rig::{http, soon};

type Key = (Sid, u64);

fn key(exchange: Exchange) -> Key {
    (exchange.sid, exchange.seq)
}

/// What a ledger says of each exchange that was proven.
fn sent(ledger: &Ledger) -> Vec<(Option<Key>, Outcome, Option<[u8; 32]>)> {
    let entries = ledger.entries().unwrap().map(Result::unwrap);
    let of =
        |Sent { exchange, outcome, digest, .. }: Sent<'_>| (exchange.map(key), outcome, digest);
    entries
        .filter_map(|entry| match entry.entry() {
            Entry::Sent(sent) => Some(of(sent)),
            _ => None,
        })
        .collect()
}

fn received(ledger: &Ledger) -> HashMap<Key, (Option<u16>, Option<[u8; 32]>)> {
    let entries = ledger.entries().unwrap().map(Result::unwrap);
    let of = |r: Received<'_>| Some((key(r.exchange?), (r.status, r.digest)));
    entries
        .filter_map(|entry| match entry.entry() {
            Entry::Received(received) => of(received),
            _ => None,
        })
        .collect()
}

/// How many exchanges a ledger only counts: those that were refused too often.
fn counted(ledger: &Ledger) -> u64 {
    let entries = ledger.entries().unwrap().map(Result::unwrap);
    let counts = entries.map(|entry| match entry.entry() {
        Entry::Refusals(refusals) => refusals.accepted,
        _ => 0,
    });
    counts.sum()
}

/// A caller with a ledger in a directory of its own.
fn caller() -> (tempfile::TempDir, Ledger, Mesh) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let policy: Policy = policy("").parse().unwrap();
    let caller = Mesh::dev(HONEST).unwrap().policy(policy).ledger(ledger.clone()).build().unwrap();
    (dir, ledger, caller)
}

#[tokio::test]
async fn both_sides_ledgers_hold_each_exchange_once_with_the_same_digest() {
    let mall = Mall::new("").await;
    let (dir, ledger, caller) = caller();
    let channel = mall.through_hop(&caller);
    for n in 0..20 {
        http::call(&channel, http::get(&format!("/known/{n}"))).await.answer();
        http::call(&channel, http::post("/take", http::pattern(n))).await.answer();
        http::call(&channel, http::post("/take", http::halves(&http::pattern(200 + n))))
            .await
            .answer();
        http::call(&channel, http::get("/forbidden")).await.answer();
        // At any time, with whatever is open now.
        assert!(caller.counts().balances() && mall.callee.accepted().balances());
    }
    // One that finds nobody: in the books, and in the ledger.
    let nobody = caller.channel("https://127.0.0.1:1", crate::rig::CALLEE).unwrap();
    http::call(&nobody, http::get("/known/1")).await.failed();
    soon(async {
        while mall.callee.accepted().open > 0 || caller.counts().open > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (counts, accepted) = (caller.counts(), mall.callee.accepted());
    assert!(counts.balances() && accepted.balances(), "{counts:?} {accepted:?}");
    assert_eq!((counts.begun, counts.not_delivered, accepted.settled), (81, 1, 80));
    ledger.flush().await.unwrap();
    soon(async {
        // Counts are written down when their second is over.
        while received(&mall.ledger).len() as u64 + counted(&mall.ledger) < accepted.settled {
            mall.ledger.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (ours, theirs) = (sent(&ledger), received(&mall.ledger));
    assert_eq!(ours.len() as u64, counts.begun);
    assert_eq!(theirs.len() as u64 + counted(&mall.ledger), accepted.settled);
    let delivered = ours.iter().filter(|(_, outcome, _)| *outcome == Outcome::Delivered);
    assert_eq!(delivered.clone().count() as u64, counts.delivered);
    for (key, _, digest) in delivered {
        let (status, theirs) = theirs[&key.unwrap()];
        assert_eq!((status, *digest), (Some(200), theirs));
    }
    let note = ledger.checkpoint();
    assert_eq!(verify(dir.path(), ledger.public_key()).unwrap().entries, ledger.stats().entries);
    http::call(&channel, http::get("/known/1")).await.answer();
    ledger.flush().await.unwrap();
    verify_against(dir.path(), ledger.public_key(), &note).unwrap();
}

/// One that is refused all the time writes no more into its callee's ledger than a few entries a
/// second, and nothing of it is lost.
#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_the_ledger_stays_small() {
    const CALLS: u64 = 600;
    let mall = Mall::new("").await;
    let (_dir, _ledger, caller) = caller();
    let channel = mall.through_hop(&caller);
    let began = Instant::now();
    for _ in 0..CALLS {
        http::call(&channel, http::get("/forbidden")).await.answer();
    }
    let seconds = began.elapsed().as_secs() + 2;
    let verified = soon(async {
        loop {
            mall.ledger.flush().await.unwrap();
            let verified = mall.ledger.verify().unwrap();
            if verified.refused == CALLS && mall.callee.accepted().open == 0 {
                return verified;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (own, accepted) = (verified.refused - verified.counted, mall.callee.accepted());
    assert!(own <= 10 * seconds, "{own} refusals in {seconds} s have an entry of their own");
    let written = received(&mall.ledger).len() as u64;
    assert_eq!(written + counted(&mall.ledger), accepted.settled, "{accepted:?}");
    assert_eq!(written + verified.counted, CALLS);
}

/// Nobody flushes here but the shutdown.
#[tokio::test]
async fn after_a_shutdown_all_of_the_ledger_is_durable() {
    const CALLS: u64 = 20;
    let mall = Mall::new("").await;
    let (_dir, ledger, caller) = caller();
    let channel = mall.through_hop(&caller);
    for n in 0..CALLS {
        http::call(&channel, http::get(&format!("/known/{n}"))).await.answer();
    }
    let done = soon(caller.shutdown()).await;
    let stats = ledger.stats();
    assert!(done.is_complete(), "{done:?}");
    assert!(stats.entries >= CALLS, "{stats:?}");
    assert_eq!((stats.durable, stats.signed), (stats.appended, stats.entries), "{stats:?}");
}
