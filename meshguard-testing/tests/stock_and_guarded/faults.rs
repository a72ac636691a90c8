//! The faults: of a body of 100 bytes 50 pass, of a stream of 10 messages 3.

use meshguard_testing::{Cut, Fault as HopFault};

use crate::guarded::Variant;

/// Which body is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// An HTTP request's.
    Request,
    /// An HTTP answer's.
    Answer,
    /// A gRPC client's stream.
    Messages,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
    /// Its head states `content-length`.
    pub(crate) sized: bool,
    pub(crate) how: Cut,
    pub(crate) http1: bool,
}

const fn fault(name: &'static str, body: Body, sized: bool, how: Cut) -> Fault {
    let http1 = matches!(how, CloseDelimited);
    Fault { name, body, sized, how, http1 }
}

use Body::{Answer, Messages, Request};
use Cut::{CloseConnection, CloseDelimited, EndStream, ResetCancel, ResetNoError};

pub(crate) const FAULTS: [Fault; 13] = [
    fault("A   request, sized, RST_STREAM(NO_ERROR)", Request, true, ResetNoError),
    fault("A'  request, unsized, RST_STREAM(NO_ERROR)", Request, false, ResetNoError),
    fault("A   request, sized, RST_STREAM(CANCEL)", Request, true, ResetCancel),
    fault("A'  request, unsized, RST_STREAM(CANCEL)", Request, false, ResetCancel),
    fault("B   answer, sized, RST_STREAM(NO_ERROR)", Answer, true, ResetNoError),
    fault("B   answer, unsized, RST_STREAM(NO_ERROR)", Answer, false, ResetNoError),
    fault("B   answer, sized, RST_STREAM(CANCEL)", Answer, true, ResetCancel),
    fault("B   answer, unsized, RST_STREAM(CANCEL)", Answer, false, ResetCancel),
    fault("C   HTTP/1.1 answer, close-delimited", Answer, true, CloseDelimited),
    fault("D   client stream, RST_STREAM(NO_ERROR)", Messages, false, ResetNoError),
    fault("D   client stream, RST_STREAM(CANCEL)", Messages, false, ResetCancel),
    fault("E   client stream, TCP closes", Messages, false, CloseConnection),
    fault("E'  request, sized, TCP closes", Request, true, CloseConnection),
];

/// Beyond the thirteen: a hop ends the body as if it were whole, and lets the answer through.
pub(crate) const EARLY_ENDS: [Fault; 3] = [
    fault("request, END_STREAM", Request, false, EndStream),
    fault("answer, END_STREAM", Answer, false, EndStream),
    fault("client stream, END_STREAM", Messages, false, EndStream),
];

impl Fault {
    /// On the stock wire.
    pub(crate) fn plain(&self) -> HopFault {
        self.after(if self.body == Messages { 3 * 7 } else { 50 })
    }

    /// On the guarded wire: a record has 22 bytes more than its payload, and takes the place of
    /// gRPC's prefix.
    pub(crate) fn guarded(&self, variant: Variant) -> HopFault {
        match (variant.in_records(), self.body) {
            (false, _) => self.plain(),
            (true, Messages) => self.after(3 * 24),
            (true, _) => self.after(50 + 22 + 8),
        }
    }

    fn after(&self, after: u64) -> HopFault {
        let how = self.how;
        match self.body {
            Answer => HopFault::CutResponse { after, how },
            Request | Messages => HopFault::CutRequest { after, how },
        }
    }

    /// What the error says is missing.
    pub(crate) fn shortfall(&self, variant: Variant) -> String {
        let delimited = matches!(self.how, CloseDelimited | EndStream);
        match (variant.in_records(), self.body) {
            // No `content-length` is left to say of how many.
            (false, Messages) if delimited => "got 21 bytes",
            (false, _) if delimited => "got 50 bytes",
            (false, Messages) => "got 21 of 70 bytes",
            (false, _) => "got 50 of 100 bytes",
            (true, Messages) => "got 3 messages (6 bytes)",
            // Ready at once, it is a single record, of which not all came.
            (true, _) if variant.known => "got 0 messages (0 bytes)",
            (true, _) => "got 1 messages (50 bytes)",
        }
        .to_owned()
    }

    /// Whether the callee learns of the request at all: where head, body and the connection's
    /// end come in one read, hyper tells nobody.
    pub(crate) fn is_noticed_for_sure(&self, variant: Variant) -> bool {
        self.how != CloseConnection || !variant.known
    }
}
