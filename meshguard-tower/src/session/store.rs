//! All sessions that this service receives on, and the handshakes under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use meshguard_core::baseline::EdgeKey;
use meshguard_core::delivery::base::Cover;
use meshguard_core::delivery::{
    Hash, Receiver, SessionKeys, Settings, SettingsError, Sid, Suite, WINDOW,
};
use meshguard_core::policy::{DeliveryRule, TranscriptHash};
use meshguard_core::{Peer, Policy, SpiffeId, Timestamp};
use rustls::ServerConnection;

use super::ended::{Ended, NotLive};
use super::handshake::InMemory;
use super::pending::{Handshakes, Pending, Reading};
use super::principal::Principals;
use super::server::Closed;
use super::{
    GATHERED_STEP, LIFETIME, MAX_GATHERED, MAX_SESSIONS, MAX_SESSIONS_PER_PRINCIPAL, RETIRING,
    ServerSession, SessionRefusal,
};
use crate::body::Room;
use crate::clock::Now;
use crate::connection::Carriers;
use crate::control::Gate;
use crate::ledger::Ledger;
use crate::rejudge::Change;
use crate::tls::{HandshakeErrorKind, TlsContext};

/// The receiving side of all sessions.
pub(crate) struct Sessions {
    tls: TlsContext,
    instance: Arc<str>,
    ledger_key: [u8; 32],
    /// The longest gRPC message that this service takes.
    message: usize,
    live: RwLock<Live>,
    handshakes: Handshakes,
    principals: Principals,
    /// Room for records that have begun.
    gathered: Room,
    gate: Arc<Gate>,
    ledger: Option<Ledger>,
    /// What the sessions came to that are gone.
    closed: Arc<Mutex<Closed>>,
    /// Requests that were answered *renew*.
    renewals: AtomicU64,
}

#[derive(Default)]
struct Live {
    sessions: HashMap<Sid, Arc<ServerSession>>,
    /// Each principal's sessions, oldest first.
    by_principal: HashMap<SpiffeId, Vec<Sid>>,
    /// All that are not gone, whether they take new exchanges or not.
    open: Vec<Weak<ServerSession>>,
    /// Why the last ones have ended.
    ended: Ended,
}

/// A handshake that waits for a body.
pub(crate) struct Begun {
    sid: Sid,
    pending: Pending,
    /// Its body's place among those that are read.
    reading: Reading,
}

/// What a handshake's body led to.
pub(crate) struct Step {
    pub(crate) sid: Sid,
    pub(crate) answer: Vec<u8>,
    /// Set by the last step.
    pub(crate) opened: Option<Arc<ServerSession>>,
}

impl Sessions {
    pub(crate) fn new(
        tls: TlsContext,
        instance: Arc<str>,
        ledger_key: [u8; 32],
        message: usize,
        gate: Arc<Gate>,
        ledger: Option<Ledger>,
    ) -> Self {
        Self {
            tls,
            instance,
            ledger_key,
            message,
            live: RwLock::default(),
            handshakes: Handshakes::default(),
            principals: Principals::default(),
            gathered: Room::new(MAX_GATHERED, GATHERED_STEP),
            gate,
            ledger,
            closed: Arc::default(),
            renewals: AtomicU64::new(0),
        }
    }

    /// The session of that name, if it takes new exchanges.
    pub(crate) fn live(&self, sid: &Sid, now: Now) -> Result<Arc<ServerSession>, NotLive> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        match live.sessions.get(sid) {
            Some(session) if session.is_open(now) => Ok(Arc::clone(session)),
            Some(session) if session.is_retiring() => Err(NotLive::Covers),
            Some(_) => Err(NotLive::Expired),
            None => Err(live.ended.why(sid)),
        }
    }

    /// A request of a session that is not live is answered so.
    pub(crate) fn asks_to_renew(&self) {
        self.renewals.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests were answered *renew*.
    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// How many sessions are live.
    pub(crate) fn len(&self) -> usize {
        self.live.read().unwrap_or_else(PoisonError::into_inner).sessions.len()
    }

    /// What all sessions came to, those that are gone included.
    pub(crate) fn sums(&self) -> Closed {
        // Kept alive until the sum is made, so that none is missed or counted twice.
        let live = self.not_gone();
        let mut sum = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().for_each(|session| sum.add(session.sums()));
        sum
    }

    /// All that are not gone, whether they take new exchanges or not.
    pub(crate) fn not_gone(&self) -> Vec<Arc<ServerSession>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.open.iter().filter_map(Weak::upgrade).collect()
    }

    /// This service is over: nobody confirms its answers any more.
    pub(crate) fn close(&self) {
        self.not_gone().iter().for_each(|session| session.close());
    }

    /// Room for records that have begun, in all sessions.
    pub(crate) fn gathered(&self) -> &Room {
        &self.gathered
    }

    /// Ends the sessions of callers that have left without receipts, where such a caller's
    /// principal owes more than half of what it may: one that comes back opens another session.
    pub(crate) fn shed_departed(&self) {
        let sheds = |s: &ServerSession| s.principal.owed.is_high() && s.is_departed();
        if self.any(sheds) {
            self.retain(NotLive::Departed, |s| !sheds(s));
        }
    }

    /// The live sessions.
    pub(crate) fn all(&self) -> Vec<Arc<ServerSession>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.sessions.values().cloned().collect()
    }

    /// A handshake that begins, and is counted, or that goes on with its next body: before that is
    /// read.
    pub(crate) fn begin(
        &self,
        named: Option<Sid>,
        fresh: impl FnOnce() -> Sid,
        outer: &Peer,
        policy: &Policy,
        now: Now,
    ) -> Result<Begun, SessionRefusal> {
        let is_hop = policy.is_hop(outer.id());
        let reading = self.handshakes.read(outer, is_hop)?;
        let (sid, pending) = match named {
            None => {
                let pending = self.handshakes.begin(&self.tls, outer, is_hop, now.steady)?;
                (fresh(), pending)
            }
            Some(sid) => (sid, self.handshakes.resume(&sid, outer, now.steady)?),
        };
        Ok(Begun { sid, pending, reading })
    }

    /// A handshake whose body did not come: it waits for it once more, where it was under way.
    pub(crate) fn stays(&self, named: Option<Sid>, begun: Begun, now: Now) {
        if named.is_some() {
            self.handshakes.keep(begun.sid, begun.pending, now.steady);
        }
    }

    /// As [`begin`](Self::begin) and [`go_on`](Self::go_on), with a body that is there.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn handshake(
        &self,
        named: Option<Sid>,
        fresh: impl FnOnce() -> Sid,
        outer: &Peer,
        policy: &Policy,
        body: &[u8],
        now: Now,
    ) -> Result<Step, (SessionRefusal, Vec<u8>)> {
        let begun = self.begin(named, fresh, outer, policy, now).map_err(|e| (e, Vec::new()))?;
        self.go_on(begun, outer, policy, body, now)
    }

    /// Takes one body of a handshake. On a failure of TLS itself, the error comes with the
    /// alert that says so.
    pub(crate) fn go_on(
        &self,
        begun: Begun,
        outer: &Peer,
        policy: &Policy,
        body: &[u8],
        now: Now,
    ) -> Result<Step, (SessionRefusal, Vec<u8>)> {
        let Begun { sid, mut pending, reading } = begun;
        drop(reading); // it is there
        if pending.is_over(now.steady) {
            return Err((SessionRefusal::Handshake(HandshakeErrorKind::Timeout), Vec::new()));
        }
        let said = match pending.tls.feed(body) {
            Ok(said) => said,
            Err(kind) => {
                return Err((SessionRefusal::Handshake(kind), pending.tls.drain()));
            }
        };
        if pending.tls.is_handshaking() {
            let answer = pending.tls.drain();
            self.handshakes.keep(sid, pending, now.steady);
            return Ok(Step { sid, answer, opened: None });
        }
        let opened = self.open(sid, &mut pending.tls, outer, policy, &said, now);
        let session = opened.map_err(|e| (e, pending.tls.drain()))?;
        self.insert(&session, now);
        self.check_again(&session, pending.generation, now).map_err(|e| (e, Vec::new()))?;
        Ok(Step { sid, answer: pending.tls.drain(), opened: Some(session) })
    }

    /// Ends a session: it takes no new exchanges, and those under way go on. Returns whether it
    /// was live.
    pub(crate) fn end(&self, sid: &Sid) -> bool {
        self.retain(NotLive::Doubtful, |session| session.sid != *sid) > 0
    }

    /// Ends the sessions whose time is over; how many.
    pub(crate) fn expire(&self, now: Now) -> usize {
        if self.any(|s| !s.is_open(now)) {
            self.retain(NotLive::Expired, |s| s.is_open(now))
        } else {
            0
        }
    }

    /// Ends the sessions whose peers' certificates hold no longer, and what runs in them; whose,
    /// and why. Takes about 0.2 ms a session.
    pub(crate) fn sweep(
        &self,
        now: Now,
        change: &Arc<Change>,
    ) -> Vec<(SpiffeId, HandshakeErrorKind)> {
        let mut withdrawn = Vec::new();
        self.withdraw(change, |s| match self.tls.verify_peer(&s.chain, now.reached) {
            Ok(_) => false,
            Err(kind) => {
                withdrawn.push((s.peer.id().clone(), kind));
                true
            }
        });
        withdrawn
    }

    /// Ends the sessions of `principal`, and what runs in them.
    pub(crate) fn withdraw_from(&self, principal: &SpiffeId, change: &Arc<Change>) {
        self.withdraw(change, |s| s.peer.id() == principal);
    }

    fn withdraw(&self, change: &Arc<Change>, mut from: impl FnMut(&ServerSession) -> bool) {
        let gone: Vec<_> = self.all().into_iter().filter(|s| from(s)).collect();
        gone.iter().for_each(|session| session.withdraw(change));
        if !gone.is_empty() {
            self.retain(NotLive::Withdrawn, |s| !s.is_withdrawn());
        }
    }

    /// Has the callers of sessions whose proofs do not cover all of these names open new ones that
    /// do. The old ones end at once where `at_once`, else a while later.
    pub(crate) fn must_cover(&self, names: &[http::HeaderName], at_once: bool, now: Timestamp) {
        let covers = |s: &ServerSession| names.iter().all(|n| s.covered.contains(n));
        if at_once && self.any(|s| !covers(s)) {
            self.retain(NotLive::Covers, covers);
        }
        for session in self.all().iter().filter(|s| !covers(s)) {
            // From the first such policy on.
            let _ = session.retires.set(now + RETIRING);
        }
    }

    fn any(&self, test: impl Fn(&ServerSession) -> bool) -> bool {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.sessions.values().any(|s| test(s))
    }

    /// Ends all sessions that `keep` does not keep; how many.
    fn retain(&self, why: NotLive, keep: impl Fn(&ServerSession) -> bool) -> usize {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let before = live.sessions.len();
        let Live { sessions, by_principal, ended, .. } = &mut *live;
        sessions.retain(|sid, s| {
            let kept = keep(s);
            if !kept {
                s.ended.store(true, Ordering::Relaxed);
                ended.add(*sid, why);
            }
            kept
        });
        by_principal.retain(|_, sids| {
            sids.retain(|sid| sessions.contains_key(sid));
            !sids.is_empty()
        });
        before - live.sessions.len()
    }

    /// The handshake is complete: checks the peer and its settings, derives the keys.
    fn open(
        &self,
        sid: Sid,
        tls: &mut ServerConnection,
        outer: &Peer,
        policy: &Policy,
        said: &[u8],
        now: Now,
    ) -> Result<Arc<ServerSession>, SessionRefusal> {
        let (peer, chain) = tls.complete(&self.tls).map_err(SessionRefusal::Handshake)?;
        // In the last second of a certificate TLS accepts it, and the session would be over.
        if peer.not_after() <= now.reached {
            return Err(SessionRefusal::Handshake(HandshakeErrorKind::Expired));
        }
        let direct = peer.id() == outer.id();
        if !direct && !policy.is_hop(outer.id()) {
            return Err(SessionRefusal::HopNotNamed);
        }
        if !direct {
            self.handshakes.count(peer.id(), 1)?;
        }
        self.admits(&peer, policy)?;
        let principal = self.principals.get(peer.id()).place()?;
        let theirs =
            Settings::parse(said, &sid, &self.instance).map_err(SessionRefusal::Settings)?;
        if theirs.suite.is_some() {
            return Err(SessionRefusal::Settings(SettingsError::Suite));
        }
        let rule = policy.delivery(Some(peer.id()), Some(&self.tls.id()));
        let seal = seals(rule, direct);
        let suite = Suite::of(theirs.seal || seal, hash(rule.transcript));
        let cover = Cover::new(policy.covered_headers().iter().cloned());
        let mut ours =
            Settings::new(sid, self.instance.to_string(), self.ledger_key, cover.clone(), seal);
        ours.message = self.message;
        ours.suite = Some(suite);
        tls.say(ours.to_json().as_bytes()).map_err(SessionRefusal::Handshake)?;
        let keys = derive(tls, &sid, suite).ok_or(SessionRefusal::Protocol("no keys"))?;
        let caller = self.gate.edges.get(&EdgeKey::Caller(peer.id().clone()));
        let hop = (!direct).then(|| self.gate.edges.get(&EdgeKey::HopIn(outer.id().clone())));
        Ok(Arc::new(ServerSession {
            sid,
            keys,
            until: now.steady + LIFETIME,
            peer,
            chain,
            covered: cover.with_fixed(),
            cover,
            answer_cover: theirs.cover,
            record: theirs.record,
            message: theirs.message,
            batch: theirs.batch,
            receiver: Mutex::new(Receiver::new(WINDOW).sharing(Arc::clone(&principal.owed))),
            principal,
            ended: AtomicBool::new(false),
            retires: OnceLock::new(),
            withdrawn: OnceLock::new(),
            caller,
            hop,
            carriers: Arc::new(Carriers::new()),
            ledger: self.ledger.clone(),
            closed: Arc::clone(&self.closed),
        }))
    }

    /// Ends a session whose peer has lost its right to be here between its check and now: what
    /// ended the others did not find this one yet.
    fn check_again(
        &self,
        session: &ServerSession,
        generation: u64,
        now: Now,
    ) -> Result<(), SessionRefusal> {
        let refused = if let Some(incident) = self.gate.overlay().cuts_caller(session.peer.id()) {
            Some(SessionRefusal::Quarantined(incident))
        } else if self.tls.generation() != generation {
            let held = self.tls.verify_peer(&session.chain, now.reached);
            held.err().map(SessionRefusal::Handshake)
        } else {
            None
        };
        let Some(refused) = refused else { return Ok(()) };
        self.retain(NotLive::Withdrawn, |s| s.sid != session.sid);
        Err(refused)
    }

    /// Whether anything may come of the peer's calls. Calls of one who is cut off, or whom policy
    /// allows nothing, would all be refused.
    fn admits(&self, peer: &Peer, policy: &Policy) -> Result<(), SessionRefusal> {
        if !policy.admits(peer.id(), &self.tls.id()) {
            return Err(SessionRefusal::Denied);
        }
        match self.gate.overlay().cuts_caller(peer.id()) {
            Some(incident) => Err(SessionRefusal::Quarantined(incident)),
            None => Ok(()),
        }
    }

    /// Adds a session. A principal at its share loses its own oldest one, nobody else's; where
    /// there is no place left at all, the principal that has most loses its oldest.
    fn insert(&self, session: &Arc<ServerSession>, now: Now) {
        if self.len() >= MAX_SESSIONS {
            self.retain(NotLive::Expired, |s| s.is_open(now));
        }
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let Live { sessions, by_principal, open, ended } = &mut *live;
        let principal = session.peer.id();
        let held = by_principal.get(principal).map_or(0, Vec::len);
        let from = match () {
            () if held >= MAX_SESSIONS_PER_PRINCIPAL => Some(principal.clone()),
            () if sessions.len() >= MAX_SESSIONS => self.most(by_principal, principal),
            () => None,
        };
        if let Some(old) = from.and_then(|from| oldest(by_principal, &from))
            && let Some(old) = sessions.remove(&old)
        {
            old.ended.store(true, Ordering::Relaxed);
            ended.add(old.sid, NotLive::Evicted);
        }
        by_principal.entry(principal.clone()).or_default().push(session.sid);
        sessions.insert(session.sid, Arc::clone(session));
        open.retain(|session| session.strong_count() > 0);
        open.push(Arc::downgrade(session));
    }

    /// The principal that has most sessions. Of several, `newcomer` where it is one of them: it
    /// takes no place of others; else one of another trust domain, whose authority can name as many
    /// principals as it likes.
    fn most(
        &self,
        by_principal: &HashMap<SpiffeId, Vec<Sid>>,
        newcomer: &SpiffeId,
    ) -> Option<SpiffeId> {
        let own = self.tls.id();
        let rank = |id: &SpiffeId, sids: &Vec<Sid>| {
            (sids.len(), id == newcomer, id.trust_domain() != own.trust_domain())
        };
        let most = by_principal.iter().max_by_key(|(id, sids)| rank(id, sids));
        most.map(|(id, _)| id.clone())
    }
}

/// Takes the oldest session from a principal's.
fn oldest(by_principal: &mut HashMap<SpiffeId, Vec<Sid>>, of: &SpiffeId) -> Option<Sid> {
    let sids = by_principal.get_mut(of)?;
    let first = (!sids.is_empty()).then(|| sids.remove(0));
    if sids.is_empty() {
        by_principal.remove(of);
    }
    first
}

/// Whether this end wants bodies sealed: what policy says, else wherever there is a hop.
pub(super) fn seals(rule: DeliveryRule, direct: bool) -> bool {
    rule.seal.unwrap_or(!direct)
}

fn hash(transcript: TranscriptHash) -> Hash {
    match transcript {
        TranscriptHash::Blake3 => Hash::Blake3,
        _ => Hash::Sha256,
    }
}

fn derive(tls: &ServerConnection, sid: &Sid, suite: Suite) -> Option<SessionKeys> {
    let context = SessionKeys::exporter_context(sid, suite);
    let label = meshguard_core::delivery::EXPORTER;
    let mut master = tls.export_keying_material([0; 32], label, Some(&context)).ok()?;
    Some(SessionKeys::derive(suite, &mut master))
}

#[cfg(test)]
mod tests;
