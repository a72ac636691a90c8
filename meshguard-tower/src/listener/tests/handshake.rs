//! Who is refused, under which kind, and that each is counted exactly once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshguard_core::SpiffeId;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::Protocol;
use crate::dev::{DevCa, DevSvid, LeafSpec};
use crate::limits::Limits;
use crate::rig::{CHECKOUT, ORDERS, PATIENCE, Rig, connect, credentials, eventually, federated};
use crate::tls::{Alpn, HandshakeErrorKind as Kind};

/// A client with `config` is refused, as `expected` and nothing else; a good one is served then.
async fn refused(rig: &Rig, config: ClientConfig, expected: Kind) {
    let mut listener = rig.listen(Limits::default()).await;
    let addr = listener.local_addr();
    // In TLS 1.3 the client is done before its certificate is looked at: it learns on reading.
    if let Ok(mut stream) = connect(addr, Arc::new(config)).await {
        let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert!(!matches!(read, Ok(1..)), "{expected}: was served");
    }
    eventually("the refusal is counted", || !rig.stats.snapshot().is_empty()).await;
    let _stream = connect(addr, rig.client(Alpn::Both)).await.unwrap();
    let (_io, connection) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_eq!(connection.peer().id(), CHECKOUT);
    assert_eq!(rig.stats.snapshot(), [(expected, 1)]);
    assert_eq!(rig.stats.completed(), 1);
}

async fn svid_refused(svid: impl FnOnce(&Rig) -> DevSvid, expected: Kind) {
    let rig = Rig::new();
    let svid = svid(&rig);
    refused(&rig, rig.odd_client(Some(&svid)), expected).await;
}

async fn spec_refused(spec: LeafSpec, expected: Kind) {
    svid_refused(|rig| rig.ca.issue(&spec).unwrap(), expected).await;
}

fn spec(uris: &[&str]) -> LeafSpec {
    let mut spec = LeafSpec::of(CHECKOUT);
    spec.uris = uris.iter().map(ToString::to_string).collect();
    spec
}

#[tokio::test]
async fn a_peer_of_another_authority_is_refused() {
    let stranger = DevCa::new("stranger.example").unwrap();
    let spec = LeafSpec::of(CHECKOUT);
    svid_refused(|_| stranger.issue(&spec).unwrap(), Kind::UnknownIssuer).await;
}

#[tokio::test]
async fn a_peer_of_an_authority_with_our_authoritys_name_is_refused() {
    let namesake = DevCa::new("shop.example").unwrap();
    svid_refused(|_| namesake.svid(CHECKOUT).unwrap(), Kind::UnknownIssuer).await;
}

#[tokio::test]
async fn an_expired_peer_is_refused() {
    spec_refused(LeafSpec::expired(CHECKOUT), Kind::Expired).await;
}

#[tokio::test]
async fn a_peer_before_its_time_is_refused() {
    spec_refused(LeafSpec::not_yet_valid(CHECKOUT), Kind::NotYetValid).await;
}

#[tokio::test]
async fn a_peer_with_two_uris_is_refused() {
    spec_refused(LeafSpec::two_ids(CHECKOUT, ORDERS), Kind::ManyUriSans).await;
}

#[tokio::test]
async fn a_peer_with_a_second_uri_of_another_scheme_is_refused() {
    let spec = spec(&["spiffe://shop.example/checkout", "https://shop.example/"]);
    spec_refused(spec, Kind::ManyUriSans).await;
}

#[tokio::test]
async fn a_peer_without_a_spiffe_id_is_refused() {
    spec_refused(LeafSpec::without_id(), Kind::NoSpiffeId).await;
}

#[tokio::test]
async fn a_peer_that_is_a_trust_domain_and_no_workload_is_refused() {
    spec_refused(spec(&["spiffe://shop.example"]), Kind::MalformedSpiffeId).await;
}

#[tokio::test]
async fn a_peer_of_a_foreign_trust_domain_is_refused() {
    spec_refused(spec(&["spiffe://other.example/checkout"]), Kind::ForeignTrustDomain).await;
}

/// A partner's authority that makes a workload of ours.
#[tokio::test]
async fn a_peer_of_our_domain_by_a_partners_root_is_refused() {
    let partner = DevCa::new("partner.example").unwrap();
    let federate = |rig: &Rig| {
        let own = federated(credentials(&rig.ca, &rig.server, None), &partner);
        rig.tls.replace(own).unwrap();
    };
    let forged = |rig: &Rig| {
        federate(rig);
        partner.issue(&LeafSpec::of(CHECKOUT)).unwrap()
    };
    svid_refused(forged, Kind::UnknownIssuer).await;
    // The control: one of its own is a peer.
    let rig = Rig::new();
    federate(&rig);
    let id = SpiffeId::from_static("spiffe://partner.example/billing");
    let mut listener = rig.listen(Limits::default()).await;
    let config = Arc::new(rig.odd_client(Some(&partner.svid(&id).unwrap())));
    let _stream = connect(listener.local_addr(), config).await.unwrap();
    let (_io, connection) = listener.accept().await.unwrap();
    assert_eq!(*connection.peer().id(), id);
}

#[tokio::test]
async fn a_peer_of_a_revoked_intermediate_is_refused() {
    let revoked = |rig: &Rig| {
        let between = rig.ca.intermediate().unwrap();
        let next_update = SystemTime::now() + Duration::from_secs(3600);
        let list = rig.ca.crl_until(&[between.serial()], next_update).unwrap();
        rig.tls.replace(credentials(&rig.ca, &rig.server, Some(&list))).unwrap();
        between.svid(CHECKOUT).unwrap()
    };
    svid_refused(revoked, Kind::Revoked).await;
}

#[tokio::test]
async fn a_revoked_peer_is_refused() {
    let revoked = |rig: &Rig| {
        let svid = rig.ca.svid(CHECKOUT).unwrap();
        rig.revoke(&[&svid]);
        svid
    };
    svid_refused(revoked, Kind::Revoked).await;
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let rig = Rig::new();
    refused(&rig, rig.odd_client(None), Kind::NoCertificate).await;
}

#[tokio::test]
async fn a_peer_that_agrees_on_no_protocol_is_refused() {
    let rig = Rig::new();
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let mut config = rig.odd_client(Some(&svid));
    config.alpn_protocols = vec![b"spdy/3".to_vec()];
    refused(&rig, config, Kind::NoAlpn).await;
}

/// As nginx does to what it proxies to.
#[tokio::test]
async fn a_peer_that_names_no_protocol_speaks_http1() {
    let rig = Rig::new();
    let mut listener = rig.listen(Limits::default()).await;
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let mut config = rig.odd_client(Some(&svid));
    config.alpn_protocols = Vec::new();
    let _client = connect(listener.local_addr(), Arc::new(config)).await.unwrap();
    let (_, connection) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert_eq!(connection.protocol(), Protocol::H1);
}

#[tokio::test]
async fn a_peer_that_does_not_believe_us_is_counted_by_its_alert() {
    let (rig, stranger) = (Rig::new(), Rig::new());
    let mut listener = rig.listen(Limits::default()).await;
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let config = Arc::new(stranger.odd_client(Some(&svid)));
    assert!(connect(listener.local_addr(), config).await.is_err());
    eventually("the alert is counted", || !rig.stats.snapshot().is_empty()).await;
    let snapshot = rig.stats.snapshot();
    let [(Kind::PeerRefused(alert), 1)] = snapshot[..] else { panic!("{snapshot:?}") };
    assert!(
        ["unknown_ca", "decrypt_error", "bad_certificate"].contains(&alert.as_str()),
        "{alert}"
    );
    let _stream = connect(listener.local_addr(), rig.client(Alpn::H2)).await.unwrap();
    assert!(timeout(PATIENCE, listener.accept()).await.unwrap().is_some());
}

/// What is sent instead of TLS, or instead of all of it.
async fn bytes_refused(bytes: &[u8], expected: Kind) {
    let rig = Rig::new();
    let listener = rig.listen(Limits::default()).await;
    let mut tcp = TcpStream::connect(listener.local_addr()).await.unwrap();
    tcp.write_all(bytes).await.unwrap();
    tcp.shutdown().await.unwrap();
    eventually("the refusal is counted", || !rig.stats.snapshot().is_empty()).await;
    assert_eq!(rig.stats.snapshot(), [(expected, 1)], "{bytes:?}");
}

#[tokio::test]
async fn plain_http_is_not_tls() {
    bytes_refused(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n", Kind::NotTls).await;
}

#[tokio::test]
async fn a_port_scan_is_a_disconnection() {
    bytes_refused(b"", Kind::Disconnected).await;
}

#[tokio::test]
async fn half_a_client_hello_and_an_end_is_a_disconnection() {
    bytes_refused(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3], Kind::Disconnected).await;
}

#[tokio::test]
async fn an_old_tls_version_is_incompatible() {
    let rig = Rig::new();
    let listener = rig.listen(Limits::default()).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    assert!(connect(listener.local_addr(), Arc::new(config)).await.is_err());
    eventually("the refusal is counted", || !rig.stats.snapshot().is_empty()).await;
    assert_eq!(rig.stats.snapshot(), [(Kind::Incompatible, 1)]);
}

#[tokio::test]
async fn the_protocol_is_the_one_agreed_on() {
    let rig = Rig::new();
    let mut listener = rig.listen(Limits::default()).await;
    for (alpn, expected) in
        [(Alpn::Both, Protocol::H2), (Alpn::H2, Protocol::H2), (Alpn::Http11, Protocol::H1)]
    {
        let stream = connect(listener.local_addr(), rig.client(alpn)).await.unwrap();
        let (_io, connection) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(connection.protocol(), expected);
        assert_eq!(connection.remote_addr(), stream.get_ref().0.local_addr().unwrap());
    }
}

/// Connects, and reads until the client has a ticket: the server's answer is behind it.
async fn ticketed(
    listener: &mut crate::listener::Listener,
    config: &Arc<ClientConfig>,
) -> Option<HandshakeKind> {
    let mut stream = connect(listener.local_addr(), Arc::clone(config)).await.unwrap();
    let (mut io, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    io.write_all(b"!").await.unwrap();
    io.flush().await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    stream.get_ref().1.handshake_kind()
}

#[tokio::test]
async fn a_ticket_from_before_a_revocation_does_not_help() {
    let rig = Rig::new();
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let mut listener = rig.listen(Limits::default()).await;
    let config = Arc::new(rig.odd_client(Some(&svid)));
    assert_eq!(ticketed(&mut listener, &config).await, Some(HandshakeKind::Full));
    // The control: with nothing revoked, the ticket is taken.
    assert_eq!(ticketed(&mut listener, &config).await, Some(HandshakeKind::Resumed));
    rig.revoke(&[&svid]);
    let mut stream = connect(listener.local_addr(), config).await.unwrap();
    assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(read, Ok(1..)), "was served");
    eventually("the refusal is counted", || !rig.stats.snapshot().is_empty()).await;
    assert_eq!(rig.stats.snapshot(), [(Kind::Revoked, 1)]);
    assert_eq!((rig.stats.completed(), listener.connections()), (2, 0));
}
