//! A throw-away certificate authority, wholly in memory: for development and tests, never for
//! production. Its key exists in this process only and is gone with it.
//!
//! ```
//! use meshguard_core::SpiffeId;
//! use meshguard_tower::dev::DevCa;
//!
//! let ca = DevCa::new("shop.example")?;
//! let orders = SpiffeId::from_static("spiffe://shop.example/orders");
//! let svid = ca.svid(&orders)?;
//! assert_eq!(svid.id(), Some(&orders));
//! assert!(ca.bundle_pem().starts_with("-----BEGIN CERTIFICATE-----"));
//! # Ok::<(), meshguard_tower::dev::DevCaError>(())
//! ```

mod error;
mod leaf;
mod registry;
mod svid;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use meshguard_core::SpiffeId;
use meshguard_core::identity::TrustDomain;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

pub use error::DevCaError;
pub use leaf::{KeyUse, LeafSpec};
pub use registry::{MAX_SHARED, shared};
pub use svid::DevSvid;

const HOUR: Duration = Duration::from_secs(3600);
/// How far back validity begins, so that a peer whose clock is a little behind still accepts.
const BACKDATE: Duration = Duration::from_secs(300);
const LEAF_LIFE: Duration = HOUR.saturating_mul(24);
const CA_LIFE: Duration = HOUR.saturating_mul(24 * 365);

/// A certificate authority of one trust domain, in memory. Cloning shares it.
#[derive(Clone)]
pub struct DevCa(Arc<Inner>);

struct Inner {
    trust_domain: TrustDomain,
    issuer: Issuer<'static, KeyPair>,
    /// The root's certificate.
    bundle_pem: String,
    /// The certificates between the root and what this authority issues, the nearest first.
    chain_pem: String,
    /// Of this authority's own certificate.
    serial: Vec<u8>,
    crl_number: AtomicU64,
}

impl DevCa {
    /// An authority with a fresh ECDSA P-256 key, for `trust_domain` as `shop.example`.
    ///
    /// # Errors
    /// [`DevCaError::TrustDomain`] for a name that is none, [`DevCaError::Issue`] where the
    /// certificate cannot be made.
    pub fn new(trust_domain: &str) -> Result<Self, DevCaError> {
        Self::with(trust_domain, |_| ())
    }

    /// As [`new`](Self::new), with a certificate that was changed: an odd one, for tests.
    pub(crate) fn with(
        trust_domain: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Self, DevCaError> {
        let trust_domain: TrustDomain = trust_domain.parse().map_err(DevCaError::TrustDomain)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(DevCaError::Issue)?;
        let serial = svid::random_serial()?;
        let mut params = authority_params(&trust_domain, "dev CA", &serial)?;
        change(&mut params);
        let bundle_pem = params.self_signed(&key).map_err(DevCaError::Issue)?.pem();
        let issuer = Issuer::new(params, key);
        let crl_number = AtomicU64::new(1);
        let chain_pem = String::new();
        Ok(Self(Arc::new(Inner {
            trust_domain,
            issuer,
            bundle_pem,
            chain_pem,
            serial,
            crl_number,
        })))
    }

    /// An authority of the same trust domain whose certificate this one signs, with a fresh key.
    /// What it issues comes with its certificate, and is verified against this one's root.
    ///
    /// # Errors
    /// [`DevCaError::Issue`] where the certificate cannot be made.
    pub fn intermediate(&self) -> Result<Self, DevCaError> {
        self.signed(self.0.trust_domain.clone())
    }

    /// As [`intermediate`](Self::intermediate), but its certificate names `trust_domain`, which
    /// a verifier must refuse where that is another one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn foreign_intermediate(&self, trust_domain: &str) -> Result<Self, DevCaError> {
        self.signed(trust_domain.parse().map_err(DevCaError::TrustDomain)?)
    }

    fn signed(&self, trust_domain: TrustDomain) -> Result<Self, DevCaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(DevCaError::Issue)?;
        let serial = svid::random_serial()?;
        let mut params = authority_params(&trust_domain, "dev intermediate", &serial)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.0.issuer).map_err(DevCaError::Issue)?;
        Ok(Self(Arc::new(Inner {
            trust_domain,
            issuer: Issuer::new(params, key),
            bundle_pem: self.0.bundle_pem.clone(),
            chain_pem: certificate.pem() + &self.0.chain_pem,
            serial,
            crl_number: AtomicU64::new(1),
        })))
    }

    /// The trust domain's name, as `shop.example`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.0.trust_domain.as_str()
    }

    /// The root certificate, one PEM block: what peers of this trust domain verify against. An
    /// intermediate authority gives its root's.
    #[must_use]
    pub fn bundle_pem(&self) -> &str {
        &self.0.bundle_pem
    }

    /// The serial number of this authority's own certificate, big-endian, 16 bytes.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.0.serial
    }

    /// An X.509-SVID for `id`, valid from five minutes ago for 24 hours, with `localhost` and
    /// 127.0.0.1 as further names.
    ///
    /// # Errors
    /// [`DevCaError::ForeignId`] for an ID of another trust domain, [`DevCaError::Issue`] where
    /// the certificate cannot be made.
    pub fn svid(&self, id: &SpiffeId) -> Result<DevSvid, DevCaError> {
        if id.trust_domain() != self.trust_domain() {
            return Err(DevCaError::ForeignId(id.clone(), self.0.trust_domain.clone()));
        }
        self.issue(&LeafSpec::of(id))
    }

    /// A certificate as `spec` says, however odd: nothing is checked but that it can be encoded.
    ///
    /// # Errors
    /// [`DevCaError::SubjectName`] for a name that is not ASCII, [`DevCaError::Issue`] where the
    /// certificate cannot be made.
    pub fn issue(&self, spec: &LeafSpec) -> Result<DevSvid, DevCaError> {
        svid::issue(spec, &self.0.issuer, &self.0.chain_pem)
    }

    /// A certificate revocation list (RFC 5280, section 5) naming `revoked`, one PEM block, valid
    /// from five minutes ago for 24 hours.
    ///
    /// # Errors
    /// [`DevCaError::Issue`] where it cannot be made.
    pub fn crl_pem(&self, revoked: &[&DevSvid]) -> Result<String, DevCaError> {
        let serials: Vec<&[u8]> = revoked.iter().map(|svid| svid.serial()).collect();
        self.crl_until(&serials, SystemTime::now() + LEAF_LIFE)
    }

    /// As [`crl_pem`](Self::crl_pem), by serial numbers, as those of [intermediate
    /// authorities](Self::intermediate), and to be replaced by `next_update`, which may be past.
    ///
    /// # Errors
    /// [`DevCaError::Issue`] where it cannot be made.
    pub fn crl_until(
        &self,
        serials: &[&[u8]],
        next_update: SystemTime,
    ) -> Result<String, DevCaError> {
        let now = SystemTime::now();
        let this_update = (now - BACKDATE).min(next_update - BACKDATE);
        let entry = |serial: &&[u8]| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: date_time_ymd(1970, 1, 1) + leaf::since_1970(now - BACKDATE),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + leaf::since_1970(this_update),
            next_update: date_time_ymd(1970, 1, 1) + leaf::since_1970(next_update),
            crl_number: self.0.crl_number.fetch_add(1, Ordering::Relaxed).into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&self.0.issuer).map_err(DevCaError::Issue)?;
        crl.pem().map_err(DevCaError::Issue)
    }
}

impl std::fmt::Debug for DevCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DevCa").field(&self.0.trust_domain).finish()
    }
}

/// As "X.509-SVID", section 4: a signing certificate names its trust domain, without a path.
fn authority_params(
    trust_domain: &TrustDomain,
    what: &str,
    serial: &[u8],
) -> Result<CertificateParams, DevCaError> {
    let now = SystemTime::now();
    let name = format!("spiffe://{trust_domain}");
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + leaf::since_1970(now - HOUR);
    params.not_after = date_time_ymd(1970, 1, 1) + leaf::since_1970(now + CA_LIFE);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{trust_domain} {what}"));
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(leaf::ascii(&name)?)];
    Ok(params)
}

#[cfg(test)]
mod tests;
