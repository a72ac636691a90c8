use super::*;
use crate::delivery::{ReceiptStatus, Unknown, known};

const T: Timestamp = Timestamp::from_unix_secs(1_000);

fn receipt() -> Receipt {
    Receipt::known(ReceiptStatus::Consumed, 0, 0, known::empty())
}

#[test]
fn low_is_the_lowest_seq_that_may_still_be_sent() {
    let mut s = Sender::new(4);
    let (mut a, _) = s.begin(T).unwrap();
    let (mut b, _) = s.begin(T).unwrap();
    s.head_proven(&mut b);
    assert_eq!(s.begin(T).unwrap().1, Admission { seq: 3, att: 0, low: 1 });
    s.head_proven(&mut a);
    assert_eq!(s.begin(T).unwrap().1, Admission { seq: 4, att: 0, low: 3 });
    s.end(b, Outcome::Delivered, T);
    s.end(a, Outcome::Delivered, T);
    assert!(s.counts().balances() && s.counts().open == 2);
}

#[test]
fn a_full_window_admits_nothing_until_the_lowest_is_answered() {
    let mut s = Sender::new(2);
    let (a, _) = s.begin(T).unwrap();
    let (mut b, _) = s.begin(T).unwrap();
    assert_eq!(s.begin(T).unwrap_err(), WindowFull { window: 2 });
    s.head_proven(&mut b);
    assert!(!s.has_room(), "the lower one still holds");
    s.end(a, Outcome::Indeterminate(Unknown::NoAnswer), T);
    assert!(s.has_room());
}

#[test]
fn acks_ride_in_batches_or_when_they_have_waited() {
    let mut s = Sender::new(64);
    s.consumed(1, receipt(), T);
    assert!(s.begin(T).unwrap().0.acks().is_empty());
    assert_eq!(s.begin(T + RIDE).unwrap().0.acks().len(), 1);
    (0..BATCH as u64).for_each(|seq| s.consumed(seq, receipt(), T));
    let seqs: Vec<_> = s.begin(T).unwrap().0.acks().iter().map(|a| a.0).collect();
    assert_eq!(seqs, (0..BATCH as u64).collect::<Vec<_>>());
    assert_eq!(s.poll_timeout(), None);
}

#[test]
fn acks_on_a_request_without_proven_answer_are_owed_again() {
    let mut s = Sender::new(64);
    s.consumed(7, receipt(), T);
    let (ticket, _) = s.begin(T + RIDE).unwrap();
    assert_eq!((s.poll_timeout(), s.receipts_waiting()), (None, 0));
    s.end(ticket, Outcome::Indeterminate(Unknown::NoAnswer), T);
    assert!(s.poll_timeout().is_some(), "without another answer to wake it");
    assert_eq!(s.receipts_waiting(), 1);
    assert_eq!(s.take_receipts(), [(7, receipt())]);
    s.receipts_lost(vec![(7, receipt())], T);
    assert_eq!(s.poll_timeout(), Some(T + FLUSH));
    assert_eq!(s.take_receipts().len(), 1);
    assert_eq!(s.poll_timeout(), None);
}

#[test]
fn an_attempt_that_is_taken_back_stands_in_no_books() {
    let mut s = Sender::new(4);
    let (a, _) = s.begin(T).unwrap();
    let (mut b, _) = s.begin(T).unwrap();
    s.taken_back(a, T);
    let (counts, open) = (s.counts(), s.counts().open);
    assert!(counts.balances());
    assert_eq!((counts.begun, open), (1, 1));
    s.head_proven(&mut b);
    s.end(b, Outcome::Delivered, T);
    assert_eq!(s.counts(), Counts::of(Outcome::Delivered));
    let (c, admission) = s.begin(T).unwrap();
    assert_eq!(admission.low, 3, "neither holds the window");
    assert_eq!(c.void(), [(1, 1)], "this receiver may not have seen it");
}

#[test]
fn what_was_given_up_is_named_until_that_is_known_to_have_arrived() {
    let mut s = Sender::new(64);
    let (a, _) = s.begin(T).unwrap();
    s.end(a, Outcome::NotDelivered, T);
    let (b, admission) = s.begin(T).unwrap();
    assert_eq!((b.void(), admission.low), (&[(1, 1)][..], 2));
    s.end(b, Outcome::Indeterminate(Unknown::NoAnswer), T);
    let (mut c, _) = s.begin(T).unwrap();
    assert_eq!(c.void(), [(1, 2)]);
    s.head_proven(&mut c);
    assert!(s.begin(T).unwrap().0.void().is_empty());
    assert_eq!((s.counts().not_delivered, s.counts().indeterminate), (1, 1));
}

#[test]
fn what_is_void_above_low_is_named_once_low_has_passed_it() {
    let mut s = Sender::new(64);
    let (mut slow, _) = s.begin(T).unwrap();
    let (given_up, _) = s.begin(T).unwrap();
    s.end(given_up, Outcome::Indeterminate(Unknown::Dropped), T);
    let (mut other, admission) = s.begin(T).unwrap();
    assert_eq!((other.void(), admission.low, s.has_void()), (&[][..], 1, false));
    // Its receiver knows nothing of seq 2 by that.
    s.head_proven(&mut other);
    s.head_proven(&mut slow);
    assert!(s.has_void());
    let (next, admission) = s.begin(T).unwrap();
    assert_eq!((next.void(), admission.low), (&[(2, 2)][..], 4));
}

#[test]
fn an_answer_without_proof_gives_nothing_up_through_a_hop() {
    for outcome in [Unknown::Unproven, Unknown::BadProof].map(Outcome::Indeterminate) {
        for (mut s, named) in [(Sender::new(4), 1), (Sender::new(4).through_hop(), 0)] {
            let (a, _) = s.begin(T).unwrap();
            s.end(a, outcome, T);
            let (next, admission) = s.begin(T).unwrap();
            assert_eq!((next.void().len(), admission.low), (named, 2), "{outcome}");
        }
    }
}

#[test]
fn a_session_in_which_nothing_is_ever_proven_ends_with_the_window() {
    let mut s = Sender::new(8);
    for _ in 0..8 {
        let (ticket, _) = s.begin(T).unwrap();
        s.end(ticket, Outcome::Indeterminate(Unknown::Dropped), T);
    }
    // The receiver has seen 0 at most, and takes a `low` of 8 with that.
    assert!(!s.has_room());
}

#[test]
fn what_is_void_is_told_without_a_request_to_ride_on() {
    let mut s = Sender::new(8);
    let (ticket, _) = s.begin(T).unwrap();
    s.end(ticket, Outcome::Indeterminate(Unknown::Dropped), T);
    assert_eq!((s.poll_timeout(), s.has_void()), (Some(T + FLUSH), true));
    assert!(s.take_receipts().is_empty());
    assert_eq!(s.poll_timeout(), None);
    let (mut own, _) = s.begin_own().unwrap();
    s.head_proven(&mut own);
    assert!(!s.has_void());
}
