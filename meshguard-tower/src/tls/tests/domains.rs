//! A root vouches for workloads of its own trust domain.

use rcgen::CustomExtension;

use super::*;
use crate::rig::federated;

const PARTNER: &SpiffeId = &SpiffeId::from_static("spiffe://partner.example/billing");

#[test]
fn a_partners_root_vouches_for_no_workload_of_ours() {
    let (ours, partner) = (ca("shop.example"), ca("partner.example"));
    let own = federated(credentials(&ours, &ours.svid(ORDERS).unwrap(), None), &partner);
    let forged = partner.issue(&LeafSpec::of(CHECKOUT)).unwrap();
    let refused = vec![Err(HandshakeErrorKind::UnknownIssuer); 4];
    assert_eq!(shown(&forged, &own), refused);
    // The control: of its own workloads it does.
    assert_eq!(shown(&partner.svid(PARTNER).unwrap(), &own), vec![Ok(()); 4]);
}

#[test]
fn our_root_vouches_for_no_workload_of_a_partner() {
    let (ours, partner) = (ca("shop.example"), ca("partner.example"));
    let own = federated(credentials(&ours, &ours.svid(ORDERS).unwrap(), None), &partner);
    let forged = ours.issue(&LeafSpec::of(PARTNER)).unwrap();
    let refused = vec![Err(HandshakeErrorKind::UnknownIssuer); 4];
    assert_eq!(shown(&forged, &own), refused);
}

#[test]
fn a_domain_without_roots_is_foreign() {
    let (ours, partner) = (ca("shop.example"), ca("partner.example"));
    let own = credentials(&ours, &ours.svid(ORDERS).unwrap(), None);
    let svid = partner.svid(PARTNER).unwrap();
    let refused = vec![Err(HandshakeErrorKind::ForeignTrustDomain); 4];
    assert_eq!(shown(&svid, &own), refused);
}

#[test]
fn a_cross_signed_authority_vouches_for_its_own_domain_alone() {
    let ours = ca("shop.example");
    let own = credentials(&ours, &ours.svid(ORDERS).unwrap(), None);
    let partner = ours.foreign_intermediate("partner.example").unwrap();
    let forged = partner.issue(&LeafSpec::of(CHECKOUT)).unwrap();
    let refused = vec![Err(HandshakeErrorKind::ForeignTrustDomain); 4];
    assert_eq!(shown(&forged, &own), refused);
    // The control: an authority of the domain between root and leaf is an ordinary thing.
    let between = ours.intermediate().unwrap().intermediate().unwrap();
    assert_eq!(shown(&between.svid(CHECKOUT).unwrap(), &own), vec![Ok(()); 4]);
}

/// While roots are replaced a domain has several, of one name perhaps.
#[test]
fn each_root_of_a_domain_vouches_while_it_has_several() {
    let (first, second) = (ca("shop.example"), ca("shop.example"));
    let svid = first.svid(ORDERS).unwrap();
    let bundle = format!("{}{}", second.bundle_pem(), first.bundle_pem());
    let (cert, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
    let own = Credentials::from_pem(cert, key, bundle.as_bytes(), None).unwrap();
    for ca in [&first, &second] {
        assert_eq!(shown(&ca.svid(CHECKOUT).unwrap(), &own), vec![Ok(()); 4]);
    }
}

#[test]
fn a_leaf_that_may_sign_certificates_or_lists_is_refused() {
    let ours = ca("shop.example");
    let own = credentials(&ours, &ours.svid(ORDERS).unwrap(), None);
    for usage in [KeyUse::KeyCertSign, KeyUse::CrlSign] {
        let mut spec = LeafSpec::of(CHECKOUT);
        spec.key_usages.push(usage);
        let refused = vec![Err(HandshakeErrorKind::WrongPurpose); 4];
        assert_eq!(shown(&ours.issue(&spec).unwrap(), &own), refused, "{usage:?}");
    }
    // The control: what SPIFFE allows, or leaves to the issuer.
    let mut silent = LeafSpec::of(CHECKOUT);
    (silent.server_auth, silent.client_auth) = (false, false);
    let mut plain = silent.clone();
    plain.key_usages.clear();
    for spec in [silent, plain] {
        assert_eq!(shown(&ours.issue(&spec).unwrap(), &own), vec![Ok(()); 4]);
    }
}

/// NameConstraints (RFC 5280, section 4.2.1.10): permitted, URIs of the host `shop.example`.
const URI_CONSTRAINT: &[u8] = b"\x30\x12\xa0\x10\x30\x0e\x86\x0cshop.example";

#[test]
fn a_root_with_uri_name_constraints_vouches_for_nobody() {
    let constrained = DevCa::with("shop.example", |params| {
        let mut extension =
            CustomExtension::from_oid_content(&[2, 5, 29, 30], URI_CONSTRAINT.to_vec());
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    })
    .unwrap();
    let svid = constrained.svid(CHECKOUT).unwrap();
    let (cert, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
    let bundle = constrained.bundle_pem().as_bytes();
    let error = Credentials::from_pem(cert, key, bundle, None).err().unwrap();
    let invalid = HandshakeErrorKind::InvalidChain;
    assert!(
        matches!(error.fault(), CredentialsFault::NotVouchedFor(kind) if *kind == invalid),
        "{error}"
    );
    // And a peer's is refused by one whose other root has no constraints.
    let ours = ca("shop.example");
    let svid = ours.svid(ORDERS).unwrap();
    let bundle = format!("{}{}", ours.bundle_pem(), constrained.bundle_pem());
    let (cert, key) = (svid.cert_pem().as_bytes(), svid.key_pem().as_bytes());
    let own = Credentials::from_pem(cert, key, bundle.as_bytes(), None).unwrap();
    let peer = constrained.svid(CHECKOUT).unwrap();
    assert!(shown(&peer, &own).iter().all(Result::is_err));
}
