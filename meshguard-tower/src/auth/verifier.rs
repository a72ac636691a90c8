//! All that tokens are verified by, while a mesh lives.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use meshguard_core::dpop::{Checked, Nonces, ReplayWindow, Thumbprint};
use meshguard_core::{SpiffeId, Timestamp};
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::error::TokenError;
use super::keys::Keys;
use super::present::Refusal;
use super::verify::{Verified, verify};
use super::{File, Rules, Tokens, TokensError};
use crate::clock::steady;
use crate::files::{Text, Unsettled};
use crate::mesh::random;

/// Verifies tokens and proofs.
pub(crate) struct Verifier {
    pub(super) rules: Rules,
    known: ArcSwap<Known>,
    file: Option<File>,
    used: Mutex<ReplayWindow>,
    nonces: Option<Mutex<Nonces>>,
    /// When the first token of an open request ends, in nanoseconds; the largest where none does.
    next_ending: AtomicU64,
}

/// Keys, and the tokens that they have verified: what the next keys have not is verified anew.
struct Known {
    keys: Keys,
    tokens: Cache,
}

impl Verifier {
    pub(crate) fn new(tokens: Tokens) -> Result<Self, TokensError> {
        let Tokens { keys, file, rules, remember, nonces } = tokens;
        if rules.issuers.is_empty() {
            return Err(TokensError::NoIssuer);
        }
        if rules.audiences.is_empty() {
            return Err(TokensError::NoAudience);
        }
        // Where another crate of this process has chosen a provider, that one stands. Where none
        // has, and features of two are on, it would panic with the first token.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let used = ReplayWindow::new(rules.proof_leeway, remember);
        let nonces = nonces.map(|period| Nonces::new(period, random(), steady()));
        Ok(Self {
            rules,
            known: ArcSwap::from_pointee(Known { keys, tokens: Cache::default() }),
            file,
            used: Mutex::new(used),
            nonces: nonces.map(Mutex::new),
            next_ending: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether a key of a token that was verified is still one of the set.
    pub(crate) fn trusts(&self, key: &Thumbprint) -> bool {
        self.known.load().keys.has(key)
    }

    /// A request is open whose token ends then.
    pub(crate) fn expect_ending(&self, until: Timestamp) {
        self.next_ending.fetch_min(until.as_unix_nanos(), Relaxed);
    }

    /// Whether a token of an open request may have ended; then the next one is not known.
    pub(crate) fn take_ending(&self, now: Timestamp) -> bool {
        self.next_ending.load(Relaxed) <= now.as_unix_nanos()
            && self.next_ending.swap(u64::MAX, SeqCst) != u64::MAX
    }

    /// Reads the keys again, now, blocking; what cannot be used changes nothing. Calls `begin` before
    /// they are replaced.
    pub(crate) fn reload<T>(&self, begin: impl FnOnce() -> T) -> Result<T, TokensError> {
        let Some(File { path, watched }) = &self.file else { return Ok(begin()) };
        // Held until the keys are replaced, so that the last to be read are the last to be used.
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        let read = watched.now();
        self.replace(path, read, begin)
    }

    /// Looks once at the file of keys, blocking, as [`reload`](Self::reload); `None` where nothing is
    /// new.
    pub(crate) fn look<T>(&self, begin: impl FnOnce() -> T) -> Option<Result<T, TokensError>> {
        let File { path, watched } = self.file.as_ref()?;
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        let news = watched.look().news()?;
        Some(self.replace(path, news, begin))
    }

    fn replace<T>(
        &self,
        path: &Path,
        read: Result<Vec<Text>, Unsettled>,
        begin: impl FnOnce() -> T,
    ) -> Result<T, TokensError> {
        let keys = Keys::read(path, read).inspect_err(|error| {
            tracing::warn!(target: "meshguard::tokens", "kept the old keys: {error}");
        })?;
        tracing::info!(target: "meshguard::tokens", { keys = keys.len() }, "in force");
        let begun = begin();
        self.known.store(Arc::new(Known { keys, tokens: Cache::default() }));
        Ok(begun)
    }

    /// A token that holds now.
    pub(super) fn token(&self, text: &str, now: Timestamp) -> Result<Arc<Verified>, TokenError> {
        let known = self.known.load();
        let hash: [u8; 32] = Sha256::digest(text).into();
        let token = match known.tokens.get(&hash) {
            Some(token) => token,
            None => {
                let token = Arc::new(verify(text, &known.keys, &self.rules)?);
                // What has expired is not worth a place.
                token.holds(now)?;
                known.tokens.put(hash, text.len(), Arc::clone(&token));
                token
            }
        };
        token.holds(now).map(|()| token)
    }

    /// Uses a proof up that `caller` presents.
    pub(crate) fn claim(
        &self,
        proof: &Checked,
        caller: &SpiffeId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let claimed =
            self.used.lock().unwrap_or_else(PoisonError::into_inner).claim(proof, caller, now);
        claimed.map_err(|error| self.refuse_proof(error, now))
    }

    /// The nonces that proofs may carry now, where they are to carry one.
    pub(super) fn nonces(&self, now: Timestamp) -> Option<MutexGuard<'_, Nonces>> {
        let mut nonces = self.nonces.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.is_due(now) {
            nonces.turn(random(), now);
        }
        Some(nonces)
    }
}
