//! Access tokens: who a caller acts for, in the words of an issuer that this service trusts.
//!
//! A token is a signed JWT (RFC 7519) in `Authorization`, as `Bearer` (RFC 6750) or as `DPoP`
//! (RFC 9449). It is looked at where a rule of the policy asks for claims or for a proof; what
//! does not hold is refused with 401, and a request without a token just has no claims.

mod cache;
mod error;
mod keys;
mod present;
mod signatures;
mod verifier;
mod verify;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshguard_core::dpop::{Algorithm, Leeway};

pub use error::TokensError;
pub(crate) use present::{Presented, Refusal, Request};
pub(crate) use verifier::Verifier;

use keys::{Keys, MAX_FILE};

use crate::files::{Disk, System, Watched};

/// A token has at most so many bytes.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;
/// Numbers of proofs that are remembered, unless [`Tokens::remember_proofs`] says otherwise.
pub(crate) const REMEMBERED_PROOFS: usize = 1 << 19;
/// A token's times are held to within so much, by default.
const LEEWAY: Duration = Duration::from_secs(30);

/// How access tokens are verified. For [`MeshBuilder::tokens`](crate::MeshBuilder::tokens).
///
/// ```no_run
/// use meshguard_tower::{Mesh, Tokens};
/// # fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let tokens = Tokens::from_jwks_file("jwks.json")?
///     .issuer("https://login.shop.example")
///     .audience("https://orders.shop.example");
/// let mesh = Mesh::builder()
///     .svid_files("svid.pem", "svid.key", "bundle.pem")?
///     .policy_file("policy.toml")?
///     .tokens(tokens)
///     .build()?;
/// # Ok(()) }
/// ```
///
/// All keys of the set are trusted for all issuers that are named.
#[must_use]
#[derive(Debug)]
pub struct Tokens {
    keys: Keys,
    file: Option<File>,
    rules: Rules,
    remember: usize,
    nonces: Option<Duration>,
}

/// A file of keys that is followed.
#[derive(Debug)]
struct File {
    path: PathBuf,
    watched: Mutex<Watched>,
}

/// What a token must be like.
#[derive(Debug)]
pub(crate) struct Rules {
    issuers: Vec<String>,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    at_jwt_only: bool,
    leeway: Duration,
    proof_algorithms: Vec<Algorithm>,
    proof_leeway: Leeway,
}

impl Tokens {
    /// With the issuers' public keys from a file, a JWK Set (RFC 7517 §5). It is read again
    /// whenever it changes; one that cannot be used changes nothing. Where it has changed within the
    /// last second it is looked at again a tenth of a second later, and read once it is still.
    ///
    /// # Errors
    /// Where the file cannot be read, is being written all the time, is no set of keys, has no key
    /// that can be used, or has a secret one.
    pub fn from_jwks_file(path: impl AsRef<Path>) -> Result<Self, TokensError> {
        Self::from_file(System::shared(), path.as_ref())
    }

    pub(crate) fn from_file(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, TokensError> {
        let path = path.to_owned();
        let mut watched = Watched::new(disk, vec![path.clone()], MAX_FILE);
        let keys = Keys::read(&path, watched.first())?;
        Ok(Self { file: Some(File { path, watched: Mutex::new(watched) }), ..Self::new(keys) })
    }

    /// With keys that are in memory already, and stay as they are.
    ///
    /// # Errors
    /// As [`from_jwks_file`](Self::from_jwks_file).
    pub fn from_jwks(json: &str) -> Result<Self, TokensError> {
        Keys::parse(json.as_bytes()).map(Self::new)
    }

    fn new(keys: Keys) -> Self {
        let rules = Rules {
            issuers: Vec::new(),
            audiences: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            at_jwt_only: false,
            leeway: LEEWAY,
            proof_algorithms: Algorithm::ALL.to_vec(),
            proof_leeway: Leeway::default(),
        };
        Self { keys, file: None, rules, remember: REMEMBERED_PROOFS, nonces: None }
    }

    /// An issuer whose tokens are accepted: `iss`, exactly (RFC 7519 §4.1.1). At least one is
    /// needed; may be called repeatedly.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rules.issuers.push(issuer.into());
        self
    }

    /// A name of this service that tokens are made out to: one of `aud` (RFC 7519 §4.1.3). At
    /// least one is needed; may be called repeatedly.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.push(audience.into());
        self
    }

    /// The algorithms that tokens may be signed with. Default: all of [`Algorithm`]. A key signs
    /// with no algorithm but its own in any case.
    pub fn algorithms(mut self, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        self.rules.algorithms = algorithms.into();
        self
    }

    /// Accepts only tokens whose `typ` says that they are access tokens (RFC 9068 §4): for
    /// issuers that sign other things with the same keys.
    pub fn at_jwt_only(mut self) -> Self {
        self.rules.at_jwt_only = true;
        self
    }

    /// How far issuers' clocks may differ: `exp` and `nbf` are held to within it. Default 30 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// The algorithms that DPoP proofs may be signed with. Default: all of [`Algorithm`].
    pub fn proof_algorithms(mut self, algorithms: impl Into<Vec<Algorithm>>) -> Self {
        self.rules.proof_algorithms = algorithms.into();
        self
    }

    /// For how long a DPoP proof is good. Default: a minute, and 5 s into the future.
    pub fn proof_leeway(mut self, leeway: Leeway) -> Self {
        self.rules.proof_leeway = leeway;
        self
    }

    /// How many DPoP proofs are remembered while they could be good, so that each is good once.
    /// Where there is no room, further ones are refused; one key has a quarter of
    /// it, and so has one caller. Default
    /// 524,288: 8,000 a second.
    pub fn remember_proofs(mut self, count: usize) -> Self {
        self.remember = count;
        self
    }

    /// Asks that DPoP proofs carry a nonce of this instance, another one each `period` (RFC 9449
    /// §9). Then a proof that was made long before is worth nothing, nor is one that was used
    /// at another instance, or before a restart. Callers learn the nonce from a 401.
    pub fn nonces(mut self, period: Duration) -> Self {
        self.nonces = Some(period);
        self
    }
}
