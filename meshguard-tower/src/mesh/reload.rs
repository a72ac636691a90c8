//! Files that are read again when they change.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use meshguard_core::baseline::EdgeKey;
use meshguard_core::policy::Durability;
use meshguard_core::reflex::Signal;
use meshguard_core::{Policy, PolicyError};

use super::books::follow_ledger;
use super::federation::Federation;
use super::follow::follow;
use super::renew::Term;
use super::{Mesh, Shared};
use crate::auth::TokensError;
use crate::control::drive;
use crate::error::BoxError;
use crate::rejudge::{self, Cause, Change, Whom};
use crate::source::{Mark, PolicyFile, mark};
use crate::tls::{Credentials, CredentialsError, HandshakeErrorKind, now};

/// What is read again.
pub(crate) struct Files {
    pub(super) credentials: Option<CredentialFiles>,
    pub(super) federation: Federation,
    pub(super) policy: Option<PathBuf>,
    pub(super) every: Duration,
    /// Of the credentials; taken before they were first read, so that no change is missed.
    pub(super) seen: Vec<Mark>,
}

/// Where credentials come from.
pub(super) struct CredentialFiles {
    pub(super) svid: PathBuf,
    pub(super) key: PathBuf,
    pub(super) bundle: PathBuf,
    pub(super) crls: Option<PathBuf>,
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
    /// The policy is not understood.
    Policy(PathBuf, PolicyError),
    /// The policy's version is below the one in force.
    OlderPolicy {
        /// The version in force.
        current: u64,
        /// The document's.
        found: u64,
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
        let federation = Federation::default();
        Self { credentials: None, federation, policy: None, every, seen: Vec::new() }
    }

    /// Changes whenever one of the credentials' files does, or of a federated bundle.
    fn marks(&self) -> Vec<Mark> {
        let own = self.credentials.as_ref().map(CredentialFiles::marks).unwrap_or_default();
        own.into_iter().chain(self.federation.marks()).collect()
    }

    /// As [`marks`](Self::marks), before each was first read.
    fn first_marks(&self) -> Vec<Mark> {
        self.seen.iter().copied().chain(self.federation.seen()).collect()
    }
}

impl CredentialFiles {
    pub(super) fn marks(&self) -> Vec<Mark> {
        let files = [Some(&self.svid), Some(&self.key), Some(&self.bundle), self.crls.as_ref()];
        files.into_iter().flatten().map(|path| mark(path)).collect()
    }

    pub(super) fn read(&self) -> Result<Credentials, CredentialsError> {
        Credentials::from_files(&self.svid, &self.key, &self.bundle, self.crls.as_deref())
    }
}

impl Mesh {
    /// Reads all files again, now; what cannot be used changes nothing.
    ///
    /// # Errors
    /// The first file that was not taken. The others were.
    pub fn reload(&self) -> Result<(), Arc<ReloadError>> {
        let credentials = self.reload_credentials();
        let policy = self.reload_policy();
        let tokens = self.reload_tokens().map_err(Arc::new);
        credentials.map_err(Arc::new).and(policy).and(tokens)
    }

    /// Puts a policy in force. Later requests see it; each request sees exactly one. One that
    /// asks for what a service does not do is refused, which
    /// [`policy_status`](Self::policy_status) tells: what held before holds on.
    pub fn set_policy(&self, policy: Policy) {
        if let Err(error) = enforceable(&policy) {
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
        let expired = policy.is_expired();
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
        self.policy_changed(version, replaced.version());
        // Of the one in force, which may be a still newer one: the last to come here is right.
        let policy = self.policy();
        self.change_plan(policy.plan());
        self.missing_roots(&policy);
        // An imported deny rule may hold by a header that a hop could drop where nothing covers it.
        self.0.sessions.must_cover(policy.covered_headers(), !policy.is_native(), now());
        if !policy.is_expired() {
            self.0.quotas.keep(&policy);
            self.0.shadows.keep(&policy);
            self.0.expectations.replace(&policy, self.id(), now());
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
        let Some(path) = &self.0.files.policy else { return Ok(()) };
        self.offer(PolicyFile::read(path)).map(drop)
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
    let marks = || mesh.upgrade().map(|m| m.files.marks());
    let Some(mut seen) = mesh.upgrade().map(|m| m.files.first_marks()) else { return };
    let mut ticks = tokio::time::interval(every);
    let mut term = Term::default();
    loop {
        ticks.tick().await;
        let Some(found) = marks() else { return };
        let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
        // What a reload says is kept in the status and logged; here nobody asks.
        if found != seen || term.is_due(now()) {
            term.reload(&mesh);
        }
        term.look(&mesh);
        mesh.follow_tokens();
        mesh.0.sessions.expire(now());
        seen = found;
    }
}

/// Whether a service does all that a policy asks for.
pub(super) fn enforceable(policy: &Policy) -> Result<(), ReloadError> {
    let unsupported = |route: &str, key| {
        let route = route.to_owned();
        Err(ReloadError::Unsupported { route, key })
    };
    for (route, asks) in policy.routes() {
        if asks.durability != Durability::Async {
            return unsupported(route, "durability");
        }
        if asks.keep_answers.is_some() {
            return unsupported(route, "keep_answers");
        }
    }
    Ok(())
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
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
            Self::OlderPolicy { .. } | Self::Unsupported { .. } => None,
        }
    }
}
