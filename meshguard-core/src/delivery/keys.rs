//! The keys of a session, and what is computed with them.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::Receipt;
use super::suite::Suite;

/// The proof of a head: the first 16 bytes of an HMAC-SHA256 (RFC 2104).
#[derive(Clone, Copy, Debug)]
pub struct Proof(pub [u8; 16]);

impl PartialEq for Proof {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.0.ct_eq(&other.0))
    }
}

impl Eq for Proof {}

/// All keys of one session. Has no `Debug`, and is wiped when dropped.
pub struct SessionKeys {
    suite: Suite,
    /// Proves request heads.
    pub request_head: HeadKey,
    /// Proves response heads.
    pub response_head: HeadKey,
    /// Protects request bodies.
    pub request_body: BodyKey,
    /// Protects response bodies.
    pub response_body: BodyKey,
    /// Proves receipts and acknowledgements.
    pub receipt: ReceiptKey,
}

impl SessionKeys {
    /// Derives the keys from the 32 bytes that TLS exported for this session and suite
    /// (label [`EXPORTER`](super::EXPORTER), context [`exporter_context`]). Wipes `master`.
    ///
    /// [`exporter_context`]: Self::exporter_context
    #[must_use]
    pub fn derive(suite: Suite, master: &mut [u8; 32]) -> Self {
        let key = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            expand(&prk(master), &[label], &mut *key);
            key
        };
        let keys = Self {
            suite,
            request_head: HeadKey(MacKey::new(&key(b"mg1 request head"))),
            response_head: HeadKey(MacKey::new(&key(b"mg1 response head"))),
            request_body: BodyKey(prk(&key(b"mg1 request body"))),
            response_body: BodyKey(prk(&key(b"mg1 response body"))),
            receipt: ReceiptKey(MacKey::new(&key(b"mg1 receipt"))),
        };
        master.zeroize();
        keys
    }

    /// The exporter's context: the session's bytes, then the suite's number.
    #[must_use]
    pub fn exporter_context(sid: &super::Sid, suite: Suite) -> [u8; 17] {
        let mut context = [0; 17];
        context[..16].copy_from_slice(sid.as_bytes());
        context[16] = suite.number();
        context
    }

    /// The session's suite.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }
}

/// Proves heads in one direction.
pub struct HeadKey(MacKey);

impl HeadKey {
    /// The proof of a head's base.
    #[must_use]
    pub fn prove(&self, base: &[u8]) -> Proof {
        Proof(self.0.tag(&[base]))
    }
}

/// What a body's records are keyed by: the hash of its head's base.
#[must_use]
pub fn context(base: &[u8]) -> [u8; 32] {
    Sha256::digest(base).into()
}

/// Protects bodies in one direction.
pub struct BodyKey(Hkdf<Sha256>);

impl BodyKey {
    /// The key material of one body: `HKDF-Expand(body key, "mg1 message" ‖ context, 32)`, of
    /// which sealing uses the first 28 bytes.
    pub(super) fn message(&self, context: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let mut okm = Zeroizing::new([0; 32]);
        expand(&self.0, &[b"mg1 message", context], &mut *okm);
        okm
    }
}

/// Proves receipts.
pub struct ReceiptKey(MacKey);

impl ReceiptKey {
    /// `t` of a response head: proves one receipt of one exchange.
    #[must_use]
    pub fn receipt(&self, seq: u64, receipt: &Receipt) -> Proof {
        Proof(self.0.tag(&[b"mg1 receipt", &seq.to_be_bytes(), &receipt.to_bytes()]))
    }

    /// `ackh` of a request head: proves the receipts of the answers it acknowledges, which
    /// must come in ascending order of their seqs.
    #[must_use]
    pub fn acks<'a>(&self, receipts: impl Iterator<Item = (u64, &'a Receipt)>) -> Proof {
        let mut mac = self.0.start();
        mac.update(b"mg1 acks");
        for (seq, receipt) in receipts {
            mac.update(&seq.to_be_bytes());
            mac.update(&receipt.to_bytes());
        }
        Proof(truncate(mac))
    }
}

/// An HMAC-SHA256 key with its pads absorbed once: a head then costs no key set-up.
pub(super) struct MacKey(Hmac<Sha256>);

impl MacKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(hmac(key))
    }

    pub(super) fn start(&self) -> Hmac<Sha256> {
        self.0.clone()
    }

    pub(super) fn tag(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.start();
        parts.iter().for_each(|p| mac.update(p));
        truncate(mac)
    }
}

pub(super) fn truncate(mac: Hmac<Sha256>) -> [u8; 16] {
    let full = mac.finalize().into_bytes();
    let mut tag = [0; 16];
    tag.copy_from_slice(&full[..16]);
    tag
}

#[allow(clippy::expect_used)]
fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    // INVARIANT: HMAC takes keys of any length (RFC 2104 §2).
    Hmac::new_from_slice(key).expect("HMAC takes any key length")
}

#[allow(clippy::expect_used)]
fn prk(key: &[u8; 32]) -> Hkdf<Sha256> {
    // INVARIANT: a pseudorandom key needs at least the hash's 32 bytes (RFC 5869 §2.3).
    Hkdf::from_prk(key).expect("32 bytes are enough")
}

#[allow(clippy::expect_used)]
fn expand(prk: &Hkdf<Sha256>, info: &[&[u8]], okm: &mut [u8]) {
    // INVARIANT: all outputs here are at most 32 bytes, of at most 255 * 32 (RFC 5869 §2.3).
    prk.expand_multi_info(info, okm).expect("at most 32 bytes");
}
