//! Files that are read again when they change.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::reflex::Signal;
use meshguard_core::{Policy, PolicyError, SpiffeId};
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;

use super::books::follow_ledger;
use super::enforceable::enforceable;
use super::follow::follow;
use super::renew::{Asked, Sources, Term};
use super::{Mesh, Shared};
use crate::auth::TokensError;
use crate::clock::{now, steady};
use crate::control::drive;
use crate::error::BoxError;
use crate::files::MIN_EVERY;
use crate::rejudge::{self, Cause, Change, Whom};
use crate::source::Reader;
use crate::tls::{CredentialsError, HandshakeErrorKind};

/// What is read again.
pub(crate) struct Files {
    pub(super) credentials: Mutex<Sources>,
    pub(super) policy: Option<Reader>,
    pub(super) every: Duration,
}

/// What became of the policy's loads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyStatus {
    /// The version in force.
    pub version: u64,
    /// It has expired: nobody has confirmed it for too long, and all is denied.
    pub expired: bool,
    /// Why the newest document is not in force.
    pub refused: Option<Arc<ReloadError>>,
    /// Loads so far, refused ones included.
    pub loads: u64,
}

/// Why a file that changed was not taken. What held before holds on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReloadError {
    /// The policy file cannot be read.
    Read(PathBuf, io::Error),
    /// The policy file is being written: it was not the same at two looks. Later looks read it.
    Unsettled(PathBuf),
    /// The policy's source, of this name, announced the digest of a document before, and does not
    /// announce that of this one. A service that starts anew takes it.
    Unannounced(String),
    /// The policy is not understood.
    Policy(PathBuf, PolicyError),
    /// The policy's version is below the one in force.
    OlderPolicy {
        /// The version in force.
        current: u64,
        /// The document's.
        found: u64,
    },
    /// The policy is of another mesh: its `mesh` is neither this service's trust domain nor one that
    /// the service has roots of, and its `federates` does not name this service's.
    OtherMesh {
        /// The document's.
        mesh: String,
        /// This service.
        service: SpiffeId,
    },
    /// The policy asks for what a service of this version does not do. Half of a policy is never
    /// in force.
    Unsupported {
        /// The route that it is asked for.
        route: String,
        /// The key that asks for it.
        key: &'static str,
    },
    /// The policy's source, of this name, has failed.
    Source(String, BoxError),
    /// The credentials cannot be used.
    Credentials(CredentialsError),
    /// The keys that tokens are signed with cannot be used.
    Tokens(TokensError),
}

impl PolicyStatus {
    pub(super) fn loaded(version: u64) -> Self {
        Self { version, expired: false, refused: None, loads: 1 }
    }
}

impl Files {
    pub(super) fn new(every: Duration) -> Self {
        Self { credentials: Mutex::default(), policy: None, every }
    }

    /// The files of credentials, before they are followed.
    pub(super) fn sources(&mut self) -> &mut Sources {
        self.credentials.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mesh {
    /// Reads all files again, now; what cannot be used changes nothing.
    ///
    /// Blocks while it reads them, and where one has changed within the last second, for a tenth of a
    /// second more: then it looks again whether the file is still being written. Within a runtime it
    /// is to be called where a thread may block, as in `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// The first file that was not taken. The others were. One that is being written is taken once it
    /// is still, as when it changes.
    pub fn reload(&self) -> Result<(), Arc<ReloadError>> {
        let credentials = self.reload_credentials();
        let policy = self.reload_policy();
        let tokens = self.reload_tokens().map_err(Arc::new);
        credentials.map_err(Arc::new).and(policy).and(tokens)
    }

    /// Puts a policy in force. Later requests see it; each request sees exactly one. One that is of
    /// another mesh or asks for what a service does not do is refused, which
    /// [`policy_status`](Self::policy_status) tells: what held before holds on.
    pub fn set_policy(&self, policy: Policy) {
        if let Err(error) = enforceable(&policy, &self.0.tls) {
            self.keep_policy(error);
            return;
        }
        self.put_policy(None, Arc::new(policy.for_callee(self.id())), |status| {
            (status.expired, status.refused) = (false, None);
            status.loads += 1;
        });
    }

    /// Puts a policy in force, and has what is open judged by it; `false` where it was to take
    /// the place of `instead_of`, and another one has.
    pub(super) fn put_policy(
        &self,
        instead_of: Option<&Arc<Policy>>,
        policy: Arc<Policy>,
        note: impl FnOnce(&mut PolicyStatus),
    ) -> bool {
        let (version, change) = (policy.version(), self.change(Cause::Policy));
        let (expired, put) = (policy.is_expired(), Arc::clone(&policy));
        let replaced = match instead_of {
            None => self.0.policy.swap(policy),
            Some(current) => {
                let found = self.0.policy.compare_and_swap(current, policy);
                if !Arc::ptr_eq(&found, current) {
                    change.void();
                    return false;
                }
                Arc::clone(current)
            }
        };
        self.policy_changed(&put, &replaced);
        // Of the one in force, which may be a still newer one: the last to come here is right.
        let policy = self.policy();
        self.change_plan(policy.plan());
        self.missing_roots(&policy);
        // An imported deny rule may hold by a header that a hop could drop where nothing covers it.
        self.0.sessions.must_cover(policy.covered_headers(), !policy.is_native(), steady());
        if !policy.is_expired() {
            self.0.quotas.keep(&policy);
            self.0.shadows.keep(&policy);
            self.0.expectations.replace(&policy, self.id(), steady());
        }
        self.0.policy_status.send_modify(|status| {
            status.version = self.policy().version();
            note(status);
        });
        tracing::info!(
            target: "meshguard::policy",
            { policy.version = version, policy.expired = expired },
            "in force"
        );
        self.rejudge(change, Whom::All);
        true
    }

    /// Ends all sessions whose peers' certificates hold no longer; how many.
    pub fn sweep(&self) -> usize {
        self.sweep_for(&self.change(Cause::Credentials))
    }

    pub(super) fn sweep_for(&self, change: &Arc<Change>) -> usize {
        let now = now();
        let late = self.0.sessions.expire(now);
        let withdrawn = self.0.sessions.sweep(now, change);
        for (peer, kind) in &withdrawn {
            if *kind == HandshakeErrorKind::Revoked {
                let caller = EdgeKey::Caller(peer.clone());
                self.signal(&caller, Signal::Revoked, "its certificate was revoked");
            }
        }
        let whom = withdrawn.iter().map(|(peer, _)| peer.clone()).collect();
        self.rejudge(Arc::clone(change), Whom::Only(whom));
        late + withdrawn.len()
    }

    fn reload_policy(&self) -> Result<(), Arc<ReloadError>> {
        let Some(file) = &self.0.files.policy else { return Ok(()) };
        let (reading, policy) = file.now();
        let outcome = self.offer(&file.name(), policy);
        file.told(reading, &outcome);
        outcome.map(drop)
    }

    /// The policy in force stays, because of `error`.
    pub(super) fn keep_policy(&self, error: ReloadError) -> Arc<ReloadError> {
        let version = self.policy().version();
        tracing::warn!(target: "meshguard::policy", { policy.version = version }, "{error}");
        let error = Arc::new(error);
        self.0.policy_status.send_modify(|status| {
            status.refused = Some(Arc::clone(&error));
            status.loads += 1;
        });
        error
    }

    /// The listeners look through their connections as soon as credentials were replaced.
    pub(super) fn expect_sweep(&self, change: &Arc<Change>) {
        let live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().for_each(|connections| connections.expect(change));
    }

    /// Looks once at the files of credentials and of keys, blocking. What a reload says is kept in the
    /// status and logged; here nobody asks.
    fn look_at_files(&self) {
        self.renew_credentials(Asked::Look);
        self.look_at_tokens();
    }

    /// Whether somebody has listened.
    pub(crate) fn is_watching(&self) -> bool {
        !self.0.watching.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Begins to watch the files and to turn the loop, once. Has to be called within a runtime.
    pub(crate) fn watch(&self) {
        let mut watching = self.0.watching.lock().unwrap_or_else(PoisonError::into_inner);
        if watching.is_empty() {
            let files = watch(Arc::downgrade(&self.0), self.0.files.every);
            let turns = drive(Arc::downgrade(&self.0), self.0.tick);
            watching.push(tokio::spawn(files).abort_handle());
            watching.push(tokio::spawn(turns).abort_handle());
            let judging = rejudge::drive(Arc::downgrade(&self.0));
            watching.push(tokio::spawn(judging).abort_handle());
            if self.0.ledger.is_some() {
                let ledger = follow_ledger(Arc::downgrade(&self.0));
                watching.push(tokio::spawn(ledger).abort_handle());
            }
            let source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(source) = source {
                let policies = follow(Arc::downgrade(&self.0), source, self.0.stale_after);
                watching.push(tokio::spawn(policies).abort_handle());
            }
        }
    }
}

async fn watch(mesh: Weak<Shared>, every: Duration) {
    let mut ticks = tokio::time::interval(every.max(MIN_EVERY));
    // Two looks are apart, whatever has held one up.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut term = Term::default();
    loop {
        ticks.tick().await;
        let Some(found) = mesh.upgrade().map(Mesh) else { return };
        // A file system may be slow, and a file large: neither holds up a thread of the runtime.
        match spawn_blocking(move || found.look_at_files()).await {
            Err(error) if error.is_cancelled() => return,
            Err(error) => tracing::error!(target: "meshguard::identity", "a look failed: {error}"),
            Ok(()) => {}
        }
        let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
        term.look(&mesh);
        mesh.follow_tokens();
        mesh.0.sessions.expire(now());
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unsettled(path) => {
                let path = path.display();
                write!(f, "{path}: it is being written: it was not the same at two looks")
            }
            Self::Unannounced(source) => {
                write!(
                    f,
                    "{source}: the first line announces no digest any more, as it did before"
                )?;
                f.write_str("; `meshguard policy digest` writes it")
            }
            Self::OtherMesh { mesh, service } => {
                write!(f, "the policy is of the mesh {mesh}, and this service is {service}: ")?;
                let domain = service.trust_domain();
                write!(f, "neither does it federate with {domain}, nor are there roots of {mesh}")
            }
            Self::Policy(path, error) => write!(f, "{}: {error}", path.display()),
            Self::OlderPolicy { current, found } => {
                write!(f, "policy version {found} is older than {current}, which is in force")
            }
            Self::Unsupported { route, key } => {
                write!(f, "the route {route} asks for `{key}`, which a service does not do yet")
            }
            Self::Source(name, error) => write!(f, "{name}: {error}"),
            Self::Credentials(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::Policy(_, error) => Some(error),
            Self::Source(_, error) => Some(&**error),
            Self::Credentials(error) => Some(error),
            Self::Tokens(error) => Some(error),
            Self::OlderPolicy { .. }
            | Self::Unsupported { .. }
            | Self::Unsettled(_)
            | Self::Unannounced(_)
            | Self::OtherMesh { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
