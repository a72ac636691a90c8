//! An SVID or a bundle of no use is an error by its name, and takes nobody's place.

use std::time::{Duration, SystemTime};

use rcgen::{IsCa, SanType, date_time_ymd};

use super::*;

fn refused(svid: &DevSvid, bundle: &str) -> String {
    pem_refused(svid.cert_pem(), svid.key_pem(), bundle)
}

fn pem_refused(svid: &str, key: &str, bundle: &str) -> String {
    let read = Credentials::from_pem(svid.as_bytes(), key.as_bytes(), bundle.as_bytes(), None);
    let Err(error) = read else { return "accepted".to_owned() };
    format!("{:?}: {:?}", error.input(), error.fault())
}

fn changed(change: impl FnOnce(&mut LeafSpec)) -> LeafSpec {
    let mut spec = LeafSpec::of(ORDERS);
    change(&mut spec);
    spec
}

#[test]
fn an_svid_that_no_peer_would_accept_is_refused_by_name() {
    let ca = ca("shop.example");
    let in_time = |secs| SystemTime::now() + Duration::from_secs(secs);
    let cases = [
        (LeafSpec::expired(ORDERS), "Svid: Expired("),
        (LeafSpec::not_yet_valid(ORDERS), "Svid: NotYetValid("),
        (changed(|s| s.authority = true), "Svid: Authority"),
        (changed(|s| s.key_usages.clear()), "Svid: NoDigitalSignature"),
        (changed(|s| s.key_usages = vec![KeyUse::KeyAgreement]), "Svid: NoDigitalSignature"),
        (changed(|s| s.key_usages.push(KeyUse::KeyCertSign)), "Svid: AuthorityUsage"),
        (changed(|s| s.key_usages.push(KeyUse::CrlSign)), "Svid: AuthorityUsage"),
        (changed(|s| s.server_auth = false), "Svid: ExtendedKeyUsage"),
        (changed(|s| s.client_auth = false), "Svid: ExtendedKeyUsage"),
        (LeafSpec::without_id(), "Svid: NotAnSvid(NoSpiffeId)"),
        // What honest authorities issue: no extended key usage, or a clock that is a little ahead.
        (changed(|s| (s.server_auth, s.client_auth) = (false, false)), "accepted"),
        (changed(|s| s.key_usages.push(KeyUse::KeyAgreement)), "accepted"),
        (changed(|s| s.not_before = in_time(30)), "accepted"),
    ];
    for (spec, expected) in cases {
        let got = refused(&ca.issue(&spec).unwrap(), ca.bundle_pem());
        assert!(got.starts_with(expected), "{got}, not {expected}: {spec:?}");
    }
}

#[test]
fn an_svid_that_its_bundle_does_not_vouch_for_is_refused_by_name() {
    let (ours, namesake) = (ca("shop.example"), ca("shop.example"));
    let svid = ours.svid(ORDERS).unwrap();
    assert_eq!(refused(&svid, namesake.bundle_pem()), "Svid: NotVouchedFor(UnknownIssuer)");
    let between = ours.intermediate().unwrap().svid(ORDERS).unwrap();
    assert_eq!(refused(&between, ours.bundle_pem()), "accepted");
    let leaf = between.cert_pem().split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let got = pem_refused(leaf, between.key_pem(), ours.bundle_pem());
    assert_eq!(got, "Svid: NotVouchedFor(UnknownIssuer)");
}

#[test]
fn a_chain_whose_leaf_is_not_first_is_refused_by_name() {
    let ca = ca("shop.example");
    let svid = ca.intermediate().unwrap().svid(ORDERS).unwrap();
    let blocks: Vec<&str> =
        svid.cert_pem().split_inclusive("-----END CERTIFICATE-----\n").collect();
    let turned: String = blocks.iter().rev().copied().collect();
    let got = pem_refused(&turned, svid.key_pem(), ca.bundle_pem());
    assert_eq!(got, "Svid: LeafNotFirst(1)");
}

#[test]
fn an_encrypted_key_is_refused_by_name() {
    let ca = ca("shop.example");
    let svid = ca.svid(ORDERS).unwrap();
    for key in [
        svid.key_pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n\
         AAAA\n-----END EC PRIVATE KEY-----\n"
            .to_owned(),
    ] {
        let got = pem_refused(svid.cert_pem(), &key, ca.bundle_pem());
        assert_eq!(got, "Key: EncryptedKey");
    }
}

#[test]
fn a_bundle_of_no_use_is_refused_by_name() {
    let ours = ca("shop.example");
    let svid = ours.svid(ORDERS).unwrap();
    let root = |change: fn(&mut rcgen::CertificateParams)| {
        DevCa::with("shop.example", change).unwrap().bundle_pem().to_owned()
    };
    let expired = root(|p| {
        (p.not_before, p.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let early = root(|p| p.not_before = date_time_ymd(2999, 1, 1));
    let nameless = root(|p| p.subject_alt_names.clear());
    let leaf = root(|p| p.is_ca = IsCa::ExplicitNoCa);
    let other = root(|p| {
        p.subject_alt_names = vec![SanType::URI("spiffe://partner.example".try_into().unwrap())];
    });
    let both = |other: &str| format!("{}{other}", ours.bundle_pem());
    let cases = [
        (expired.clone(), "Bundle: Expired("),
        (early.clone(), "Bundle: NotYetValid("),
        (svid.cert_pem().to_owned(), "Bundle: NotAnAuthority(0)"),
        (both(&leaf), "Bundle: NotAnAuthority(1)"),
        (both(&other), "Bundle: ForeignRoot(1, \"spiffe://partner.example\")"),
        // What a domain has while its roots are replaced; a root need not have a SPIFFE ID.
        (both(&expired), "accepted"),
        (both(&early), "accepted"),
        (both(&nameless), "accepted"),
    ];
    for (bundle, expected) in cases {
        let got = refused(&svid, &bundle);
        assert!(got.starts_with(expected), "{got}, not {expected}");
    }
}

#[test]
fn what_has_expired_meanwhile_takes_nobodys_place() {
    let ca = ca("shop.example");
    let tls = TlsContext::new(credentials(&ca, &ca.svid(ORDERS).unwrap(), None)).unwrap();
    let mut late = credentials(&ca, &ca.svid(ORDERS).unwrap(), None);
    late.own.not_after = reached() - Duration::from_secs(1);
    let error = tls.replace(late).unwrap_err();
    assert!(matches!(error.fault(), CredentialsFault::Expired(_)), "{error}");
    assert_eq!(tls.generation(), 1);
}
