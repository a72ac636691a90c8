//! What one listener grants its peers, each number with its reason.

use std::time::Duration;

use meshguard_core::delivery::{OVERHEAD, RECORD};

/// Handshakes under way at once. Each holds about 20 KB and half a millisecond of CPU, so this
/// many are 10 MB and clear within a second on one core.
pub const MAX_PENDING_HANDSHAKES: usize = 512;

/// Handshakes under way at once from one source, an IPv4 address or an IPv6 /64: as many as there
/// are places. One more takes the place of the oldest one: of its own source at this bound, of the
/// network with most places (IPv6: /48) where all are taken.
pub const MAX_PENDING_PER_SOURCE: usize = MAX_PENDING_HANDSHAKES;

/// Connections at once whose first byte has not come. Each is a socket and a task, some 2 KB.
pub const MAX_SILENT: usize = 4096;

/// Time for one handshake, from accept to the last flight. Two round trips and two signatures
/// take well under a second on any network a mesh spans.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Live connections of a listener. An HTTP/2 connection with its buffers and one stream is about
/// 100 KB, so this many are 1 GB at worst.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Per cent of the live connections that a hop keeps however many others come: it carries the
/// calls of many.
pub const HOP_PERCENT: u8 = 50;

/// Time for a request's head over HTTP/1.1, counted from the end of the exchange before it: so
/// also how long such a connection may rest. Over HTTP/2, time for the connection preface.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head. What proxies allow by default is 8 to 64 KiB.
pub const MAX_HEAD: u32 = 32 * 1024;

/// Header fields of an HTTP/1.1 head: the 100 that hyper takes by default are the application's, the
/// others the protocol's own and what belongs to the connection.
pub(crate) const MAX_FIELDS: usize = 100 + 16;

/// Time without a byte either way after which a connection is closed. Longer than a keep-alive
/// interval, so it ends HTTP/2 connections only where those are off.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Time between HTTP/2 PINGs on a silent connection. A peer that sends part of a frame and then
/// trickles it cannot answer in the middle of the frame.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Time for the answer to such a PING.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/2 streams of a connection at once. RFC 9113, section 6.5.2 wants no fewer than 100; twice
/// that and more lets one channel carry a busy service, and bounds what one peer starts.
pub const MAX_CONCURRENT_STREAMS: u32 = 256;

/// Bytes of an HTTP/2 DATA frame that we take (RFC 9113, section 6.5.2): one record of the usual
/// size. In a frame of its own, it is read where it lies.
pub(crate) const MAX_FRAME: u32 = (RECORD + OVERHEAD) as u32;

/// Bytes of answers that an HTTP/2 stream takes before its peer has room for them, at most. With
/// all streams of a connection full these are 16 MiB; hyper's default of 400 KiB makes it 100 MiB.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// Streams of one peer whose bytes have waited a second for its window, at once, at most: with their
/// send buffers they are 64 MiB. One more ends the one that has waited longest. Of a hop, which
/// carries the streams of many, four times as many.
pub const MAX_STALLED_PER_PEER: usize = 1024;

/// Such streams of all peers: 512 MiB. One more ends the one that has waited longest, of the peer
/// that has most.
pub const MAX_STALLED: usize = 8192;

/// Where half of a peer's share of these or half of all are taken, a stream is ended whose
/// bytes have waited so long. Where there is room, a peer may read as slowly as it likes, and a
/// stream that has no bytes to send may rest for ever.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The limits of one listener; [`Limits::default`] has this module's constants.
///
/// A count of 0 is taken as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) silent: usize,
    hop_percent: u8,
    pub(crate) pending_handshakes: usize,
    pub(crate) pending_per_source: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) head_bytes: u32,
    pub(crate) idle_timeout: Duration,
    pub(crate) keep_alive_interval: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) concurrent_streams: u32,
    pub(crate) stall_timeout: Duration,
    pub(crate) lifetime: Option<Lifetime>,
}

/// How long a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    age: Duration,
    /// For what is under way at that age.
    pub(crate) grace: Duration,
}

impl Lifetime {
    /// With a grace that is no shorter than `rest`.
    pub(crate) fn resting(self, rest: Duration) -> Self {
        Self { grace: self.grace.max(rest), ..self }
    }

    /// The age give or take a tenth of it, so that connections made at once do not end at once.
    pub(crate) fn scattered(self) -> Duration {
        let (tenth, [byte]) = (self.age / 10, crate::mesh::random());
        (self.age - tenth).saturating_add(tenth / 255 * 2 * u32::from(byte))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silent: MAX_SILENT,
            hop_percent: HOP_PERCENT,
            pending_handshakes: MAX_PENDING_HANDSHAKES,
            pending_per_source: MAX_PENDING_PER_SOURCE,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            connections: MAX_CONNECTIONS,
            head_timeout: HEAD_TIMEOUT,
            head_bytes: MAX_HEAD,
            idle_timeout: IDLE_TIMEOUT,
            keep_alive_interval: KEEP_ALIVE_INTERVAL,
            keep_alive_timeout: KEEP_ALIVE_TIMEOUT,
            concurrent_streams: MAX_CONCURRENT_STREAMS,
            stall_timeout: STALL_TIMEOUT,
            lifetime: None,
        }
    }
}

impl Limits {
    /// Handshakes under way at once; see [`MAX_PENDING_HANDSHAKES`].
    #[must_use]
    pub fn with_pending_handshakes(mut self, count: usize) -> Self {
        self.pending_handshakes = count.max(1);
        self
    }

    /// Handshakes under way at once from one source; see [`MAX_PENDING_PER_SOURCE`].
    #[must_use]
    pub fn with_pending_per_source(mut self, count: usize) -> Self {
        self.pending_per_source = count.max(1);
        self
    }

    /// Connections at once whose first byte has not come; see [`MAX_SILENT`].
    #[must_use]
    pub fn with_silent(mut self, count: usize) -> Self {
        self.silent = count.max(1);
        self
    }

    /// Per cent of the live connections that a hop keeps, at most 100; see [`HOP_PERCENT`].
    #[must_use]
    pub fn with_hop_percent(mut self, percent: u8) -> Self {
        self.hop_percent = percent.min(100);
        self
    }

    /// Live connections that a hop keeps.
    pub(crate) fn hop_connections(&self) -> usize {
        self.connections / 100 * usize::from(self.hop_percent)
            + self.connections % 100 * usize::from(self.hop_percent) / 100
    }

    /// Time for one handshake; see [`HANDSHAKE_TIMEOUT`].
    #[must_use]
    pub fn with_handshake_timeout(mut self, time: Duration) -> Self {
        self.handshake_timeout = time;
        self
    }

    /// Live connections; see [`MAX_CONNECTIONS`].
    #[must_use]
    pub fn with_connections(mut self, count: usize) -> Self {
        self.connections = count.max(1);
        self
    }

    /// Time for a head; see [`HEAD_TIMEOUT`]. Over HTTP/1.1, a shorter one than 8 seconds closes connections
    /// that channels would still use.
    #[must_use]
    pub fn with_head_timeout(mut self, time: Duration) -> Self {
        self.head_timeout = time;
        self
    }

    /// Bytes of a head, at least 8 KiB (hyper's smallest buffer); see [`MAX_HEAD`].
    #[must_use]
    pub fn with_head_bytes(mut self, bytes: u32) -> Self {
        self.head_bytes = bytes.max(8 * 1024);
        self
    }

    /// Time without a byte either way; see [`IDLE_TIMEOUT`].
    #[must_use]
    pub fn with_idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// Time between HTTP/2 PINGs, and for the answer to one; see [`KEEP_ALIVE_INTERVAL`] and
    /// [`KEEP_ALIVE_TIMEOUT`].
    #[must_use]
    pub fn with_keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keep_alive_interval = interval;
        self.keep_alive_timeout = timeout;
        self
    }

    /// Ends connections that are this old, give or take a tenth: over HTTP/2 with GOAWAY, over
    /// HTTP/1.1 with the next answer. What is still under way after `grace` is cut off. Without it,
    /// a connection has no age; where callers are spread by a balancer of connections, it lets new
    /// instances get their share.
    #[must_use]
    pub fn with_connection_age(mut self, age: Duration, grace: Duration) -> Self {
        self.lifetime = Some(Lifetime { age, grace });
        self
    }

    /// Time for which a peer with many such streams may give no window to one; see
    /// [`STALL_TIMEOUT`].
    #[must_use]
    pub fn with_stall_timeout(mut self, time: Duration) -> Self {
        self.stall_timeout = time;
        self
    }

    /// HTTP/2 streams of a connection at once; see [`MAX_CONCURRENT_STREAMS`].
    #[must_use]
    pub fn with_concurrent_streams(mut self, count: u32) -> Self {
        self.concurrent_streams = count.max(1);
        self
    }
}
