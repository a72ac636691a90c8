use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/orders");
const AUDIT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/audit");

fn verifier(ca: &DevCa, crl: Option<&str>) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.bundle_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(crl) = crl {
        let crl = CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap();
        builder = builder.with_crls([crl]);
    }
    builder.build().unwrap()
}

fn verify(v: &Arc<dyn ClientCertVerifier>, svid: &DevSvid) -> Result<(), rustls::Error> {
    let cert = CertificateDer::from_pem_slice(svid.cert_pem().as_bytes()).unwrap();
    v.verify_client_cert(&cert, &[], UnixTime::now()).map(|_| ())
}

fn uris(svid: &DevSvid) -> Vec<String> {
    let der = CertificateDer::from_pem_slice(svid.cert_pem().as_bytes()).unwrap();
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    let names = cert.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    let uri = |n: &GeneralName<'_>| match n {
        GeneralName::URI(u) => Some((*u).to_owned()),
        _ => None,
    };
    names.iter().filter_map(uri).collect()
}

#[test]
fn an_svid_chains_to_its_bundle_and_to_no_other() {
    let ca = DevCa::new("shop.example").unwrap();
    let other = DevCa::new("shop.example").unwrap();
    let svid = ca.svid(ORDERS).unwrap();
    verify(&verifier(&ca, None), &svid).unwrap();
    verify(&verifier(&other, None), &svid).unwrap_err();
    PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
}

#[test]
fn the_spiffe_id_is_the_only_uri_of_an_svid() {
    let ca = DevCa::new("shop.example").unwrap();
    let svid = ca.svid(ORDERS).unwrap();
    assert_eq!(uris(&svid), [ORDERS.as_str()]);
    assert_eq!(svid.id(), Some(ORDERS));
}

#[test]
fn a_leaf_is_no_authority_and_only_signs() {
    let svid = DevCa::new("shop.example").unwrap().svid(ORDERS).unwrap();
    let der = CertificateDer::from_pem_slice(svid.cert_pem().as_bytes()).unwrap();
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert!(!cert.basic_constraints().unwrap().unwrap().value.ca);
    let usage = cert.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    let extended = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.client_auth && extended.server_auth);
    assert_eq!(cert.raw_serial(), svid.serial());
}

#[test]
fn a_revoked_svid_is_refused_and_its_neighbour_is_not() {
    let ca = DevCa::new("shop.example").unwrap();
    let (revoked, kept) = (ca.svid(ORDERS).unwrap(), ca.svid(AUDIT).unwrap());
    let v = verifier(&ca, Some(&ca.crl_pem(&[&revoked]).unwrap()));
    verify(&v, &revoked).unwrap_err();
    verify(&v, &kept).unwrap();
}

fn chain(svid: &DevSvid) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes()).map(Result::unwrap).collect()
}

#[test]
fn what_an_intermediate_issues_chains_to_its_root() {
    let ca = DevCa::new("shop.example").unwrap();
    let second = ca.intermediate().unwrap().intermediate().unwrap();
    assert_eq!(second.bundle_pem(), ca.bundle_pem());
    let chain = chain(&second.svid(ORDERS).unwrap());
    assert_eq!(chain.len(), 3);
    let v = verifier(&ca, None);
    v.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).unwrap();
    v.verify_client_cert(&chain[0], &chain[1..2], UnixTime::now()).unwrap_err();
}

#[test]
fn a_list_names_an_intermediate_by_its_serial_number() {
    let ca = DevCa::new("shop.example").unwrap();
    let between = ca.intermediate().unwrap();
    let list = ca.crl_until(&[between.serial()], SystemTime::now() + HOUR).unwrap();
    let chain = chain(&between.svid(ORDERS).unwrap());
    let (_, issuer) = X509Certificate::from_der(&chain[1]).unwrap();
    assert_eq!(issuer.raw_serial(), between.serial());
    // rustls asks for the status of both; no list of the intermediate is here.
    let v = verifier(&ca, Some(&list));
    let error = v.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
}

#[test]
fn expired_and_early_certificates_are_refused() {
    let ca = DevCa::new("shop.example").unwrap();
    let v = verifier(&ca, None);
    verify(&v, &ca.issue(&LeafSpec::expired(ORDERS)).unwrap()).unwrap_err();
    verify(&v, &ca.issue(&LeafSpec::not_yet_valid(ORDERS)).unwrap()).unwrap_err();
}

#[test]
fn odd_certificates_are_as_odd_as_asked() {
    let ca = DevCa::new("shop.example").unwrap();
    let two = ca.issue(&LeafSpec::two_ids(ORDERS, AUDIT)).unwrap();
    assert_eq!((uris(&two).len(), two.id()), (2, None));
    let none = ca.issue(&LeafSpec::without_id()).unwrap();
    assert_eq!((uris(&none).len(), none.id()), (0, None));
    let foreign = ca.issue(&LeafSpec::with_uris(vec!["spiffe://evil.example/x".into()])).unwrap();
    assert_eq!(foreign.id().unwrap().trust_domain(), "evil.example");
}

#[test]
fn an_authority_names_no_foreign_workload() {
    let ca = DevCa::new("shop.example").unwrap();
    let foreign = SpiffeId::from_static("spiffe://evil.example/x");
    assert!(matches!(ca.svid(&foreign), Err(DevCaError::ForeignId(..))));
    assert!(matches!(DevCa::new("Shop"), Err(DevCaError::TrustDomain(_))));
    let spec = LeafSpec::with_uris(vec!["spiffe://shop.example/é".into()]);
    assert!(matches!(ca.issue(&spec), Err(DevCaError::SubjectName(_))));
}

#[test]
fn debug_shows_no_key() {
    let svid = DevCa::new("shop.example").unwrap().svid(ORDERS).unwrap();
    assert!(!format!("{svid:?}").contains("PRIVATE"));
}
