//! The handle that all parts of a service's mesh share.

mod books;
mod builder;
mod enforceable;
mod federation;
mod follow;
mod log;
mod operate;
mod pins;
mod reload;
mod renew;
mod shutdown;
mod tokens;

use std::fmt;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use meshguard_core::control::Event;
use meshguard_core::delivery::{
    Accepted, Answers, Counts, Finding as SessionFinding, Forgeries, MAX_KNOWN, ReceiptStatus, Sid,
};
use meshguard_core::escape::Escaped;
use meshguard_core::{Access, Policy, SpiffeId, Timestamp};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::watch;
use tower_layer::Layer as _;

pub use builder::{BuildError, MESSAGE_LIMIT, MeshBuilder, RELOAD_EVERY};
pub(crate) use log::{About, FindingLog};
pub use operate::EdgeStatus;
#[cfg(test)]
pub(crate) use pins::MAX_PINS;
pub(crate) use pins::Pins;
pub use reload::{PolicyStatus, ReloadError};
pub use shutdown::{SHUTDOWN_TIME, Shutdown};

use crate::auth::Verifier;
use crate::body::{Room, Share};
use crate::channel::{Channel, ChannelError, Registry};
use crate::control::{Engine, Gate};
use crate::decision::{DecisionId, Explanation, Explanations};
use crate::expect::Expectations;
use crate::inbound::{Inbound, InboundLayer};
use crate::ledger::{Ledger, RefusalCounts};
use crate::limits::Limits;
use crate::listener::{self, HandshakeStats, Standing, WeakConnections};
use crate::probe::Health;
use crate::quota::Quotas;
use crate::rejudge;
use crate::serve::{Serve, serve};
use crate::session::{ServerSession, Sessions};
use crate::shadow::Shadows;
use crate::sink::{Call, Direction, Edge, Finding, Sink};
use crate::source::PolicySource;
use crate::tls::{Alpn, TlsContext};

/// Bytes of bodies that are held in this process until they are whole: 64 MiB.
pub(crate) const HELD: usize = 1024 * MAX_KNOWN;
/// What is shorter than this needs no such room.
pub(crate) const HELD_STEP: usize = 4096;

/// A service's place in the mesh: its identity, its policy, its sessions. Cloning is cheap;
/// all clones are one.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use meshguard_tower::Mesh;
///
/// let mesh = Mesh::builder()
///     .svid_files("svid.pem", "svid.key", "bundle.pem")?
///     .policy_file("policy.toml")?
///     .build()?;
/// let listener = mesh.listen("0.0.0.0:8443").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Mesh(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) id: SpiffeId,
    pub(crate) tls: TlsContext,
    pub(crate) instance: Arc<str>,
    pub(crate) ledger_key: [u8; 32],
    pub(crate) gate: Arc<Gate>,
    pub(crate) engine: Engine,
    tick: Duration,
    /// The live connections of its listeners.
    pub(crate) live: Mutex<Vec<WeakConnections>>,
    pub(crate) rejudge: rejudge::State,
    policy: ArcSwap<Policy>,
    source: Mutex<Option<Box<dyn PolicySource>>>,
    stale_after: Option<Duration>,
    policy_status: watch::Sender<PolicyStatus>,
    pub(crate) tokens: Option<Verifier>,
    sessions: Sessions,
    limits: Limits,
    message_limit: usize,
    handshakes: HandshakeStats,
    health: Health,
    findings: FindingLog,
    sink: Option<Box<dyn Sink>>,
    ledger: Option<Ledger>,
    refusals: RefusalCounts,
    explanations: Explanations,
    forwarders: Box<[SpiffeId]>,
    quotas: Quotas,
    shadows: Shadows,
    pub(crate) expectations: Expectations,
    forgeries: Mutex<Forgeries>,
    pins: Pins,
    held: Room,
    pub(crate) channels: Registry,
    files: reload::Files,
    /// The policy's source has announced the digest of a document.
    announced: AtomicBool,
    watching: Mutex<Vec<tokio::task::AbortHandle>>,
    /// Whether the ledger has its last word.
    stopped: AtomicBool,
}

impl Mesh {
    /// Begins to build a mesh handle.
    pub fn builder() -> MeshBuilder {
        MeshBuilder::new()
    }

    /// Begins to build a mesh handle whose credentials come from a certificate authority that
    /// is in memory: for development and tests. All of one trust domain in one process share it.
    ///
    /// # Errors
    /// Where `id` is not the SPIFFE ID of a workload.
    #[cfg(feature = "dev")]
    pub fn dev<I>(id: I) -> Result<MeshBuilder, BuildError>
    where
        I: TryInto<SpiffeId>,
        I::Error: fmt::Display,
    {
        MeshBuilder::dev(id)
    }

    /// The layer that makes of a service one that takes part in the mesh.
    #[must_use]
    pub fn inbound(&self) -> InboundLayer {
        InboundLayer::new(self.clone())
    }

    /// A channel to the workload `callee`, which must itself answer at `uri` (scheme `https`,
    /// host and port); [`Channel::via`] names a hop in between.
    ///
    /// # Errors
    /// Where `uri` has no `https` or no host, or `callee` is not a SPIFFE ID.
    pub fn channel<I>(&self, uri: &str, callee: I) -> Result<Channel, ChannelError>
    where
        I: TryInto<SpiffeId>,
        I::Error: fmt::Display,
    {
        // A service that only calls follows its files too; outside of a runtime, from its first
        // session on.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.watch();
        }
        Channel::new(self.clone(), uri, callee)
    }

    /// Listens for the mesh's connections: mutual TLS 1.3, HTTP/2 and HTTP/1.1 by ALPN. Has to
    /// be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<Listener> {
        self.adopt(TcpListener::bind(addr).await?)
    }

    /// As [`listen`](Self::listen), on a socket that listens already.
    ///
    /// # Errors
    /// Where the socket is not usable.
    pub fn adopt(&self, socket: TcpListener) -> io::Result<Listener> {
        self.watch();
        let (tls, limits) = (self.0.tls.clone(), self.0.limits.clone());
        let handshakes = self.0.handshakes.clone();
        let (gate, weak) = (Arc::clone(&self.0.gate), Arc::downgrade(&self.0));
        let judge = Arc::new(move |peer: &SpiffeId| {
            weak.upgrade().map_or(Standing::Nothing, |shared| {
                Standing::of(peer, &shared.id, &shared.policy.load())
            })
        });
        let alpn = Alpn::Both;
        let inner =
            listener::Listener::from_tcp(socket, tls, alpn, limits, handshakes, gate, judge)?;
        let mut live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(WeakConnections::is_live);
        live.push(inner.live().downgrade());
        drop(live);
        Ok(Listener { mesh: self.clone(), inner })
    }

    /// This service's own name.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.0.id
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.0.policy.load_full()
    }

    /// What became of the policy's loads: the version in force, and why a newer one was refused.
    #[must_use]
    pub fn policy_status(&self) -> watch::Receiver<PolicyStatus> {
        self.0.policy_status.subscribe()
    }

    /// What stood behind a refusal of this service, by the number that its caller was told.
    /// The last 1,024 are kept. Policy is asked again, rule by rule: for a person's question.
    #[must_use]
    pub fn explain(&self, id: DecisionId) -> Option<Explanation> {
        self.0.explanations.find(id)
    }

    /// How the exchanges of all channels ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.channels.counts()
    }

    /// What became of the listeners' handshakes.
    #[must_use]
    pub fn handshakes(&self) -> &HandshakeStats {
        &self.0.handshakes
    }

    /// How many sessions this service receives on.
    #[must_use]
    pub fn sessions_open(&self) -> usize {
        self.0.sessions.len()
    }

    /// How many requests this service answered *renew*: they came in sessions that were not live
    /// here. Each is logged with its reason (target `meshguard::session`).
    #[must_use]
    pub fn renewals_asked(&self) -> u64 {
        self.0.sessions.renewals()
    }

    /// How many sessions this service sends on.
    #[must_use]
    pub fn sessions_out(&self) -> usize {
        self.0.channels.len()
    }

    /// How many answers of this service their callers have confirmed.
    #[must_use]
    pub fn answers_confirmed(&self) -> u64 {
        self.answers().confirmed
    }

    /// What became of this service's answers: confirmed, or why not.
    #[must_use]
    pub fn answers(&self) -> Answers {
        self.0.sessions.sums().answers
    }

    /// How many proven exchanges this service has accepted, and how many are dealt with.
    #[must_use]
    pub fn accepted(&self) -> Accepted {
        self.0.sessions.sums().books
    }

    /// Whether this service is ready: what its probes answer.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn explanations(&self) -> &Explanations {
        &self.0.explanations
    }

    /// Whether `caller` may say on whose behalf it calls.
    pub(crate) fn is_forwarder(&self, caller: &SpiffeId) -> bool {
        self.0.forwarders.contains(caller)
    }

    pub(crate) fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// Counts the shadow rules that match, and tells of them.
    pub(crate) fn shadowed(
        &self,
        policy: &Policy,
        edge: Edge<'_>,
        access: &Access<'_>,
        allowed: bool,
        now: Timestamp,
    ) {
        for would in self.0.shadows.count(policy, access, allowed, now) {
            self.found(Direction::Inbound, edge, "shadow", &would);
        }
    }

    pub(crate) fn pins(&self) -> &Pins {
        &self.0.pins
    }

    /// Room for a body of `principal` that is held until it is whole.
    pub(crate) fn hold_for(&self, principal: &SpiffeId) -> Share {
        self.0.held.share(principal)
    }

    pub(crate) fn message_limit(&self) -> usize {
        self.0.message_limit
    }

    pub(crate) fn decision_id(&self) -> DecisionId {
        DecisionId::from_random(random())
    }

    pub(crate) fn fresh_sid(&self) -> Sid {
        Sid::from_random(random())
    }

    /// Tells of an answered call.
    pub(crate) fn called(&self, call: &Call<'_>) {
        if let Some(sink) = &self.0.sink {
            sink.call(call);
        }
    }

    /// Tells of a step of the loop.
    pub(crate) fn stepped(&self, event: &Event) {
        if let Some(sink) = &self.0.sink {
            sink.event(event);
        }
    }

    /// Tells of something that is wrong.
    pub(crate) fn found(
        &self,
        direction: Direction,
        edge: Edge<'_>,
        name: &str,
        detail: &dyn fmt::Display,
    ) {
        let detail = &Escaped(detail);
        self.log(direction, edge, name, |about, left_out| {
            let (peer, via) = (&*about.peer, &*about.via);
            tracing::info!(
                target: "meshguard::finding",
                { direction = ?direction, peer.id = peer, peer.via = via, finding = name, left_out },
                "{detail}"
            );
        });
        if let Some(sink) = &self.0.sink {
            sink.finding(&Finding { direction, edge, name, detail });
        }
    }

    /// Logs, unless the last second had enough of this already; with how many had no line.
    pub(crate) fn log(
        &self,
        direction: Direction,
        edge: Edge<'_>,
        name: &str,
        line: impl FnOnce(&About, Option<u64>),
    ) {
        let about = About::new(direction, &edge, name);
        if let Some(left_out) = self.0.findings.line(&about) {
            line(&about, (left_out > 0).then_some(left_out));
        }
    }

    /// Logs what was left out, once it is over.
    pub(crate) fn log_left_out(&self) {
        for (About { direction, peer, via, name }, left_out) in self.0.findings.left_out() {
            tracing::info!(
                target: "meshguard::finding",
                {
                    direction = ?direction,
                    peer.id = &*peer,
                    peer.via = &*via,
                    finding = &*name,
                    left_out
                },
                "there were more of these"
            );
        }
    }

    /// Tells of all that a session's receiver has noticed.
    pub(crate) fn notice(&self, session: &ServerSession, edge: Edge<'_>) {
        while let Some(finding) = { session.receiver().poll_finding() } {
            if let SessionFinding::Unconfirmed { first, last } = finding {
                session.path().unconfirmed(last - first + 1);
                session.left_unconfirmed(first, last);
                continue; // nobody's fault
            }
            let missing = match finding {
                SessionFinding::Divergence { first, last } => last - first + 1,
                SessionFinding::ReceiptOverdue { .. } => 1,
                // A caller that wanted no more of an answer says so: it is not missing.
                SessionFinding::AnswerNotReceived { got, .. } => {
                    u64::from(got.status == ReceiptStatus::Bad)
                }
                _ => 0,
            };
            session.path().receipts_missing(missing);
            let name = match finding {
                SessionFinding::Divergence { .. } => "divergence",
                SessionFinding::VoidSeen { .. } => "void-seen",
                SessionFinding::ReceiptOverdue { .. } => "receipt-overdue",
                _ => "answer-not-received",
            };
            self.found(Direction::Inbound, edge, name, &finding);
        }
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("id", &self.0.id.as_str())
            .field("policy_version", &self.policy().version())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// In whose sessions something was that no honest peer could have sent.
    pub(crate) fn forgeries(&self) -> MutexGuard<'_, Forgeries> {
        self.forgeries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopped();
        let watching = self.watching.get_mut().unwrap_or_else(PoisonError::into_inner);
        watching.drain(..).for_each(|task| task.abort());
    }
}

/// A socket on which a service of the mesh is called. For the adapters' `serve` and `incoming`.
#[derive(Debug)]
pub struct Listener {
    mesh: Mesh,
    inner: listener::Listener,
}

impl Listener {
    /// The address it listens on, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> std::net::SocketAddr {
        self.inner.local_addr()
    }

    /// Whose it is.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Serves `service` inside the mesh: the inbound layer goes outermost, so that nothing is
    /// left unguarded. Await the result.
    pub fn serve<S>(self, service: S) -> Serve<Inbound<S>> {
        let health = self.mesh.health().clone();
        let mesh = self.mesh.clone();
        serve(self.inner, self.mesh.inbound().layer(service))
            .with_health(health)
            .until_confirmed(move || mesh.answers().awaited == 0)
    }

    /// Shows `welcome` each connection: see [`listener::Listener::welcoming`].
    #[must_use]
    pub fn welcoming(
        mut self,
        welcome: impl Fn(&listener::Io, &crate::Connection) + Send + Sync + 'static,
    ) -> Self {
        self.inner = self.inner.welcoming(welcome);
        self
    }

    /// The connections alone, for an adapter that has a serving loop of its own.
    #[must_use]
    pub fn into_connections(self) -> listener::Listener {
        self.inner
    }
}

/// Random bytes from the system, for names that must not be guessed.
#[allow(clippy::expect_used)]
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // INVARIANT: aws-lc's generator fails only where the system has no randomness at all, and
    // then no TLS handshake would have brought us here.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
