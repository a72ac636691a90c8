//! A rustls connection without a socket.

use std::io::{Read, Write};

use meshguard_core::Peer;
use rustls::{ClientConnection, ConnectionCommon, ServerConnection, SideData};
use rustls_pki_types::CertificateDer;

use super::MAX_HANDSHAKE;
use crate::tls::{HandshakeErrorKind, TlsContext, classify};

/// A certificate chain, leaf first.
pub(super) type Chain = Vec<CertificateDer<'static>>;

/// Either side's connection, driven by the bytes of HTTP bodies.
pub(super) trait InMemory {
    /// Takes what the far side wrote; returns the application data in it.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, HandshakeErrorKind>;

    /// What there is to write for the far side.
    fn drain(&mut self) -> Vec<u8>;

    /// Queues application data.
    fn say(&mut self, data: &[u8]) -> Result<(), HandshakeErrorKind>;

    /// Who the far end is, once the handshake is complete, and its chain.
    fn complete(&self, tls: &TlsContext) -> Result<(Peer, Chain), HandshakeErrorKind>;
}

macro_rules! in_memory {
    ($connection:ty) => {
        impl InMemory for $connection {
            fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, HandshakeErrorKind> {
                feed(self, bytes)
            }

            fn drain(&mut self) -> Vec<u8> {
                drain(self)
            }

            fn say(&mut self, data: &[u8]) -> Result<(), HandshakeErrorKind> {
                self.writer().write_all(data).map_err(|_| HandshakeErrorKind::Disconnected)
            }

            fn complete(&self, tls: &TlsContext) -> Result<(Peer, Chain), HandshakeErrorKind> {
                complete(self, tls)
            }
        }
    };
}

in_memory!(ClientConnection);
in_memory!(ServerConnection);

fn feed<D: SideData>(
    tls: &mut ConnectionCommon<D>,
    mut bytes: &[u8],
) -> Result<Vec<u8>, HandshakeErrorKind> {
    let mut data = Vec::new();
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes).map_err(|_| HandshakeErrorKind::NotTls)?;
        let state = tls.process_new_packets().map_err(|e| classify(&e))?;
        let mut chunk = vec![0; state.plaintext_bytes_to_read().min(MAX_HANDSHAKE)];
        tls.reader().read_exact(&mut chunk).map_err(|_| HandshakeErrorKind::Disconnected)?;
        data.append(&mut chunk);
    }
    Ok(data)
}

fn drain<D: SideData>(tls: &mut ConnectionCommon<D>) -> Vec<u8> {
    let mut out = Vec::new();
    while tls.wants_write() {
        // Writing to a vector does not fail.
        if tls.write_tls(&mut out).is_err() {
            break;
        }
    }
    out
}

fn complete<D: SideData>(
    connection: &ConnectionCommon<D>,
    tls: &TlsContext,
) -> Result<(Peer, Chain), HandshakeErrorKind> {
    if connection.is_handshaking() {
        return Err(HandshakeErrorKind::Disconnected);
    }
    let peer = tls.inner_peer(connection)?;
    let chain = connection.peer_certificates().unwrap_or_default();
    Ok((peer, chain.iter().map(|c| c.clone().into_owned()).collect()))
}
