//! Which connection a request goes over, and in which session.
//!
//! A direct channel's connections may end at several instances of the callee, whatever balances
//! between them. So a connection remembers the session that was proven over it. One that is new is
//! believed to be of the session that was joined last. Where its far end does not know that one,
//! the channel's other sessions are tried, and else another is opened over that connection. Through
//! a hop, a connection says nothing of the callee: there is one session.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use meshguard_core::delivery::Outcome;
use meshguard_core::policy::DeliveryRule;
use tokio::time::{Instant, timeout};

use super::exchange::{Open, unknown};
use super::open::Opening;
use super::request::{Source, prove};
use super::{CallError, Lease, Shared, answer, driver, unverified};
use crate::clock::now;
use crate::pool::{Asked, Binding, Failed, Unbound};
use crate::session::{AFFINITY, ClientSession, MAX_HANDSHAKE, SessionError};

/// Sessions of one channel at a time.
pub(crate) const MAX_SESSIONS: usize = 8;

/// A body that cannot be sent again goes out in a session only if that has given a proven answer
/// within so long; else the callee is asked first.
pub(crate) const PROVEN_FOR: Duration = Duration::from_secs(5);

/// The callee has so long to say whether it knows a session; then the call goes out without.
pub(crate) const PROBE_TIME: Duration = Duration::from_secs(2);

/// A callee's instance that is cut off is left for another one at most this often.
const LEAVE_AT_MOST: Duration = Duration::from_secs(1);

/// A callee that refuses a session whatever is asked is asked for another one after so long: what
/// it has for connections of such callers is one a second.
pub(crate) const DENIED_FOR: Duration = Duration::from_secs(1);

/// Connections that are lost before a call gives up.
const TRIES: usize = 4;

/// A connection, and the session of what goes over it.
pub(super) struct Joined {
    pub(super) lease: Lease,
    pub(super) session: Arc<ClientSession>,
}

/// What came of looking for a session over one connection.
enum Found {
    Joined(Joined),
    /// The callee has said what it says of the session, and its connection is of no more use.
    Unsure,
    /// The connection was lost.
    Lost,
}

/// What the far end said of a session.
enum Probed {
    Known(Option<Lease>),
    Unknown(Option<Lease>),
    /// Nothing in time, or nothing that proves anything.
    Slow(Option<Lease>),
    Lost,
}

impl Shared {
    /// A connection and a session that is believed to live there; `sure`: that does, as far as
    /// can be known.
    pub(super) async fn join(
        self: &Arc<Self>,
        rule: DeliveryRule,
        sure: bool,
        fresh: bool,
    ) -> Result<Joined, CallError> {
        self.not_just_denied()?;
        let (mut sure, mut fresh) = (sure, fresh);
        for _ in 0..TRIES {
            let lease = self.lease(fresh).await?;
            match self.find(lease, rule, sure).await? {
                Found::Joined(joined) => return Ok(joined),
                Found::Unsure => sure = false,
                Found::Lost => fresh = true,
            }
        }
        Err(SessionError::Protocol("the connection was lost").into())
    }

    /// Fails as the callee did that has just refused a session whatever is asked: it would refuse
    /// another one too, and the connection for it.
    fn not_just_denied(&self) -> Result<(), CallError> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        match &*denied {
            Some((at, error)) if at.elapsed() < DENIED_FOR && self.sessions.load().is_empty() => {
                Err(error.clone().into())
            }
            _ => Ok(()),
        }
    }

    /// A connection. What is about to end may still accept some, and break them off.
    pub(super) async fn lease(&self, fresh: bool) -> Result<Lease, CallError> {
        let mut leased = self.pool.lease(fresh).await;
        for _ in 1..TRIES {
            match leased {
                Err(error) if error.is_broken_off() => leased = self.pool.lease(true).await,
                _ => break,
            }
        }
        leased.map_err(CallError::from)
    }

    async fn find(
        self: &Arc<Self>,
        mut lease: Lease,
        rule: DeliveryRule,
        sure: bool,
    ) -> Result<Found, CallError> {
        // Each turn opens a session or finds one unknown; others open and forget meanwhile.
        for _ in 0..2 * MAX_SESSIONS {
            let Some(session) = self.candidate(lease.binding()) else {
                match self.open_over(lease, rule).await? {
                    Opening::Here(joined) => return Ok(Found::Joined(joined)),
                    Opening::Elsewhere(waited) => lease = waited,
                    Opening::Lost => return Ok(Found::Lost),
                }
                continue;
            };
            if !sure || self.is_sure(lease.binding(), &session) {
                return Ok(Found::Joined(Joined { lease, session }));
            }
            match self.probe(lease, &session).await? {
                Probed::Known(Some(lease)) | Probed::Slow(Some(lease)) => {
                    return Ok(Found::Joined(Joined { lease, session }));
                }
                Probed::Unknown(Some(kept)) => lease = kept,
                // What closes a connection after each answer is asked no more than this.
                Probed::Unknown(None) => {
                    lease = self.lease(true).await?;
                    lease.binding().unbind(session.number);
                }
                Probed::Known(None) | Probed::Slow(None) => return Ok(Found::Unsure),
                Probed::Lost => return Ok(Found::Lost),
            }
        }
        self.pool.give_back(lease);
        Ok(Found::Lost)
    }

    /// The session that lives at the far end of this connection, as far as anybody knows.
    pub(super) fn candidate(&self, binding: &Binding) -> Option<Arc<ClientSession>> {
        let (sessions, now) = (self.sessions.load(), now());
        let mut open = sessions.iter().filter(|session| session.is_open(now));
        if self.config.via.is_some() {
            return open.next().cloned();
        }
        let bound = binding.session();
        let bound = bound.and_then(|number| open.clone().find(|s| s.number == number));
        bound.or_else(|| open.find(|s| !binding.is_unknown(s.number))).cloned()
    }

    fn is_sure(&self, binding: &Binding, session: &ClientSession) -> bool {
        let here = self.config.via.is_some() || binding.session() == Some(session.number);
        here && session.has_answered_within(PROVEN_FOR)
    }

    /// An answer over this connection was proven in this session.
    pub(super) fn proved(&self, binding: &Binding, session: &Arc<ClientSession>) {
        session.answered();
        if self.config.via.is_none() && binding.session() != Some(session.number) {
            binding.bind(session.number);
            self.sessions.rcu(|sessions| match sessions.contains_session(session) {
                true => sessions.with_first(session),
                false => Arc::clone(sessions), // forgotten meanwhile
            });
        }
    }

    /// The far end of this connection does not know this session, or says so.
    pub(super) fn disown(&self, binding: &Binding, session: &Arc<ClientSession>) {
        let ended = match binding.unbind(session.number) {
            Unbound::NoLonger => true,
            Unbound::Here => session.missed() >= MAX_SESSIONS as u32,
            Unbound::Still => false,
        };
        if ended || self.config.via.is_some() {
            self.forget(session);
        }
    }

    /// Takes a session that was opened just now.
    pub(super) fn adopt(self: &Arc<Self>, binding: &Binding, session: &Arc<ClientSession>) {
        self.mesh.pins().add(session.peer.id());
        self.mesh.0.channels.add(self, session);
        if self.config.via.is_none() {
            binding.bind(session.number);
        }
        let now = now();
        let before = self.sessions.rcu(|sessions| {
            let mut all: Vec<_> = vec![Arc::clone(session)];
            all.extend(sessions.iter().filter(|s| s.is_open(now)).cloned());
            all.truncate(if self.config.via.is_some() { 1 } else { MAX_SESSIONS });
            all
        });
        driver::drive(self, session);
        let left = before.iter().filter(|s| !self.has(s));
        left.for_each(|session| driver::flush_last(self, Arc::clone(session)));
    }

    /// Takes no new exchanges in a session any more.
    pub(super) fn forget(&self, session: &Arc<ClientSession>) {
        self.sessions.rcu(|sessions| {
            let kept = sessions.iter().filter(|s| !Arc::ptr_eq(s, session));
            kept.cloned().collect::<Vec<_>>()
        });
    }

    /// The loop has cut this session's instance off. Its connections are left, so that later calls
    /// may meet another instance, or the one that took its place: at most once a second.
    pub(super) fn leave(&self, lease: Lease, session: &Arc<ClientSession>) {
        let now = Instant::now();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let early = left.is_some_and(|left| now.duration_since(left) < LEAVE_AT_MOST);
        if early || self.config.via.is_some() {
            drop(left);
            return self.pool.give_back(lease);
        }
        *left = Some(now);
        drop(left);
        self.forget(session);
        self.pool.leave(lease, session.number);
    }

    /// Whether a session takes new exchanges.
    pub(super) fn has(&self, session: &Arc<ClientSession>) -> bool {
        self.sessions.load().contains_session(session)
    }

    /// Asks the far end whether it knows a session: once for all who wait.
    async fn probe(
        self: &Arc<Self>,
        lease: Lease,
        session: &Arc<ClientSession>,
    ) -> Result<Probed, CallError> {
        let binding = Arc::clone(lease.binding());
        let before = binding.asked(session.number);
        let _turn = binding.probe().await;
        if self.is_sure(&binding, session) {
            return Ok(Probed::Known(Some(lease)));
        }
        if binding.is_unknown(session.number) || !self.has(session) {
            return Ok(Probed::Unknown(Some(lease)));
        }
        if binding.asked(session.number) != before {
            return Ok(Probed::Slow(Some(lease))); // the first to ask had no answer
        }
        let shared = lease.share();
        let probed = timeout(PROBE_TIME, self.probe_over(lease, session)).await;
        binding.has_asked(session.number);
        probed.unwrap_or(Ok(Probed::Slow(shared)))
    }

    /// An empty request of the protocol's own. Any proven answer says that the session lives.
    async fn probe_over(
        self: &Arc<Self>,
        lease: Lease,
        session: &Arc<ClientSession>,
    ) -> Result<Probed, CallError> {
        let binding = Arc::clone(lease.binding());
        let Ok((mut open, admission)) = Open::begin(self, session, None, None) else {
            return Ok(Probed::Slow(Some(lease))); // full: others will tell
        };
        let mut request = driver::request(self)?;
        if let Some(affinity) = &session.affinity {
            request.headers_mut().insert(AFFINITY, affinity.clone());
        }
        let source = Source::Known(bytes::Bytes::new(), None);
        let proved = open
            .ticket
            .as_ref()
            .and_then(|ticket| prove(session, ticket, admission, request, source, None));
        let Some(proved) = proved else { return Ok(Probed::Slow(Some(lease))) };
        match self.pool.ask(lease, proved.request, MAX_HANDSHAKE).await {
            Ok(Asked { parts, lease, .. }) => match answer::verify(&open, &proved.proof, &parts) {
                Ok(_) => {
                    open.head_proven();
                    open.end(Outcome::Delivered);
                    self.proved(&binding, session);
                    Ok(Probed::Known(lease))
                }
                Err(None) if unverified::renews(&parts) => {
                    drop(open.take_back());
                    self.disown(&binding, session);
                    Ok(Probed::Unknown(lease))
                }
                Err(_) => {
                    open.end(unknown(meshguard_core::delivery::Unknown::Unproven));
                    Ok(Probed::Slow(lease))
                }
            },
            Err(Failed::Refused(kind)) => Err(CallError::refused(kind)),
            Err(Failed::Unsent(..) | Failed::Unprocessed(_)) => {
                self.pool.discard(&binding);
                drop(open.take_back());
                Ok(Probed::Lost)
            }
            Err(Failed::Lost(_)) => {
                self.pool.discard(&binding);
                Ok(Probed::Lost)
            }
        }
    }
}

/// A channel's sessions.
trait Sessions {
    fn contains_session(&self, session: &Arc<ClientSession>) -> bool;
    fn with_first(&self, session: &Arc<ClientSession>) -> Arc<Vec<Arc<ClientSession>>>;
}

impl Sessions for Vec<Arc<ClientSession>> {
    fn contains_session(&self, session: &Arc<ClientSession>) -> bool {
        self.iter().any(|s| Arc::ptr_eq(s, session))
    }

    fn with_first(&self, session: &Arc<ClientSession>) -> Arc<Vec<Arc<ClientSession>>> {
        let others = self.iter().filter(|s| !Arc::ptr_eq(s, session)).cloned();
        Arc::new([Arc::clone(session)].into_iter().chain(others).collect())
    }
}
