//! A ledger in memory: bounded, and verifiable though its beginning is gone.

use meshguard_core::ledger::{Checkpoint, Entry, FaultKind, Stamp};

use super::super::handle::Ledger;
use super::super::verify::checkpoint;
use super::rig::{append, fill, numbers, with};

#[test]
fn all_is_there_while_there_is_room() {
    let ledger = Ledger::memory().unwrap();
    (0..1000).for_each(|n| assert_eq!(append(&ledger, n), Some(n)));
    ledger.flush_blocking().unwrap();
    assert_eq!(numbers(&ledger), (0..1000).collect::<Vec<_>>());
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.first, verified.entries, verified.unsigned()), (0, 1000, 0));
}

#[test]
fn an_empty_ledger_has_a_checkpoint_of_nothing() {
    let ledger = Ledger::memory().unwrap();
    let first = checkpoint(ledger.public_key(), &ledger.checkpoint()).unwrap();
    assert_eq!((first.size, first.origin), (0, ledger.origin()));
    ledger.flush_blocking().unwrap();
    assert_eq!(ledger.verify().unwrap().entries, 0);
}

#[test]
fn the_oldest_go_and_what_is_kept_verifies_to_the_signed_root() {
    const LIMIT: u64 = 16 << 10;
    let ledger = Ledger::memory_with(with(None).memory_bytes(LIMIT)).unwrap();
    let mut first = 0;
    for round in 0..20 {
        fill(&ledger, 100 * round..100 * (round + 1));
        let verified = ledger.verify().unwrap();
        assert_eq!((verified.entries, verified.unsigned()), (100 * (round + 1), 0));
        let bytes: usize =
            ledger.entries().unwrap().map(|entry| entry.unwrap().bytes().len() + 8).sum();
        assert!(bytes as u64 <= LIMIT, "{bytes} are kept");
        assert!(verified.first >= first);
        first = verified.first;
        assert_eq!(numbers(&ledger), (first..100 * (round + 1)).collect::<Vec<_>>());
    }
    assert!(first > 1000, "{first}");
    assert_eq!(ledger.stats().entries, 2000);
}

#[test]
fn the_last_checkpoint_is_signed_by_the_key() {
    let ledger = Ledger::memory().unwrap();
    append(&ledger, 0);
    ledger.flush_blocking().unwrap();
    let note = ledger.checkpoint();
    let signed = checkpoint(ledger.public_key(), &note).unwrap();
    assert_eq!((signed.size, signed.root), (1, ledger.verify().unwrap().root));
    let other = Ledger::memory().unwrap();
    assert!(checkpoint(other.public_key(), &note).is_err());
    assert_ne!(ledger.origin(), other.origin());
    assert_eq!(ledger.verifier_key().name(), ledger.origin());
}

#[test]
fn what_is_changed_in_memory_shows() {
    use super::super::handle::verify_kept;
    use super::super::store::{Memory, Store};
    use meshguard_core::ledger::{Operator, Tree, leaf_hash, put_frame};
    let key = super::super::key::Key::generate().unwrap();
    let public = meshguard_core::ledger::Signer::public_key(&key);
    let mut memory = Memory::new(1 << 20, &super::super::writer::first_note(&key));
    let (mut frames, mut tree) = (Vec::new(), Tree::new());
    let entry = Entry::Operator(Operator { verb: "lift", target: "all" });
    put_frame(&entry, &Stamp::default(), &mut frames);
    tree.push(leaf_hash(&frames[8..]));
    memory.write(&frames).unwrap();
    let note = Checkpoint::of(&tree, meshguard_core::ledger::origin(&public)).sign(&key);
    memory.checkpoint(1, &super::super::writer::record(&note)).unwrap();
    assert_eq!(verify_kept(&memory, &public).unwrap().signed, 1);
    let mut other = Vec::new();
    let entry = Entry::Operator(Operator { verb: "kept", target: "all" });
    put_frame(&entry, &Stamp::default(), &mut other);
    memory.kept().segments[0].frames = other;
    let error = verify_kept(&memory, &public).unwrap_err();
    assert_eq!(error.fault().unwrap().kind(), FaultKind::Root { size: 1 });
}

#[test]
fn the_clocks_of_entries_follow_each_other() {
    let ledger = Ledger::memory().unwrap();
    let threads = [0, 1].map(|thread| {
        let ledger = ledger.clone();
        std::thread::spawn(move || fill(&ledger, thread * 500..(thread + 1) * 500))
    });
    threads.into_iter().for_each(|t| t.join().unwrap());
    ledger.flush_blocking().unwrap();
    let stamps: Vec<_> = ledger.entries().unwrap().map(|e| e.unwrap().stamp()).collect();
    assert_eq!(stamps.len(), 1000);
    for pair in stamps.windows(2) {
        assert_eq!(pair[0].seq + 1, pair[1].seq);
        assert!(pair[0].elapsed <= pair[1].elapsed);
    }
}
