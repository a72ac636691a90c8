//! Each byte flipped, each length cut.

use super::written::{Bench, CHECKPOINT, ENTRIES, SEGMENT, SIGNED, Written};
use super::{Audit, Check, FaultKind, Place};

#[test]
fn a_sound_ledger_verifies_and_adds_up() {
    let bench = Bench::new();
    let audited = bench.written.audit(&bench, None).unwrap();
    assert_eq!((audited.first, audited.entries, audited.signed), (0, ENTRIES, SIGNED));
    assert_eq!(audited.unsigned(), ENTRIES - SIGNED);
    assert_eq!((audited.segments, audited.checkpoints), (5, 1 + ENTRIES / CHECKPOINT));
    assert_eq!(audited.kinds.iter().sum::<u64>(), ENTRIES);
    assert_eq!((audited.kinds[10], audited.lost), (75, 150));
    let frames: usize = bench.written.segments.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(audited.bytes + 8 * ENTRIES, frames as u64);
}

#[test]
fn the_answer_does_not_depend_on_how_the_bytes_come() {
    let bench = Bench::new();
    let whole = bench.written.audit(&bench, None);
    for piece in [1, 2, 7, 64, 1000, 4096] {
        assert_eq!(bench.written.audit_by(bench.audit(), piece), whole, "{piece}");
    }
}

/// Flips a bit of every byte of a segment, and says how many flips the audit missed. Those that
/// it finds must be at the frame's own place.
///
/// What comes before the segment stays as it is, so the audit resumes there.
fn missed_flips(bench: &Bench, segment: usize, blind: Option<Check>) -> usize {
    let (mut damaged, before) = bench.from(segment);
    let starts = bench.written.frames(segment);
    let (first_seq, len) = (before.size(), damaged.segments[0].1.len());
    let mut missed = 0;
    for at in 0..len {
        damaged.segments[0].1[at] ^= 1 << (at % 8);
        let audit = Audit::resume(bench.key.verifier(), &bench.verifier, before.clone());
        let found = damaged.audit_by(audit.blind_to(blind), usize::MAX);
        damaged.segments[0].1[at] ^= 1 << (at % 8);
        let Err(fault) = found else {
            missed += 1;
            continue;
        };
        if blind.is_some() {
            continue;
        }
        let frame = starts.partition_point(|start| *start <= at) - 1;
        assert_eq!(fault.place(), Place::Segment(first_seq), "byte {at}: {fault}");
        assert_eq!(fault.offset(), starts[frame] as u64, "byte {at}: {fault}");
        assert_eq!(fault.seq(), first_seq + frame as u64, "byte {at}: {fault}");
    }
    missed
}

#[test]
fn every_flipped_byte_of_a_segment_is_found_and_placed() {
    let bench = Bench::new();
    for segment in 0..bench.written.segments.len() {
        assert_eq!(missed_flips(&bench, segment, None), 0);
    }
}

#[test]
fn without_checksums_flips_of_the_unsigned_tail_would_be_missed() {
    let bench = Bench::new();
    let missed = missed_flips(&bench, bench.written.segments.len() - 1, Some(Check::Crc));
    assert!(missed > 100, "{missed}");
}

/// As [`missed_flips`], for the checkpoints.
fn missed_record_flips(bench: &Bench, stride: usize, blind: Option<Check>) -> usize {
    let mut damaged = bench.written.clone();
    let starts = bench.written.record_starts();
    let mut missed = 0;
    for at in (0..damaged.records.len()).step_by(stride) {
        for bit in [at % 8, (at + 5) % 8] {
            damaged.records[at] ^= 1 << bit;
            let found = damaged.audit(bench, blind);
            damaged.records[at] ^= 1 << bit;
            let Err(fault) = found else {
                missed += 1;
                continue;
            };
            if blind.is_some() {
                continue;
            }
            let record = starts.partition_point(|start| *start <= at) - 1;
            assert_eq!(fault.place(), Place::Checkpoints, "byte {at}: {fault}");
            assert_eq!(fault.offset(), starts[record] as u64, "byte {at}: {fault}");
        }
    }
    missed
}

#[test]
fn every_flipped_byte_of_a_checkpoint_is_found_and_placed() {
    assert_eq!(missed_record_flips(&Bench::new(), 1, None), 0);
}

#[test]
fn without_signatures_flips_of_checkpoints_would_be_missed() {
    let missed = missed_record_flips(&Bench::new(), 5, Some(Check::Signature));
    assert!(missed > 100, "{missed}");
}

/// Cuts the last segment at every length; gives how many cuts were taken for a whole ledger.
fn cuts(bench: &Bench, blind: Option<Check>) -> usize {
    let last = bench.written.segments.len() - 1;
    let starts = bench.written.frames(last);
    let first_seq = bench.written.segments[last].0;
    let mut whole = 0;
    for len in 0..bench.written.segments[last].1.len() {
        let mut cut = bench.written.clone();
        cut.segments[last].1.truncate(len);
        let left = starts.partition_point(|start| *start <= len) as u64 - 1;
        match cut.audit(bench, blind) {
            Ok(audited) => {
                assert_eq!(audited.entries, first_seq + left, "cut at {len}");
                assert!(starts.contains(&len));
                whole += 1;
            }
            Err(fault) => {
                let torn = matches!(fault.kind(), FaultKind::Torn { .. });
                let short = matches!(fault.kind(), FaultKind::Short { size: 256 | 288, .. });
                assert!(torn != starts.contains(&len) && (torn || short), "cut at {len}: {fault}");
                assert_eq!(fault.seq(), first_seq + left, "cut at {len}: {fault}");
            }
        }
    }
    whole
}

#[test]
fn a_cut_segment_is_an_exact_prefix_or_a_named_fault() {
    // Only what no checkpoint covers can go without notice: at the boundaries of its frames.
    assert_eq!(cuts(&Bench::new(), None) as u64, ENTRIES - SIGNED);
}

#[test]
fn without_the_checkpoints_sizes_cuts_would_be_missed() {
    assert_eq!(cuts(&Bench::new(), Some(Check::Short)) as u64, SEGMENT);
}

#[test]
fn a_cut_in_an_earlier_segment_is_found_there_or_at_the_next() {
    let bench = Bench::new();
    let starts = bench.written.frames(1);
    for len in 0..bench.written.segments[1].1.len() {
        let mut cut = bench.written.clone();
        cut.segments[1].1.truncate(len);
        let fault = cut.audit(&bench, None).unwrap_err();
        match fault.kind() {
            FaultKind::Torn { .. } => assert_eq!(fault.place(), Place::Segment(SEGMENT)),
            FaultKind::SegmentOrder { expected } => {
                assert!(starts.contains(&len));
                assert_eq!(fault.place(), Place::Segment(2 * SEGMENT));
                assert_eq!(expected, fault.seq());
            }
            other => panic!("cut at {len}: {other}"),
        }
    }
}

#[test]
fn cut_checkpoints_sign_an_exact_prefix_or_are_a_named_fault() {
    let bench = Bench::new();
    let starts = bench.written.record_starts();
    let mut prefixes = 0;
    for len in 0..bench.written.records.len() {
        let records = bench.written.records[..len].to_vec();
        let cut = Written { records, ..bench.written.clone() };
        let place = starts.partition_point(|start| *start <= len) - 1;
        match cut.audit(&bench, None) {
            Ok(audited) => {
                assert_eq!(len, starts[place]);
                assert_eq!(audited.signed, (place as u64 - 1) * CHECKPOINT);
                assert_eq!(audited.entries, ENTRIES);
                prefixes += 1;
            }
            Err(fault) if len == 0 => assert_eq!(fault.kind(), FaultKind::NoCheckpoint),
            Err(fault) => {
                assert!(matches!(fault.kind(), FaultKind::Checkpoint(_)), "{len}: {fault}");
                assert_eq!(fault.offset(), starts[place] as u64, "{len}: {fault}");
            }
        }
    }
    assert_eq!(prefixes, starts.len() - 2);
}
