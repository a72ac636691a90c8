//! The connection that a request came over.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use http::Extensions;
use meshguard_core::Peer;
use meshguard_core::baseline::EdgeKey;
use tokio_util::sync::CancellationToken;

use crate::io::Activity;
use crate::listener::Standing;
use crate::observe::{Edges, Tally};
use crate::rejudge::Change;
use crate::session::MAX_SESSIONS_PER_PRINCIPAL;

/// The live connection that a request came over: in every request's extensions. Cloning is cheap.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    id: u64,
    peer: Peer,
    ends: Ends,
    protocol: Protocol,
    /// A [`Standing`]'s code.
    standing: AtomicU8,
    /// Whether its requests are answered without a look at them.
    turned_away: AtomicBool,
    end: CancellationToken,
    activity: Arc<Activity>,
    /// Cancelled: it takes no further requests, and closes with the last one.
    leave: CancellationToken,
    /// The change that has doomed it, by its number; 0: none has.
    doomed: AtomicU64,
    closing: Mutex<Closing>,
    /// Where its peer is measured, as a caller and as a hop: looked up with the first call.
    caller: OnceLock<Arc<Tally>>,
    hop: OnceLock<Arc<Tally>>,
    /// The session of its peer's own that it carried last, by its number; 0: none.
    carried: AtomicU64,
    carrying: Mutex<Carrying>,
    /// What its framework wants in each request's extensions.
    describe: OnceLock<Describe>,
}

/// Sessions that a connection may carry, at most: as many as its peer may have.
const MAX_CARRIED: usize = MAX_SESSIONS_PER_PRINCIPAL;

/// The sessions of its peer's own that a connection carries, until it is gone.
#[derive(Default)]
struct Carrying {
    sessions: Vec<Weak<Carriers>>,
    gone: bool,
}

/// The connections of a caller's own that carry its session: without one, it cannot state a
/// receipt.
#[derive(Debug)]
pub(crate) struct Carriers {
    number: u64,
    live: AtomicUsize,
    /// Whether there ever was one: else all that is known of it came through hops.
    direct: AtomicBool,
}

impl Carriers {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, live: AtomicUsize::new(0), direct: AtomicBool::new(false) }
    }

    /// Whether its caller is there; `None` where that is only known of hops.
    pub(crate) fn is_there(&self) -> Option<bool> {
        let live = self.live.load(Ordering::Acquire) > 0;
        self.direct.load(Ordering::Acquire).then_some(live)
    }
}

type Describe = Box<dyn Fn(&mut Extensions) + Send + Sync>;

/// Why it was closed, until it is gone.
#[derive(Default)]
struct Closing {
    change: Option<Arc<Change>>,
    gone: bool,
}

/// What a connection goes from and to.
pub(crate) struct Ends {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Which server its handshake asked for (RFC 6066 §3).
    pub(crate) server_name: Option<Box<str>>,
}

/// The HTTP version of a connection, as agreed by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: Peer,
        ends: Ends,
        protocol: Protocol,
        standing: Standing,
        end: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            peer,
            ends,
            protocol,
            standing: AtomicU8::new(standing.code()),
            turned_away: AtomicBool::new(false),
            end,
            activity: Arc::default(),
            leave: CancellationToken::new(),
            doomed: AtomicU64::new(0),
            closing: Mutex::default(),
            caller: OnceLock::new(),
            hop: OnceLock::new(),
            carried: AtomicU64::new(0),
            carrying: Mutex::default(),
            describe: OnceLock::new(),
        }))
    }

    /// Who the other end of this connection is: the caller itself, or the last hop before us.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The other end's address.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.ends.remote
    }

    /// The address of this end: which of a service's ports was called.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.ends.local
    }

    /// The server name that the handshake asked for (RFC 6066 §3), where it asked for one.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.0.ends.server_name.as_deref()
    }

    /// Has `describe` put what a framework wants to know of this connection into the extensions of
    /// each request that is let in over it. The first caller's holds.
    pub fn describe(&self, describe: impl Fn(&mut Extensions) + Send + Sync + 'static) {
        // Who describes it again has nothing else to say.
        let _ = self.0.describe.set(Box::new(describe));
    }

    pub(crate) fn describe_in(&self, extensions: &mut Extensions) {
        if let Some(describe) = self.0.describe.get() {
            describe(extensions);
        }
    }

    /// The HTTP version.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// What policy has for its peer.
    pub(crate) fn standing(&self) -> Standing {
        Standing::from_code(self.0.standing.load(Ordering::Relaxed))
    }

    /// Policy has something else for its peer.
    pub(crate) fn stands(&self, standing: Standing) {
        self.0.standing.store(standing.code(), Ordering::Relaxed);
    }

    /// Has its requests answered without a look at them: policy allows its peer nothing, and it has
    /// been told often.
    pub(crate) fn turn_away(&self) {
        self.0.turned_away.store(true, Ordering::Relaxed);
    }

    /// Whether its requests are answered without a look at them.
    pub(crate) fn is_turned_away(&self) -> bool {
        self.0.turned_away.load(Ordering::Relaxed) && self.standing() == Standing::Nothing
    }

    /// A number that no other connection of this process's listeners has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Where its peer is measured as a caller of its own.
    pub(crate) fn caller(&self, edges: &Edges) -> &Arc<Tally> {
        let key = || EdgeKey::Caller(self.peer().id().clone());
        self.0.caller.get_or_init(|| edges.get(&key()))
    }

    /// Where its peer is measured as a hop that carries others' calls.
    pub(crate) fn hop(&self, edges: &Edges) -> &Arc<Tally> {
        let key = || EdgeKey::HopIn(self.peer().id().clone());
        self.0.hop.get_or_init(|| edges.get(&key()))
    }

    /// It carries a request of its peer's own session.
    pub(crate) fn carries(&self, session: &Arc<Carriers>) {
        if self.0.carried.load(Ordering::Relaxed) == session.number {
            return;
        }
        let mut carrying = self.0.carrying.lock().unwrap_or_else(PoisonError::into_inner);
        carrying.sessions.retain(|known| known.strong_count() > 0);
        let is_it = |known: &Weak<Carriers>| known.as_ptr() == Arc::as_ptr(session);
        let known = carrying.sessions.iter().any(is_it);
        if carrying.gone || (!known && carrying.sessions.len() >= MAX_CARRIED) {
            return;
        }
        if !known {
            session.live.fetch_add(1, Ordering::AcqRel);
            session.direct.store(true, Ordering::Release);
            carrying.sessions.push(Arc::downgrade(session));
        }
        self.0.carried.store(session.number, Ordering::Relaxed);
    }

    /// It is to be closed on account of this change, unless it is doomed already: whether not.
    pub(crate) fn doom(&self, change: u64) -> bool {
        let relaxed = Ordering::Relaxed;
        self.0.doomed.compare_exchange(0, change, relaxed, relaxed).is_ok()
    }

    /// Whether this change has doomed it, and no later one has spared it.
    pub(crate) fn is_doomed_by(&self, change: u64) -> bool {
        self.0.doomed.load(Ordering::Relaxed) == change
    }

    /// Its peer may do something again.
    pub(crate) fn spare(&self) {
        self.0.doomed.store(0, Ordering::Relaxed);
    }

    /// Has it closed with the last of its requests; whether it is there at all.
    pub(crate) fn retire(&self, change: &Arc<Change>) -> bool {
        let closing = self.closes_for(change);
        self.0.leave.cancel();
        closing
    }

    /// As [`close`](Self::close), on account of a change, which it holds until it is gone;
    /// whether it is not yet.
    pub(crate) fn close_for(&self, change: &Arc<Change>) -> bool {
        let closing = self.closes_for(change);
        self.close();
        closing
    }

    fn closes_for(&self, change: &Arc<Change>) -> bool {
        let mut closing = self.closing();
        let first = !closing.gone && closing.change.is_none();
        if first {
            closing.change = Some(Arc::clone(change));
        }
        first
    }

    /// When its last byte came or went.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.0.activity
    }

    /// Has it take no further requests, and close with the last one: it makes room for another
    /// connection. `false` where it does so already.
    pub(crate) fn leave(&self) -> bool {
        let first = !self.0.leave.is_cancelled();
        self.0.leave.cancel();
        first
    }

    /// Whether it takes no further requests.
    pub(crate) fn is_leaving(&self) -> bool {
        self.0.leave.is_cancelled()
    }

    /// Waits until it is to take no further requests.
    pub(crate) async fn retired(&self) {
        self.0.leave.cancelled().await;
    }

    /// Its byte stream is gone.
    pub(crate) fn gone(&self) {
        let change = {
            let mut closing = self.closing();
            closing.gone = true;
            closing.change.take()
        };
        drop(change); // telling of it is others' code: without the lock
        let mut carrying = self.0.carrying.lock().unwrap_or_else(PoisonError::into_inner);
        carrying.gone = true;
        for session in carrying.sessions.drain(..).filter_map(|session| session.upgrade()) {
            session.live.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether it was closed from this side, or its byte stream is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.0.end.is_cancelled() || self.closing().gone
    }

    fn closing(&self) -> MutexGuard<'_, Closing> {
        self.0.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection now, with every stream on it; answers under way are cut off.
    pub fn close(&self) {
        self.0.end.cancel();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.0.id)
            .field("peer", self.0.peer.id())
            .field("remote_addr", &self.0.ends.remote)
            .field("protocol", &self.0.protocol)
            .finish_non_exhaustive()
    }
}
