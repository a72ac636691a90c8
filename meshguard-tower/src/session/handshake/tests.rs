use rustls_pki_types::ServerName;

use super::*;
use crate::rig::{CHECKOUT, ORDERS, Rig, credentials};

/// An unencrypted alert: the far side closes (RFC 8446 §6.1).
const CLOSE: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];
/// Means nothing in TLS 1.3 (RFC 8446 §5), and is skipped during a handshake.
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

fn pair() -> (ClientConnection, ServerConnection) {
    let rig = Rig::new();
    let svid = rig.ca.svid(CHECKOUT).unwrap();
    let caller = TlsContext::new(credentials(&rig.ca, &svid, None)).unwrap();
    let name = ServerName::try_from("meshguard.invalid").unwrap();
    let client = ClientConnection::new(caller.inner_client(ORDERS), name).unwrap();
    (client, ServerConnection::new(rig.tls.inner_server()).unwrap())
}

/// After both flights; the client's last body is still to be read.
fn finishing() -> (ClientConnection, ServerConnection, Vec<u8>) {
    let (mut client, mut server) = pair();
    server.feed(&client.drain()).unwrap();
    client.feed(&server.drain()).unwrap();
    let last = client.drain();
    assert!(!client.is_handshaking() && server.is_handshaking());
    (client, server, last)
}

/// More than rustls reads at a time.
fn much() -> Vec<u8> {
    [&[23, 3, 3, 0x20, 0][..], &[7; 0x2000]].concat()
}

#[test]
fn bytes_behind_a_close_end_a_handshake_on_either_side() {
    let (mut client, mut server, mut body) = finishing();
    client.send_close_notify();
    body.extend(client.drain());
    body.extend(much());
    assert_eq!(server.feed(&body), Err(HandshakeErrorKind::Disconnected));
    // Nor does anything go on that comes later.
    assert_eq!(server.feed(&much()), Err(HandshakeErrorKind::ProtocolViolation));

    let (mut client, mut server, body) = finishing();
    server.feed(&body).unwrap();
    server.send_close_notify();
    let body = [server.drain(), much()].concat();
    assert_eq!(client.feed(&body), Err(HandshakeErrorKind::Disconnected));
    assert_eq!(client.feed(&much()), Err(HandshakeErrorKind::ProtocolViolation));
}

/// It is anybody's word then (RFC 8446 §6.1 has it authenticated).
#[test]
fn a_close_before_the_keys_opens_nothing() {
    for times in [1, MAX_RECORDS] {
        let (mut client, mut server) = pair();
        let body = [CLOSE.repeat(times), client.drain()].concat();
        let fed = server.feed(&body);
        assert!(fed.is_err() || server.is_handshaking(), "{times}: {fed:?}");
    }
}

#[test]
fn a_close_behind_the_handshake_or_the_settings_is_refused() {
    for said in [&b""[..], b"settings"] {
        let (mut client, mut server, mut body) = finishing();
        client.say(said).unwrap();
        client.send_close_notify();
        body.extend(client.drain());
        assert_eq!(server.feed(&body), Err(HandshakeErrorKind::Disconnected), "{said:?}");
    }
}

#[test]
fn application_data_is_the_end_of_a_body() {
    let (mut client, mut server, mut body) = finishing();
    client.say(b"settings").unwrap();
    body.extend(client.drain());
    client.refresh_traffic_keys().unwrap();
    body.extend(client.drain());
    assert_eq!(server.feed(&body), Err(HandshakeErrorKind::ProtocolViolation));

    // The control: in two records, with nothing behind them.
    let (mut client, mut server, mut body) = finishing();
    client.say(b"sett").unwrap();
    body.extend(client.drain());
    client.say(b"ings").unwrap();
    body.extend(client.drain());
    assert_eq!(server.feed(&body).unwrap(), b"settings");
}

#[test]
fn a_body_is_whole_records() {
    let hello = pair().0.drain();
    for length in 1..hello.len() {
        let (_, mut server) = pair();
        assert_eq!(server.feed(&hello[..length]), Err(HandshakeErrorKind::NotTls), "{length}");
    }
    for more in [&[22][..], &[22, 3, 3, 0, 1], &[0; 4]] {
        let (mut client, mut server) = pair();
        let body = [&client.drain()[..], more].concat();
        assert_eq!(server.feed(&body), Err(HandshakeErrorKind::NotTls), "{more:?}");
    }
}

#[test]
fn a_body_has_a_bounded_number_of_records() {
    // Far fewer of them are skipped by rustls itself.
    let (mut client, mut server) = pair();
    let body = [client.drain(), CHANGE_CIPHER_SPEC.repeat(MAX_RECORDS)].concat();
    assert_eq!(server.feed(&body), Err(HandshakeErrorKind::ProtocolViolation));

    let (mut client, mut server, mut body) = finishing();
    for _ in 0..MAX_RECORDS {
        client.say(b"a").unwrap();
        body.extend(client.drain());
    }
    assert_eq!(server.feed(&body), Err(HandshakeErrorKind::ProtocolViolation));
}
