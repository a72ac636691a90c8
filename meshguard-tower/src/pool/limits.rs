//! What one pool allows itself, each number with its reason.

use std::time::Duration;

/// Time to look the host up and to connect to one of its addresses, all together.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the TLS handshake and the HTTP preface; as long as our own listener grants.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP/1.1 connections kept for later. Each is a socket and about 40 KB of buffers.
pub(crate) const MAX_IDLE_H1: usize = 32;

/// HTTP/1.1 connections that carry a request. A callee that is so slow that more are wanted is not
/// helped by more: further requests wait, in order.
pub(crate) const MAX_H1: usize = 256;

/// HTTP/1.1 connections that are being made at a time. The mesh's own listeners take
/// [`MAX_PENDING_PER_SOURCE`] handshakes of one address: four channels of one host fit.
///
/// [`MAX_PENDING_PER_SOURCE`]: crate::limits::MAX_PENDING_PER_SOURCE
pub(crate) const MAX_DIALS: usize = 32;

/// Time that an HTTP/1.1 connection is kept without a request: less than [`HEAD_TIMEOUT`], after
/// which the mesh's own listeners close it, so that no request meets a closing connection.
///
/// [`HEAD_TIMEOUT`]: crate::limits::HEAD_TIMEOUT
pub(crate) const IDLE: Duration = Duration::from_secs(8);

/// Time between HTTP/2 PINGs; they find a dead path before a call does.
pub(crate) const H2_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Time for the answer to such a PING.
pub(crate) const H2_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of a host that are tried, in the resolver's order; a share of the time for each.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Bytes that a callee may send on one HTTP/2 stream before we have read them, as hyper's client
/// and tonic have it: 160 MB/s at a round trip of 12 ms.
pub(crate) const H2_STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// The same for all streams of a connection: what one callee can make us hold. Eight streams that
/// nobody reads stop the others; of hyper's client and of tonic (5 MiB), less than three do. So the
/// bytes that records add count for nothing.
pub(crate) const H2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Bytes of a response's head and of its trailers. What servers send by default is 8 to 64 KiB.
pub(crate) const MAX_HEAD: u32 = 32 * 1024;

/// Time for an HTTP/1.1 connection whose response is read to become ready again. Its task only
/// needs to be run, unless the request's body is still on its way.
pub(crate) const SETTLE: Duration = Duration::from_millis(10);

/// Time for a connection that nobody uses any more to say goodbye; then it is cut.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The limits of one pool; the default has this module's constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolLimits {
    /// See [`CONNECT_TIMEOUT`].
    pub(crate) connect_timeout: Duration,
    /// See [`HANDSHAKE_TIMEOUT`].
    pub(crate) handshake_timeout: Duration,
    /// See [`MAX_IDLE_H1`].
    pub(crate) max_idle_h1: usize,
    /// See [`MAX_H1`].
    pub(crate) max_h1: usize,
    /// See [`MAX_DIALS`].
    pub(crate) max_dials: usize,
    /// See [`IDLE`].
    pub(crate) idle: Duration,
    /// See [`H2_KEEP_ALIVE_INTERVAL`].
    pub(crate) h2_keep_alive_interval: Duration,
    /// See [`H2_KEEP_ALIVE_TIMEOUT`].
    pub(crate) h2_keep_alive_timeout: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            max_idle_h1: MAX_IDLE_H1,
            max_h1: MAX_H1,
            max_dials: MAX_DIALS,
            idle: IDLE,
            h2_keep_alive_interval: H2_KEEP_ALIVE_INTERVAL,
            h2_keep_alive_timeout: H2_KEEP_ALIVE_TIMEOUT,
        }
    }
}
