//! An issued certificate and its key.

use std::fmt;

use meshguard_core::SpiffeId;
use rcgen::{Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SerialNumber};
use zeroize::{Zeroize, Zeroizing};

use super::{DevCaError, LeafSpec};

const SERIAL_BYTES: usize = 16;

/// A certificate and its private key. The key is wiped on drop and has no `Debug`.
pub struct DevSvid {
    id: Option<SpiffeId>,
    serial: Vec<u8>,
    cert_pem: String,
    key_pem: Zeroizing<String>,
}

impl DevSvid {
    /// The SPIFFE ID, or `None` where the certificate does not name exactly one.
    #[must_use]
    pub fn id(&self) -> Option<&SpiffeId> {
        self.id.as_ref()
    }

    /// The serial number, big-endian, 16 bytes.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The chain without the root: the leaf's PEM block, then those of the intermediates, if any.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key, PKCS #8 in one PEM block.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl fmt::Debug for DevSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevSvid").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(super) fn issue(
    spec: &LeafSpec,
    issuer: &Issuer<'_, KeyPair>,
    chain_pem: &str,
) -> Result<DevSvid, DevCaError> {
    let serial = random_serial()?;
    let mut params = spec.params()?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(DevCaError::Issue)?;
    let cert = params.signed_by(&key, issuer).map_err(DevCaError::Issue)?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    key.zeroize();
    Ok(DevSvid { id: sole_id(spec), serial, cert_pem: cert.pem() + chain_pem, key_pem })
}

fn sole_id(spec: &LeafSpec) -> Option<SpiffeId> {
    match spec.uris.as_slice() {
        [uri] => uri.parse().ok(),
        _ => None,
    }
}

/// Positive and of fixed length: the first byte is in 0x40..0x80 (RFC 5280, section 4.1.2.2).
pub(super) fn random_serial() -> Result<Vec<u8>, DevCaError> {
    let mut serial = vec![0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| DevCaError::Random)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}
