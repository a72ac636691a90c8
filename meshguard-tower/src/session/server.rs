//! A session's receiving side.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderName;
use meshguard_core::delivery::base::Cover;
use meshguard_core::delivery::{Receiver, SessionKeys, Sid};
use meshguard_core::{Peer, Timestamp};
use rustls_pki_types::CertificateDer;

/// A session that this service receives on.
pub(crate) struct ServerSession {
    pub(crate) sid: Sid,
    pub(crate) keys: SessionKeys,
    /// The end-to-end caller.
    pub(crate) peer: Peer,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// What request proofs cover besides the fixed list.
    pub(crate) cover: Cover,
    /// All that request proofs cover.
    pub(crate) covered: Vec<HeaderName>,
    /// What answers' proofs cover besides the fixed list.
    pub(crate) answer_cover: Cover,
    /// The largest record payload that the caller takes.
    pub(crate) record: usize,
    pub(crate) expires: Timestamp,
    /// Bytes of known bodies that are held for it.
    pub(crate) held: Arc<AtomicUsize>,
    pub(super) ended: AtomicBool,
    /// Where the answers are counted that this session's caller has confirmed.
    pub(super) confirmed: Arc<AtomicU64>,
    pub(super) receiver: Mutex<Receiver>,
}

impl ServerSession {
    /// Whether it takes new exchanges.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        !self.ended.load(Ordering::Relaxed) && now < self.expires
    }

    /// Answers that were confirmed so far.
    pub(super) fn confirmed(&self) -> u64 {
        self.receiver().confirmed()
    }

    /// The state of its exchanges. Never held across user code or a wait.
    pub(crate) fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServerSession {
    fn drop(&mut self) {
        self.confirmed.fetch_add(self.confirmed(), Ordering::Relaxed);
    }
}
