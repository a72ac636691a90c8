//! What a ledger's files hold.

use meshguard_core::ledger::{Entry, Frame, Note, read_frame};

/// An entry that is read is written so that it stays as it is from then on: older versions wrote
/// texts as they were, and the first one shorter stops. A frame's entry is its own.
pub fn ledger(data: &[u8]) {
    if let Ok((stamp, entry)) = Entry::decode(data) {
        let mut again = Vec::new();
        entry.encode(&stamp, &mut again);
        let (same, read) = Entry::decode(&again).expect("what is written is read");
        assert_eq!(same, stamp, "a stamp does not survive being written");
        let mut stays = Vec::new();
        read.encode(&same, &mut stays);
        assert_eq!(stays, again, "an entry does not survive being written");
    }
    if let Ok(Some(Frame { entry, rest })) = read_frame(data) {
        assert!(entry.len() + rest.len() < data.len(), "a frame has a head of its own");
        // Which need not be an entry.
        let _ = Entry::decode(entry);
    }
    if let Ok(note) = Note::parse(data) {
        assert!(data.starts_with(note.text().as_bytes()), "a note's text is not its beginning");
    }
}
