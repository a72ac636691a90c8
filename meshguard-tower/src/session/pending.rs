//! Handshakes under way, and how many may begin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshguard_core::delivery::Sid;
use meshguard_core::policy::{Limit, Per};
use meshguard_core::reflex::Rate;
use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls::ServerConnection;

use super::{
    HANDSHAKE_TIME, HANDSHAKES_AT_ONCE, HANDSHAKES_PER_SECOND, HOP_WEIGHT, MAX_PENDING,
    MAX_PENDING_PER_HOP, MAX_PENDING_PER_PEER, SessionRefusal,
};
use crate::mesh::random;
use crate::quota::{Exceeded, Quotas};
use crate::tls::{HandshakeErrorKind, TlsContext};

/// A handshake that has gone on for less long is not displaced by another one of its peer.
const YOUNG: Duration = Duration::from_secs(1);

/// Handshakes under way, by the sid that their session will have.
#[derive(Default)]
pub(super) struct Handshakes {
    pending: Mutex<HashMap<Sid, Pending>>,
    begun: Quotas,
    /// Bodies that are being read, of each peer.
    read: Arc<Mutex<HashMap<SpiffeId, usize>>>,
}

/// One of them.
pub(super) struct Pending {
    pub(super) tls: ServerConnection,
    outer: SpiffeId,
    /// How many of its peer's may be under way.
    share: usize,
    /// Of the credentials that its peer is verified with.
    pub(super) generation: u64,
    since: Timestamp,
}

/// The place of a body that is being read.
pub(super) struct Reading {
    read: Arc<Mutex<HashMap<SpiffeId, usize>>>,
    outer: SpiffeId,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = read.get_mut(&self.outer) {
            *count -= 1;
            if *count == 0 {
                read.remove(&self.outer);
            }
        }
    }
}

impl Pending {
    /// Whether it has taken too long.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) >= HANDSHAKE_TIME
    }
}

/// How many handshakes of one peer may be under way.
fn share(is_hop: bool) -> usize {
    if is_hop { MAX_PENDING_PER_HOP } else { MAX_PENDING_PER_PEER }
}

impl Handshakes {
    /// Takes a place for a body of the connection's peer: as many are read at a time as handshakes of
    /// it may be under way.
    pub(super) fn read(&self, outer: &Peer, is_hop: bool) -> Result<Reading, SessionRefusal> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let count = read.get(outer.id()).copied().unwrap_or(0);
        if count >= share(is_hop) {
            return Err(SessionRefusal::TooMany);
        }
        read.insert(outer.id().clone(), count + 1);
        Ok(Reading { read: Arc::clone(&self.read), outer: outer.id().clone() })
    }

    /// Begins a handshake of the connection's peer. Its connection is not kept yet.
    pub(super) fn begin(
        &self,
        tls: &TlsContext,
        outer: &Peer,
        is_hop: bool,
        now: Timestamp,
    ) -> Result<Pending, SessionRefusal> {
        let (weight, share) = (if is_hop { HOP_WEIGHT } else { 1 }, share(is_hop));
        if !is_hop && self.is_full_of_young(outer.id(), share, now) {
            return Err(SessionRefusal::TooMany);
        }
        self.count(outer.id(), weight)?;
        let generation = tls.generation();
        let tls = ServerConnection::new(tls.inner_server())
            .map_err(|_| SessionRefusal::Protocol("no TLS to begin with"))?;
        Ok(Pending { tls, outer: outer.id().clone(), share, generation, since: now })
    }

    /// Whether so many handshakes of one peer go on, none of them for long. It is not displaced by its
    /// own next one, nor is that one counted: many instances of a service that start at once would
    /// begin again and again, until none of them may begin.
    fn is_full_of_young(&self, outer: &SpiffeId, share: usize, now: Timestamp) -> bool {
        let young = |p: &&Pending| p.outer == *outer && now.since(p.since) < YOUNG;
        self.pending().values().filter(young).count() >= share
    }

    /// Counts a handshake against the share of `whom`.
    ///
    /// # Errors
    /// [`SessionRefusal::TooMany`] beyond it. Where more peers are counted than there are places,
    /// the others pass: only the handshakes under way are bounded then.
    pub(super) fn count(&self, whom: &SpiffeId, weight: u32) -> Result<(), SessionRefusal> {
        let rate = Rate { count: HANDSHAKES_PER_SECOND * weight, per: Duration::from_secs(1) };
        let limit = Limit { rate, burst: HANDSHAKES_AT_ONCE * weight, per: Per::Caller };
        match self.begun.take("handshakes", limit, whom) {
            Err(Exceeded::Rate { .. }) => Err(SessionRefusal::TooMany),
            Ok(()) | Err(Exceeded::Full) => Ok(()),
        }
    }

    /// Keeps a handshake until its next body. Where its peer's share is taken, another one of
    /// that peer makes room, the oldest, or of a hop one chosen at random; where all places are, one of
    /// the peer that has most: who fills them hits its own.
    pub(super) fn keep(&self, sid: Sid, handshake: Pending, now: Timestamp) {
        let mut pending = self.pending();
        pending.retain(|_, p| now.since(p.since) < HANDSHAKE_TIME);
        let mut shares: HashMap<&SpiffeId, usize> = HashMap::new();
        for other in pending.values() {
            *shares.entry(&other.outer).or_default() += 1;
        }
        let own = shares.get(&handshake.outer).copied().unwrap_or(0);
        let most = shares.into_iter().max_by_key(|(_, n)| *n).map(|(peer, _)| peer);
        let from = match () {
            () if own >= handshake.share => Some(&handshake.outer),
            () if pending.len() >= MAX_PENDING => most,
            () => None,
        };
        let leaves = from.and_then(|peer| {
            let theirs: Vec<_> = pending.iter().filter(|(_, p)| p.outer == *peer).collect();
            if theirs.iter().all(|(_, p)| p.share == MAX_PENDING_PER_PEER) {
                return theirs.iter().min_by_key(|(_, p)| p.since).map(|(sid, _)| **sid);
            }
            let at = u64::from_ne_bytes(random()) % theirs.len().max(1) as u64;
            theirs.get(at as usize).map(|(sid, _)| **sid)
        });
        if let Some(leaves) = leaves {
            pending.remove(&leaves);
        }
        pending.insert(sid, handshake);
    }

    /// The handshake that goes on with the peer's next body.
    pub(super) fn resume(
        &self,
        sid: &Sid,
        outer: &Peer,
        now: Timestamp,
    ) -> Result<Pending, SessionRefusal> {
        let mut pending = self.pending();
        let begun = pending.get(sid).ok_or(SessionRefusal::Unknown)?;
        if begun.outer != *outer.id() {
            return Err(SessionRefusal::OtherPeer); // and it stays its own peer's
        }
        let found = pending.remove(sid).ok_or(SessionRefusal::Unknown)?;
        if found.is_over(now) {
            return Err(SessionRefusal::Handshake(HandshakeErrorKind::Timeout));
        }
        Ok(found)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Sid, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
