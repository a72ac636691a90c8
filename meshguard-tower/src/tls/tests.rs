mod domains;
mod lists;
mod own;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConnection, DigitallySignedStruct, HandshakeKind, ServerConnection, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};

use super::*;
use crate::dev::{DevCa, DevSvid, KeyUse, LeafSpec};
use crate::rig::{CHECKOUT, ORDERS, credentials};

struct Pair {
    client: TlsContext,
    server: TlsContext,
}

fn pair() -> Pair {
    let ca = DevCa::new("shop.example").unwrap();
    let context = |id| TlsContext::new(credentials(&ca, &ca.svid(id).unwrap(), None)).unwrap();
    Pair { client: context(CHECKOUT), server: context(ORDERS) }
}

/// A handshake in memory, to its end or the first error of either side.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), (&'static str, rustls::Error)> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..8 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(|e| ("server", e))?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|e| ("client", e))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn an_inner_handshake_is_never_resumed() {
    let Pair { client, server } = pair();
    let (config, serving) = (client.inner_client(ORDERS), server.inner_server());
    for _ in 0..2 {
        let (c, s) = handshake(Arc::clone(&config), Arc::clone(&serving)).unwrap();
        assert_eq!(c.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(s.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(c.tls13_tickets_received(), 0);
        assert_eq!(client.inner_peer(&c).unwrap().id(), ORDERS);
        assert_eq!(server.inner_peer(&s).unwrap().id(), CHECKOUT);
    }
}

/// The control to the test above: the same two handshakes, outer, are resumed.
#[test]
fn an_outer_handshake_is_resumed_through_a_rotation() {
    let ca = DevCa::new("shop.example").unwrap();
    let context = |id| TlsContext::new(credentials(&ca, &ca.svid(id).unwrap(), None)).unwrap();
    let (client, server) = (context(CHECKOUT), context(ORDERS));
    let config = client.outer_client(ORDERS, Alpn::Both);
    let (c, _) = handshake(Arc::clone(&config), server.outer_server(Alpn::Both)).unwrap();
    assert_eq!(c.handshake_kind(), Some(HandshakeKind::Full));
    assert!(c.tls13_tickets_received() > 0);
    server.replace(credentials(&ca, &ca.svid(ORDERS).unwrap(), None)).unwrap();
    assert_eq!(server.generation(), 2);
    let (c, s) = handshake(config, server.outer_server(Alpn::Both)).unwrap();
    assert_eq!(c.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(client.outer_peer(&c, ORDERS).unwrap().id(), ORDERS);
    let chain = s.peer_certificates().unwrap();
    assert_eq!(server.verify_peer(chain, reached()).unwrap().id(), CHECKOUT);
}

#[test]
fn an_outer_ticket_is_worth_nothing_to_an_inner_server() {
    let Pair { client, server } = pair();
    let mut config = (*client.outer_client(ORDERS, Alpn::H2)).clone();
    handshake(Arc::new(config.clone()), server.outer_server(Alpn::H2)).unwrap();
    config.alpn_protocols = vec![b"meshguard/1".to_vec()]; // its tickets are still there
    let (c, _) = handshake(Arc::new(config), server.inner_server()).unwrap();
    assert_eq!(c.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn a_resumed_server_that_was_revoked_since_is_refused_by_the_client() {
    let ca = DevCa::new("shop.example").unwrap();
    let (own, orders) = (ca.svid(CHECKOUT).unwrap(), ca.svid(ORDERS).unwrap());
    let client = TlsContext::new(credentials(&ca, &own, None)).unwrap();
    let server = TlsContext::new(credentials(&ca, &orders, None)).unwrap();
    let config = client.outer_client(ORDERS, Alpn::H2);
    handshake(Arc::clone(&config), server.outer_server(Alpn::H2)).unwrap();
    let crl = ca.crl_pem(&[&orders]).unwrap();
    client.replace(credentials(&ca, &own, Some(&crl))).unwrap();
    let (c, _) = handshake(config, server.outer_server(Alpn::H2)).unwrap();
    assert_eq!(c.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(client.outer_peer(&c, ORDERS), Err(HandshakeErrorKind::Revoked));
    let fresh = handshake(client.outer_client(ORDERS, Alpn::H2), server.outer_server(Alpn::H2));
    let (side, error) = fresh.err().unwrap();
    assert_eq!((side, classify(&error)), ("client", HandshakeErrorKind::Revoked));
}

#[test]
fn a_client_refuses_another_workload_than_the_one_it_called() {
    let Pair { client, server } = pair();
    let other = SpiffeId::from_static("spiffe://shop.example/billing");
    for (config, serving) in [
        (client.outer_client(&other, Alpn::H2), server.outer_server(Alpn::H2)),
        (client.inner_client(&other), server.inner_server()),
    ] {
        let (side, error) = handshake(config, serving).err().unwrap();
        assert_eq!((side, classify(&error)), ("client", HandshakeErrorKind::WrongPeer));
    }
}

#[test]
fn an_inner_peer_without_our_protocol_is_refused() {
    let Pair { client, server } = pair();
    let mut config = (*client.inner_client(ORDERS)).clone();
    config.alpn_protocols.clear();
    let (_, s) = handshake(Arc::new(config), server.inner_server()).unwrap();
    assert_eq!(server.inner_peer(&s), Err(HandshakeErrorKind::NoAlpn));
    let (side, error) =
        handshake(client.outer_client(ORDERS, Alpn::H2), server.inner_server()).err().unwrap();
    assert_eq!((side, classify(&error)), ("server", HandshakeErrorKind::NoAlpn));
}

#[test]
fn the_post_quantum_key_exchange_is_preferred() {
    let Pair { client, server } = pair();
    let (c, _) = handshake(client.inner_client(ORDERS), server.inner_server()).unwrap();
    let group = c.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(c.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn credentials_of_another_workload_do_not_replace_those_in_use() {
    let ca = DevCa::new("shop.example").unwrap();
    let tls = TlsContext::new(credentials(&ca, &ca.svid(ORDERS).unwrap(), None)).unwrap();
    let other = credentials(&ca, &ca.svid(CHECKOUT).unwrap(), None);
    let error = tls.replace(other).unwrap_err();
    assert!(matches!(error.fault(), CredentialsFault::OtherIdentity { .. }), "{error}");
    assert_eq!((tls.generation(), tls.id()), (1, ORDERS.clone()));
}

#[test]
fn each_fault_of_credentials_is_told_apart() {
    let ca = DevCa::new("shop.example").unwrap();
    let (good, other) = (ca.svid(ORDERS).unwrap(), ca.svid(CHECKOUT).unwrap());
    let parse = |cert: &str, key: &str, bundle: &str, crl: Option<&str>| {
        let crl = crl.map(str::as_bytes);
        Credentials::from_pem(cert.as_bytes(), key.as_bytes(), bundle.as_bytes(), crl)
            .err()
            .map(|e| (e.input(), format!("{:?}", e.fault())))
    };
    let (cert, key, bundle) = (good.cert_pem(), good.key_pem(), ca.bundle_pem());
    assert_eq!(parse(cert, key, bundle, None), None);
    let issue = |spec: LeafSpec| -> DevSvid { ca.issue(&spec).unwrap() };
    let (two, none) = (issue(LeafSpec::two_ids(ORDERS, CHECKOUT)), issue(LeafSpec::without_id()));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let not_a_crl = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let cases = [
        (parse("", key, bundle, None), Source::Svid, "Empty"),
        (parse(broken, key, bundle, None), Source::Svid, "Pem"),
        (parse(two.cert_pem(), key, bundle, None), Source::Svid, "NotAnSvid(ManyUriSans)"),
        (parse(none.cert_pem(), key, bundle, None), Source::Svid, "NotAnSvid(NoSpiffeId)"),
        (parse(cert, "", bundle, None), Source::Key, "Empty"),
        (parse(cert, other.key_pem(), bundle, None), Source::Key, "KeyMismatch"),
        (parse(cert, key, "", None), Source::Bundle, "Empty"),
        (parse(cert, key, bundle, Some("")), Source::Crls, "Empty"),
        (parse(cert, key, bundle, Some(not_a_crl)), Source::Crls, "BadItem(0"),
    ];
    for (got, source, fault) in cases {
        let (input, text) = got.unwrap_or_else(|| panic!("accepted: {source} {fault}"));
        assert_eq!(input, source, "{text}");
        assert!(text.starts_with(fault), "{text}, not {fault}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = std::path::Path::new("/nonexistent/svid.pem");
    let error = Credentials::from_files(missing, missing, missing, None).err().unwrap();
    assert_eq!(error.path(), Some(missing));
    assert!(error.to_string().contains("/nonexistent/svid.pem"), "{error}");
}

fn ca(domain: &str) -> DevCa {
    DevCa::new(domain).unwrap()
}

fn chain(svid: &DevSvid) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(svid.cert_pem().as_bytes()).map(Result::unwrap).collect()
}

/// What one side of a handshake says of the other.
type Verdict = Result<(), HandshakeErrorKind>;

/// Has a client show `svid` to a server, and a server show it to a client, in handshakes of
/// connections and of sessions; what each says. `own` is the credentials of the side that judges.
fn shown(svid: &DevSvid, own: &Credentials) -> Vec<Verdict> {
    let judge = TlsContext::new(own.clone()).unwrap();
    let id = svid.id().unwrap();
    let mut verdicts = Vec::new();
    for (alpn, server, client) in [
        ("h2", judge.outer_server(Alpn::H2), judge.outer_client(id, Alpn::H2)),
        ("meshguard/1", judge.inner_server(), judge.inner_client(id)),
    ] {
        verdicts.push(verdict("server", handshake(odd_client(svid, alpn), server)));
        verdicts.push(verdict("client", handshake(client, odd_server(svid, alpn))));
    }
    verdicts
}

fn verdict<T>(side: &str, got: Result<T, (&'static str, rustls::Error)>) -> Verdict {
    match got {
        Ok(_) => Ok(()),
        Err((by, error)) => {
            assert_eq!(by, side, "{error}");
            Err(classify(&error))
        }
    }
}

/// Made with rustls alone: shows `svid`, and believes everybody.
fn odd_client(svid: &DevSvid, alpn: &str) -> Arc<ClientConfig> {
    let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider())))
        .with_client_auth_cert(chain(svid), key)
        .unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    Arc::new(config)
}

/// As [`odd_client`], a server.
fn odd_server(svid: &DevSvid, alpn: &str) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(svid.key_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain(svid), key)
        .unwrap();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody(rustls::crypto::CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
