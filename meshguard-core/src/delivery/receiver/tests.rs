use super::*;
use crate::delivery::field::{Body, Ranges};
use crate::delivery::{Proof, ReceiptStatus, SessionKeys, Sid, Suite, known};

const T: Timestamp = Timestamp::from_unix_secs(1_000);

fn keys() -> SessionKeys {
    SessionKeys::derive(Suite::Mac, &mut [7; 32])
}

fn field(seq: u64, low: u64) -> RequestField<'static> {
    RequestField {
        sid: Sid::from_random([0; 16]),
        seq,
        att: 0,
        low,
        void: None,
        body: Body::None,
        acks: None,
        by: None,
        proof: Proof([0; 16]),
        covered: 0,
    }
}

fn receipt(len: u64) -> Receipt {
    Receipt::known(ReceiptStatus::Consumed, 0, len, known::empty())
}

fn claim(r: &mut Receiver, f: &RequestField<'_>) -> Result<Claim, Refusal> {
    r.claim(f, &keys().receipt, T, T)
}

#[test]
fn a_seq_is_claimed_once_whatever_its_state() {
    let mut r = Receiver::new(WINDOW);
    let first = claim(&mut r, &field(1, 1)).unwrap();
    assert_eq!(claim(&mut r, &field(1, 1)), Err(Refusal::Duplicate { settled: false }));
    r.started(first);
    assert_eq!(claim(&mut r, &field(1, 1)), Err(Refusal::Duplicate { settled: false }));
    r.settled(first);
    assert_eq!(claim(&mut r, &field(1, 1)), Err(Refusal::Duplicate { settled: true }));
    claim(&mut r, &field(2, 2)).unwrap();
    assert_eq!(claim(&mut r, &field(1, 1)), Err(Refusal::Passed));
}

#[test]
fn the_window_admits_its_last_seq_and_not_the_one_beyond() {
    for window in [1, 8, WINDOW] {
        let mut r = Receiver::new(window);
        claim(&mut r, &field(window, 1)).unwrap();
        assert_eq!(claim(&mut r, &field(window + 1, 1)), Err(Refusal::BeyondWindow));
    }
}

#[test]
fn low_may_be_a_window_above_the_highest_seq_and_no_more() {
    let mut r = Receiver::new(8);
    assert_eq!(claim(&mut r, &field(9, 9)), Err(Refusal::LowTooHigh));
    claim(&mut r, &field(8, 8)).unwrap();
    assert_eq!(r.poll_finding(), Some(Finding::Divergence { first: 1, last: 7 }));
}

#[test]
fn a_seq_passed_unseen_is_a_divergence_unless_it_is_void() {
    let mut r = Receiver::new(WINDOW);
    for seq in [1, 2, 5] {
        claim(&mut r, &field(seq, 1)).unwrap();
    }
    let mut next = field(9, 9);
    next.void = Ranges::parse(b"1-3,8");
    claim(&mut r, &next).unwrap();
    // What was given up and has come is nobody's fault, and is told apart.
    assert_eq!(r.poll_finding(), Some(Finding::VoidSeen { first: 1, last: 2 }));
    assert_eq!(r.poll_finding(), Some(Finding::Divergence { first: 4, last: 4 }));
    assert_eq!(r.poll_finding(), Some(Finding::Divergence { first: 6, last: 7 }));
    assert_eq!(r.poll_finding(), None);
}

#[test]
fn no_receipt_is_awaited_of_what_its_sender_has_given_up() {
    let mut r = Receiver::new(WINDOW);
    for seq in 1..=2 {
        let c = claim(&mut r, &field(seq, 1)).unwrap();
        r.answered(c, receipt(5), T);
    }
    let mut next = field(3, 3);
    next.void = Ranges::parse(b"1");
    claim(&mut r, &next).unwrap();
    assert_eq!(r.poll_finding(), Some(Finding::VoidSeen { first: 1, last: 1 }));
    assert!(r.answers().balances() && r.answers().not_received == 1);
    r.overdue(Timestamp::MAX, Timestamp::MAX);
    let want = Finding::ReceiptOverdue { seq: 2, answered: T };
    assert_eq!((r.poll_finding(), r.poll_finding()), (Some(want), None));
}

#[test]
fn what_low_passes_beyond_the_window_of_the_last_one_is_missed_too() {
    let mut r = Receiver::new(4);
    for seq in [1, 4] {
        claim(&mut r, &field(seq, 1)).unwrap();
    }
    // As high as `low` may be: a window above the highest seq.
    claim(&mut r, &field(8, 8)).unwrap();
    assert_eq!(r.poll_finding(), Some(Finding::Divergence { first: 2, last: 3 }));
    assert_eq!(r.poll_finding(), Some(Finding::Divergence { first: 5, last: 7 }));
    assert_eq!(r.poll_finding(), None);
}

#[test]
fn a_seq_can_be_used_again_for_nothing_after_the_ring_has_turned() {
    let mut r = Receiver::new(4);
    for seq in 1..=3 * WINDOW {
        let c = claim(&mut r, &field(seq, seq)).unwrap();
        r.settled(c);
        assert!(claim(&mut r, &field(seq, seq)).is_err());
    }
    assert_eq!(r.poll_finding(), None);
}

#[test]
fn an_attempt_needs_a_fence_and_a_deadline_holds_with_grace() {
    let mut r = Receiver::new(WINDOW);
    let mut f = field(1, 1);
    f.att = 1;
    assert_eq!(claim(&mut r, &f), Err(Refusal::Attempt));
    let mut f = field(1, 1);
    f.by = Some(969);
    assert_eq!(claim(&mut r, &f), Err(Refusal::Late));
    f.by = Some(970);
    claim(&mut r, &f).unwrap();
}

#[test]
fn acks_are_taken_only_for_what_awaits_them_and_only_with_its_receipt() {
    let mut r = Receiver::new(WINDOW);
    let c = claim(&mut r, &field(1, 1)).unwrap();
    r.answered(c, receipt(5), T);
    let with = |seqs, len| {
        let acks = [(1, receipt(len))];
        let proof = keys().receipt.acks(acks.iter().map(|(s, r)| (*s, r)));
        let mut f = field(2, 1);
        f.acks = Some(Acks { seqs: Ranges::parse(seqs).unwrap(), proof });
        f
    };
    assert_eq!(claim(&mut r, &with(b"2", 5)), Err(Refusal::Acks));
    assert_eq!(claim(&mut r, &with(b"1", 4)), Err(Refusal::Acks));
    claim(&mut r, &with(b"1", 5)).unwrap();
    assert_eq!((r.answers().confirmed, r.answers().awaited), (1, 0));
}

#[test]
fn a_receipt_of_less_than_was_sent_is_a_finding() {
    let mut r = Receiver::new(WINDOW);
    for seq in 1..=3 {
        let c = claim(&mut r, &field(seq, 1)).unwrap();
        r.answered(c, receipt(5), T);
    }
    let body = |seq: u64, receipt: Receipt| [&seq.to_be_bytes()[..], &receipt.to_bytes()].concat();
    let short = Receipt { status: ReceiptStatus::Partial, n: 0, len: 2, ..receipt(5) };
    let mut all = body(1, Receipt { status: ReceiptStatus::Received, ..receipt(5) });
    all.extend(body(2, short));
    all.extend(body(9, receipt(5)));
    assert_eq!(r.receipts(&all[1..]), Err(Refusal::Acks));
    r.receipts(&all).unwrap();
    let want = Finding::AnswerNotReceived { seq: 2, got: short, of: (1, 5) };
    assert_eq!((r.poll_finding(), r.poll_finding()), (Some(want), None));
    assert_eq!((r.answers().confirmed, r.answers().awaited), (1, 1));
}

#[test]
fn a_sender_that_never_acknowledges_is_refused_at_the_bound() {
    let mut r = Receiver::new(WINDOW);
    for seq in 1..=MAX_AWAITING as u64 {
        let c = claim(&mut r, &field(seq, seq)).unwrap();
        r.answered(c, receipt(1), T);
    }
    let next = MAX_AWAITING as u64 + 1;
    assert_eq!(claim(&mut r, &field(next, next)), Err(Refusal::Unacknowledged));
}

#[test]
fn a_sender_at_the_bound_gets_out_with_acknowledgements_and_with_receipts() {
    let owing = || {
        let mut r = Receiver::new(WINDOW);
        for seq in 1..=MAX_AWAITING as u64 {
            let c = claim(&mut r, &field(seq, seq)).unwrap();
            r.answered(c, receipt(1), T);
        }
        r
    };
    let (next, keys) = (MAX_AWAITING as u64 + 1, keys());
    // In the head of its next call.
    let mut r = owing();
    let proof = keys.receipt.acks([(1, &receipt(1)), (2, &receipt(1))].into_iter());
    let acks = Acks { seqs: Ranges::parse(b"1-2").unwrap(), proof };
    let calling = RequestField { acks: Some(acks), ..field(next, next) };
    claim(&mut r, &calling).unwrap();
    assert_eq!(r.answers().confirmed, 2);
    // In the protocol's own request, whose body brings them.
    let mut r = owing();
    r.claim_own(&field(next, next), &keys.receipt, T, T).unwrap();
    let body = [&1_u64.to_be_bytes()[..], &receipt(1).to_bytes()].concat();
    r.receipts(&body).unwrap();
    claim(&mut r, &field(next + 1, next + 1)).unwrap();
}

#[test]
fn wrong_acknowledgements_change_nothing_at_the_bound_or_below() {
    let mut r = Receiver::new(WINDOW);
    let c = claim(&mut r, &field(1, 1)).unwrap();
    r.answered(c, receipt(1), T);
    let acks = Acks { seqs: Ranges::parse(b"1").unwrap(), proof: Proof([1; 16]) };
    let wrong = RequestField { acks: Some(acks), ..field(2, 2) };
    assert_eq!(claim(&mut r, &wrong), Err(Refusal::Acks));
    assert_eq!((r.answers().confirmed, r.answers().awaited), (0, 1));
    claim(&mut r, &field(2, 2)).unwrap();
}

#[test]
fn all_sessions_of_one_principal_share_a_bound() {
    let owed = Arc::new(Owed::default());
    let mut all: Vec<_> = (0..MAX_OWED / MAX_AWAITING)
        .map(|_| Receiver::new(WINDOW).sharing(Arc::clone(&owed)))
        .collect();
    for r in &mut all {
        for seq in 1..=MAX_AWAITING as u64 {
            assert!(owed.count() < MAX_OWED);
            let c = claim(r, &field(seq, seq)).unwrap();
            r.answered(c, receipt(1), T);
        }
    }
    assert!(owed.is_high());
    let mut one_more = Receiver::new(WINDOW).sharing(Arc::clone(&owed));
    assert_eq!(claim(&mut one_more, &field(1, 1)), Err(Refusal::Unacknowledged));
    // Another principal's is its own.
    claim(&mut Receiver::new(WINDOW), &field(1, 1)).unwrap();
    // Of a session that is over nothing is owed any more.
    all.pop();
    claim(&mut one_more, &field(1, 1)).unwrap();
    drop((all, one_more));
    assert_eq!(owed.count(), 0);
}

/// The ring of states has a place for each seq of a window. One that `low` makes room for has the
/// place of one that `low` passes.
#[test]
fn a_seq_that_was_never_seen_is_no_duplicate_of_the_one_in_its_place() {
    let mut r = Receiver::new(WINDOW);
    let first = claim(&mut r, &field(1, 1)).unwrap();
    r.settled(first);
    claim(&mut r, &field(WINDOW, 1)).unwrap();
    let next = claim(&mut r, &field(WINDOW + 1, 2)).unwrap();
    assert_eq!(
        claim(&mut r, &field(WINDOW + 1, 2)),
        Err(Refusal::Duplicate { settled: false }),
        "and it is one the second time"
    );
    r.settled(next);
}

#[test]
fn findings_are_bounded_and_what_is_dropped_is_counted() {
    let mut r = Receiver::new(WINDOW);
    for i in 0..=MAX_FINDINGS as u64 {
        let seq = 2 + 2 * i;
        claim(&mut r, &field(seq, seq)).unwrap();
    }
    assert_eq!(r.findings_lost(), 1);
}

#[test]
fn an_answer_without_receipt_is_overdue_once_and_may_still_be_confirmed() {
    let mut r = Receiver::new(WINDOW);
    let second = Duration::from_secs(1);
    for (seq, at) in [(1, T), (2, T), (3, T + 9 * second)] {
        let c = claim(&mut r, &field(seq, 1)).unwrap();
        r.answered(c, receipt(5), at);
    }
    let body = |seq: u64| [&seq.to_be_bytes()[..], &receipt(5).to_bytes()].concat();
    r.receipts(&body(1)).unwrap();
    r.overdue(T + 5 * second, Timestamp::MAX);
    let want = Finding::ReceiptOverdue { seq: 2, answered: T };
    assert_eq!((r.poll_finding(), r.poll_finding()), (Some(want), None));
    r.overdue(T + 6 * second, Timestamp::MAX);
    assert_eq!(r.poll_finding(), None, "noticed once");
    r.receipts(&body(2)).unwrap();
    assert_eq!((r.answers().confirmed, r.answers().awaited), (2, 1));
}

#[test]
fn what_is_remembered_of_answers_is_bounded_though_the_oldest_is_never_confirmed() {
    let mut r = Receiver::new(WINDOW);
    let body = |seq: u64| [&seq.to_be_bytes()[..], &receipt(1).to_bytes()].concat();
    for seq in 1..=5 * MAX_AWAITING as u64 {
        let c = claim(&mut r, &field(seq, seq)).unwrap();
        r.answered(c, receipt(1), T);
        if seq > 1 {
            r.receipts(&body(seq)).unwrap();
        }
    }
    assert!(r.answered.len() <= 2 * MAX_AWAITING);
    r.overdue(Timestamp::MAX, Timestamp::MAX);
    let found: Vec<_> = std::iter::from_fn(|| r.poll_finding()).collect();
    assert!(found.contains(&Finding::ReceiptOverdue { seq: 1, answered: T }));
}

#[test]
fn the_books_hold_every_claim_until_it_is_settled() {
    let mut r = Receiver::new(WINDOW);
    let live = |r: &Receiver| {
        let open = |word: &u64| (word | word >> 1) & !(word & word >> 1) & 0x5555_5555_5555_5555;
        r.states.iter().map(|word| u64::from(open(word).count_ones())).sum::<u64>()
    };
    let claims: Vec<_> = (1..=5).map(|seq| claim(&mut r, &field(seq, 1)).unwrap()).collect();
    claim(&mut r, &field(3, 1)).unwrap_err();
    for (settled, c) in (0..).zip(claims) {
        let want = Accepted { accepted: 5, settled, open: 5 - settled };
        assert_eq!((r.books(), live(&r)), (want, want.open));
        r.started(c);
        r.settled(c);
    }
    assert_eq!(r.books(), Accepted { accepted: 5, settled: 5, open: 0 });
    assert!(r.books().balances() && live(&r) == 0);
}

#[test]
fn the_protocols_own_exchanges_stand_in_no_books_and_their_answers_await_nothing() {
    let mut r = Receiver::new(WINDOW);
    let own = r.claim_own(&field(1, 1), &keys().receipt, T, T).unwrap();
    claim(&mut r, &field(1, 1)).unwrap_err();
    assert_eq!(r.books(), Accepted::default());
    r.answered(own, receipt(5), T);
    r.settled(own);
    r.overdue(Timestamp::MAX, Timestamp::MAX);
    assert_eq!((r.books(), r.answers().sent, r.poll_finding()), (Accepted::default(), 0, None));
}

#[test]
fn an_answer_whose_sender_has_left_is_unconfirmed_and_not_overdue() {
    let mut r = Receiver::new(WINDOW);
    let second = Duration::from_secs(1);
    for (seq, at) in [(1, T), (2, T), (4, T), (5, T + 3 * second)] {
        let c = claim(&mut r, &field(seq, 1)).unwrap();
        r.answered(c, receipt(5), at);
    }
    // There until two seconds after the first three.
    r.overdue(T + 10 * second, T + 2 * second);
    for seq in [1, 2, 4] {
        assert_eq!(r.poll_finding(), Some(Finding::ReceiptOverdue { seq, answered: T }));
    }
    let left = Finding::Unconfirmed { first: 5, last: 5 };
    assert_eq!((r.poll_finding(), r.poll_finding()), (Some(left), None));
    assert_eq!((r.answers().unconfirmed, r.answers().awaited), (1, 3));
    r.overdue(Timestamp::MAX, Timestamp::MAX);
    assert_eq!(r.poll_finding(), None, "each is noticed once");
    // It comes back and says so after all.
    let body = [&5_u64.to_be_bytes()[..], &receipt(5).to_bytes()].concat();
    r.receipts(&body).unwrap();
    assert_eq!((r.answers().unconfirmed, r.answers().confirmed), (0, 1));
    assert!(r.answers().balances());
}

#[test]
fn a_session_that_is_over_leaves_what_is_awaited_unconfirmed_in_ranges() {
    let mut r = Receiver::new(WINDOW);
    for seq in [1, 2, 3, 7] {
        let c = claim(&mut r, &field(seq, 1)).unwrap();
        r.answered(c, receipt(5), T);
    }
    assert_eq!(r.close(), [(1, 3), (7, 7)]);
    assert_eq!(r.close(), []);
    assert_eq!((r.answers().unconfirmed, r.answers().awaited), (4, 0));
    assert!(r.answers().balances());
}
