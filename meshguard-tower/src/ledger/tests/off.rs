//! A disk that fails or is full, and comes back.

use std::time::Duration;

use meshguard_core::ledger::{Entry, Gap, GapCause};
use tokio::time::timeout;

use super::super::error::LedgerErrorKind;
use super::super::handle::Ledger;
use super::super::options::LedgerOptions;
use super::super::stats::LedgerState;
use super::rig::{Op, append, fill, numbers, scripted, with};

/// Longer than any test: what waits for so long waits for something else.
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(20);

/// Room for ten that wait; what fails is tried again at once.
fn options() -> LedgerOptions {
    with(None).queue(1 << 20, 10).window(NEVER, 10).checkpoints(NEVER, 100).retry(Duration::ZERO)
}

async fn until(ledger: &Ledger, off: bool) {
    let mut condition = ledger.condition();
    timeout(SOON, condition.wait_for(|now| now.off == off)).await.unwrap().unwrap();
}

fn gaps(ledger: &Ledger) -> Vec<Gap> {
    let entries = ledger.entries().unwrap().map(|entry| entry.unwrap());
    let gaps = entries.filter_map(|entry| match entry.get() {
        (_, Entry::Gap(gap)) => Some(gap),
        _ => None,
    });
    gaps.collect()
}

#[tokio::test]
async fn a_ledger_whose_disk_fails_goes_on_by_itself_when_the_disk_does() {
    for broken in [Op::Write, Op::Checkpoint(0), Op::Reopen] {
        let (ledger, remote) = scripted(options());
        fill(&ledger, 0..5);
        ledger.flush().await.unwrap();
        remote.break_down(broken);
        if broken == Op::Reopen {
            remote.fail(Op::Write);
        }
        fill(&ledger, 5..8);
        assert_eq!(ledger.flush().await.unwrap_err().kind(), LedgerErrorKind::Off, "{broken:?}");
        assert_eq!(ledger.state(), LedgerState::Off);
        assert_eq!(ledger.failure().unwrap().kind(), LedgerErrorKind::Off);
        // A flush while it is off says so at once.
        assert_eq!(ledger.flush_blocking().unwrap_err().kind(), LedgerErrorKind::Off);
        // Ten may wait; those beyond are lost, and counted.
        let kept = (8..60).filter(|n| append(&ledger, *n).is_some()).count() as u64;
        assert_eq!((kept, ledger.stats().lost), (10, 42));
        remote.mend();
        until(&ledger, false).await;
        ledger.flush().await.unwrap();
        append(&ledger, 60);
        ledger.flush().await.unwrap();
        assert_eq!((ledger.state(), ledger.failure().is_none()), (LedgerState::Writing, true));
        assert_eq!(numbers(&ledger), (0..18).chain([60]).collect::<Vec<_>>(), "{broken:?}");
        let [gap] = gaps(&ledger)[..] else { panic!("not one gap") };
        assert_eq!((gap.cause, gap.count), (GapCause::WriteFailed, Some(42)));
        let verified = ledger.verify().unwrap();
        assert_eq!((verified.lost, verified.unsigned()), (42, 0));
        let stats = ledger.stats();
        assert!(stats.failures >= 2 && !stats.off && !stats.poisoned, "{stats:?}");
    }
}

#[tokio::test]
async fn what_is_in_hand_when_the_disk_is_full_goes_into_the_reserve() {
    let (ledger, remote) = scripted(options());
    remote.fill_up(true);
    fill(&ledger, 0..8);
    // It was told to be durable, and it is.
    ledger.flush().await.unwrap();
    assert_eq!(ledger.verify().unwrap().signed, 8);
    until(&ledger, true).await;
    // What comes now waits until the reserve is whole again.
    fill(&ledger, 8..12);
    assert_eq!(ledger.flush().await.unwrap_err().kind(), LedgerErrorKind::Off);
    assert_eq!(numbers(&ledger), (0..8).collect::<Vec<_>>());
    remote.mend();
    until(&ledger, false).await;
    ledger.flush().await.unwrap();
    assert_eq!(numbers(&ledger), (0..12).collect::<Vec<_>>());
    assert_eq!((gaps(&ledger), ledger.stats().lost), (Vec::new(), 0));
    assert!(remote.disk_has_reserve());
}

#[tokio::test]
async fn a_full_disk_without_a_reserve_turns_it_off_and_on_too() {
    let (ledger, remote) = scripted(options());
    remote.fill_up(false);
    fill(&ledger, 0..8);
    assert_eq!(ledger.flush().await.unwrap_err().kind(), LedgerErrorKind::Off);
    remote.mend();
    until(&ledger, false).await;
    ledger.flush().await.unwrap();
    assert_eq!(numbers(&ledger), (0..8).collect::<Vec<_>>());
}

#[test]
fn a_ledger_that_is_off_closes_and_says_what_it_lost() {
    for broken in [Some(Op::Write), None] {
        let (ledger, remote) = scripted(options().retry(NEVER));
        fill(&ledger, 0..5);
        ledger.flush_blocking().unwrap();
        match broken {
            Some(op) => remote.break_down(op),
            None => remote.fill_up(true),
        }
        fill(&ledger, 5..8);
        assert_eq!(ledger.flush_blocking().is_err(), broken.is_some());
        // It does not wait for the next try.
        fill(&ledger, 8..10);
        assert_eq!(ledger.close().unwrap_err().kind(), LedgerErrorKind::Poisoned);
        let (stats, kept) = (ledger.stats(), if broken.is_some() { 5 } else { 8 });
        assert_eq!((stats.appended, stats.durable, stats.lost), (10, kept, 10 - kept));
        assert_eq!((ledger.state(), stats.poisoned), (LedgerState::Ended, true));
        assert_eq!(numbers(&ledger), (0..kept).collect::<Vec<_>>());
        assert_eq!(ledger.verify().unwrap().signed, kept);
    }
}

#[test]
fn a_ledger_that_is_off_when_it_closes_has_a_last_try() {
    let (ledger, remote) = scripted(options().retry(NEVER));
    remote.break_down(Op::Write);
    fill(&ledger, 0..5);
    assert!(ledger.flush_blocking().is_err());
    remote.mend();
    ledger.close().unwrap();
    assert_eq!(numbers(&ledger), (0..5).collect::<Vec<_>>());
    assert_eq!(ledger.verify().unwrap().signed, 5);
}
