//! A fault in one body, applied piece by piece.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};

use super::body::{Held, Piece};
use super::fault::{Cut, Direction, Fault};
use super::frames::Splitter;
use super::log::Ticket;

/// Changes a body on its way. The default passes everything.
#[derive(Debug, Default)]
pub(super) struct Mangler {
    op: Op,
    ticket: Option<Ticket>,
}

#[derive(Debug, Default)]
enum Op {
    #[default]
    Pass,
    Cut {
        left: u64,
        how: Cut,
    },
    Flip {
        left: u64,
    },
    Messages(Messages),
    Copy {
        held: Held,
        whole: bool,
    },
}

#[derive(Debug)]
struct Messages {
    splitter: Splitter,
    to_go: usize,
    act: Act,
    held: Option<Bytes>,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Drop,
    Repeat,
    Swap,
}

impl Mangler {
    /// For a fault in a body: the manglers of request and answer, one of which does nothing.
    pub(super) fn pair(ticket: Ticket) -> Option<(Self, Self)> {
        let (direction, op) = Op::of(ticket.fault())?;
        let mangler = Self { op, ticket: Some(ticket) };
        Some(match direction {
            Direction::Request => (mangler, Self::default()),
            Direction::Response => (Self::default(), mangler),
        })
    }

    /// Passes everything and keeps a copy.
    pub(super) fn copying() -> Self {
        Self { op: Op::Copy { held: Held::default(), whole: false }, ticket: None }
    }

    /// The copy, unless the body was too large or broke off.
    pub(super) fn into_copy(self) -> Option<Held> {
        match self.op {
            Op::Copy { held, whole: true } if !held.is_over() => Some(held),
            _ => None,
        }
    }

    /// The way to cut, once all bytes that may pass have passed.
    pub(super) fn due(&self) -> Option<Cut> {
        match self.op {
            Op::Cut { left: 0, how } => Some(how),
            _ => None,
        }
    }

    pub(super) fn will_cut(&self) -> Option<Cut> {
        match self.op {
            Op::Cut { how, .. } => Some(how),
            _ => None,
        }
    }

    /// Removes `content-length` where the body will be of another length, and ends cleanly.
    pub(super) fn fix_head(&self, headers: &mut HeaderMap) {
        let other_length = match &self.op {
            Op::Cut { how, .. } => matches!(how, Cut::EndStream | Cut::CloseDelimited),
            Op::Messages(m) => !matches!(m.act, Act::Swap),
            Op::Pass | Op::Flip { .. } | Op::Copy { .. } => false,
        };
        if other_length {
            headers.remove(header::CONTENT_LENGTH);
        }
    }

    /// What to send for a piece of the body.
    pub(super) fn feed(&mut self, mut piece: Bytes) -> Vec<Bytes> {
        match &mut self.op {
            Op::Pass => vec![piece],
            Op::Copy { held, .. } => {
                held.push(Piece::Data(piece.clone()));
                vec![piece]
            }
            Op::Cut { left, .. } => {
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                vec![piece]
            }
            Op::Flip { left } => {
                let at = usize::try_from(*left).unwrap_or(usize::MAX);
                if at >= piece.len() {
                    *left -= piece.len() as u64;
                    return vec![piece];
                }
                self.op = Op::Pass;
                self.apply("inverted the lowest bit of a byte");
                let mut changed = BytesMut::from(piece);
                changed[at] ^= 1;
                vec![changed.freeze()]
            }
            Op::Messages(messages) => {
                let (out, done) = messages.feed(&piece);
                if done {
                    self.op = Op::Pass;
                    self.apply("changed the order or number of messages");
                }
                out
            }
        }
    }

    /// What to send before trailers and end.
    pub(super) fn end(&mut self) -> Vec<Bytes> {
        match &mut self.op {
            Op::Messages(messages) => messages.rest(),
            Op::Copy { whole, .. } => {
                *whole = true;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Op::Copy { held, .. } = &mut self.op {
            held.push(Piece::Trailers(trailers.clone()));
        }
    }

    /// Records that the fault took effect.
    pub(super) fn apply(&mut self, note: &str) {
        if let Some(ticket) = self.ticket.take() {
            ticket.apply(note);
        }
    }
}

impl Op {
    fn of(fault: &Fault) -> Option<(Direction, Self)> {
        let messages = |direction: Direction, index: usize, act| {
            let splitter = Splitter::default();
            (direction, Self::Messages(Messages { splitter, to_go: index, act, held: None }))
        };
        Some(match *fault {
            Fault::CutRequest { after, how } => {
                (Direction::Request, Self::Cut { left: after, how })
            }
            Fault::CutResponse { after, how } => {
                (Direction::Response, Self::Cut { left: after, how })
            }
            Fault::FlipByte { direction, offset } => (direction, Self::Flip { left: offset }),
            Fault::DropMessage { direction, index } => messages(direction, index, Act::Drop),
            Fault::RepeatMessage { direction, index } => messages(direction, index, Act::Repeat),
            Fault::SwapMessages { direction, index } => messages(direction, index, Act::Swap),
            _ => return None,
        })
    }
}

impl Messages {
    /// What to send, and whether the deed is done.
    fn feed(&mut self, piece: &[u8]) -> (Vec<Bytes>, bool) {
        self.splitter.push(piece);
        let mut out = Vec::new();
        while let Some(message) = self.splitter.message() {
            if let Some(first) = self.held.take() {
                out.extend([message, first, self.splitter.rest()]);
                return (out, true);
            }
            if self.to_go > 0 {
                self.to_go -= 1;
                out.push(message);
                continue;
            }
            match self.act {
                Act::Swap => self.held = Some(message),
                Act::Drop => return (vec_with(out, [self.splitter.rest()]), true),
                Act::Repeat => {
                    let both = [message.clone(), message, self.splitter.rest()];
                    return (vec_with(out, both), true);
                }
            }
        }
        if self.splitter.is_unframed() {
            out.extend(self.rest());
        }
        (out, false)
    }

    fn rest(&mut self) -> Vec<Bytes> {
        let rest = self.splitter.rest();
        self.held.take().into_iter().chain((!rest.is_empty()).then_some(rest)).collect()
    }
}

fn vec_with<const N: usize>(mut out: Vec<Bytes>, more: [Bytes; N]) -> Vec<Bytes> {
    out.extend(more);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::super::log::Log;
    use super::*;

    const BODY: &[u8] = b"\0\0\0\0\x01a\0\0\0\0\x02bb\0\0\0\0\x03ccc";
    const A: &[u8] = b"\0\0\0\0\x01a";
    const B: &[u8] = b"\0\0\0\0\x02bb";
    const C: &[u8] = b"\0\0\0\0\x03ccc";

    /// What becomes of the body when it comes in pieces of `step` bytes.
    fn mangled(fault: &Fault, step: usize) -> (Vec<u8>, Option<Cut>, usize) {
        let log = Arc::new(Log::new());
        let ticket = Ticket::new(&log, fault.clone(), &Method::POST, "/");
        let (mut mangler, _) = Mangler::pair(ticket).unwrap();
        let mut out = Vec::new();
        for piece in BODY.chunks(step) {
            if mangler.due().is_none() {
                out.extend(mangler.feed(Bytes::copy_from_slice(piece)).concat());
            }
        }
        out.extend(mangler.end().concat());
        (out, mangler.due(), log.applied().len())
    }

    #[test]
    fn a_fault_acts_alike_however_the_body_comes() {
        let direction = Direction::Request;
        let mut flipped = BODY.to_vec();
        flipped[7] ^= 1;
        for (fault, want) in [
            (Fault::FlipByte { direction, offset: 7 }, flipped),
            (Fault::DropMessage { direction, index: 1 }, [A, C].concat()),
            (Fault::RepeatMessage { direction, index: 2 }, [A, B, C, C].concat()),
            (Fault::SwapMessages { direction, index: 0 }, [B, A, C].concat()),
        ] {
            for step in 1..=BODY.len() {
                assert_eq!(mangled(&fault, step), (want.clone(), None, 1), "{fault:?} {step}");
            }
        }
    }

    #[test]
    fn a_cut_lets_exactly_its_bytes_pass() {
        for after in 0..=BODY.len() {
            let how = Cut::EndStream;
            for step in 1..=BODY.len() {
                let fault = Fault::CutRequest { after: after as u64, how };
                let (out, due, _) = mangled(&fault, step);
                assert_eq!((out.as_slice(), due), (&BODY[..after], Some(how)), "{after} {step}");
            }
        }
        let beyond = Fault::CutRequest { after: BODY.len() as u64 + 1, how: Cut::EndStream };
        assert_eq!(mangled(&beyond, 4), (BODY.to_vec(), None, 0));
    }
}
