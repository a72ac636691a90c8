//! A session's handshake in the hands of a peer whom policy allows nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshguard_axum::SpiffeId;
use meshguard_axum::tls::Alpn;
use meshguard_testing::DevCa;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::runtime::Builder;

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, soon};

const SESSION: &str = "meshguard-session";
/// How many such requests: more than the callee's runtime has threads.
const REQUESTS: usize = 8;

/// What [`HOP`], which policy allows nothing here, connects with.
fn config(ca: &DevCa, alpn: &[u8]) -> ClientConfig {
    config_of(ca, &HOP, alpn)
}

/// What `id` connects with.
pub fn config_of(ca: &DevCa, id: &SpiffeId, alpn: &[u8]) -> ClientConfig {
    let svid = ca.svid(id).unwrap();
    let chain = CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes());
    let chain = chain.map(Result::unwrap).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.bundle_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            chain,
            PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

fn drained(tls: &mut ClientConnection) -> Vec<u8> {
    let mut out = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut out).unwrap();
    }
    out
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn post(sender: &Sender, sid: Option<HeaderValue>, body: Vec<u8>) -> Response<Incoming> {
    let mut request = Request::post("https://localhost/.well-known/meshguard/session")
        .header("content-type", "application/vnd.meshguard.handshake")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    if let Some(sid) = sid {
        request.headers_mut().insert(SESSION, sid);
    }
    let mut sender = sender.clone();
    soon(sender.ready()).await.unwrap();
    soon(sender.send_request(request)).await.unwrap()
}

/// Completes a handshake, closes it, and goes on for a while.
async fn closes_and_goes_on(sender: Sender, ca: DevCa) -> StatusCode {
    let name = ServerName::try_from("localhost").unwrap();
    let inner = config(&ca, b"meshguard/1");
    let mut tls = ClientConnection::new(Arc::new(inner), name).unwrap();
    let answer = post(&sender, None, drained(&mut tls)).await;
    let sid = answer.headers()[SESSION].clone();
    let flight = answer.into_body().collect().await.unwrap().to_bytes();
    let mut flight = &flight[..];
    while !flight.is_empty() {
        tls.read_tls(&mut flight).unwrap();
        tls.process_new_packets().unwrap();
    }
    let mut last = drained(&mut tls);
    tls.send_close_notify();
    last.extend(drained(&mut tls));
    last.extend([&[23, 3, 3, 0x20, 0][..], &[7; 0x2000]].concat());
    post(&sender, Some(sid), last).await.status()
}

/// The callee has a runtime of its own with two threads, as a small service has.
#[test]
fn bytes_behind_a_close_hold_up_nobody() {
    let (app, told) = (App::default(), Told::default());
    let callee = rig::mesh(CALLEE, &rig::policy(""), &told);
    let victim = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let addr = victim.block_on(rig::serve(&callee, &app));
    let others = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    others.block_on(async {
        let ca = rig::ca();
        let tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config(&ca, b"h2")));
        let tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
                .await
                .unwrap();
        tokio::spawn(connection);
        let posting = (0..REQUESTS).map(|_| closes_and_goes_on(sender.clone(), ca.clone()));
        let statuses = futures_util::future::join_all(posting).await;
        assert_eq!(statuses, [StatusCode::FORBIDDEN; REQUESTS]);
        // Beside it honest calls go on.
        let caller = rig::mesh(CALLER, &rig::policy(""), &Told::default());
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        let channel = channel.protocols(Alpn::H2);
        let answer = rig::http::call(&channel, rig::http::get("/known/10"));
        assert_eq!(soon(answer).await.answer().1.len(), 10);
    });
    // A thread that never comes back would not let it end.
    victim.shutdown_background();
    assert_eq!(callee.sessions_open(), 1);
}
