//! What the bad hop does, to which calls, over which lanes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use meshguard_testing::{Cut, Direction, Fault, Forged};
use prost::Message as _;

use super::goods::PIECE;
use super::rng::Rng;
use super::truth::{Lane, Op};
use crate::proto::ChargeReply;

/// Bytes of a gRPC message of the shop's streams, with its prefix.
const MESSAGE: u64 = 5 + 25;
/// What a record adds to a piece: prefix, type and tag.
const RECORD: u64 = 5 + 1 + 16;

/// One thing that the hop does on one lane.
pub(super) struct Spec {
    /// The row of the report that it counts in.
    pub(super) name: &'static str,
    pub(super) lane: Lane,
    pub(super) op: Op,
    /// The exchanges that one injection concerns.
    pub(super) exchanges: usize,
    pub(super) fault: Box<dyn Fn(&mut Rng) -> Fault + Send + Sync>,
}

/// All of them, in the order of the report.
pub(super) fn specs(stock: bool) -> Vec<Spec> {
    let mut specs = Specs { stock, all: Vec::new() };
    specs.cuts();
    specs.messages();
    specs.whole_calls();
    specs.changes();
    specs.forgeries();
    specs.all
}

struct Specs {
    stock: bool,
    all: Vec<Spec>,
}

impl Specs {
    fn add(
        &mut self,
        name: &'static str,
        lanes: &[Lane],
        op: Op,
        fault: impl Fn(&mut Rng) -> Fault + Clone + Send + Sync + 'static,
    ) {
        for lane in lanes {
            let fault = Box::new(fault.clone());
            self.all.push(Spec { name, lane: *lane, op, exchanges: 1, fault });
        }
    }

    fn pairs(&mut self, name: &'static str, lanes: &[Lane], op: Op, fault: Fault) {
        let before = self.all.len();
        self.add(name, lanes, op, move |_| fault.clone());
        self.all[before..].iter_mut().for_each(|spec| spec.exchanges = 2);
    }

    /// At a boundary of pieces, where the rest of the stream is well-formed: the hardest place.
    fn cuts(&mut self) {
        let piece = PIECE as u64 + if self.stock { 0 } else { RECORD };
        let message = if self.stock { MESSAGE } else { MESSAGE - 5 + RECORD };
        let answer =
            |how| move |rng: &mut Rng| Fault::CutResponse { after: rng.range(500, 3000), how };
        let request = move |how, unit: u64| {
            move |rng: &mut Rng| Fault::CutRequest { after: unit * rng.range(1, 4), how }
        };
        let events = move |rng: &mut Rng| {
            let (after, how) = (message * rng.range(1, 7), Cut::EndStream);
            Fault::CutResponse { after, how }
        };
        let reset = "RST_STREAM(NO_ERROR) in a request";
        self.add(reset, &[Lane::H2], Op::Lines, request(Cut::ResetNoError, piece));
        self.add(reset, &[Lane::Grpc], Op::Settle, request(Cut::ResetNoError, message));
        let reset = "RST_STREAM(CANCEL) in a request";
        self.add(reset, &[Lane::H2], Op::Lines, request(Cut::ResetCancel, piece));
        self.add(reset, &[Lane::Grpc], Op::Settle, request(Cut::ResetCancel, message));
        let reset = "RST_STREAM(NO_ERROR) in an answer";
        self.add(reset, &[Lane::H2], Op::Invoice, answer(Cut::ResetNoError));
        let early = "request ended early, cleanly";
        self.add(early, HTTP, Op::Lines, request(Cut::EndStream, piece));
        self.add(early, &[Lane::Grpc], Op::Settle, request(Cut::EndStream, message));
        let early = "answer ended early, cleanly";
        self.add(early, HTTP, Op::Invoice, answer(Cut::EndStream));
        self.add("stream ended early with OK", &[Lane::Grpc], Op::Watch, events);
        let eof = "answer ended by EOF";
        self.add(eof, &[Lane::H1], Op::Invoice, answer(Cut::CloseDelimited));
        let closed = "connection dropped in an answer";
        self.add(closed, HTTP, Op::Invoice, answer(Cut::CloseConnection));
    }

    fn messages(&mut self) {
        for (op, direction) in [(Op::Settle, Direction::Request), (Op::Watch, Direction::Response)]
        {
            let grpc = &[Lane::Grpc];
            let drop = move |rng: &mut Rng| {
                let index = rng.range(1, 7) as usize;
                Fault::DropMessage { direction, index }
            };
            let repeat = move |rng: &mut Rng| {
                let index = rng.range(0, 7) as usize;
                Fault::RepeatMessage { direction, index }
            };
            let swap = move |rng: &mut Rng| {
                let index = rng.range(0, 6) as usize;
                Fault::SwapMessages { direction, index }
            };
            self.add("message dropped", grpc, op, drop);
            self.add("message repeated", grpc, op, repeat);
            self.add("messages swapped", grpc, op, swap);
        }
    }

    fn whole_calls(&mut self) {
        let dropped = "request swallowed";
        self.add(dropped, HTTP, Op::Invoice, |_| Fault::DropRequest);
        self.add(dropped, &[Lane::Grpc], Op::Charge, |_| Fault::DropRequest);
        let replayed = "request replayed";
        self.add(replayed, HTTP, Op::Order, |_| Fault::ReplayRequest);
        self.add(replayed, &[Lane::Grpc], Op::Charge, |_| Fault::ReplayRequest);
        self.pairs("two answers swapped", HTTP, Op::Invoice, Fault::SwapAnswers);
        self.pairs("two answers swapped", &[Lane::Grpc], Op::Charge, Fault::SwapAnswers);
        self.pairs("two requests' bodies swapped", HTTP, Op::Order, Fault::SwapRequestBodies);
    }

    fn changes(&mut self) {
        let flip = |direction, low, high| {
            move |rng: &mut Rng| Fault::FlipByte { direction, offset: rng.range(low, high) }
        };
        let flipped = "bit flipped in a request";
        self.add(flipped, HTTP, Op::Order, flip(Direction::Request, 60, 200));
        self.add(flipped, &[Lane::Grpc], Op::Charge, flip(Direction::Request, 17, 25));
        let flipped = "bit flipped in an answer";
        self.add(flipped, HTTP, Op::Invoice, flip(Direction::Response, 100, 1000));
        self.add(flipped, &[Lane::Grpc], Op::Charge, flip(Direction::Response, 17, 25));
        let if_match = |_: &mut Rng| Fault::StripRequestHeader { name: header::IF_MATCH };
        self.add("If-Match stripped", HTTP, Op::Order, if_match);
        let etag = |_: &mut Rng| Fault::StripResponseHeader { name: header::ETAG };
        self.add("ETag stripped", HTTP, Op::Invoice, etag);
        let range = |_: &mut Rng| Fault::AddRequestHeader {
            name: header::RANGE,
            value: HeaderValue::from_static("bytes=0-99"),
        };
        self.add("Range added", HTTP, Op::Invoice, range);
        if !self.stock {
            let proof = |_: &mut Rng| Fault::StripRequestHeader { name: PROOF };
            self.add("proof stripped", HTTP, Op::Order, proof);
            self.add("proof stripped", &[Lane::Grpc], Op::Charge, proof);
        }
    }

    fn forgeries(&mut self) {
        let forged = |status, body: &'static str| Forged::status(status).body(body);
        let refused = Fault::AnswerItself(forged(StatusCode::UNAUTHORIZED, ""));
        self.add("401 forged", HTTP, Op::Order, move |_| refused.clone());
        let down = forged(StatusCode::SERVICE_UNAVAILABLE, "");
        let down = Fault::ForwardThenAnswer(down);
        self.add("503 forged over a done order", HTTP, Op::Order, move |_| down.clone());
        let invoice = Fault::AnswerItself(forged(StatusCode::OK, "nothing to pay"));
        self.add("hop answers by itself", HTTP, Op::Invoice, move |_| invoice.clone());
        let done = Fault::AnswerItself(forged(StatusCode::OK, "{\"approval\":1}"));
        let unforwarded = "200 without forwarding";
        self.add(unforwarded, HTTP, Op::Order, move |_| done.clone());
        let done = Fault::AnswerItself(charged());
        self.add(unforwarded, &[Lane::Grpc], Op::Charge, move |_| done.clone());
        if !self.stock {
            let renew = refused_session();
            self.add("401 forged: \"no such session\"", HTTP, Op::Order, move |_| renew.clone());
        }
    }
}

/// A good answer to a charge that was never made.
fn charged() -> Forged {
    let reply = ChargeReply { order: "h2-000000".to_owned(), approval: 1 }.encode_to_vec();
    let mut body = vec![0];
    body.extend((reply.len() as u32).to_be_bytes());
    body.extend(reply);
    Forged::status(StatusCode::OK)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
        .header(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))
        .body(Bytes::from(body))
}

/// The hint on which a caller takes another session, made up.
fn refused_session() -> Fault {
    let session = HeaderName::from_static("meshguard-session");
    let renew = HeaderValue::from_static("renew");
    Fault::AnswerItself(Forged::status(StatusCode::UNAUTHORIZED).header(session, renew))
}

/// The field that carries meshguard's proof.
const PROOF: HeaderName = HeaderName::from_static("meshguard");

const HTTP: &[Lane] = &[Lane::H2, Lane::H1];
