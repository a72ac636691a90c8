//! A bad hop: ends TLS on both sides with an SVID of its own, forwards faithfully, and
//! misbehaves on cue.

mod body;
mod builder;
mod drive;
mod exchange;
mod fault;
mod frames;
mod h1;
mod h2;
mod io;
mod listen;
mod log;
mod mangle;
mod pump;
mod queue;
mod reply;
mod sink;
mod tasks;
mod tls;
mod upstream;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use meshguard_core::SpiffeId;
use tokio::net::TcpListener;

pub use builder::{Builder, HopError, Protocol, Transport};
pub use fault::{Cut, Direction, Fault, Forged, Injection, Match};
pub use log::Injected;

use listen::Wire;
use log::Log;
use queue::Queue;
use tasks::Tasks;

/// An HTTP hop between caller and callee, on 127.0.0.1. Without injections it forwards method,
/// path, authority, fields, bodies, trailers and resets as they are. Dropping it stops it.
///
/// ```
/// # async fn example(callee: std::net::SocketAddr) -> Result<(), meshguard_testing::HopError> {
/// use meshguard_testing::{Cut, DevCa, Fault, FaultHop, SpiffeId};
///
/// let ca = DevCa::new("shop.example")?;
/// let id = SpiffeId::from_static("spiffe://shop.example/hop");
/// let hop = FaultHop::builder(callee).tls(&ca, &id)?.start().await?;
/// hop.inject_next(Fault::CutResponse { after: 50, how: Cut::ResetNoError });
/// // … a call to hop.addr() in place of callee …
/// let log = hop.injected(1).await;
/// # Ok(()) }
/// ```
pub struct FaultHop {
    addr: SocketAddr,
    id: Option<SpiffeId>,
    shared: Arc<Shared>,
}

/// What all tasks of a hop share.
struct Shared {
    upstream: SocketAddr,
    wire: Wire,
    queue: Queue,
    log: Arc<Log>,
    tasks: Tasks,
}

impl FaultHop {
    /// A hop that forwards to `upstream`.
    pub fn builder(upstream: SocketAddr) -> Builder {
        Builder::new(upstream)
    }

    async fn start(upstream: SocketAddr, transport: Transport) -> Result<Self, HopError> {
        let wire = Wire::new(&transport)?;
        let id = match &transport {
            Transport::Tls { svid, .. } => svid.id().cloned(),
            Transport::Plain(_) => None,
        };
        let local = (Ipv4Addr::LOCALHOST, 0);
        let listener = TcpListener::bind(local).await.map_err(HopError::Listen)?;
        let addr = listener.local_addr().map_err(HopError::Listen)?;
        let (queue, log, tasks) = (Queue::default(), Arc::new(Log::new()), Tasks::new());
        let shared = Arc::new(Shared { upstream, wire, queue, log, tasks });
        shared.tasks.spawn(listen::accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, id, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who it is to both sides; `None` without TLS.
    #[must_use]
    pub fn id(&self) -> Option<&SpiffeId> {
        self.id.as_ref()
    }

    /// Queues one fault for the next exchange that matches. An exchange suffers one fault at
    /// most, the first in the queue that is meant for it.
    pub fn inject(&self, injection: Injection) {
        self.shared.queue.push(injection);
    }

    /// Queues one fault for the next exchange, meshguard's own excepted.
    pub fn inject_next(&self, fault: Fault) {
        self.inject(Injection { fault, on: Match::any() });
    }

    /// The faults that took effect, in the order in which they did.
    #[must_use]
    pub fn log(&self) -> Vec<Injected> {
        self.shared.log.applied()
    }

    /// The faults that met their exchange and found nothing to act on, such as a cut behind the
    /// body's end.
    #[must_use]
    pub fn misses(&self) -> Vec<Injected> {
        self.shared.log.missed()
    }

    /// Waits until `n` faults in all have taken effect; gives the log.
    pub async fn injected(&self, n: usize) -> Vec<Injected> {
        self.shared.log.reach_applied(n).await
    }

    /// Waits until `n` faults in all have found nothing to act on; gives them.
    pub async fn missed(&self, n: usize) -> Vec<Injected> {
        self.shared.log.reach_missed(n).await
    }

    /// Stops it, and waits until every connection is closed.
    pub async fn shutdown(self) {
        self.shared.tasks.stop().shutdown().await;
    }
}

impl Drop for FaultHop {
    fn drop(&mut self) {
        drop(self.shared.tasks.stop());
    }
}

impl fmt::Debug for FaultHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addr, upstream) = (self.addr, self.shared.upstream);
        f.debug_struct("FaultHop")
            .field("addr", &addr)
            .field("upstream", &upstream)
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn connect(&self, protocol: Protocol) -> std::io::Result<io::HopIo> {
        self.wire.connect(self.upstream, protocol).await
    }
}
