//! What is measured of each edge between one window and the next.
//!
//! On a call's own path there is no lock, no look-up and no allocation: whoever serves or calls
//! keeps the [`Tally`] of the edge at hand, and adds to its atomic counters.

mod edges;
mod histogram;
mod tally;

pub(crate) use edges::{Edges, name_of, source};
#[cfg(test)]
pub(crate) use edges::{MAX_EDGES, MAX_INSTANCES};
#[cfg(test)]
pub(crate) use tally::MAX_PEERS;
pub(crate) use tally::{Behind, Measured, Tally};

use http::HeaderMap;

/// How a gRPC call ended, where this head or these trailers say so.
pub(crate) fn grpc_code(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok().filter(|code| *code <= 16)
}

/// Whether a callee's answer is its own failure. Refusals (401, 403, 429, and gRPC's codes for
/// them) and what the caller asked wrongly are not.
pub(crate) fn blames_callee(status: u16, code: Option<u8>) -> bool {
    match code {
        // UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
        Some(code) => matches!(code, 2 | 4 | 13 | 14 | 15),
        None => status >= 500,
    }
}
