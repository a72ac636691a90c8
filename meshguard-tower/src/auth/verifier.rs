//! All that tokens are verified by, while a mesh lives.

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
use crate::mesh::random;
use crate::source::mark;
use crate::tls::now;

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
        let nonces = nonces.map(|period| Nonces::new(period, random(), now()));
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

    /// Whether the file of keys has changed since it was last asked.
    pub(crate) fn has_changed(&self) -> bool {
        let Some(File { path, seen }) = &self.file else { return false };
        let found = mark(path);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, found) != found
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

    /// Reads the keys again; what cannot be used changes nothing.
    pub(crate) fn reload(&self) -> Result<(), TokensError> {
        let Some(File { path, .. }) = &self.file else { return Ok(()) };
        let read = Keys::read(path);
        match &read {
            Ok(keys) => {
                tracing::info!(target: "meshguard::tokens", { keys = keys.len() }, "in force");
            }
            Err(error) => tracing::warn!(target: "meshguard::tokens", "kept the old keys: {error}"),
        }
        self.known.store(Arc::new(Known { keys: read?, tokens: Cache::default() }));
        Ok(())
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
