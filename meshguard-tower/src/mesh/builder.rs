//! Building a [`Mesh`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use meshguard_core::baseline;
use meshguard_core::control::Cadence;
use meshguard_core::delivery::{MAX_MESSAGE, MESSAGE};
use meshguard_core::{Policy, SpiffeId};
use tokio::sync::watch;

use super::reload::{CredentialFiles, Files, PolicyStatus, enforceable};
use super::{Mesh, Pins, ReloadError, Shared, random};
use crate::auth::{Tokens, TokensError, Verifier};
use crate::control::{Engine, Gate};
use crate::decision::Explanations;
use crate::expect::Expectations;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::listener::HandshakeStats;
use crate::probe::Health;
use crate::quota::Quotas;
use crate::rejudge::{self, Rejudging};
use crate::session::Sessions;
use crate::shadow::Shadows;
use crate::sink::Sink;
use crate::source::{Mark, PolicyFile, PolicySource, mark};
use crate::tls::{Credentials, CredentialsError, Revocation, TlsContext, now};

/// One gRPC message has at most so many bytes, as tonic's own default: 4 MiB.
pub const MESSAGE_LIMIT: usize = MESSAGE;
/// Windows are looked at so often, whether they are to be closed.
const TICK: Duration = Duration::from_millis(100);
/// Files are looked at for changes so often.
pub const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// What a [`Mesh`] is built from.
#[must_use]
pub struct MeshBuilder {
    credentials: Option<Credentials>,
    files: Files,
    revocation: Revocation,
    policy: Option<Policy>,
    tokens: Option<Tokens>,
    source: Source,
    stale_after: Option<Duration>,
    limits: Limits,
    message_limit: usize,
    sink: Option<Box<dyn Sink>>,
    ledger: Option<Ledger>,
    baseline: baseline::Settings,
    cadence: Cadence,
    tick: Duration,
    rejudging: Rejudging,
    pins: Pins,
    forwarders: Vec<SpiffeId>,
}

/// Where further policies come from.
enum Source {
    None,
    /// Read already, at this mark.
    File(PathBuf, Mark),
    Other(Box<dyn PolicySource>),
}

impl Source {
    /// The source to follow; a file is looked at this often.
    fn opened(self, every: Duration) -> Option<Box<dyn PolicySource>> {
        match self {
            Self::None => None,
            Self::File(path, seen) => Some(Box::new(PolicyFile::new(path).every(every).seen(seen))),
            Self::Other(source) => Some(source),
        }
    }
}

/// Why a mesh was not built. `Debug` says it as `Display` does: `main` prints that of what it returns.
#[non_exhaustive]
pub enum BuildError {
    /// There are no credentials.
    NoCredentials,
    /// The credentials cannot be used.
    Credentials(CredentialsError),
    /// The policy cannot be used.
    Policy(ReloadError),
    /// Access tokens cannot be verified as configured.
    Tokens(TokensError),
    /// The file of remembered peers cannot be read.
    Pins(PathBuf, io::Error),
    /// The certificate authority in memory gave no credentials.
    #[cfg(feature = "dev")]
    Dev(String),
    /// There is no randomness, or no key could be made.
    Key,
}

impl MeshBuilder {
    pub(super) fn new() -> Self {
        Self {
            credentials: None,
            files: Files::new(RELOAD_EVERY),
            revocation: Revocation::default(),
            policy: None,
            tokens: None,
            source: Source::None,
            stale_after: None,
            limits: Limits::default(),
            message_limit: MESSAGE_LIMIT,
            sink: None,
            ledger: None,
            baseline: baseline::Settings::default(),
            cadence: Cadence::default(),
            tick: TICK,
            rejudging: Rejudging::default(),
            pins: Pins::default(),
            forwarders: Vec::new(),
        }
    }

    #[cfg(feature = "dev")]
    pub(super) fn dev<I>(id: I) -> Result<Self, BuildError>
    where
        I: TryInto<SpiffeId>,
        I::Error: fmt::Display,
    {
        let dev = |e: String| BuildError::Dev(e);
        let id = id.try_into().map_err(|e| dev(e.to_string()))?;
        let ca = crate::dev::shared(id.trust_domain()).map_err(|e| dev(e.to_string()))?;
        let svid = ca.svid(&id).map_err(|e| dev(e.to_string()))?;
        let (certificate, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
        let bundle = ca.bundle_pem().as_bytes();
        let credentials = Credentials::from_pem(certificate, key, bundle, None);
        Ok(Self::new().credentials(credentials.map_err(BuildError::Credentials)?))
    }

    /// The SVID, its private key and the trust bundle, as PEM files. They are read again
    /// whenever they change; what is of no use does not replace what is in use.
    ///
    /// The bundle's roots vouch for workloads of the SVID's own trust domain, and for no others;
    /// [`federate_file`](Self::federate_file) takes those of others.
    ///
    /// # Errors
    /// Where a file cannot be read or used: [`CredentialsFault`](crate::tls::CredentialsFault) has
    /// all that can be wrong.
    pub fn svid_files(
        self,
        svid: impl AsRef<Path>,
        key: impl AsRef<Path>,
        bundle: impl AsRef<Path>,
    ) -> Result<Self, BuildError> {
        self.credential_files(CredentialFiles {
            svid: svid.as_ref().to_owned(),
            key: key.as_ref().to_owned(),
            bundle: bundle.as_ref().to_owned(),
            crls: None,
        })
    }

    /// A PEM file of revocation lists (RFC 5280 §5), beside the files given before.
    ///
    /// # Errors
    /// `NoCredentials` before [`svid_files`](Self::svid_files); where the file cannot be used.
    pub fn crl_file(mut self, crls: impl AsRef<Path>) -> Result<Self, BuildError> {
        let mut files = self.files.credentials.take().ok_or(BuildError::NoCredentials)?;
        files.crls = Some(crls.as_ref().to_owned());
        self.credential_files(files)
    }

    /// The roots of another trust domain, a PEM text. They vouch for its workloads, and for no
    /// others: peers of the domain are accepted, and the policy decides what they may do, for
    /// which its `federates` has to name the domain.
    ///
    /// # Errors
    /// Where the bundle cannot be used, or the domain has one already. The own trust domain is
    /// refused by [`build`](Self::build): its roots come with the SVID.
    pub fn federate(mut self, domain: &str, bundle: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        let added = self.files.federation.add(domain, bundle.as_ref());
        added.map(|()| self).map_err(BuildError::Credentials)
    }

    /// As [`federate`](Self::federate), from a PEM file that is read again whenever it changes.
    ///
    /// # Errors
    /// As [`federate`](Self::federate), or where the file cannot be read.
    pub fn federate_file(
        mut self,
        domain: &str,
        bundle: impl AsRef<Path>,
    ) -> Result<Self, BuildError> {
        let added = self.files.federation.add_file(domain, bundle.as_ref());
        added.map(|()| self).map_err(BuildError::Credentials)
    }

    /// What it means where revocation lists do not say whether a certificate is revoked.
    pub fn revocation(mut self, revocation: Revocation) -> Self {
        self.revocation = revocation;
        self
    }

    /// Credentials that are in memory already, and stay as they are.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self.files.credentials = None;
        self.files.seen.clear();
        self
    }

    /// The policy document. It is read again whenever it changes; one that cannot be used
    /// changes nothing.
    ///
    /// # Errors
    /// Where the file cannot be read, or anything in it is not understood.
    pub fn policy_file(mut self, path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref().to_owned();
        // Before it is read, so that no change is missed.
        let seen = mark(&path);
        self.policy = Some(PolicyFile::read(&path).map_err(BuildError::Policy)?);
        self.files.policy = Some(path.clone());
        self.source = Source::File(path, seen);
        Ok(self)
    }

    /// A policy that is in memory already. Without one, everything is denied.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self.files.policy = None;
        self.source = Source::None;
        self
    }

    /// Where policies come from, from the mesh's first `listen` or `channel` on. Until then, and
    /// until the first one comes, a [policy](Self::policy) that was given before holds; without
    /// one, everything is denied.
    pub fn policy_source(mut self, source: impl PolicySource) -> Self {
        self.files.policy = None;
        self.source = Source::Other(Box::new(source));
        self
    }

    /// A policy holds for so long without a word of its source (a file that is there and says
    /// what it said is a word). Then all is denied, with a reason of its own, until there is one.
    /// Without a source this has no meaning. Default: policies do not expire.
    pub fn policy_stale_after(mut self, time: Duration) -> Self {
        self.stale_after = Some(time);
        self
    }

    /// How access tokens are verified. Without it no request has claims.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Bounds of listeners.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The longest gRPC message that is taken, in bytes, at least 1. Default [`MESSAGE_LIMIT`].
    ///
    /// Peers are told when a session is opened, so that whoever sends a longer one fails before a
    /// byte of it goes out, with an error that says both sizes.
    pub fn message_limit(mut self, bytes: usize) -> Self {
        self.message_limit = bytes.clamp(1, MAX_MESSAGE);
        self
    }

    /// How often files are looked at for changes. Default [`RELOAD_EVERY`].
    pub fn reload_every(mut self, period: Duration) -> Self {
        self.files.every = period;
        self
    }

    /// Where peers of the own trust domain are remembered that spoke the delivery protocol, for edges
    /// whose delivery is `prefer`. Without it they are remembered until the process ends.
    ///
    /// # Errors
    /// Where the file exists and cannot be read.
    pub fn pins_file(mut self, path: impl AsRef<Path>) -> Result<Self, BuildError> {
        let path = path.as_ref();
        self.pins = Pins::load(path).map_err(|e| BuildError::Pins(path.to_owned(), e))?;
        Ok(self)
    }

    /// A caller whose word counts on whose behalf it calls: an ingress. Of its direct calls the
    /// application sees what proxies say of a client, its address and the target that it asked
    /// for (`x-forwarded-for`, `forwarded`, …); of all others' it does not. May be called
    /// repeatedly. What claims a certificate or a SPIFFE ID is nobody's to say.
    pub fn forwarded_by(mut self, caller: SpiffeId) -> Self {
        self.forwarders.push(caller);
        self
    }

    /// Is told of calls and findings as they happen.
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// Where outcomes, decisions, incidents and actions are written down. Without it, nowhere.
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// How an edge's normal is learnt.
    pub fn baseline(mut self, settings: baseline::Settings) -> Self {
        self.baseline = settings;
        self
    }

    /// How gently a change of policy ends what it denies.
    pub fn rejudging(mut self, rejudging: Rejudging) -> Self {
        self.rejudging = rejudging;
        self
    }

    /// When windows close. They are looked at ten times in the shortest, but not more often than
    /// every millisecond.
    pub fn cadence(mut self, cadence: Cadence) -> Self {
        self.tick = (cadence.busy / 10).max(Duration::from_millis(1));
        self.cadence = cadence;
        self
    }

    /// Builds the handle.
    ///
    /// # Errors
    /// Where credentials are missing or cannot be used, and where the policy asks for what this
    /// service cannot do.
    pub fn build(self) -> Result<Mesh, BuildError> {
        let credentials = self.credentials.ok_or(BuildError::NoCredentials)?;
        let expires = credentials.not_after();
        let credentials =
            self.files.federation.join(credentials).map_err(BuildError::Credentials)?;
        let tls = TlsContext::with(credentials, self.revocation);
        let tls = tls.map_err(BuildError::Credentials)?;
        let source = self.source.opened(self.files.every);
        let policy = self.policy.unwrap_or_else(Policy::deny_all);
        enforceable(&policy).map_err(BuildError::Policy)?;
        let policy = policy.for_callee(&tls.id());
        let tokens = self.tokens.map(Verifier::new).transpose().map_err(BuildError::Tokens)?;
        warn(policy.reads_claims() && tokens.is_none());
        let status = PolicyStatus::loaded(policy.version());
        let instance: Arc<str> = hex(&random::<16>()).into();
        let ledger_key = ledger_key(self.ledger.as_ref())?;
        let engine = Engine::new(self.baseline, policy.plan().clone(), self.cadence);
        let gate: Arc<Gate> = Arc::default();
        let (own, at, ledger) = (Arc::clone(&instance), Arc::clone(&gate), self.ledger.clone());
        let sessions = Sessions::new(tls.clone(), own, ledger_key, self.message_limit, at, ledger);
        let mesh = Mesh(Arc::new(Shared {
            id: tls.id(),
            pins: self.pins.of(tls.id().trust_domain()),
            tls,
            instance,
            ledger_key,
            gate,
            engine,
            tick: self.tick,
            live: Mutex::default(),
            rejudge: rejudge::State::new(self.rejudging),
            policy: ArcSwap::from_pointee(policy),
            source: Mutex::new(source),
            stale_after: self.stale_after,
            policy_status: watch::Sender::new(status),
            tokens,
            sessions,
            limits: self.limits,
            message_limit: self.message_limit,
            handshakes: HandshakeStats::default(),
            health: Health::until(expires),
            findings: Default::default(),
            sink: self.sink,
            ledger: self.ledger,
            refusals: Default::default(),
            explanations: Explanations::default(),
            quotas: Quotas::default(),
            shadows: Shadows::default(),
            expectations: Expectations::default(),
            forgeries: Mutex::default(),
            forwarders: self.forwarders.into(),
            held: Arc::default(),
            channels: Default::default(),
            files: self.files,
            watching: Mutex::default(),
            stopped: AtomicBool::new(false),
        }));
        mesh.0.expectations.replace(&mesh.policy(), mesh.id(), now());
        mesh.missing_roots(&mesh.policy());
        mesh.started();
        Ok(mesh)
    }

    fn credential_files(mut self, files: CredentialFiles) -> Result<Self, BuildError> {
        self.files.seen = files.marks();
        self.credentials = Some(files.read().map_err(BuildError::Credentials)?);
        self.files.credentials = Some(files);
        Ok(self)
    }
}

/// The public key that settings name: of the ledger, or of an instance that keeps none.
fn ledger_key(ledger: Option<&Ledger>) -> Result<[u8; 32], BuildError> {
    if let Some(ledger) = ledger {
        return Ok(*ledger.public_key());
    }
    let pair = Ed25519KeyPair::generate().map_err(|_| BuildError::Key)?;
    pair.public_key().as_ref().try_into().map_err(|_| BuildError::Key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Says what lets the service start and serve nobody.
fn warn(no_tokens: bool) {
    if no_tokens {
        tracing::warn!(
            target: "meshguard::tokens",
            "rules for this service ask for claims, and without `tokens()` none of them allows a call"
        );
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => {
                f.write_str("no credentials: give svid_files() or credentials()")
            }
            Self::Credentials(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
            Self::Pins(path, error) => write!(f, "{}: {error}", path.display()),
            #[cfg(feature = "dev")]
            Self::Dev(error) => write!(f, "no credentials for development: {error}"),
            Self::Key => f.write_str("no key could be made"),
        }
    }
}

impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildError: {self}")
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Credentials(error) => Some(error),
            Self::Policy(error) => Some(error),
            Self::Tokens(error) => Some(error),
            Self::Pins(_, error) => Some(error),
            _ => None,
        }
    }
}
