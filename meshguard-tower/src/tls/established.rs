//! What a complete handshake says, once rustls has let it through.

use meshguard_core::{Peer, SpiffeId};
use rustls::{CommonState, HandshakeKind};

use super::config::INNER_ALPN;
use super::{HandshakeErrorKind, TlsContext, peer_of};
use crate::clock::reached;

impl TlsContext {
    /// The server of a connection made with [`TlsContext::outer_client`]. Where the handshake was
    /// resumed, its chain is verified again: rustls runs no verifier then.
    pub(crate) fn outer_peer(
        &self,
        connection: &CommonState,
        expect: &SpiffeId,
    ) -> Result<Peer, HandshakeErrorKind> {
        let chain = connection.peer_certificates().unwrap_or_default();
        let peer = if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.verify_peer(chain, reached())?
        } else {
            peer_of(chain.first().ok_or(HandshakeErrorKind::NoCertificate)?)?
        };
        if peer.id() != expect {
            return Err(HandshakeErrorKind::WrongPeer);
        }
        Ok(peer)
    }

    /// The far end of a complete inner handshake, either side. rustls lets a far end pass that
    /// offers no application protocol at all; here `meshguard/1` must have been agreed.
    pub(crate) fn inner_peer(&self, connection: &CommonState) -> Result<Peer, HandshakeErrorKind> {
        if connection.alpn_protocol() != Some(INNER_ALPN) {
            return Err(HandshakeErrorKind::NoAlpn);
        }
        let chain = connection.peer_certificates().unwrap_or_default();
        // The handshake verified it; but perhaps by credentials that were replaced meanwhile.
        self.verify_peer(chain, reached())
    }
}
