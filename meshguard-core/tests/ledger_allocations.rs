//! Recording an entry allocates nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/entries.rs"]
mod entries;
mod support;

use entries::{Texts, any, stamp};
use meshguard_core::ledger::{Tree, leaf_hash, put_frame};
use support::Rng;

#[test]
fn an_entry_is_encoded_without_an_allocation() {
    let mut rng = Rng::seeded("an_entry_is_encoded_without_an_allocation");
    let texts = Texts::random(&mut rng);
    let made: Vec<_> = (0..500).map(|_| (stamp(&mut rng), any(&mut rng, &texts))).collect();
    let mut frames = Vec::new();
    let all = |frames: &mut Vec<u8>| {
        frames.clear();
        made.iter().for_each(|(stamp, entry)| put_frame(entry, stamp, frames));
    };
    // The first time makes room.
    let first = allocation_counter::measure(|| all(&mut frames));
    assert!(first.count_total > 0);
    let second = allocation_counter::measure(|| all(&mut frames));
    assert_eq!(second.count_total, 0);
}

#[test]
fn a_tree_grows_without_an_allocation() {
    let mut tree = Tree::new();
    let counted = allocation_counter::measure(|| {
        (0_u32..5000).for_each(|n| tree.push(leaf_hash(&n.to_be_bytes())));
    });
    assert_eq!((counted.count_total, tree.size()), (0, 5000));
}
