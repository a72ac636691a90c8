//! The live connections of a listener, so that they can be found again and ended.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use meshguard_core::{SpiffeId, Timestamp};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::HandshakeStats;
use crate::connection::Connection;
use crate::limits::Limits;
use crate::rejudge::Change;
use crate::tls::{HandshakeErrorKind, TlsContext, now};

/// How often live connections are looked through for certificates that expired.
const EXPIRY_CHECK: Duration = Duration::from_secs(30);

/// A connection that makes room has so long for what is under way on it.
pub(crate) const MAKE_ROOM: Duration = Duration::from_secs(5);
/// While those that make room go on, a quarter more than may be live are.
const OVERLAP: usize = 4;

/// Whether policy names a peer as a hop.
pub(crate) type IsHop = Arc<dyn Fn(&SpiffeId) -> bool + Send + Sync>;

/// A certificate chain, leaf first.
pub(crate) type Chain = Arc<[CertificateDer<'static>]>;

/// The live connections; clones are one. The listener's bound on connections bounds it.
#[derive(Clone)]
pub(crate) struct LiveConnections(Arc<Registry>);

struct Registry {
    connections: Mutex<HashMap<u64, Live>>,
    /// Connections at once.
    most: usize,
    /// How many of them a hop may have before it makes room for others.
    most_of_hop: usize,
    is_hop: IsHop,
    stats: HandshakeStats,
    /// Changes of the credentials that are about to have it swept.
    expected: Mutex<Vec<Arc<Change>>>,
}

#[derive(Clone)]
struct Live {
    connection: Connection,
    chain: Chain,
}

/// The live connections of a listener that may be gone.
pub(crate) struct WeakConnections(Weak<Registry>);

/// A connection's entry; dropping it takes it out.
pub(crate) struct Registered {
    registry: Arc<Registry>,
    connection: Connection,
}

impl LiveConnections {
    pub(crate) fn new(stats: HandshakeStats, limits: &Limits, is_hop: IsHop) -> Self {
        Self(Arc::new(Registry {
            connections: Mutex::default(),
            most: limits.connections,
            most_of_hop: limits.hop_connections(),
            is_hop,
            stats,
            expected: Mutex::default(),
        }))
    }

    /// Enters a connection. Where all places are taken, the peer that has most connections makes
    /// room: the one of them that was silent longest takes no more requests, and closes. `None`
    /// where too many are doing so already.
    pub(crate) fn register(&self, connection: Connection, chain: Chain) -> Option<Registered> {
        let live = Live { connection: connection.clone(), chain };
        let mut connections = self.0.lock();
        if connections.len() >= self.0.most {
            if connections.len() >= self.0.most + self.0.most.div_ceil(OVERLAP) {
                return None;
            }
            let leaves = self.0.leaving(&connections, connection.peer().id())?;
            leaves.leave();
            tokio::spawn(async move {
                tokio::time::sleep(MAKE_ROOM).await;
                leaves.close();
            });
        }
        connections.insert(connection.id(), live);
        Some(Registered { registry: Arc::clone(&self.0), connection })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(crate) fn downgrade(&self) -> WeakConnections {
        WeakConnections(Arc::downgrade(&self.0))
    }

    /// Verifies each live connection's chain again, and ends those that fail; returns how many.
    /// Equal chains are verified once. Takes about 0.2 ms a chain: not for an async task.
    pub(crate) fn sweep(&self, tls: &TlsContext) -> usize {
        let now = now();
        let mut verdicts: HashMap<Chain, Option<HandshakeErrorKind>> = HashMap::new();
        let expected = std::mem::take(&mut *self.0.expected());
        let all: Vec<Live> = self.0.lock().values().cloned().collect();
        self.0.end(all, expected.iter().find(|change| !change.is_void()), |live| {
            match verdicts.entry(Arc::clone(&live.chain)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(tls.verify_peer(&live.chain, now).err()),
            }
        })
    }

    /// Ends the connections whose leaf certificate has expired; returns how many.
    pub(crate) fn expire(&self, now: Timestamp) -> usize {
        let late = |live: &&Live| live.connection.peer().not_after() < now;
        let late: Vec<Live> = self.0.lock().values().filter(late).cloned().collect();
        self.0.end(late, None, |_| Some(HandshakeErrorKind::Expired))
    }

    /// Sweeps after each replacement of the credentials, and expires now and then; does not end.
    pub(crate) async fn watch(self, tls: TlsContext, mut changes: watch::Receiver<u64>) {
        let mut tick = interval(EXPIRY_CHECK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return; // unreachable while `tls` is held here
                    }
                    let (live, tls) = (self.clone(), tls.clone());
                    if tokio::task::spawn_blocking(move || live.sweep(&tls)).await.is_err() {
                        tracing::error!(target: "meshguard::handshake", "the sweep of live connections failed");
                    }
                }
                _ = tick.tick() => {
                    self.expire(now());
                }
            }
        }
    }
}

impl WeakConnections {
    pub(crate) fn is_live(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// They are about to be swept on account of this change.
    pub(crate) fn expect(&self, change: &Arc<Change>) {
        if let Some(registry) = self.0.upgrade() {
            let mut expected = registry.expected();
            expected.retain(|change| !change.is_void());
            expected.push(Arc::clone(change));
        }
    }

    /// The live connections.
    pub(crate) fn all(&self) -> Vec<Connection> {
        let Some(registry) = self.0.upgrade() else { return Vec::new() };
        registry.lock().values().map(|live| live.connection.clone()).collect()
    }

    /// Ends the connections whose other end is `peer` itself.
    pub(crate) fn end_peer(&self, peer: &SpiffeId, change: &Arc<Change>) {
        let Some(registry) = self.0.upgrade() else { return };
        let of_peer = |live: &&Live| live.connection.peer().id() == peer;
        let all: Vec<Live> = registry.lock().values().filter(of_peer).cloned().collect();
        for live in all {
            if live.connection.close_for(change) {
                change.has_ended_connection();
            }
        }
    }
}

impl Registry {
    /// The connection that makes room for one of `comes`: of the peer that has most, that one
    /// included.
    fn leaving(&self, all: &HashMap<u64, Live>, comes: &SpiffeId) -> Option<Connection> {
        let staying = || all.values().map(|live| &live.connection).filter(|c| !c.is_leaving());
        let mut counts: HashMap<&SpiffeId, usize> = HashMap::from([(comes, 1)]);
        for connection in staying() {
            *counts.entry(connection.peer().id()).or_default() += 1;
        }
        // Who has one alone keeps it.
        let gives =
            |peer: &SpiffeId, n: usize| n > 1 && (n > self.most_of_hop || !(self.is_hop)(peer));
        let giving = counts.into_iter().filter(|(peer, n)| gives(peer, *n));
        let (peer, _) = giving.max_by_key(|(_, n)| *n)?;
        staying().filter(|c| c.peer().id() == peer).min_by_key(|c| c.activity().last()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Live>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expected(&self) -> MutexGuard<'_, Vec<Arc<Change>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those for which `fault` names one; returns how many.
    fn end(
        &self,
        all: Vec<Live>,
        change: Option<&Arc<Change>>,
        mut fault: impl FnMut(&Live) -> Option<HandshakeErrorKind>,
    ) -> usize {
        let mut ended = 0;
        for live in all {
            let Some(kind) = fault(&live) else { continue };
            self.stats.count_withdrawn();
            match change {
                Some(change) if live.connection.close_for(change) => change.has_ended_connection(),
                _ => live.connection.close(),
            }
            ended += 1;
            tracing::warn!(
                target: "meshguard::handshake",
                {
                    peer.id = live.connection.peer().id().as_str(),
                    peer.addr = %live.connection.remote_addr(),
                    handshake.error = %kind
                },
                "a live connection is no longer authenticated: closed"
            );
        }
        ended
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.connection.id());
        self.connection.gone();
    }
}

impl fmt::Debug for LiveConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConnections").field("len", &self.len()).finish()
    }
}
