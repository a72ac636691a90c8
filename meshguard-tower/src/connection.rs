//! The connection that a request came over.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use meshguard_core::Peer;
use meshguard_core::baseline::EdgeKey;
use tokio_util::sync::CancellationToken;

use crate::observe::{Edges, Tally};

/// The live connection that a request came over: in every request's extensions. Cloning is cheap.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    id: u64,
    peer: Peer,
    ends: Ends,
    protocol: Protocol,
    end: CancellationToken,
    /// Where its peer is measured, as a caller and as a hop: looked up with the first call.
    caller: OnceLock<Arc<Tally>>,
    hop: OnceLock<Arc<Tally>>,
}

/// What a connection goes from and to.
pub(crate) struct Ends {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Which server its handshake asked for (RFC 6066 §3).
    pub(crate) server_name: Option<Box<str>>,
}

/// The HTTP version of a connection, as agreed by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        peer: Peer,
        ends: Ends,
        protocol: Protocol,
        end: CancellationToken,
    ) -> Self {
        let (caller, hop) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { id, peer, ends, protocol, end, caller, hop }))
    }

    /// Who the other end of this connection is: the caller itself, or the last hop before us.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The other end's address.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.ends.remote
    }

    /// The address of this end: which of a service's ports was called.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.ends.local
    }

    /// The server name that the handshake asked for (RFC 6066 §3), where it asked for one.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.0.ends.server_name.as_deref()
    }

    /// The HTTP version.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// A number that no other connection of this process's listeners has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Where its peer is measured as a caller of its own.
    pub(crate) fn caller(&self, edges: &Edges) -> &Arc<Tally> {
        let key = || EdgeKey::Caller(self.peer().id().clone());
        self.0.caller.get_or_init(|| edges.get(&key()))
    }

    /// Where its peer is measured as a hop that carries others' calls.
    pub(crate) fn hop(&self, edges: &Edges) -> &Arc<Tally> {
        let key = || EdgeKey::HopIn(self.peer().id().clone());
        self.0.hop.get_or_init(|| edges.get(&key()))
    }

    /// Ends the connection now, with every stream on it; answers under way are cut off.
    pub fn close(&self) {
        self.0.end.cancel();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.0.id)
            .field("peer", self.0.peer.id())
            .field("remote_addr", &self.0.ends.remote)
            .field("protocol", &self.0.protocol)
            .finish_non_exhaustive()
    }
}
