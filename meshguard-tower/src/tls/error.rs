//! Why a handshake failed: one kind a cause, cheap enough to count and to log.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::{CertificateError, InvalidMessage, OtherError};

/// Why a connection was not made, or why a live one lost its right to exist.
///
/// The first group says what was wrong with the peer's credential, in the terms of RFC 5280
/// and of "The X.509-SVID" (SPIFFE), the second what was wrong with the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeErrorKind {
    /// The peer presented no certificate.
    NoCertificate,
    /// No root of the peer's trust domain signed its chain.
    UnknownIssuer,
    /// A certificate of the chain is past its `notAfter`.
    Expired,
    /// A certificate of the chain is before its `notBefore`.
    NotYetValid,
    /// The leaf's serial number is in its issuer's revocation list. In a handshake also that of
    /// an intermediate authority, for which TLS has no other alert.
    Revoked,
    /// The serial number of an intermediate authority is in its issuer's revocation list: said of
    /// live connections and sessions, whose peers are not themselves revoked.
    RevokedIssuer,
    /// The handshake's signature is not by the certificate's key: the peer does not hold it.
    BadSignature,
    /// The certificate is not well-formed DER, or its subject alternative names cannot be read.
    MalformedCertificate,
    /// The chain breaks a rule of RFC 5280: basic constraints, path length, name constraints,
    /// an unknown critical extension.
    InvalidChain,
    /// The certificate's extended key usage excludes this use, or it is a CA's certificate.
    WrongPurpose,
    /// A signature algorithm that this side does not accept.
    UnsupportedAlgorithm,
    /// The revocation list of one of the chain's issuers is not acceptable: it is signed by an
    /// authority that may not sign lists, or it is past its `nextUpdate` and
    /// [such are refused](super::Revocation::refusing_stale).
    UnusableCrl,
    /// No revocation list speaks of a certificate of the chain, and
    /// [such are refused](super::Revocation::refusing_unknown).
    UnknownStatus,
    /// The certificate has no SPIFFE ID among its subject alternative names.
    NoSpiffeId,
    /// The certificate has more than one URI among its subject alternative names.
    ManyUriSans,
    /// The certificate's URI is not a SPIFFE ID with a path.
    MalformedSpiffeId,
    /// The peer's SPIFFE ID, or one in its issuers' certificates, is of a trust domain whose roots
    /// this side does not have.
    ForeignTrustDomain,
    /// The peer is another workload than the one that was called.
    WrongPeer,
    /// No application protocol was agreed (RFC 7301).
    NoAlpn,
    /// What came is not TLS.
    NotTls,
    /// No TLS version, key exchange or cipher suite in common; this side speaks TLS 1.3 only.
    Incompatible,
    /// TLS messages that are malformed, out of order or not decryptable (RFC 8446).
    ProtocolViolation,
    /// The handshake was not complete in time.
    Timeout,
    /// The connection ended before the handshake did.
    Disconnected,
    /// The network failed in another way.
    Network,
    /// Shed before the handshake: too many handshakes or connections at once.
    Overloaded,
    /// Shed before the handshake: the loop restricts its address.
    Restricted,
    /// The far end refused this side, with this alert.
    PeerRefused(Alert),
    /// This side could not go on: no clock, no randomness, unusable settings.
    LocalFault,
}

/// How many kinds there are, [`HandshakeErrorKind::PeerRefused`] counted as one.
pub(crate) const KINDS: usize = ALL.len();

/// Every kind; its position is its [`HandshakeErrorKind::index`].
pub(crate) const ALL: [HandshakeErrorKind; 29] = [
    HandshakeErrorKind::NoCertificate,
    HandshakeErrorKind::UnknownIssuer,
    HandshakeErrorKind::Expired,
    HandshakeErrorKind::NotYetValid,
    HandshakeErrorKind::Revoked,
    HandshakeErrorKind::RevokedIssuer,
    HandshakeErrorKind::BadSignature,
    HandshakeErrorKind::MalformedCertificate,
    HandshakeErrorKind::InvalidChain,
    HandshakeErrorKind::WrongPurpose,
    HandshakeErrorKind::UnsupportedAlgorithm,
    HandshakeErrorKind::UnusableCrl,
    HandshakeErrorKind::UnknownStatus,
    HandshakeErrorKind::NoSpiffeId,
    HandshakeErrorKind::ManyUriSans,
    HandshakeErrorKind::MalformedSpiffeId,
    HandshakeErrorKind::ForeignTrustDomain,
    HandshakeErrorKind::WrongPeer,
    HandshakeErrorKind::NoAlpn,
    HandshakeErrorKind::NotTls,
    HandshakeErrorKind::Incompatible,
    HandshakeErrorKind::ProtocolViolation,
    HandshakeErrorKind::Timeout,
    HandshakeErrorKind::Disconnected,
    HandshakeErrorKind::Network,
    HandshakeErrorKind::Overloaded,
    HandshakeErrorKind::Restricted,
    HandshakeErrorKind::LocalFault,
    HandshakeErrorKind::PeerRefused(Alert(0)),
];

impl HandshakeErrorKind {
    /// The kind in snake case, for logs and metric labels; [`Self::PeerRefused`] without its alert.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::RevokedIssuer => "revoked_issuer",
            Self::BadSignature => "bad_signature",
            Self::MalformedCertificate => "malformed_certificate",
            Self::InvalidChain => "invalid_chain",
            Self::WrongPurpose => "wrong_purpose",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnusableCrl => "unusable_crl",
            Self::UnknownStatus => "unknown_status",
            Self::NoSpiffeId => "no_spiffe_id",
            Self::ManyUriSans => "many_uri_sans",
            Self::MalformedSpiffeId => "malformed_spiffe_id",
            Self::ForeignTrustDomain => "foreign_trust_domain",
            Self::WrongPeer => "wrong_peer",
            Self::NoAlpn => "no_alpn",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::ProtocolViolation => "protocol_violation",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Network => "network",
            Self::Overloaded => "overloaded",
            Self::Restricted => "restricted",
            Self::PeerRefused(_) => "peer_refused",
            Self::LocalFault => "local_fault",
        }
    }

    /// Its position in [`ALL`].
    pub(crate) fn index(self) -> usize {
        let alike = |k: &Self| std::mem::discriminant(k) == std::mem::discriminant(&self);
        ALL.iter().position(alike).unwrap_or(KINDS - 1)
    }

    /// As rustls's error, with the alert that fits best; [`classify`] gives the kind back, and
    /// [`Self::Revoked`] for [`Self::RevokedIssuer`].
    pub(crate) fn into_tls(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(match self {
            Self::UnknownIssuer => CertificateError::UnknownIssuer,
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::Revoked | Self::RevokedIssuer => CertificateError::Revoked,
            Self::MalformedCertificate => CertificateError::BadEncoding,
            Self::WrongPurpose => CertificateError::InvalidPurpose,
            _ => CertificateError::Other(OtherError(Arc::new(Refusal(self)))),
        })
    }
}

impl fmt::Display for HandshakeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerRefused(alert) => write!(f, "peer_refused({alert})"),
            _ => f.write_str(self.as_str()),
        }
    }
}

impl std::error::Error for HandshakeErrorKind {}

/// A TLS alert as the far end sent it (RFC 8446, section 6).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert(pub(crate) u8);

impl Alert {
    /// The alert's code point in IANA's "TLS Alerts" registry.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The alert's registered name, or `unassigned`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unassigned",
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.as_str())
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alert({self})")
    }
}

/// The kind of a TLS error.
pub(crate) fn classify(error: &rustls::Error) -> HandshakeErrorKind {
    use HandshakeErrorKind as Kind;
    use rustls::Error as E;
    match error {
        E::NoCertificatesPresented => Kind::NoCertificate,
        E::InvalidCertificate(e) => classify_certificate(e),
        E::InvalidCertRevocationList(_) => Kind::UnusableCrl,
        E::AlertReceived(alert) => Kind::PeerRefused(Alert(u8::from(*alert))),
        E::NoApplicationProtocol => Kind::NoAlpn,
        E::PeerIncompatible(_) => Kind::Incompatible,
        E::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload
            | InvalidMessage::MessageTooLarge,
        ) => Kind::NotTls,
        E::InvalidMessage(_)
        | E::InappropriateMessage { .. }
        | E::InappropriateHandshakeMessage { .. }
        | E::PeerMisbehaved(_)
        | E::PeerSentOversizedRecord
        | E::InvalidEncryptedClientHello(_)
        | E::DecryptError => Kind::ProtocolViolation,
        _ => Kind::LocalFault,
    }
}

/// The kind of an error that came through tokio-rustls: TLS's own inside, or the network's.
pub(crate) fn classify_io(error: &io::Error) -> HandshakeErrorKind {
    if let Some(inner) = error.get_ref() {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return classify(tls);
        }
        if let Some(kind) = inner.downcast_ref::<HandshakeErrorKind>() {
            return *kind;
        }
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => HandshakeErrorKind::Disconnected,
        io::ErrorKind::TimedOut => HandshakeErrorKind::Timeout,
        _ => HandshakeErrorKind::Network,
    }
}

fn classify_certificate(error: &CertificateError) -> HandshakeErrorKind {
    use CertificateError as C;
    use HandshakeErrorKind as Kind;
    match error {
        C::UnknownIssuer => Kind::UnknownIssuer,
        C::Expired | C::ExpiredContext { .. } => Kind::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => Kind::NotYetValid,
        C::Revoked => Kind::Revoked,
        C::BadSignature => Kind::BadSignature,
        C::BadEncoding => Kind::MalformedCertificate,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => Kind::WrongPurpose,
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Kind::UnsupportedAlgorithm,
        C::UnknownRevocationStatus
        | C::ExpiredRevocationList
        | C::ExpiredRevocationListContext { .. } => Kind::UnusableCrl,
        C::NotValidForName | C::NotValidForNameContext { .. } => Kind::WrongPeer,
        C::Other(OtherError(e)) => {
            e.downcast_ref::<Refusal>().map_or(Kind::InvalidChain, |refusal| refusal.0)
        }
        _ => Kind::InvalidChain,
    }
}

/// Our own refusal of a certificate, inside rustls's error.
#[derive(Debug)]
struct Refusal(HandshakeErrorKind);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer refused: {}", self.0)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        for (i, kind) in ALL.iter().enumerate() {
            assert_eq!(kind.index(), i, "{kind}");
        }
        assert_eq!(HandshakeErrorKind::PeerRefused(Alert(48)).index(), KINDS - 1);
    }

    #[test]
    fn a_refusal_survives_the_way_through_rustls() {
        use HandshakeErrorKind as Kind;
        for kind in [
            Kind::UnknownIssuer,
            Kind::Expired,
            Kind::NotYetValid,
            Kind::Revoked,
            Kind::MalformedCertificate,
            Kind::InvalidChain,
            Kind::WrongPurpose,
            Kind::UnsupportedAlgorithm,
            Kind::UnusableCrl,
            Kind::UnknownStatus,
            Kind::NoSpiffeId,
            Kind::ManyUriSans,
            Kind::MalformedSpiffeId,
            Kind::ForeignTrustDomain,
            Kind::WrongPeer,
        ] {
            assert_eq!(classify(&kind.into_tls()), kind);
            let io = io::Error::new(io::ErrorKind::InvalidData, kind.into_tls());
            assert_eq!(classify_io(&io), kind);
        }
    }

    #[test]
    fn a_revoked_issuer_has_the_alert_of_what_is_revoked() {
        let error = HandshakeErrorKind::RevokedIssuer.into_tls();
        assert_eq!(error, rustls::Error::InvalidCertificate(CertificateError::Revoked));
        assert_eq!(classify(&error), HandshakeErrorKind::Revoked);
    }

    #[test]
    fn an_alert_from_the_far_end_is_kept() {
        let error = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked);
        let kind = classify(&error);
        assert_eq!(kind, HandshakeErrorKind::PeerRefused(Alert(44)));
        assert_eq!(kind.to_string(), "peer_refused(44 certificate_revoked)");
    }
}
