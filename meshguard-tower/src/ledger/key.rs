//! The ledger's Ed25519 key, by aws-lc-rs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use meshguard_core::ledger::{Signer, Verifier, VerifierKey, origin};
use zeroize::Zeroizing;

use super::error::{LedgerError, LedgerErrorKind};
use super::store::{replace, sync_dir};

/// The key's file in a ledger's directory.
pub(super) const FILE: &str = "ledger.key";

/// Signs checkpoints. Has no `Debug`.
pub(super) struct Key(Ed25519KeyPair);

impl Key {
    /// A new one, which is nowhere else.
    pub(super) fn generate() -> Result<Self, LedgerError> {
        let pair = Ed25519KeyPair::generate();
        Ok(Self(pair.map_err(|_| LedgerError::new(LedgerErrorKind::Provider))?))
    }

    /// The directory's, which is made where there is none; unless there are `entries` already.
    pub(super) fn of(dir: &Path, entries: bool) -> Result<Self, LedgerError> {
        let path = dir.join(FILE);
        match fs::read(&path).map(Zeroizing::new) {
            Ok(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8(&pkcs8);
                let bad = |e| LedgerError::caused(LedgerErrorKind::Key, Some(&path), e);
                Ok(Self(pair.map_err(|e| bad(e.to_string()))?))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError::io(&path)(error))
            }
            Err(error) if entries => {
                Err(LedgerError::caused(LedgerErrorKind::NoKey, Some(&path), error))
            }
            Err(_) => Self::create(dir, &path),
        }
    }

    fn create(dir: &Path, path: &Path) -> Result<Self, LedgerError> {
        let provider = |_| LedgerError::new(LedgerErrorKind::Provider);
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(provider)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref());
        let pair = pair.map_err(|_| LedgerError::new(LedgerErrorKind::Provider))?;
        let made = replace(path, |file| file.write_all(pkcs8.as_ref()));
        made.and_then(|()| sync_dir(dir)).map_err(LedgerError::io(path))?;
        Ok(Self(pair))
    }
}

impl Signer for Key {
    #[allow(clippy::expect_used)]
    fn public_key(&self) -> [u8; 32] {
        // INVARIANT: an Ed25519 public key is 32 bytes (RFC 8032 §5.1.5).
        self.0.public_key().as_ref().try_into().expect("32 bytes")
    }

    #[allow(clippy::expect_used)]
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        // INVARIANT: an Ed25519 signature is 64 bytes (RFC 8032 §5.1.6).
        self.0.sign(message).as_ref().try_into().expect("64 bytes")
    }
}

/// Checks signatures.
pub(super) struct AwsLc;

impl Verifier for AwsLc {
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
    }
}

/// The key under the name that its ledger's checkpoints are signed with.
#[allow(clippy::expect_used)]
pub(super) fn verifier_key(public_key: &[u8; 32]) -> VerifierKey {
    // INVARIANT: an origin has no white space and no plus.
    VerifierKey::new(origin(public_key), *public_key).expect("an origin is a name")
}
