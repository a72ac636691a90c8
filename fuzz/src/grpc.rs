//! gRPC's messages.

use bytes::Bytes;
use meshguard_core::delivery::grpc::{Splitter, prefix};

/// The longest message that is taken.
const LIMIT: usize = 4096;

/// The first byte says how the rest is chunked. However it is, the messages are the same, and
/// together they are what came in.
pub fn grpc_split(data: &[u8]) {
    let Some((chunk, body)) = data.split_first() else { return };
    let whole = split(body, usize::MAX);
    assert_eq!(whole, split(body, usize::from(*chunk).max(1)), "chunks make a difference");
    let (messages, sound) = whole;
    let mut again = Vec::new();
    for (flag, message) in &messages {
        again.extend_from_slice(&prefix(*flag, message.len()));
        again.extend_from_slice(message);
    }
    assert!(body.starts_with(&again), "the messages are not what came");
    assert!(!sound || again == body, "a sound end, and something is missing");
}

/// The messages of a body, and whether it ended between two of them.
fn split(body: &[u8], chunk: usize) -> (Vec<(u8, Bytes)>, bool) {
    let (mut splitter, mut messages) = (Splitter::new(LIMIT), Vec::new());
    for piece in body.chunks(chunk) {
        splitter.push(Bytes::copy_from_slice(piece));
        loop {
            match splitter.poll() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
    }
    let sound = splitter.end().is_ok();
    (messages, sound)
}
