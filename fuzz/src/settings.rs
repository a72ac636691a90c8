//! What the sides of a session tell each other first.

use meshguard_core::delivery::Settings;

use crate::seeds::SID;

/// Reading settings never panics, and what was read says the same when written and read again.
pub fn settings(data: &[u8]) {
    let Ok(read) = Settings::parse(data, &SID, "own") else { return };
    let again = Settings::parse(read.to_json().as_bytes(), &SID, "own");
    assert_eq!(again.as_ref(), Ok(&read), "settings do not survive being written");
}
