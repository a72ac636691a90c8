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
pub use leaf::LeafSpec;
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
    bundle_pem: String,
    crl_number: AtomicU64,
}

impl DevCa {
    /// An authority with a fresh ECDSA P-256 key, for `trust_domain` as `shop.example`.
    ///
    /// # Errors
    /// [`DevCaError::TrustDomain`] for a name that is none, [`DevCaError::Issue`] where the
    /// certificate cannot be made.
    pub fn new(trust_domain: &str) -> Result<Self, DevCaError> {
        let trust_domain: TrustDomain = trust_domain.parse().map_err(DevCaError::TrustDomain)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(DevCaError::Issue)?;
        let params = authority_params(&trust_domain)?;
        let bundle_pem = params.self_signed(&key).map_err(DevCaError::Issue)?.pem();
        let issuer = Issuer::new(params, key);
        let crl_number = AtomicU64::new(1);
        Ok(Self(Arc::new(Inner { trust_domain, issuer, bundle_pem, crl_number })))
    }

    /// The trust domain's name, as `shop.example`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.0.trust_domain.as_str()
    }

    /// The root certificate, one PEM block: what peers of this trust domain verify against.
    #[must_use]
    pub fn bundle_pem(&self) -> &str {
        &self.0.bundle_pem
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
        svid::issue(spec, &self.0.issuer)
    }

    /// A certificate revocation list (RFC 5280, section 5) naming `revoked`, one PEM block, valid
    /// from five minutes ago for 24 hours.
    ///
    /// # Errors
    /// [`DevCaError::Issue`] where it cannot be made.
    pub fn crl_pem(&self, revoked: &[&DevSvid]) -> Result<String, DevCaError> {
        let now = SystemTime::now();
        let entry = |svid: &&DevSvid| RevokedCertParams {
            serial_number: SerialNumber::from_slice(svid.serial()),
            revocation_time: date_time_ymd(1970, 1, 1) + leaf::since_1970(now - BACKDATE),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + leaf::since_1970(now - BACKDATE),
            next_update: date_time_ymd(1970, 1, 1) + leaf::since_1970(now + LEAF_LIFE),
            crl_number: self.0.crl_number.fetch_add(1, Ordering::Relaxed).into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
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
fn authority_params(trust_domain: &TrustDomain) -> Result<CertificateParams, DevCaError> {
    let now = SystemTime::now();
    let name = format!("spiffe://{trust_domain}");
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + leaf::since_1970(now - HOUR);
    params.not_after = date_time_ymd(1970, 1, 1) + leaf::since_1970(now + CA_LIFE);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{trust_domain} dev CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(leaf::ascii(&name)?)];
    Ok(params)
}

#[cfg(test)]
mod tests;
