//! What a ledger's files hold.

use meshguard_core::ledger::{Entry, Frame, Note, read_frame};

/// An entry or a note that is read is written back to the same bytes; a frame's entry is its own.
pub fn ledger(data: &[u8]) {
    if let Ok((stamp, entry)) = Entry::decode(data) {
        let mut again = Vec::new();
        entry.encode(&stamp, &mut again);
        assert_eq!(again, data, "an entry does not survive being written");
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
