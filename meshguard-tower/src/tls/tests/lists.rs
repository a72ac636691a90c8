//! What revocation lists say of leaves and of the authorities between them and their roots.

use std::time::SystemTime;

use super::*;
use crate::rig::federated;

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

fn strict() -> Revocation {
    Revocation::default().refusing_unknown().refusing_stale()
}

/// What `own` says, by these terms, of a chain that is looked at again.
fn again(own: &Credentials, terms: Revocation, svid: &DevSvid) -> Verdict {
    let tls = TlsContext::with(own.clone(), terms).unwrap();
    tls.verify_peer(&chain(svid), reached()).map(|_| ())
}

fn listed(ca: &DevCa, lists: &str) -> Credentials {
    credentials(ca, &ca.svid(ORDERS).unwrap(), Some(lists))
}

#[test]
fn what_a_revoked_intermediate_has_issued_is_refused() {
    let ca = ca("shop.example");
    let (revoked, other) = (ca.intermediate().unwrap(), ca.intermediate().unwrap());
    let list = ca.crl_until(&[revoked.serial()], SystemTime::now() + DAY).unwrap();
    let own = listed(&ca, &list);
    let bad = revoked.svid(CHECKOUT).unwrap();
    // TLS has one alert for both, and so handshakes one kind.
    let verdicts = shown(&bad, &own);
    assert_eq!(verdicts, vec![Err(HandshakeErrorKind::Revoked); 4]);
    let deeper = revoked.intermediate().unwrap().svid(CHECKOUT).unwrap();
    assert_eq!(shown(&deeper, &own), vec![Err(HandshakeErrorKind::Revoked); 4]);
    // What lives already is told apart: its own certificate was not revoked.
    let terms = Revocation::default();
    assert_eq!(again(&own, terms, &bad), Err(HandshakeErrorKind::RevokedIssuer));
    // The control: one of another intermediate, and one of the root.
    for good in [other.svid(CHECKOUT).unwrap(), ca.svid(CHECKOUT).unwrap()] {
        assert_eq!(shown(&good, &own), vec![Ok(()); 4]);
    }
}

#[test]
fn an_intermediates_own_list_speaks_of_what_it_has_issued() {
    let ca = ca("shop.example");
    let between = ca.intermediate().unwrap();
    let (bad, good) = (between.svid(CHECKOUT).unwrap(), between.svid(CHECKOUT).unwrap());
    let own = listed(&ca, &between.crl_pem(&[&bad]).unwrap());
    let terms = Revocation::default();
    assert_eq!(again(&own, terms, &bad), Err(HandshakeErrorKind::Revoked));
    assert_eq!(again(&own, terms, &good), Ok(()));
}

/// As a root and its successor are, and the authorities of two domains may be.
#[test]
fn a_list_speaks_for_the_key_that_signed_it_and_not_for_its_namesakes() {
    let (first, second) = (ca("shop.example"), ca("shop.example"));
    let bundle = format!("{}{}", first.bundle_pem(), second.bundle_pem());
    let (of_first, of_second) = (first.svid(CHECKOUT).unwrap(), second.svid(CHECKOUT).unwrap());
    let kept = (first.svid(ORDERS).unwrap(), second.svid(CHECKOUT).unwrap());
    let lists = [first.crl_pem(&[&of_first]).unwrap(), second.crl_pem(&[&of_second]).unwrap()];
    let (cert, key) = (kept.0.cert_pem().as_bytes(), kept.0.key_pem().as_bytes());
    let terms = Revocation::default();
    for text in [lists.concat(), lists.iter().rev().cloned().collect()] {
        let crls = Some(text.as_bytes());
        let own = Credentials::from_pem(cert, key, bundle.as_bytes(), crls).unwrap();
        assert_eq!(again(&own, terms, &of_first), Err(HandshakeErrorKind::Revoked));
        assert_eq!(again(&own, terms, &of_second), Err(HandshakeErrorKind::Revoked));
        assert_eq!(again(&own, terms, &kept.1), Ok(()));
    }
    // A list of one of them alone leaves the status of the other's unknown.
    let own = Credentials::from_pem(cert, key, bundle.as_bytes(), Some(lists[0].as_bytes()));
    let own = own.unwrap();
    assert_eq!(again(&own, terms, &of_second), Ok(()));
    assert_eq!(again(&own, strict(), &of_second), Err(HandshakeErrorKind::UnknownStatus));
}

#[test]
fn any_list_of_an_authority_that_names_a_certificate_revokes_it() {
    let ca = ca("shop.example");
    let bad = ca.svid(CHECKOUT).unwrap();
    let (empty, full) = (ca.crl_pem(&[]).unwrap(), ca.crl_pem(&[&bad]).unwrap());
    for text in [format!("{empty}{full}"), format!("{full}{empty}")] {
        let own = listed(&ca, &text);
        let verdict = again(&own, Revocation::default(), &bad);
        assert_eq!(verdict, Err(HandshakeErrorKind::Revoked));
    }
}

#[test]
fn an_unknown_status_is_accepted_unless_it_is_to_be_refused() {
    let ca = ca("shop.example");
    let own = listed(&ca, &ca.crl_pem(&[]).unwrap());
    let unlisted = ca.intermediate().unwrap().svid(CHECKOUT).unwrap();
    assert_eq!(again(&own, Revocation::default(), &unlisted), Ok(()));
    let terms = Revocation::default().refusing_unknown();
    assert_eq!(again(&own, terms, &unlisted), Err(HandshakeErrorKind::UnknownStatus));
    assert_eq!(again(&own, terms, &ca.svid(CHECKOUT).unwrap()), Ok(()));
}

#[test]
fn what_no_list_speaks_of_cannot_be_refused_without_any() {
    let ca = ca("shop.example");
    let own = credentials(&ca, &ca.svid(ORDERS).unwrap(), None);
    let error = TlsContext::with(own, strict()).err().unwrap();
    assert_eq!(error.input(), Source::Crls);
    assert!(matches!(error.fault(), CredentialsFault::NoLists), "{error}");
}

#[test]
fn a_stale_list_counts_unless_it_is_to_be_refused() {
    let ca = ca("shop.example");
    let (bad, good) = (ca.svid(CHECKOUT).unwrap(), ca.svid(CHECKOUT).unwrap());
    let list = ca.crl_until(&[bad.serial()], SystemTime::now() - DAY).unwrap();
    let own = listed(&ca, &list);
    assert_eq!(again(&own, Revocation::default(), &good), Ok(()));
    let terms = Revocation::default().refusing_stale();
    assert_eq!(again(&own, terms, &good), Err(HandshakeErrorKind::UnusableCrl));
    for terms in [Revocation::default(), terms] {
        assert_eq!(again(&own, terms, &bad), Err(HandshakeErrorKind::Revoked));
    }
    // One that is fresh is enough.
    let own = listed(&ca, &format!("{list}{}", ca.crl_pem(&[]).unwrap()));
    assert_eq!(again(&own, terms, &good), Ok(()));
    assert_eq!(again(&own, terms, &bad), Err(HandshakeErrorKind::Revoked));
}

#[test]
fn lists_speak_of_federated_peers_too() {
    let (ours, partner) = (ca("shop.example"), ca("partner.example"));
    let id = SpiffeId::from_static("spiffe://partner.example/billing");
    let (bad, good) = (partner.svid(&id).unwrap(), partner.svid(&id).unwrap());
    let own = federated(listed(&ours, &partner.crl_pem(&[&bad]).unwrap()), &partner);
    assert_eq!(again(&own, Revocation::default(), &bad), Err(HandshakeErrorKind::Revoked));
    assert_eq!(again(&own, Revocation::default(), &good), Ok(()));
}
