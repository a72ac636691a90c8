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

use super::enforceable::enforceable;
use super::reload::{Files, PolicyStatus};
use super::{HELD, HELD_STEP, Mesh, Pins, ReloadError, Shared, random};
use crate::auth::{Tokens, TokensError, Verifier};
use crate::body::Room;
use crate::clock::steady;
use crate::control::{Engine, Gate};
use crate::decision::Explanations;
use crate::expect::Expectations;
use crate::files::{Disk, System};
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::listener::HandshakeStats;
use crate::probe::Health;
use crate::quota::Quotas;
use crate::rejudge::{self, Rejudging};
use crate::session::Sessions;
use crate::shadow::Shadows;
use crate::sink::Sink;
use crate::source::{PolicyFile, PolicySource, Reader};
use crate::tls::{CredentialFiles, Credentials, CredentialsError, Revocation, TlsContext};

/// One gRPC message has at most so many bytes, as tonic's own default: 4 MiB.
pub const MESSAGE_LIMIT: usize = MESSAGE;
/// Windows are looked at so often, whether they are to be closed.
const TICK: Duration = Duration::from_millis(100);
/// Files are looked at for changes so often.
pub const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// What a [`Mesh`] is built from.
///
/// # Files
/// A file is read when it was the same at two looks, and around the reading: so no half of it is
/// taken while the rest is being written. A writer that pauses for longer than looks are apart can
/// still be mistaken for one that is done; so replace a file as a whole, by renaming another one to
/// it. Where a file has changed within the second before the service starts, the start waits for a
/// second look, a tenth of a second later, blocking, and fails where the file changes for 2 seconds.
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
    /// Read already.
    File(Reader),
    Other(Box<dyn PolicySource>),
}

impl Source {
    /// The source to follow; a file is looked at this often.
    fn opened(self, every: Duration) -> Option<Box<dyn PolicySource>> {
        match self {
            Self::None => None,
            Self::File(reader) => Some(Box::new(PolicyFile::of(reader).every(every))),
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
    /// whenever they change; what is of no use does not replace what is in use. Replace each by
    /// renaming another file to it: [files](#files).
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
        let (svid, key, bundle) = (svid.as_ref(), key.as_ref(), bundle.as_ref());
        self.credential_files(CredentialFiles::new(System::shared(), svid, key, bundle))
    }

    /// A PEM file of revocation lists (RFC 5280 §5), beside the files given before.
    ///
    /// # Errors
    /// `NoCredentials` before [`svid_files`](Self::svid_files); where the file cannot be used.
    pub fn crl_file(mut self, crls: impl AsRef<Path>) -> Result<Self, BuildError> {
        let own = &mut self.files.sources().own;
        let files = own.take().ok_or(BuildError::NoCredentials)?.with_lists(crls.as_ref());
        let lists = own.insert(files).first_lists().map_err(BuildError::Credentials)?;
        if let Some(credentials) = &mut self.credentials {
            credentials.lists = lists.into();
        }
        Ok(self)
    }

    /// The roots of another trust domain, a PEM text. They vouch for its workloads, and for no
    /// others: peers of the domain are accepted, and the policy decides what they may do, for
    /// which its `federates` has to name the domain.
    ///
    /// # Errors
    /// Where the bundle cannot be used, or the domain has one already. The own trust domain is
    /// refused by [`build`](Self::build): its roots come with the SVID.
    pub fn federate(mut self, domain: &str, bundle: impl AsRef<[u8]>) -> Result<Self, BuildError> {
        let added = self.files.sources().federation.add(domain, bundle.as_ref());
        added.map(|()| self).map_err(BuildError::Credentials)
    }

    /// As [`federate`](Self::federate), from a PEM file that is read again whenever it changes.
    ///
    /// # Errors
    /// As [`federate`](Self::federate), or where the file cannot be read.
    pub fn federate_file(self, domain: &str, bundle: impl AsRef<Path>) -> Result<Self, BuildError> {
        self.federate_file_on(System::shared(), domain, bundle.as_ref())
    }

    pub(crate) fn federate_file_on(
        mut self,
        disk: Arc<dyn Disk>,
        domain: &str,
        bundle: &Path,
    ) -> Result<Self, BuildError> {
        let added = self.files.sources().federation.add_file(disk, domain, bundle);
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
        self.files.sources().own = None;
        self
    }

    /// The policy document. It is read again whenever it changes; one that cannot be used
    /// changes nothing. Replace it by renaming another file to it: [files](#files).
    ///
    /// # Errors
    /// Where the file cannot be read, is being written all the time, or anything in it is not
    /// understood.
    pub fn policy_file(self, path: impl AsRef<Path>) -> Result<Self, BuildError> {
        self.policy_file_on(System::shared(), path.as_ref())
    }

    pub(crate) fn policy_file_on(
        mut self,
        disk: Arc<dyn Disk>,
        path: &Path,
    ) -> Result<Self, BuildError> {
        let reader = Reader::new(disk, path.to_owned());
        self.policy = Some(reader.first().map_err(BuildError::Policy)?);
        self.files.policy = Some(reader.clone());
        self.source = Source::File(reader);
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

    /// How often files are looked at for changes, but not more often than every 20 ms. What has
    /// changed is read at the second look. Default [`RELOAD_EVERY`].
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
    /// Where credentials are missing or cannot be used, and where the policy is of another mesh or
    /// asks for what this service cannot do.
    pub fn build(mut self) -> Result<Mesh, BuildError> {
        let credentials = self.credentials.ok_or(BuildError::NoCredentials)?;
        let expires = credentials.not_after();
        let joined = self.files.sources().federation.join(credentials);
        let tls = joined.and_then(|joined| TlsContext::with(joined, self.revocation));
        let tls = tls.map_err(BuildError::Credentials)?;
        let policy = self.policy.unwrap_or_else(Policy::deny_all);
        let announced = matches!(self.source, Source::File(_)) && policy.announces_digest();
        let source = self.source.opened(self.files.every);
        enforceable(&policy, &tls).map_err(BuildError::Policy)?;
        let policy = policy.for_callee(&tls.id());
        let tokens = self.tokens.map(Verifier::new).transpose().map_err(BuildError::Tokens)?;
        warn(policy.reads_claims() && tokens.is_none());
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
            policy_status: watch::Sender::new(PolicyStatus::loaded(policy.version())),
            policy: ArcSwap::from_pointee(policy),
            source: Mutex::new(source),
            stale_after: self.stale_after,
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
            held: Room::new(HELD, HELD_STEP),
            channels: Default::default(),
            files: self.files,
            announced: AtomicBool::new(announced),
            watching: Mutex::default(),
            stopped: AtomicBool::new(false),
        }));
        mesh.0.expectations.replace(&mesh.policy(), mesh.id(), steady());
        mesh.missing_roots(&mesh.policy());
        mesh.started();
        Ok(mesh)
    }

    pub(crate) fn credential_files(
        mut self,
        mut files: CredentialFiles,
    ) -> Result<Self, BuildError> {
        self.credentials = Some(files.first().map_err(BuildError::Credentials)?);
        self.files.sources().own = Some(files);
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

pub(super) fn hex(bytes: &[u8]) -> String {
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
