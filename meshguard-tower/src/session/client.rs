//! A session's sending side.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::base::Cover;
use meshguard_core::delivery::{
    Counts, EXPORTER, Outcome, Sender, SessionKeys, Settings, SettingsError, Sid, Ticket,
};
use meshguard_core::{Peer, SpiffeId, Timestamp};
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::handshake::InMemory;
use super::{LIFETIME, SessionError};
use crate::clock::{Now, steady};
use crate::observe::{Edges, Tally};
use crate::tls::{HandshakeErrorKind, TlsContext};

/// A new session is opened so long before the receiver would refuse exchanges.
pub(crate) const MARGIN: Duration = Duration::from_secs(300);

/// Numbers the sessions of this process, from 1.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What is owed to a callee that drains goes out at once for so long.
const HURRY: Duration = Duration::from_secs(1);

/// A session that this service sends on.
pub(crate) struct ClientSession {
    /// By which connections remember it.
    pub(crate) number: u64,
    pub(crate) sid: Sid,
    pub(crate) keys: SessionKeys,
    /// The callee.
    pub(crate) peer: Peer,
    /// What request proofs cover besides the fixed list.
    pub(crate) cover: Cover,
    /// The largest record payload that the callee takes.
    pub(crate) record: usize,
    /// The longest gRPC message that the callee takes.
    pub(crate) message: usize,
    /// Whether the callee takes records of several gRPC messages.
    pub(crate) batch: bool,
    pub(crate) affinity: Option<HeaderValue>,
    /// Wakes the driver: receipts wait.
    pub(crate) owes: Arc<Notify>,
    /// The callee drains: receipts do not wait.
    pub(crate) hurry: Arc<Hurry>,
    /// Held while receipts are posted.
    pub(crate) posting: tokio::sync::Mutex<()>,
    /// Where the callee's instance is measured.
    pub(crate) callee: Arc<Tally>,
    /// Whether another certificate has claimed its instance's name since its own did.
    pub(crate) contested: bool,
    /// It takes new exchanges until then, by the steady clock, and while its peer's certificate holds.
    until: Timestamp,
    /// Its peer's certificate has ended.
    over: AtomicBool,
    opened: Instant,
    /// Milliseconds from `opened` to the last proven answer.
    proven: AtomicU64,
    /// Far ends that did not know it, since then.
    misses: AtomicU32,
    sender: Mutex<Sender>,
    ended: Arc<Mutex<Counts>>,
}

/// Whether receipts go out at once.
#[derive(Debug)]
pub(crate) struct Hurry(watch::Sender<Option<Instant>>);

impl Default for Hurry {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Hurry {
    /// They do for a second.
    pub(crate) fn begin(&self) {
        self.0.send_replace(Some(Instant::now() + HURRY));
    }

    pub(crate) fn is_on(&self) -> bool {
        is_ahead(&self.0.borrow())
    }

    /// Waits until they do.
    pub(crate) async fn on(&self) {
        let mut told = self.0.subscribe();
        // The sender is this one.
        let _ = told.wait_for(is_ahead).await;
    }
}

fn is_ahead(time: &Option<Instant>) -> bool {
    time.is_some_and(|time| Instant::now() < time)
}

impl ClientSession {
    /// An answer was proven in it.
    pub(crate) fn answered(&self) {
        let age = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.proven.store(age, Relaxed);
        self.misses.store(0, Relaxed);
    }

    /// Whether its last proven answer, or its opening, is at most so long ago.
    pub(crate) fn has_answered_within(&self, time: Duration) -> bool {
        let last = Duration::from_millis(self.proven.load(Relaxed));
        self.opened.elapsed().saturating_sub(last) <= time
    }

    /// A far end did not know it; how many did not since its last proven answer.
    pub(crate) fn missed(&self) -> u32 {
        self.misses.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Whether it takes new exchanges.
    pub(crate) fn is_open(&self, now: Now) -> bool {
        if now.reached >= self.peer.not_after() {
            self.over.store(true, Relaxed);
        }
        now.steady < self.until && !self.over.load(Relaxed)
    }

    /// Ends an exchange. The receiver is told soon, where it may not have arrived.
    pub(crate) fn end(&self, ticket: Ticket, outcome: Outcome) {
        let mut sender = self.sender();
        sender.end(ticket, outcome, steady());
        let tells = sender.has_void();
        drop(sender);
        if tells {
            self.owes.notify_one();
        }
    }

    /// The callee's instance, as its edge has it.
    pub(crate) fn instance(&self) -> &str {
        match self.callee.key() {
            EdgeKey::Callee { instance, .. } => instance,
            _ => "",
        }
    }

    /// The state of its exchanges. Never held across user code or a wait.
    pub(crate) fn sender(&self) -> MutexGuard<'_, Sender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientSession {
    /// Adds this session's books to those of the mesh.
    fn drop(&mut self) {
        self.owes.notify_one(); // the driver ends with it, even if it waits only later
        let counts = self.sender().counts();
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) += counts;
    }
}

/// A session's handshake, from the sending side.
pub(crate) struct Opening {
    tls: ClientConnection,
    context: TlsContext,
    callee: SpiffeId,
    instance: Arc<str>,
    ledger_key: [u8; 32],
    message: usize,
    seal: bool,
    affinity: Option<HeaderValue>,
    said: bool,
}

impl Opening {
    #[allow(clippy::too_many_arguments)] // one for each setting
    pub(crate) fn new(
        context: &TlsContext,
        callee: &SpiffeId,
        instance: Arc<str>,
        ledger_key: [u8; 32],
        message: usize,
        seal: bool,
        affinity: Option<HeaderValue>,
    ) -> Result<Self, SessionError> {
        // The name is sent to nobody: the callee is known by its SPIFFE ID.
        let name = ServerName::try_from("meshguard.invalid")
            .map_err(|_| SessionError::Protocol("no server name"))?;
        let mut tls = ClientConnection::new(context.inner_client(callee), name)
            .map_err(|_| SessionError::Protocol("no TLS to begin with"))?;
        tls.set_buffer_limit(Some(super::MAX_HANDSHAKE));
        let (context, callee) = (context.clone(), callee.clone());
        let said = false;
        Ok(Self { tls, context, callee, instance, ledger_key, message, seal, affinity, said })
    }

    pub(crate) fn affinity(&self) -> Option<&HeaderValue> {
        self.affinity.as_ref()
    }

    /// The next body to post.
    pub(crate) fn next(&mut self, sid: Option<&Sid>) -> Result<Vec<u8>, SessionError> {
        if let Some(sid) = sid.filter(|_| !self.tls.is_handshaking() && !self.said) {
            self.said = true;
            let instance = self.instance.to_string();
            let mut ours =
                Settings::new(*sid, instance, self.ledger_key, Cover::default(), self.seal);
            ours.message = self.message;
            self.tls.say(ours.to_json().as_bytes()).map_err(SessionError::Handshake)?;
        }
        Ok(self.tls.drain())
    }

    /// Takes an answer's body; the callee's settings once they are there.
    pub(crate) fn take(&mut self, body: &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        let said = self.tls.feed(body).map_err(SessionError::Handshake)?;
        Ok((self.said && !said.is_empty()).then_some(said))
    }

    /// The callee has told its settings: the session is open.
    pub(crate) fn finish(
        self,
        sid: Sid,
        said: &[u8],
        now: Now,
        ended: Arc<Mutex<Counts>>,
        edges: &Edges,
    ) -> Result<ClientSession, SessionError> {
        let (peer, _) = self.tls.complete(&self.context).map_err(SessionError::Handshake)?;
        if *peer.id() != self.callee {
            return Err(SessionError::Handshake(HandshakeErrorKind::WrongPeer));
        }
        let theirs = Settings::parse(said, &sid, &self.instance).map_err(SessionError::Settings)?;
        let suite = theirs.suite.ok_or(SessionError::Settings(SettingsError::Suite))?;
        if (self.seal || theirs.seal) && !suite.is_sealed() {
            return Err(SessionError::Settings(SettingsError::Suite));
        }
        let context = SessionKeys::exporter_context(&sid, suite);
        let mut master = self
            .tls
            .export_keying_material([0; 32], EXPORTER, Some(&context))
            .map_err(|_| SessionError::Protocol("no keys"))?;
        // Channels with a hop have a field for balancers.
        let sender = Sender::new(theirs.window);
        let sender = if self.affinity.is_some() { sender.through_hop() } else { sender };
        let age = LIFETIME - MARGIN;
        let (callee, contested) = edges.instance(&peer, &theirs.instance, now.steady);
        Ok(ClientSession {
            number: NEXT.fetch_add(1, Relaxed),
            proven: AtomicU64::new(0),
            misses: AtomicU32::new(0),
            callee,
            contested,
            sid,
            keys: SessionKeys::derive(suite, &mut master),
            until: now.steady + age,
            over: AtomicBool::new(false),
            peer,
            cover: theirs.cover,
            record: theirs.record,
            message: theirs.message,
            batch: theirs.batch,
            opened: Instant::now(),
            affinity: self.affinity,
            owes: Arc::default(),
            hurry: Arc::default(),
            posting: tokio::sync::Mutex::default(),
            sender: Mutex::new(sender),
            ended,
        })
    }
}
