//! The live connections of a listener, so that they can be found again and ended.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use meshguard_core::{SpiffeId, Timestamp};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{HandshakeStats, Standing};
use crate::clock::reached;
use crate::connection::Connection;
use crate::limits::Limits;
use crate::rejudge::Change;
use crate::tls::{HandshakeErrorKind, TlsContext};

/// How often live connections are looked through for certificates that expired.
const EXPIRY_CHECK: Duration = Duration::from_secs(30);

/// A connection that makes room has so long for what is under way on it, while there are not too
/// many of them.
pub(crate) const MAKE_ROOM: Duration = Duration::from_secs(5);
/// While those that make room go on, a quarter more than may be live are. With one more, the one that
/// has done so longest has no more time.
const OVERLAP: usize = 4;

/// A certificate chain, leaf first.
pub(crate) type Chain = Arc<[CertificateDer<'static>]>;

/// The live connections; clones are one. The listener's bound on connections bounds it.
#[derive(Clone)]
pub(crate) struct LiveConnections(Arc<Registry>);

struct Registry {
    connections: Mutex<Connections>,
    /// Connections at once.
    most: usize,
    /// How many of them a hop may have before it makes room for others.
    most_of_hop: usize,
    stats: HandshakeStats,
    /// Changes of the credentials that are about to have it swept.
    expected: Mutex<Vec<Arc<Change>>>,
}

#[derive(Default)]
struct Connections {
    all: HashMap<u64, Live>,
    /// The numbers of each peer's that do not make room for another one.
    of_peer: HashMap<SpiffeId, HashSet<u64>>,
    /// Those that make room, the first of them first.
    making_room: VecDeque<Connection>,
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
    pub(crate) fn new(stats: HandshakeStats, limits: &Limits) -> Self {
        Self(Arc::new(Registry {
            connections: Mutex::default(),
            most: limits.connections,
            most_of_hop: limits.hop_connections(),
            stats,
            expected: Mutex::default(),
        }))
    }

    /// Enters a connection. Where all places are taken, a peer that policy allows nothing makes room,
    /// or else the one that has most connections: the one of them that was silent longest takes no
    /// more requests, and closes. `None` where nobody makes room.
    pub(crate) fn register(&self, connection: Connection, chain: Chain) -> Option<Registered> {
        let live = Live { connection: connection.clone(), chain };
        let mut connections = self.0.lock();
        let (count, overlap) = (connections.all.len(), self.0.most.div_ceil(OVERLAP));
        if count >= self.0.most {
            // They are closed faster than they go.
            if count >= self.0.most + 2 * overlap {
                return None;
            }
            let leaves = connections.leaving(connection.peer().id(), self.0.most_of_hop)?.clone();
            connections.makes_room(&leaves);
            leaves.leave();
            let first = connections.first_to_close(&leaves);
            if let Some(first) = first.filter(|_| count >= self.0.most + overlap) {
                first.close();
            }
            tokio::spawn(async move {
                tokio::time::sleep(MAKE_ROOM).await;
                leaves.close();
            });
        }
        connections.insert(live);
        Some(Registered { registry: Arc::clone(&self.0), connection })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().all.len()
    }

    pub(crate) fn downgrade(&self) -> WeakConnections {
        WeakConnections(Arc::downgrade(&self.0))
    }

    /// Verifies each live connection's chain again, and ends those that fail; returns how many.
    /// Equal chains are verified once. Takes about 0.2 ms a chain: not for an async task.
    pub(crate) fn sweep(&self, tls: &TlsContext) -> usize {
        let now = reached();
        let mut verdicts: HashMap<Chain, Option<HandshakeErrorKind>> = HashMap::new();
        let expected = std::mem::take(&mut *self.0.expected());
        let all: Vec<Live> = self.0.lock().all.values().cloned().collect();
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
        let late: Vec<Live> = self.0.lock().all.values().filter(late).cloned().collect();
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
                    self.expire(reached());
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
        registry.lock().all.values().map(|live| live.connection.clone()).collect()
    }

    /// Ends the connections whose other end is `peer` itself.
    pub(crate) fn end_peer(&self, peer: &SpiffeId, change: &Arc<Change>) {
        let Some(registry) = self.0.upgrade() else { return };
        let of_peer = |live: &&Live| live.connection.peer().id() == peer;
        let all: Vec<Live> = registry.lock().all.values().filter(of_peer).cloned().collect();
        for live in all {
            if live.connection.close_for(change) {
                change.has_ended_connection();
            }
        }
    }
}

impl Connections {
    fn insert(&mut self, live: Live) {
        let (id, peer) = (live.connection.id(), live.connection.peer().id());
        match self.of_peer.get_mut(peer) {
            Some(ids) => _ = ids.insert(id),
            None => _ = self.of_peer.insert(peer.clone(), HashSet::from([id])),
        }
        self.all.insert(id, live);
    }

    fn remove(&mut self, connection: &Connection) {
        self.all.remove(&connection.id());
        self.makes_room(connection);
    }

    fn makes_room(&mut self, connection: &Connection) {
        let (id, peer) = (connection.id(), connection.peer().id());
        if let Some(ids) = self.of_peer.get_mut(peer) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_peer.remove(peer);
            }
        }
    }

    /// Another one makes room; the one that has done so longest, of those that are still there.
    fn first_to_close(&mut self, leaves: &Connection) -> Option<Connection> {
        self.making_room.push_back(leaves.clone());
        while self.making_room.front().is_some_and(Connection::is_over) {
            self.making_room.pop_front();
        }
        self.making_room.front().cloned()
    }

    /// The connection that makes room for one of `comes`: of a peer that policy allows nothing,
    /// or else of the one that has most, the new one counted with its own.
    fn leaving(&self, comes: &SpiffeId, most_of_hop: usize) -> Option<&Connection> {
        let staying = |ids: &HashSet<u64>| {
            let theirs = ids.iter().filter_map(|id| self.all.get(id)).map(|l| &l.connection);
            theirs.filter(|c| !c.is_leaving()).min_by_key(|c| c.activity().last())
        };
        let mut giving: Vec<_> = Vec::new();
        for (peer, ids) in &self.of_peer {
            let count = ids.len() + usize::from(peer == comes);
            let any = ids.iter().next().and_then(|id| self.all.get(id));
            let standing = any.map_or(Standing::Nothing, |live| live.connection.standing());
            let gives = match standing {
                Standing::Nothing => true,
                // Who has one alone keeps it.
                Standing::Caller => count > 1,
                Standing::Hop => count > 1 && count > most_of_hop,
            };
            if gives {
                giving.push((standing == Standing::Nothing, count, ids));
            }
        }
        // Those of the first may all make room already.
        giving.sort_unstable_by_key(|(nothing, count, _)| Reverse((*nothing, *count)));
        giving.into_iter().find_map(|(.., ids)| staying(ids))
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Connections> {
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
        self.registry.lock().remove(&self.connection);
        self.connection.gone();
    }
}

impl fmt::Debug for LiveConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConnections").field("len", &self.len()).finish()
    }
}
