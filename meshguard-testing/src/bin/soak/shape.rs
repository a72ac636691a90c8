//! The shapes of calls, and the lanes that they go over.

use std::fmt;

/// How a call looks on the wire, and what its caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// GET with a small answer.
    Get,
    /// POST of 2 kB of known length.
    Post,
    /// The same on a route that is declared idempotent.
    PostIdempotent,
    /// 5 kB, the length not known, in five pieces.
    PostStream,
    /// 200 kB of known length.
    Upload,
    /// 150 kB, the length not known.
    UploadStream,
    /// 200 kB of known length.
    Download,
    /// 300 kB, the length not known.
    DownloadStream,
    /// Ten events in a third of a second.
    Sse,
    /// An answer that takes its time.
    SlowHandler,
    /// A download that is read with pauses.
    SlowReader,
    /// A download whose caller stops to read, and drops it a second later.
    StopsReading,
    /// Given up before the answer's head.
    CancelBeforeHead,
    /// The answer is dropped with its head.
    CancelAfterHead,
    /// The answer is dropped after some of its body.
    CancelMidBody,
    /// Given up in the middle of an upload.
    CancelUpload,
    /// gRPC: one message either way.
    Unary,
    /// gRPC: 500 messages of 20 bytes, ready at once.
    ClientStream,
    /// gRPC: 50 messages back.
    ServerStream,
    /// gRPC: ten rounds of ping-pong.
    PingPong,
    /// gRPC: a ping-pong that is dropped after its first answer.
    CancelStream,
}

impl Shape {
    pub(crate) const ALL: [Self; 21] = [
        Self::Get,
        Self::Post,
        Self::PostIdempotent,
        Self::PostStream,
        Self::Upload,
        Self::UploadStream,
        Self::Download,
        Self::DownloadStream,
        Self::Sse,
        Self::SlowHandler,
        Self::SlowReader,
        Self::StopsReading,
        Self::CancelBeforeHead,
        Self::CancelAfterHead,
        Self::CancelMidBody,
        Self::CancelUpload,
        Self::Unary,
        Self::ClientStream,
        Self::ServerStream,
        Self::PingPong,
        Self::CancelStream,
    ];
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn is_grpc(self) -> bool {
        self as usize >= Self::Unary as usize
    }

    /// Whether it may be repeated without harm: a safe method, or a route that is declared so.
    pub(crate) fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::PostIdempotent
                | Self::Download
                | Self::DownloadStream
                | Self::Sse
                | Self::SlowHandler
                | Self::SlowReader
                | Self::StopsReading
                | Self::CancelBeforeHead
                | Self::CancelAfterHead
                | Self::CancelMidBody
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::PostIdempotent => "POST, idempotent",
            Self::PostStream => "POST, length unknown",
            Self::Upload => "upload",
            Self::UploadStream => "upload, length unknown",
            Self::Download => "download",
            Self::DownloadStream => "download, length unknown",
            Self::Sse => "SSE",
            Self::SlowHandler => "slow handler",
            Self::SlowReader => "slow reader",
            Self::StopsReading => "stops reading",
            Self::CancelBeforeHead => "cancelled before head",
            Self::CancelAfterHead => "cancelled after head",
            Self::CancelMidBody => "cancelled in body",
            Self::CancelUpload => "cancelled in upload",
            Self::Unary => "gRPC unary",
            Self::ClientStream => "gRPC client stream",
            Self::ServerStream => "gRPC server stream",
            Self::PingPong => "gRPC ping-pong",
            Self::CancelStream => "gRPC cancelled stream",
        }
    }
}

/// On which stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Mesh,
    Stock,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Http {
    One,
    Two,
}

/// Which callee. Its edge delivers in clear, or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Callee {
    Mac,
    Seal,
}

impl Callee {
    pub(crate) const BOTH: [Self; 2] = [Self::Mac, Self::Seal];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mac => "orders",
            Self::Seal => "billing",
        }
    }
}

/// One channel's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) side: Side,
    pub(crate) callee: Callee,
    pub(crate) via: bool,
    pub(crate) http: Http,
}

impl Lane {
    /// The lanes of one side.
    pub(crate) fn all(side: Side) -> impl Iterator<Item = Self> {
        Callee::BOTH.into_iter().flat_map(move |callee| {
            [(false, Http::Two), (false, Http::One), (true, Http::Two), (true, Http::One)]
                .map(|(via, http)| Self { side, callee, via, http })
        })
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Mesh { "mesh" } else { "stock" };
        let way = if self.via { ".via" } else { "direct" };
        let http = if self.http == Http::Two { "HTTP/2" } else { "HTTP/1.1" };
        write!(f, "{side} {} {way} {http}", self.callee.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_its_place_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Shape::ALL.map(Shape::name).into();
        assert_eq!(names.len(), Shape::COUNT);
        for (place, shape) in Shape::ALL.into_iter().enumerate() {
            assert_eq!(shape.index(), place, "{shape:?}");
        }
        assert_eq!(Shape::ALL.into_iter().filter(|shape| shape.is_grpc()).count(), 5);
    }

    #[test]
    fn a_side_has_eight_lanes() {
        let lanes: std::collections::HashSet<_> = Lane::all(Side::Mesh).collect();
        assert_eq!(lanes.len(), 8);
    }
}
