//! A rustls connection without a socket.

use std::io::{Read, Write};

use meshguard_core::Peer;
use rustls::{ClientConnection, ConnectionCommon, ServerConnection, SideData};
use rustls_pki_types::CertificateDer;

use crate::tls::{HandshakeErrorKind, TlsContext, classify};

/// Records of one body, at most: the longest flight of a handshake has fewer than ten.
const MAX_RECORDS: usize = 32;
/// Bytes of a record before its payload: its type, version and length.
const HEADER: usize = 5;

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

/// Takes a body record by record. Each takes the connection one step on, or ends the handshake.
fn feed<D: SideData>(
    tls: &mut ConnectionCommon<D>,
    body: &[u8],
) -> Result<Vec<u8>, HandshakeErrorKind> {
    let mut data = Vec::new();
    let mut rest = body;
    for _ in 0..MAX_RECORDS {
        if rest.is_empty() {
            return Ok(data);
        }
        let record;
        (record, rest) = split_record(rest)?;
        let said = feed_record(tls, record)?;
        // Application data, once it begins, is all that is left to say.
        if said.is_empty() && !data.is_empty() {
            return Err(HandshakeErrorKind::ProtocolViolation);
        }
        data.extend(said);
    }
    if rest.is_empty() { Ok(data) } else { Err(HandshakeErrorKind::ProtocolViolation) }
}

/// The first record of a body, and what follows it (RFC 8446 §5.1). A body ends with a record.
fn split_record(body: &[u8]) -> Result<(&[u8], &[u8]), HandshakeErrorKind> {
    let length = match body {
        [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(HandshakeErrorKind::NotTls),
    };
    body.split_at_checked(HEADER + length).ok_or(HandshakeErrorKind::NotTls)
}

fn feed_record<D: SideData>(
    tls: &mut ConnectionCommon<D>,
    mut record: &[u8],
) -> Result<Vec<u8>, HandshakeErrorKind> {
    while !record.is_empty() {
        // Of a connection that its far side has closed, rustls reads nothing any more.
        if tls.read_tls(&mut record).map_err(|_| HandshakeErrorKind::NotTls)? == 0 {
            return Err(HandshakeErrorKind::ProtocolViolation);
        }
    }
    let state = tls.process_new_packets().map_err(|e| classify(&e))?;
    if state.peer_has_closed() {
        return Err(HandshakeErrorKind::Disconnected);
    }
    let mut data = vec![0; state.plaintext_bytes_to_read()];
    tls.reader().read_exact(&mut data).map_err(|_| HandshakeErrorKind::Disconnected)?;
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

#[cfg(test)]
mod tests;
