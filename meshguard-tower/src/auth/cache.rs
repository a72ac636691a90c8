//! Tokens that were verified: a signature is checked once, not with every request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use super::verify::Verified;

/// So many tokens are kept, at most.
const MAX_TOKENS: usize = 4096;
/// Bytes of their texts, at most.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Tokens that hold by their keys, by the SHA-256 of their texts. Whether they hold by time is
/// asked each time. The oldest makes room for the newest.
#[derive(Default)]
pub(super) struct Cache(RwLock<Entries>);

#[derive(Default)]
struct Entries {
    known: HashMap<[u8; 32], Arc<Verified>>,
    /// Oldest first, with their lengths.
    order: VecDeque<([u8; 32], usize)>,
    bytes: usize,
}

impl Cache {
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Arc<Verified>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).known.get(hash).cloned()
    }

    pub(super) fn put(&self, hash: [u8; 32], len: usize, token: Arc<Verified>) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.known.insert(hash, token).is_some() {
            return; // two requests verified it at once
        }
        entries.order.push_back((hash, len));
        entries.bytes += len;
        while entries.order.len() > MAX_TOKENS || entries.bytes > MAX_BYTES {
            let Some((oldest, len)) = entries.order.pop_front() else { return };
            entries.known.remove(&oldest);
            entries.bytes -= len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        hash
    }

    #[test]
    fn it_is_bounded_by_count_and_by_bytes() {
        let cache = Cache::default();
        let token = Arc::new(Verified::of_nobody());
        for n in 0..MAX_TOKENS + 10 {
            cache.put(hash(n), 1, Arc::clone(&token));
        }
        let count = || cache.0.read().unwrap().known.len();
        assert_eq!(count(), MAX_TOKENS);
        assert!(cache.get(&hash(9)).is_none() && cache.get(&hash(10)).is_some());
        cache.put(hash(10_000), MAX_BYTES - 100, Arc::clone(&token));
        assert_eq!(count(), 101);
        cache.put(hash(10_000), MAX_BYTES - 100, token);
        assert_eq!(cache.0.read().unwrap().bytes, MAX_BYTES, "the same token is counted once");
    }
}
