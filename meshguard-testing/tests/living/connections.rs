//! Connections whose peers may do nothing any more.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use bytes::Bytes;
use meshguard_axum::rejudge::Cause;
use meshguard_axum::tls::Alpn;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::rig::{self, CALLER, http, soon};
use crate::world::{AT_MOST, NO_STREAMS, NOTHING, Open, World};

/// An HTTP/2 connection of the caller's own, on which nothing happens; awaiting the result is
/// awaiting its end.
async fn idle(world: &World) -> tokio::task::JoinHandle<Instant> {
    let ca = rig::ca();
    let svid = ca.svid(&CALLER).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.bundle_pem().as_bytes()).unwrap()).unwrap();
    let chain = CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.collect(), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(world.addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let (sender, connection) = h2::client::handshake(tls).await.unwrap();
    let mut sender: h2::client::SendRequest<Bytes> = sender.ready().await.unwrap();
    let running = tokio::spawn(async move {
        let _ = connection.await;
        Instant::now()
    });
    // One exchange, so that the callee has it among its live ones.
    let request = axum::http::Request::get(format!("https://{}/known/10", world.addr));
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    soon(answer).await.unwrap();
    // It stays open although nobody can ask on it any more.
    tokio::spawn(async move {
        let _sender = sender;
        std::future::pending::<()>().await;
    });
    running
}

#[tokio::test]
async fn an_open_connection_is_closed_within_100_ms_of_a_swap_that_denies_it_all() {
    let mut world = World::new().await;
    let running = idle(&world).await;
    let swapped = Instant::now();
    world.swap(2, NOTHING);
    let ended = soon(running).await.unwrap();
    let done = world.done(1).await;
    assert_eq!((done.cause, done.connections, done.streams), (Cause::Policy, 1, 0));
    assert!(done.delay <= AT_MOST, "{done:?}");
    assert!(ended - swapped <= 10 * AT_MOST, "the peer learnt it after {:?}", ended - swapped);
}

#[tokio::test]
async fn a_connection_whose_peer_may_still_do_something_stays() {
    let mut world = World::new().await;
    let running = idle(&world).await;
    world.swap(2, NO_STREAMS);
    assert_eq!(world.done(1).await.connections, 0);
    assert!(!running.is_finished());
    world.swap(3, NOTHING);
    assert_eq!(world.done(2).await.connections, 1);
    soon(running).await.unwrap();
}

/// Its streams fail with what ended them, and not with the connection's end.
#[tokio::test]
async fn a_connection_is_closed_behind_its_streams() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let mut world = World::new().await;
        let channel = world.direct().protocols(alpn);
        assert_eq!(http::call(&channel, http::get("/known/10")).await.answer().0, StatusCode::OK);
        let open = match alpn {
            Alpn::H2 => Some(Open::new(&channel, &world.app).await),
            _ => None,
        };
        world.swap(2, NOTHING);
        let done = world.done(1).await;
        assert_eq!((done.connections, done.streams), (1, u64::from(open.is_some())));
        assert!(done.delay <= AT_MOST, "{done:?}");
        if let Some(open) = open {
            let ((_, end), _) = open.ended().await;
            let text = format!("{:?}", end.unwrap_err());
            assert!(text.contains("PermissionDenied"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_hops_connection_stays_for_those_that_it_carries() {
    let mut world = World::new().await;
    let channel = world.through_hop();
    let open = Open::new(&channel, &world.app).await;
    world.swap(2, NOTHING);
    let done = world.done(1).await;
    assert_eq!((done.streams, done.connections), (1, 0));
    assert!(open.ended().await.0.1.is_err());
    world.swap(3, "");
    assert_eq!(http::call(&channel, http::get("/known/10")).await.answer().0, StatusCode::OK);
}
