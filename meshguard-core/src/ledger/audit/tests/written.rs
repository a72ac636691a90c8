//! A ledger for tests, in pieces that can be damaged.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{Audit, Audited, Check, Fault};
use crate::ledger::{
    Checkpoint, Decision, Entry, Gap, GapCause, Operator, PolicyChange, Signer, Stamp, Tree,
    Verifier, VerifierKey, leaf_hash, next_record, origin, put_frame,
};
use crate::time::Timestamp;

/// Entries in one segment.
pub(super) const SEGMENT: u64 = 60;
/// Entries for one checkpoint.
pub(super) const CHECKPOINT: u64 = 32;
/// Entries of the whole ledger: its last 12 are not signed.
pub(super) const ENTRIES: u64 = 300;
pub(super) const SIGNED: u64 = ENTRIES / CHECKPOINT * CHECKPOINT;

/// An Ed25519 key from a seed.
pub(super) struct Key(Ed25519KeyPair);

impl Key {
    pub(super) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(super) fn verifier(&self) -> VerifierKey {
        VerifierKey::new(origin(&self.public_key()), self.public_key()).unwrap()
    }
}

impl Signer for Key {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

type Question = ([u8; 32], Vec<u8>, [u8; 64]);

/// Remembers what it has verified: these tests ask the same some ten thousand times.
#[derive(Default)]
pub(super) struct Remembering(Mutex<BTreeMap<Question, bool>>);

impl Verifier for Remembering {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let question = (*public_key, message.to_vec(), *signature);
        let mut known = self.0.lock().unwrap();
        *known.entry(question).or_insert_with(|| {
            UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
        })
    }
}

/// The files of a ledger.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) segments: Vec<(u64, Vec<u8>)>,
    pub(super) records: Vec<u8>,
}

impl Written {
    /// As a host with this key would write it; the entry `changed`, if any, says something else.
    pub(super) fn by(key: &Key, changed: Option<u64>) -> Self {
        let mut written = Self { segments: Vec::new(), records: Vec::new() };
        let mut tree = Tree::new();
        written.sign(key, &tree);
        for seq in 0..ENTRIES {
            if seq % SEGMENT == 0 {
                written.segments.push((seq, Vec::new()));
            }
            let (_, frames) = written.segments.last_mut().unwrap();
            let before = frames.len();
            let stamp = Stamp { seq, at: at(seq), elapsed: Duration::from_millis(seq) };
            put_frame(&entry(seq, changed == Some(seq)), &stamp, frames);
            tree.push(leaf_hash(&frames[before + super::FRAME..]));
            if tree.size().is_multiple_of(CHECKPOINT) {
                written.sign(key, &tree);
            }
        }
        written
    }

    fn sign(&mut self, key: &Key, tree: &Tree) {
        let note = Checkpoint::of(tree, origin(&key.public_key())).sign(key);
        self.records.extend_from_slice(note.as_bytes());
        self.records.push(b'\n');
    }

    /// The audit's answer, where it is fed pieces of `piece` bytes.
    pub(super) fn audit_by(&self, mut audit: Audit<'_>, piece: usize) -> Result<Audited, Fault> {
        let mut records = self.records.as_slice();
        feed(&mut audit, &mut records)?;
        for (first_seq, frames) in &self.segments {
            audit.segment(*first_seq)?;
            let (mut taken, mut offered) = (0, 0);
            while offered < frames.len() {
                offered = (offered + piece).min(frames.len());
                loop {
                    feed(&mut audit, &mut records)?;
                    match audit.bytes(&frames[taken..offered])? {
                        0 if !audit.wants_record() => break,
                        more => taken += more,
                    }
                }
            }
            audit.end_segment((frames.len() - taken) as u64)?;
        }
        feed(&mut audit, &mut records)?;
        audit.finish()
    }

    /// The audit's answer; `blind` makes it a bad auditor.
    pub(super) fn audit(&self, bench: &Bench, blind: Option<Check>) -> Result<Audited, Fault> {
        self.audit_by(bench.audit().blind_to(blind), usize::MAX)
    }

    /// Where each frame of a segment begins, and where the last ends.
    pub(super) fn frames(&self, segment: usize) -> Vec<usize> {
        let bytes = &self.segments[segment].1;
        let mut starts = vec![0];
        while let Some(start) = starts.last().copied().filter(|start| *start < bytes.len()) {
            let len = u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap());
            starts.push(start + super::FRAME + len as usize);
        }
        starts
    }

    /// Where each checkpoint begins, and where the last ends.
    pub(super) fn record_starts(&self) -> Vec<usize> {
        let mut starts = vec![0];
        while let Some(len) = next_record(&self.records[starts[starts.len() - 1]..]) {
            starts.push(starts[starts.len() - 1] + len);
        }
        starts
    }

    /// Makes the checksum of the frame that begins there right again.
    pub(super) fn sum_again(&mut self, segment: usize, start: usize) {
        let bytes = &mut self.segments[segment].1;
        let len = u32::from_be_bytes(bytes[start..start + 4].try_into().unwrap()) as usize;
        let begin = start + super::FRAME;
        let crc = crc32c::crc32c(&bytes[begin..begin + len]);
        bytes[start + 4..begin].copy_from_slice(&crc.to_be_bytes());
    }
}

fn feed(audit: &mut Audit<'_>, records: &mut &[u8]) -> Result<(), Fault> {
    while audit.wants_record() {
        match next_record(records).unwrap_or(records.len()) {
            0 => audit.end_records(),
            len => {
                audit.record(&records[..len])?;
                *records = &records[len..];
            }
        }
    }
    Ok(())
}

/// A ledger, its key and a verifier.
pub(super) struct Bench {
    pub(super) key: Key,
    pub(super) verifier: Remembering,
    pub(super) written: Written,
}

impl Bench {
    pub(super) fn new() -> Self {
        let key = Key::new(7);
        let written = Written::by(&key, None);
        Self { key, verifier: Remembering::default(), written }
    }

    pub(super) fn audit(&self) -> Audit<'_> {
        Audit::new(self.key.verifier(), &self.verifier)
    }

    /// What is left without the first so many segments, and the tree of these.
    pub(super) fn from(&self, segments: usize) -> (Written, Tree) {
        let (mut kept, mut tree) = (self.written.clone(), Tree::new());
        for segment in 0..segments {
            let (_, bytes) = kept.segments.remove(0);
            let starts = self.written.frames(segment);
            let entries = starts.windows(2).map(|w| &bytes[w[0] + super::FRAME..w[1]]);
            entries.for_each(|entry| tree.push(leaf_hash(entry)));
        }
        // The first checkpoint is of no entries.
        let older = tree.size().div_ceil(CHECKPOINT) as usize;
        kept.records.drain(..self.written.record_starts()[older]);
        (kept, tree)
    }
}

fn at(seq: u64) -> Timestamp {
    Timestamp::from_unix_secs(1_700_000_000 + seq)
}

fn entry(seq: u64, changed: bool) -> Entry<'static> {
    match seq % 4 {
        0 => Entry::Policy(PolicyChange { version: seq, replaced: None }),
        1 => Entry::Operator(Operator { verb: if changed { "kept" } else { "lift" }, target: "a" }),
        2 => Entry::Decision(Decision {
            id: u128::from(seq),
            from: Some("spiffe://a/b"),
            via: None,
            allowed: changed,
            reason: "no rule",
            route: None,
            policy_version: 1,
        }),
        _ => Entry::Gap(Gap {
            cause: GapCause::QueueFull,
            count: Some(2),
            first_seq: Some(seq),
            since: None,
            until: None,
        }),
    }
}
