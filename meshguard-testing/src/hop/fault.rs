//! What a hop can do to an exchange, and to which one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// Paths below this belong to meshguard itself; see [`Match::control`].
pub(super) const CONTROL_PREFIX: &str = "/.well-known/meshguard/";

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From caller to callee.
    Request,
    /// From callee to caller.
    Response,
}

/// How a body is cut short. The hop drains the rest at its origin, which so learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `RST_STREAM(NO_ERROR)`. A stock hyper receiver takes the body for complete, even against
    /// its `content-length`. HTTP/1.1 has no such thing: as [`Cut::CloseConnection`].
    ResetNoError,
    /// `RST_STREAM(CANCEL)`. A stock receiver's body fails; tonic's server reports a clean end of
    /// stream all the same. HTTP/1.1: as [`Cut::CloseConnection`].
    ResetCancel,
    /// A clean end: `END_STREAM` on the last DATA, on a gRPC answer trailers with `grpc-status: 0`;
    /// over HTTP/1.1 the last chunk. `content-length` is removed. A stock receiver sees a
    /// complete, shorter body.
    EndStream,
    /// The TCP connection closes, after a TLS `close_notify`. The framing stays as it was, so a
    /// stock receiver's body fails, tonic's with `Unknown`.
    CloseConnection,
    /// An HTTP/1.1 answer without `content-length`, with `connection: close`, then EOF: a stock
    /// receiver sees a complete, shorter body. Elsewhere as [`Cut::CloseConnection`].
    CloseDelimited,
}

/// An answer that the hop makes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forged {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Forged {
    /// An answer of this status, with no fields and no body.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self { status, ..Self::default() }
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// What the hop does to one exchange.
///
/// A *message* is one length-prefixed frame of the body, `u8 flag | u32 length | bytes`: gRPC's
/// framing, which meshguard's records share. What must be held is held up to 8 MiB. A larger
/// message passes unharmed, a larger request is not replayed, and a larger body that was to be
/// swapped fails its exchange; each is a miss, see `FaultHop::misses`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Forwards `after` bytes of the request's body, then cuts it. A stock callee sees what
    /// [`Cut`] says.
    CutRequest {
        /// How many bytes of the body still pass.
        after: u64,
        /// In which way it ends.
        how: Cut,
    },
    /// Forwards `after` bytes of the answer's body, then cuts it. A stock caller sees what
    /// [`Cut`] says.
    CutResponse {
        /// How many bytes of the body still pass.
        after: u64,
        /// In which way it ends.
        how: Cut,
    },
    /// Leaves out one message. A stock receiver sees a complete stream of fewer messages.
    DropMessage {
        /// Of which body.
        direction: Direction,
        /// Which one, from 0.
        index: usize,
    },
    /// Sends one message twice. A stock receiver sees both.
    RepeatMessage {
        /// Of which body.
        direction: Direction,
        /// Which one, from 0.
        index: usize,
    },
    /// Exchanges messages `index` and `index + 1`. A stock receiver sees them in the wrong order.
    SwapMessages {
        /// Of which body.
        direction: Direction,
        /// The first of the two, from 0.
        index: usize,
    },
    /// Inverts the lowest bit of one byte. A stock receiver sees the changed byte.
    FlipByte {
        /// Of which body.
        direction: Direction,
        /// Which byte of the body, from 0.
        offset: u64,
    },
    /// Forwards the exchange, then sends the request once more on a connection of its own and
    /// discards the answer. A stock callee serves both. The log's note has the copy's status.
    ReplayRequest,
    /// Swallows the request: it is not forwarded and never answered, its stream stays open. A
    /// stock caller waits until its own timeout.
    DropRequest,
    /// Answers in the callee's place and forwards nothing. A stock caller believes it.
    AnswerItself(Forged),
    /// Forwards the request, discards the callee's answer and gives this one. A stock caller
    /// believes it, and may well send the request again.
    ForwardThenAnswer(Forged),
    /// Adds a field to the request. A stock callee believes it.
    AddRequestHeader {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: HeaderValue,
    },
    /// Removes a field from the request. A stock callee sees none.
    StripRequestHeader {
        /// Its name.
        name: HeaderName,
    },
    /// Adds a field to the answer. A stock caller believes it.
    AddResponseHeader {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: HeaderValue,
    },
    /// Removes a field from the answer. A stock caller sees none.
    StripResponseHeader {
        /// Its name.
        name: HeaderName,
    },
    /// Makes a line of its own of each part of the field's value that `, ` separates. It says the
    /// same (RFC 9110 §5.3), and a stock callee sees other lines.
    SplitRequestHeader {
        /// Its name.
        name: HeaderName,
    },
    /// Makes one line of the field's lines, with `, ` between. It says the same (RFC 9110 §5.3),
    /// and a stock callee sees one line.
    JoinRequestHeader {
        /// Its name.
        name: HeaderName,
    },
    /// As [`Fault::SplitRequestHeader`], with the answer.
    SplitResponseHeader {
        /// Its name.
        name: HeaderName,
    },
    /// Exchanges this answer, head and body, with that of the next exchange that matches. Neither
    /// is answered before both are: send them concurrently. Stock callers see each other's answer.
    SwapAnswers,
    /// Exchanges this request's body with that of the next exchange that matches, correcting
    /// `content-length`. Neither is forwarded before both came: send them concurrently. A stock
    /// callee sees each body under the other's head.
    SwapRequestBodies,
}

/// Which exchanges an [`Injection`] is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    path_prefix: Option<String>,
    method: Option<Method>,
    skip: u32,
    control: bool,
}

impl Match {
    /// Any exchange, but for those of meshguard itself, below `/.well-known/meshguard/`.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Exchanges whose path begins with `prefix`.
    #[must_use]
    pub fn path(prefix: impl Into<String>) -> Self {
        Self { path_prefix: Some(prefix.into()), ..Self::default() }
    }

    /// Only those of this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Not the first `exchanges` that match, but the one after them.
    #[must_use]
    pub fn skip(mut self, exchanges: u32) -> Self {
        self.skip = exchanges;
        self
    }

    /// Also those of meshguard itself. A prefix of theirs includes them, too.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.control = true;
        self
    }

    pub(super) fn holds(&self, method: &Method, path: &str) -> bool {
        let prefix = self.path_prefix.as_deref().unwrap_or_default();
        let control = self.control || prefix.starts_with(CONTROL_PREFIX);
        (control || !path.starts_with(CONTROL_PREFIX))
            && path.starts_with(prefix)
            && self.method.as_ref().is_none_or(|m| m == method)
    }

    /// Counts one match; whether it was the one meant.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        due
    }
}

/// One fault for one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// What to do.
    pub fault: Fault,
    /// To which exchange.
    pub on: Match,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meshguards_own_paths_match_only_when_named() {
        let path = "/.well-known/meshguard/session";
        let get = Method::GET;
        assert!(!Match::any().holds(&get, path));
        assert!(!Match::path("/").holds(&get, path));
        assert!(!Match::path("/.well-known").holds(&get, path));
        assert!(Match::any().control().holds(&get, path));
        assert!(Match::path(path).holds(&get, path));
        assert!(!Match::path(path).holds(&get, "/orders"));
    }

    #[test]
    fn method_prefix_and_count_narrow_a_match() {
        let mut on = Match::path("/orders").method(Method::POST).skip(1);
        assert!(on.holds(&Method::POST, "/orders/7"));
        assert!(!on.holds(&Method::GET, "/orders/7"));
        assert!(!on.holds(&Method::POST, "/other"));
        assert_eq!([on.is_due(), on.is_due(), on.is_due()], [false, true, true]);
    }
}
