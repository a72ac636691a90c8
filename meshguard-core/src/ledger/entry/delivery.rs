//! How exchanges ended, as each side knows it.

use std::time::Duration;

use super::wire::{wire, wire_enum};
use crate::access::Evidence;
use crate::delivery::{Outcome, Sid};

/// Which exchange: what the ledgers of its two sides have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The session.
    pub sid: Sid,
    /// The exchange's number in it.
    pub seq: u64,
    /// The attempt.
    pub attempt: u8,
}

/// An exchange as its caller knows it. Written when it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sent<'a> {
    /// The callee.
    pub to: &'a str,
    /// The hop.
    pub via: Option<&'a str>,
    /// The callee's instance, as its session names it.
    pub instance: Option<&'a str>,
    /// The method; of gRPC, `POST`.
    pub method: Option<&'a str>,
    /// The route, where the caller has a template for it; of gRPC, `/package.Service/Method`.
    pub route: Option<&'a str>,
    /// Which exchange; `None` where the edge does not speak the delivery protocol.
    pub exchange: Option<Exchange>,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer's status, where one came.
    pub status: Option<u16>,
    /// How complete the answer is proved to be.
    pub evidence: Evidence,
    /// Bytes of the request's body that were sent.
    pub request_bytes: u64,
    /// Bytes of the answer's body that came.
    pub response_bytes: u64,
    /// Until the answer's head.
    pub latency: Duration,
    /// The digest in the verified receipt of the request.
    pub digest: Option<[u8; 32]>,
}

/// An exchange as its callee knows it. Written when it has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received<'a> {
    /// The caller, end to end, where it is known.
    pub from: Option<&'a str>,
    /// The hop.
    pub via: Option<&'a str>,
    /// The matched template.
    pub route: Option<&'a str>,
    /// The rule that let it in.
    pub rule: Option<&'a str>,
    /// Which exchange; `None` where the edge does not speak the delivery protocol.
    pub exchange: Option<Exchange>,
    /// The answer's status, where one was sent.
    pub status: Option<u16>,
    /// How complete the request is proved to be.
    pub evidence: Evidence,
    /// How the request ended.
    pub end: End,
    /// Bytes of the request's body that came.
    pub request_bytes: u64,
    /// Bytes of the answer's body that were sent.
    pub response_bytes: u64,
    /// Until the answer's head.
    pub latency: Duration,
    /// The digest in the receipt that was given for the request.
    pub digest: Option<[u8; 32]>,
    /// The short name of what was wrong, if anything was.
    pub failure: Option<&'a str>,
}

/// Answers that nobody will confirm: their caller has left. Written by the callee, of exchanges
/// whose *received* says how the request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unconfirmed<'a> {
    /// The caller, end to end.
    pub from: &'a str,
    /// The hop.
    pub via: Option<&'a str>,
    /// The session.
    pub sid: Sid,
    /// The first exchange's number in it.
    pub first: u64,
    /// The last one's; all between are meant.
    pub last: u64,
}

/// How a request ended, as its callee knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The application read all of it.
    Consumed,
    /// All of it was verified; the application did not read all of it.
    Received,
    /// It was stopped early.
    Partial,
    /// What came was not what was sent.
    Bad,
    /// The application did not read it, and nothing is known of its end.
    Unread,
    /// It was sent without proof.
    Plain,
}

wire!(Exchange { sid, seq, attempt });
wire!(Sent<'a> {
    to, via, instance, method, route, exchange, outcome, status, evidence,
    request_bytes, response_bytes, latency, digest,
});
wire!(Received<'a> {
    from, via, route, rule, exchange, status, evidence, end,
    request_bytes, response_bytes, latency, digest, failure,
});
wire!(Unconfirmed<'a> { from, via, sid, first, last });
wire_enum!(End {
    1 => Self::Consumed = Self::Consumed,
    2 => Self::Received = Self::Received,
    3 => Self::Partial = Self::Partial,
    4 => Self::Bad = Self::Bad,
    5 => Self::Unread = Self::Unread,
    6 => Self::Plain = Self::Plain,
});

impl End {
    /// The name, as `consumed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumed => "consumed",
            Self::Received => "received",
            Self::Partial => "partial",
            Self::Bad => "bad",
            Self::Unread => "unread",
            Self::Plain => "plain",
        }
    }
}
