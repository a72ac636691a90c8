//! The field of a response.

use super::reader::Reader;
use super::{Body, FieldError, put_body, put_number};
use crate::delivery::{Proof, ReceiptStatus};

/// The field of a response, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseField {
    /// The exchange's number in its session.
    pub seq: u64,
    /// What body follows.
    pub body: Body,
    /// What the receiver says of the request.
    pub rcpt: Rcpt,
    /// The seq had been seen before: this answers a repetition.
    pub dup: bool,
    /// The proof.
    pub proof: Proof,
    /// How many bytes of the value the proof covers.
    pub covered: usize,
}

/// The receipt in a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcpt {
    /// What was got.
    Now {
        /// How far the receiver got.
        status: ReceiptStatus,
        /// Records and bytes, where it did not get all.
        got: Option<(u64, u64)>,
        /// The proof of the whole receipt, where the body came in records.
        proof: Option<Proof>,
    },
    /// It comes in the answer's FIN.
    Later,
}

impl Rcpt {
    /// The receipt of a body that was proved in the request's head.
    #[must_use]
    pub const fn of(status: ReceiptStatus) -> Self {
        Self::Now { status, got: None, proof: None }
    }

    /// The receipt of a body of which only so much was taken.
    #[must_use]
    pub const fn short(status: ReceiptStatus, n: u64, len: u64) -> Self {
        Self::Now { status, got: Some((n, len)), proof: None }
    }
}

impl ResponseField {
    /// Reads a field's value.
    ///
    /// # Errors
    /// Where it departs from the grammar, naming the member.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let mut r = Reader::new(value);
        r.expect(b"seq=", "seq")?;
        let seq = r.number("seq")?;
        let body = r.body()?;
        r.expect(b", rcpt=", "rcpt")?;
        let rcpt = rcpt(&mut r)?;
        let dup = r.eat(b", dup");
        let covered = r.position();
        let proof = r.proof()?;
        Ok(Self { seq, body, rcpt, dup, proof, covered })
    }

    /// Writes all but the proof.
    pub fn write(out: &mut Vec<u8>, seq: u64, body: &Body, rcpt: &Rcpt, dup: bool) {
        out.clear();
        out.extend_from_slice(b"seq=");
        put_number(out, seq);
        put_body(out, body);
        out.extend_from_slice(b", rcpt=");
        match rcpt {
            Rcpt::Later => out.extend_from_slice(b"later"),
            Rcpt::Now { status, got, proof } => {
                out.extend_from_slice(status.as_str().as_bytes());
                if let Some((n, len)) = got {
                    out.extend_from_slice(b", n=");
                    put_number(out, *n);
                    out.extend_from_slice(b", len=");
                    put_number(out, *len);
                }
                if let Some(proof) = proof {
                    out.extend_from_slice(b", t=:");
                    out.extend_from_slice(&super::base64_16(&proof.0));
                    out.push(b':');
                }
            }
        }
        if dup {
            out.extend_from_slice(b", dup");
        }
    }
}

fn rcpt(r: &mut Reader<'_>) -> Result<Rcpt, FieldError> {
    let status = if r.eat(b"later") {
        return Ok(Rcpt::Later);
    } else if r.eat(b"consumed") {
        ReceiptStatus::Consumed
    } else if r.eat(b"received") {
        ReceiptStatus::Received
    } else if r.eat(b"partial") {
        ReceiptStatus::Partial
    } else if r.eat(b"bad") {
        ReceiptStatus::Bad
    } else {
        return Err(FieldError::Member("rcpt"));
    };
    let got = if r.eat(b", n=") {
        let n = r.number("n")?;
        r.expect(b", len=", "len")?;
        Some((n, r.number("len")?))
    } else {
        None
    };
    let proof = if r.eat(b", t=:") { Some(Proof(r.bytes("t")?)) } else { None };
    if status.is_whole() == got.is_some() {
        return Err(FieldError::Combination("n"));
    }
    if proof.is_some() && !status.is_whole() {
        return Err(FieldError::Combination("t"));
    }
    Ok(Rcpt::Now { status, got, proof })
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: &str = "p=:AAAAAAAAAAAAAAAAAAAAAA==:";

    #[test]
    fn every_departure_from_the_grammar_is_refused_by_name() {
        use FieldError::*;
        let t = "t=:AAAAAAAAAAAAAAAAAAAAAA==:";
        for (rest, want) in [
            (format!("seq=1, body=none, rcpt=consumed, {P}"), None),
            (format!("seq=1, body=none, rcpt=later, {P}"), None),
            (format!("seq=1, body=none, rcpt=consumed, dup, {P}"), None),
            (format!("seq=1, body=none, rcpt=bad, n=1, len=4, {P}"), None),
            (format!("seq=1, body=none, rcpt=bad, {P}"), Some(Combination("n"))),
            (format!("seq=1, body=none, rcpt=partial, {P}"), Some(Combination("n"))),
            (format!("seq=1, body=none, rcpt=consumed, n=1, len=4, {P}"), Some(Combination("n"))),
            (format!("seq=1, body=none, rcpt=bad, n=1, len=4, {t}, {P}"), Some(Combination("t"))),
            (format!("seq=1, body=none, rcpt=bad, n=1, {P}"), Some(Member("len"))),
            (format!("seq=1, body=none, rcpt=later, {t}, {P}"), Some(Unknown)),
            (format!("seq=1, body=records, size=7, rcpt=later, {P}"), None),
            (format!("seq=1, body=records, rcpt=later, size=7, {P}"), Some(Unknown)),
            (format!("seq=1, body=none, rcpt=ok, {P}"), Some(Member("rcpt"))),
            (format!("seq=1, body=none, rcpt=consumed, dup, dup, {P}"), Some(Unknown)),
            (format!("seq=1, rcpt=consumed, body=none, {P}"), Some(Member("body"))),
            ("seq=1, body=none, rcpt=consumed".into(), Some(Member("p"))),
        ] {
            assert_eq!(ResponseField::parse(rest.as_bytes()).err(), want, "{rest}");
        }
    }
}
