//! Over TLS the hop is itself to both sides, in the caller's protocol.

use std::sync::Arc;

use meshguard_testing::{
    Cut, DevCa, DevSvid, Fault, FaultHop, HopError, LeafSpec, Protocol, SpiffeId, Transport,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::stock::*;

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/caller");
const CALLEE: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/callee");
const HOP: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/hop");

type Chain = Vec<CertificateDer<'static>>;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn credentials(ca: &DevCa, svid: &DevSvid) -> (Arc<RootCertStore>, Chain, PrivateKeyDer<'static>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.bundle_pem().as_bytes()).unwrap()).unwrap();
    let cert = CertificateDer::from_pem_slice(svid.cert_pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
    (Arc::new(roots), vec![cert], key)
}

fn alpn(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }
}

/// A callee over TLS that tells what it sees, and the leaf that its caller showed.
async fn callee(
    ca: &DevCa,
    protocol: Protocol,
) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<Seen>, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (roots, chain, key) = credentials(ca, &ca.svid(CALLEE).unwrap());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![alpn(protocol)];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (seen_tx, seen) = mpsc::unbounded_channel();
    let tell = Tell { heads: mpsc::unbounded_channel().0, seen: seen_tx };
    let (peer_tx, peers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let leaf = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            peer_tx.send(leaf).unwrap();
            tokio::spawn(serve(tls, protocol, tell.clone()));
        }
    });
    (addr, seen, peers)
}

async fn connect(
    ca: &DevCa,
    svid: &DevSvid,
    hop: &FaultHop,
    protocol: Protocol,
) -> std::io::Result<TlsStream<TcpStream>> {
    let (roots, chain, key) = credentials(ca, svid);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![alpn(protocol)];
    let tcp = TcpStream::connect(hop.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

fn names(leaf: &[u8], id: &SpiffeId) -> bool {
    leaf.windows(id.as_str().len()).any(|w| w == id.as_str().as_bytes())
}

#[tokio::test]
async fn both_sides_meet_the_hop_in_the_protocol_the_caller_chose() {
    let ca = DevCa::new("shop.example").unwrap();
    let svid = ca.svid(CALLER).unwrap();
    for protocol in BOTH {
        let (addr, mut seen, mut peers) = callee(&ca, protocol).await;
        let hop = FaultHop::builder(addr).tls(&ca, HOP).unwrap().start().await.unwrap();
        assert_eq!(hop.id(), Some(HOP));
        let tls = connect(&ca, &svid, &hop, protocol).await.unwrap();
        assert!(names(&tls.get_ref().1.peer_certificates().unwrap()[0], HOP));
        let got = soon(call_over(tls, protocol, post(protocol, "/echo", pattern(100)))).await;
        assert_eq!(got.unwrap().body.unwrap(), pattern(100));
        assert_eq!(soon(seen.recv()).await.unwrap().body.unwrap(), pattern(100));
        let leaf = soon(peers.recv()).await.unwrap();
        assert!(names(&leaf, HOP) && !names(&leaf, CALLER));
    }
}

#[tokio::test]
async fn faults_are_the_same_under_tls() {
    let ca = DevCa::new("shop.example").unwrap();
    let svid = ca.svid(CALLER).unwrap();
    for (protocol, how) in [
        (Protocol::Http1, Cut::EndStream),
        (Protocol::Http1, Cut::CloseDelimited),
        (Protocol::Http2, Cut::EndStream),
        (Protocol::Http2, Cut::ResetNoError),
    ] {
        let (addr, _seen, _peers) = callee(&ca, protocol).await;
        let hop = FaultHop::builder(addr).tls(&ca, HOP).unwrap().start().await.unwrap();
        hop.inject_next(Fault::CutResponse { after: 50, how });
        let tls = connect(&ca, &svid, &hop, protocol).await.unwrap();
        let got = soon(call_over(tls, protocol, get(protocol, "/sized/100"))).await.unwrap();
        assert_eq!(got.body.unwrap(), pattern(50), "{protocol:?} {how:?}");
    }
}

#[tokio::test]
async fn a_caller_of_another_authority_is_not_taken() {
    let (ca, other) = (DevCa::new("shop.example").unwrap(), DevCa::new("shop.example").unwrap());
    let (addr, mut seen, _peers) = callee(&ca, Protocol::Http1).await;
    let hop = FaultHop::builder(addr).tls(&ca, HOP).unwrap().start().await.unwrap();
    let svid = other.svid(CALLER).unwrap();
    // With TLS 1.3 the caller's handshake ends before its certificate is refused.
    if let Ok(tls) = connect(&ca, &svid, &hop, Protocol::Http1).await {
        soon(call_over(tls, Protocol::Http1, get(Protocol::Http1, "/"))).await.unwrap_err();
    }
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_callee_of_another_authority_is_not_called() {
    let (ca, other) = (DevCa::new("shop.example").unwrap(), DevCa::new("shop.example").unwrap());
    let (addr, mut seen, _peers) = callee(&other, Protocol::Http2).await;
    let hop = FaultHop::builder(addr).tls(&ca, HOP).unwrap().start().await.unwrap();
    let tls = connect(&ca, &ca.svid(CALLER).unwrap(), &hop, Protocol::Http2).await.unwrap();
    let asked = get(Protocol::Http2, "/");
    let got = soon(call_over(tls, Protocol::Http2, asked)).await.unwrap();
    assert_eq!(got.status, 502);
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_hop_may_show_an_odd_certificate_but_not_nonsense() {
    let ca = DevCa::new("shop.example").unwrap();
    let addr = "127.0.0.1:9".parse().unwrap();
    let svid = ca.issue(&LeafSpec::two_ids(HOP, CALLER)).unwrap();
    let bundle_pem = ca.bundle_pem().to_owned();
    let odd = FaultHop::builder(addr).transport(Transport::Tls { svid, bundle_pem });
    assert_eq!(odd.start().await.unwrap().id(), None);
    let svid = ca.svid(HOP).unwrap();
    let bundle_pem = "-----BEGIN CERTIFICATE-----\n!".to_owned();
    let bad = FaultHop::builder(addr).transport(Transport::Tls { svid, bundle_pem });
    assert!(matches!(bad.start().await, Err(HopError::Pem(_))));
}
