//! What somebody does who can write the files: without the key, and with it.

use super::written::{Bench, CHECKPOINT, ENTRIES, Key, SEGMENT, SIGNED, Written};
use super::{Audit, Check, Checkpoint, FRAME, Fault, FaultKind, Place};
use crate::ledger::{CheckpointError, NoteError, Signer as _, Tree, origin};

/// The fault that the audit finds; and that the same audit, blind to the check, finds none.
fn only_by(check: Check, damaged: &Written, bench: &Bench) -> Fault {
    let found = damaged.audit(bench, None).unwrap_err();
    assert!(damaged.audit(bench, Some(check)).is_ok(), "found without {check:?} too");
    found
}

fn checkpoint_at(written: &Written, bench: &Bench, record: usize) -> Checkpoint {
    let starts = written.record_starts();
    let note = &written.records[starts[record]..starts[record + 1] - 1];
    Checkpoint::open(note, &bench.key.verifier(), &bench.verifier).unwrap()
}

#[test]
fn a_changed_entry_with_a_right_checksum_breaks_the_root() {
    let bench = Bench::new();
    let mut changed = bench.written.clone();
    let start = bench.written.frames(0)[5];
    // The second byte of the operator's verb.
    changed.segments[0].1[start + FRAME + 29] ^= 2;
    changed.sum_again(0, start);
    let fault = only_by(Check::Root, &changed, &bench);
    assert_eq!(fault.kind(), FaultKind::Root { size: CHECKPOINT });
    assert_eq!(fault.offset(), bench.written.record_starts()[1] as u64);
}

#[test]
fn a_ledger_rewritten_without_the_key_is_not_signed_by_it() {
    let bench = Bench::new();
    let forger = Key::new(8);
    let mut forged = Written::by(&forger, Some(5));
    let text = String::from_utf8(forged.records).unwrap();
    let own = origin(&bench.key.public_key());
    forged.records = text.replace(&origin(&forger.public_key()), &own).into_bytes();
    let fault = only_by(Check::Signature, &forged, &bench);
    let not_by_key = CheckpointError::Note(NoteError::NotByKey);
    assert_eq!(fault.kind(), FaultKind::Checkpoint(not_by_key));
    assert_eq!((fault.place(), fault.offset()), (Place::Checkpoints, 0));
}

#[test]
fn another_ledgers_files_are_not_this_one() {
    let bench = Bench::new();
    let other = Written::by(&Key::new(8), None);
    let fault = other.audit(&bench, None).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Checkpoint(CheckpointError::Origin));
}

#[test]
fn a_ledger_rewritten_with_its_own_key_differs_from_its_earlier_checkpoint() {
    let bench = Bench::new();
    let rewritten = Written::by(&bench.key, Some(101));
    // By itself it is as good as the first.
    assert!(rewritten.audit(&bench, None).is_ok());
    let audit = |written: &Written, record, blind| {
        let earlier = checkpoint_at(&bench.written, &bench, record);
        written.audit_by(bench.audit().blind_to(blind).against(earlier), usize::MAX)
    };
    for record in 0..=(ENTRIES / CHECKPOINT) as usize {
        let size = record as u64 * CHECKPOINT;
        assert_eq!(audit(&bench.written, record, None).unwrap().earlier, Some(size));
        let found = audit(&rewritten, record, None);
        if size <= 101 {
            assert_eq!(found.unwrap().earlier, Some(size));
            continue;
        }
        let fault = found.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Rewritten { size });
        assert_eq!((fault.place(), fault.seq()), (Place::Earlier, size));
        assert!(audit(&rewritten, record, Some(Check::Earlier)).is_ok());
    }
}

#[test]
fn a_ledger_rolled_back_is_shorter_than_its_earlier_checkpoint() {
    let bench = Bench::new();
    let mut rolled = bench.written.clone();
    rolled.segments.truncate(2);
    // Two segments have 120 entries, of which checkpoints cover 96.
    rolled.records.truncate(bench.written.record_starts()[4]);
    assert_eq!(rolled.audit(&bench, None).unwrap().entries, 2 * SEGMENT);
    let earlier = checkpoint_at(&bench.written, &bench, 9);
    let fault = rolled.audit_by(bench.audit().against(earlier), usize::MAX).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Short { size: SIGNED, entries: 2 * SEGMENT });
    assert_eq!(fault.place(), Place::Earlier);
}

#[test]
fn moved_doubled_and_missing_frames_are_named() {
    let bench = Bench::new();
    let last = bench.written.segments.len() - 1;
    let first_seq = bench.written.segments[last].0;
    let starts = bench.written.frames(last);
    let frame = |n: usize| &bench.written.segments[last].1[starts[n]..starts[n + 1]];
    let with = |order: &[usize]| {
        let mut damaged = bench.written.clone();
        damaged.segments[last].1 = order.iter().flat_map(|n| frame(*n)).copied().collect();
        damaged
    };
    let count = starts.len() - 1;
    let all: Vec<usize> = (0..count).collect();
    // In the tail, which no checkpoint covers: nothing but the numbers can tell.
    let mut swapped = all.clone();
    swapped.swap(count - 2, count - 3);
    let mut doubled = all.clone();
    doubled.insert(count - 2, count - 2);
    let mut missing = all;
    missing.remove(count - 2);
    for (order, at, found) in [
        (swapped, count - 3, count - 2),
        (doubled, count - 1, count - 2),
        (missing, count - 2, count - 1),
    ] {
        let fault = only_by(Check::Seq, &with(&order), &bench);
        assert_eq!(fault.kind(), FaultKind::Seq { found: first_seq + found as u64 });
        assert_eq!(
            (fault.place(), fault.seq()),
            (Place::Segment(first_seq), first_seq + at as u64)
        );
        let before: usize = order[..at].iter().map(|n| frame(*n).len()).sum();
        assert_eq!(fault.offset(), before as u64);
    }
}

#[test]
fn moved_doubled_and_missing_segments_are_named() {
    let bench = Bench::new();
    let fault = |damage: &dyn Fn(&mut Written)| {
        let mut damaged = bench.written.clone();
        damage(&mut damaged);
        let fault = damaged.audit(&bench, None).unwrap_err();
        (fault.place(), fault.kind())
    };
    let order = |expected| FaultKind::SegmentOrder { expected };
    let removed = fault(&|w| drop(w.segments.remove(1)));
    assert_eq!(removed, (Place::Segment(2 * SEGMENT), order(SEGMENT)));
    let doubled = fault(&|w| w.segments.insert(2, w.segments[1].clone()));
    assert_eq!(doubled, (Place::Segment(SEGMENT), order(2 * SEGMENT)));
    let swapped = fault(&|w| {
        let [_, (_, a), (_, b), ..] = &mut w.segments[..] else { panic!("too few") };
        std::mem::swap(a, b);
    });
    assert_eq!(swapped, (Place::Segment(SEGMENT), FaultKind::Seq { found: 2 * SEGMENT }));
    let last = fault(&|w| w.segments.truncate(4));
    let short = FaultKind::Short { size: 8 * CHECKPOINT, entries: 4 * SEGMENT };
    assert_eq!(last, (Place::Checkpoints, short));
}

#[test]
fn a_segment_under_another_name_is_found_by_its_name() {
    let bench = Bench::new();
    let mut renamed = bench.written.clone();
    renamed.segments[4].0 += 1;
    let fault = only_by(Check::Segments, &renamed, &bench);
    assert_eq!(fault.kind(), FaultKind::SegmentOrder { expected: 4 * SEGMENT });
}

#[test]
fn checkpoints_out_of_order_are_named() {
    let bench = Bench::new();
    let starts = bench.written.record_starts();
    let record = |n: usize| &bench.written.records[starts[n]..starts[n + 1]];
    let with = |order: &[usize]| {
        let records = order.iter().flat_map(|n| record(*n)).copied().collect();
        let damaged = Written { records, ..bench.written.clone() };
        damaged.audit(&bench, None)
    };
    let order = |size| Some(FaultKind::CheckpointOrder { size });
    let found = |of: &[usize]| with(of).err().map(|fault| fault.kind());
    assert_eq!(found(&[0, 1, 1, 2]), order(CHECKPOINT));
    assert_eq!(found(&[0, 2, 1]), order(CHECKPOINT));
    assert_eq!(found(&[0, 0]), order(0));
    // One that is missing takes nothing away from the others.
    assert_eq!(with(&[0, 1, 3, 9]).unwrap().signed, SIGNED);
}

#[test]
fn what_is_kept_verifies_from_its_frontier_and_from_no_other() {
    let bench = Bench::new();
    let (kept, tree) = bench.from(2);
    let resume = |tree| Audit::resume(bench.key.verifier(), &bench.verifier, tree);
    let audited = kept.audit_by(resume(tree.clone()), usize::MAX).unwrap();
    assert_eq!((audited.first, audited.entries), (2 * SEGMENT, ENTRIES));
    assert_eq!(audited.kinds.iter().sum::<u64>(), ENTRIES - 2 * SEGMENT);
    let mut frontier = tree.frontier().to_vec();
    frontier[0][0] ^= 1;
    let other = Tree::resume(tree.size(), &frontier).unwrap();
    let fault = kept.audit_by(resume(other), usize::MAX).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Root { size: 4 * CHECKPOINT });
    let earlier = checkpoint_at(&bench.written, &bench, 1);
    let fault = kept.audit_by(resume(tree).against(earlier), usize::MAX).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotKept { size: CHECKPOINT });
}

#[test]
fn the_last_signature_vouches_for_all_before_it() {
    let bench = Bench::new();
    let lazy =
        |written: &Written, size| written.audit_by(bench.audit().signatures_from(size), usize::MAX);
    assert_eq!(lazy(&bench.written, SIGNED), bench.written.audit(&bench, None));
    // An older signature is not looked at, the last one is.
    let starts = bench.written.record_starts();
    let flipped = |record: usize| {
        let mut damaged = bench.written.clone();
        let signature = starts[record + 1] - 10;
        damaged.records[signature] = if damaged.records[signature] == b'A' { b'B' } else { b'A' };
        damaged
    };
    assert!(lazy(&flipped(4), SIGNED).is_ok());
    assert!(lazy(&flipped(9), SIGNED).is_err());
    // An entry that was changed with its checksum is found by any root.
    let mut changed = bench.written.clone();
    let start = bench.written.frames(0)[5];
    changed.segments[0].1[start + FRAME + 29] ^= 2;
    changed.sum_again(0, start);
    let fault = lazy(&changed, SIGNED).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Root { size: CHECKPOINT });
    // And one that was to be verified must be there.
    let mut cut = bench.written.clone();
    cut.records.truncate(starts[9]);
    assert_eq!(lazy(&cut, SIGNED).unwrap_err().kind(), FaultKind::NoCheckpoint);
}
