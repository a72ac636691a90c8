//! What a leaf certificate shall say, right or odd.

use std::time::{Duration, SystemTime};

use meshguard_core::SpiffeId;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::{BACKDATE, DevCaError, HOUR, LEAF_LIFE};

/// The last second that X.509 can express: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a certificate shall say. The constructors make the odd ones that a verifier must refuse.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeafSpec {
    /// URI names; an X.509-SVID has exactly one, its SPIFFE ID.
    pub uris: Vec<String>,
    /// DNS names. Where `localhost` is among them, 127.0.0.1 is added as an IP address.
    pub dns: Vec<String>,
    /// When validity begins.
    pub not_before: SystemTime,
    /// When validity ends.
    pub not_after: SystemTime,
    /// Says that it is an authority's (CA:TRUE), which a leaf must not.
    pub authority: bool,
    /// The key usage: [`KeyUse::DigitalSignature`] alone in an ordinary SVID. Where it is empty, the
    /// certificate has no such extension.
    pub key_usages: Vec<KeyUse>,
    /// Whether the extended key usage has `id-kp-serverAuth`. Where it has neither, the certificate
    /// has no such extension.
    pub server_auth: bool,
    /// Whether the extended key usage has `id-kp-clientAuth`.
    pub client_auth: bool,
}

/// A bit of a certificate's key usage (RFC 5280, section 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyUse {
    /// `digitalSignature`, which TLS 1.3 needs.
    DigitalSignature,
    /// `keyAgreement`.
    KeyAgreement,
    /// `keyCertSign`: an authority's.
    KeyCertSign,
    /// `cRLSign`: an authority's.
    CrlSign,
}

impl KeyUse {
    fn purpose(self) -> KeyUsagePurpose {
        match self {
            Self::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            Self::KeyAgreement => KeyUsagePurpose::KeyAgreement,
            Self::KeyCertSign => KeyUsagePurpose::KeyCertSign,
            Self::CrlSign => KeyUsagePurpose::CrlSign,
        }
    }
}

impl LeafSpec {
    /// An ordinary X.509-SVID for `id`: from five minutes ago, for 24 hours, also `localhost`.
    #[must_use]
    pub fn of(id: &SpiffeId) -> Self {
        Self::with_uris(vec![id.to_string()])
    }

    /// Expired an hour ago.
    #[must_use]
    pub fn expired(id: &SpiffeId) -> Self {
        let not_after = SystemTime::now() - HOUR;
        Self { not_before: not_after - LEAF_LIFE, not_after, ..Self::of(id) }
    }

    /// Valid only in an hour.
    #[must_use]
    pub fn not_yet_valid(id: &SpiffeId) -> Self {
        let not_before = SystemTime::now() + HOUR;
        Self { not_before, not_after: not_before + LEAF_LIFE, ..Self::of(id) }
    }

    /// Names two SPIFFE IDs, which an X.509-SVID must not.
    #[must_use]
    pub fn two_ids(first: &SpiffeId, second: &SpiffeId) -> Self {
        Self::with_uris(vec![first.to_string(), second.to_string()])
    }

    /// Names no URI at all, only `localhost`.
    #[must_use]
    pub fn without_id() -> Self {
        Self::with_uris(Vec::new())
    }

    /// Names `uris` as they are, SPIFFE IDs or not, of this trust domain or a foreign one.
    #[must_use]
    pub fn with_uris(uris: Vec<String>) -> Self {
        let now = SystemTime::now();
        let dns = vec!["localhost".to_owned()];
        Self {
            uris,
            dns,
            not_before: now - BACKDATE,
            not_after: now + LEAF_LIFE,
            authority: false,
            key_usages: vec![KeyUse::DigitalSignature],
            server_auth: true,
            client_auth: true,
        }
    }

    pub(super) fn params(&self) -> Result<CertificateParams, DevCaError> {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(self.not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(self.not_after);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "meshguard dev");
        params.subject_alt_names = self.names()?;
        params.is_ca = match self.authority {
            true => IsCa::Ca(BasicConstraints::Unconstrained),
            false => IsCa::ExplicitNoCa,
        };
        params.key_usages = self.key_usages.iter().map(|usage| usage.purpose()).collect();
        let server = self.server_auth.then_some(ExtendedKeyUsagePurpose::ServerAuth);
        let client = self.client_auth.then_some(ExtendedKeyUsagePurpose::ClientAuth);
        params.extended_key_usages = server.into_iter().chain(client).collect();
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn names(&self) -> Result<Vec<SanType>, DevCaError> {
        let mut names = Vec::with_capacity(self.uris.len() + self.dns.len() + 1);
        for uri in &self.uris {
            names.push(SanType::URI(ascii(uri)?));
        }
        for dns in &self.dns {
            names.push(SanType::DnsName(ascii(dns)?));
            if dns == "localhost" {
                names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
            }
        }
        Ok(names)
    }
}

pub(super) fn ascii(name: &str) -> Result<Ia5String, DevCaError> {
    name.try_into().map_err(|_| DevCaError::SubjectName(name.to_owned()))
}

/// Whole seconds to add to 1970-01-01, clamped to what X.509's calendar has: up to the year 9999.
pub(super) fn since_1970(t: SystemTime) -> Duration {
    let secs = t.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Duration::from_secs(secs.min(LAST_SECOND))
}
