//! The field of a request.

use super::reader::Reader;
use super::{
    Body, FieldError, MAX_FIELD, Range, Ranges, put_body, put_number, write_pairs, write_ranges,
};
use crate::delivery::{MAX_ACKS, Proof, Sid};

/// The field of a request, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestField<'a> {
    /// The session.
    pub sid: Sid,
    /// The exchange's number in its session.
    pub seq: u64,
    /// How often the seq was fenced before; 0 where the member is absent.
    pub att: u8,
    /// The lowest seq of which an attempt may still be sent.
    pub low: u64,
    /// Seqs that were given up before their answer had a proven head: they may not arrive.
    pub void: Option<Ranges<'a>>,
    /// What body follows.
    pub body: Body,
    /// Answers that the sender consumed whole.
    pub acks: Option<Acks<'a>>,
    /// The caller's deadline, in seconds since the Unix epoch.
    pub by: Option<u64>,
    /// The proof.
    pub proof: Proof,
    /// How many bytes of the value the proof covers.
    pub covered: usize,
}

/// Which answers were consumed whole, and the proof of their receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acks<'a> {
    /// The answers' seqs.
    pub seqs: Ranges<'a>,
    /// The proof of their receipts.
    pub proof: Proof,
}

impl<'a> RequestField<'a> {
    /// Reads a field's value.
    ///
    /// # Errors
    /// Where it departs from the grammar, naming the member.
    pub fn parse(value: &'a [u8]) -> Result<Self, FieldError> {
        if value.len() > MAX_FIELD {
            return Err(FieldError::TooLong);
        }
        let mut r = Reader::new(value);
        r.expect(b"sid=\"", "sid")?;
        let sid = Sid::parse(r.take(Sid::TEXT_LEN, "sid")?).ok_or(FieldError::Member("sid"))?;
        r.expect(b"\", seq=", "seq")?;
        let seq = r.number("seq")?;
        let att = if r.eat(b", att=") { attempt(r.number("att")?)? } else { 0 };
        r.expect(b", low=", "low")?;
        let low = r.number("low")?;
        if low > seq {
            return Err(FieldError::LowAboveSeq);
        }
        let void = if r.eat(b", void=\"") { Some(r.ranges("void")?) } else { None };
        let body = r.body()?;
        let acks = if r.eat(b", acks=\"") { Some(Acks::parse(&mut r)?) } else { None };
        let by = if r.eat(b", by=") { Some(r.number("by")?) } else { None };
        let covered = r.position();
        let proof = r.proof()?;
        Ok(Self { sid, seq, att, low, void, body, acks, by, proof, covered })
    }

    /// Writes all but the proof. `void` and `acks` must be ascending, and neighbours in `void`
    /// joined.
    #[allow(clippy::too_many_arguments)] // one for each member of the field
    pub fn write(
        out: &mut Vec<u8>,
        sid: &Sid,
        (seq, att, low): (u64, u8, u64),
        void: &[Range],
        body: &Body,
        acks: Option<(&[u64], Proof)>,
        by: Option<u64>,
    ) {
        out.clear();
        out.extend_from_slice(b"sid=\"");
        out.extend_from_slice(&sid.to_text());
        out.extend_from_slice(b"\", seq=");
        put_number(out, seq);
        if att > 0 {
            out.extend_from_slice(b", att=");
            put_number(out, u64::from(att));
        }
        out.extend_from_slice(b", low=");
        put_number(out, low);
        if !void.is_empty() {
            out.extend_from_slice(b", void=\"");
            write_pairs(void, out);
            out.push(b'"');
        }
        put_body(out, body);
        if let Some((seqs, proof)) = acks {
            out.extend_from_slice(b", acks=\"");
            write_ranges(seqs.iter().copied(), out);
            out.extend_from_slice(b"\", ackh=:");
            out.extend_from_slice(&super::base64_16(&proof.0));
            out.push(b':');
        }
        if let Some(by) = by {
            out.extend_from_slice(b", by=");
            put_number(out, by);
        }
    }
}

impl<'a> Acks<'a> {
    fn parse(r: &mut Reader<'a>) -> Result<Self, FieldError> {
        let seqs = r.ranges("acks")?;
        if seqs.len() > MAX_ACKS as u64 {
            return Err(FieldError::Ranges("acks"));
        }
        r.expect(b", ackh=:", "ackh")?;
        Ok(Self { seqs, proof: Proof(r.bytes("ackh")?) })
    }
}

fn attempt(n: u64) -> Result<u8, FieldError> {
    match u8::try_from(n) {
        Ok(att) if att > 0 => Ok(att),
        _ => Err(FieldError::Member("att")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "Vn8lb2b6_bfE0jIkvPQc2A";
    const P: &str = "p=:AAAAAAAAAAAAAAAAAAAAAA==:";

    fn parse(rest: &str) -> Result<(u64, u8, u64), FieldError> {
        let text = format!("sid=\"{SID}\", {rest}");
        RequestField::parse(text.as_bytes()).map(|f| (f.seq, f.att, f.low))
    }

    #[test]
    fn every_departure_from_the_grammar_is_refused_by_name() {
        use FieldError::*;
        let d = "d=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
        for (rest, want) in [
            (format!("seq=1, low=1, body=none, {P}"), None),
            (format!("seq=1, att=0, low=1, body=none, {P}"), Some(Member("att"))),
            (format!("seq=1, att=256, low=1, body=none, {P}"), Some(Member("att"))),
            (format!("seq=01, low=1, body=none, {P}"), Some(Member("seq"))),
            (format!("seq=-1, low=1, body=none, {P}"), Some(Member("seq"))),
            (format!("seq=1000000000000000, low=1, body=none, {P}"), Some(Member("seq"))),
            (format!("seq=1, low=2, body=none, {P}"), Some(LowAboveSeq)),
            (format!("low=1, seq=1, body=none, {P}"), Some(Member("seq"))),
            (format!("seq=1, low=1, body=some, {P}"), Some(Member("body"))),
            (format!("seq=1, low=1, body=known, {P}"), Some(Member("d"))),
            (format!("seq=1, low=1, body=none, {d}, {P}"), Some(Unknown)),
            (format!("seq=1, low=1, body=records, size=0, {P}"), None),
            (format!("seq=1, low=1, body=records, size=01, {P}"), Some(Member("size"))),
            (format!("seq=1, low=1, body=none, size=1, {P}"), Some(Unknown)),
            (format!("seq=1, low=1, body=known, {d}, size=1, {P}"), Some(Unknown)),
            (format!("seq=1, low=1, body=none, x=1, {P}"), Some(Unknown)),
            (format!("seq=1, low=1, body=none, by=1, by=1, {P}"), Some(Unknown)),
            (format!("seq=1, low=1, body=none;a=1, {P}"), Some(Unknown)),
            (format!("seq=1, low=1, body=none, {P}, x=1"), Some(Unknown)),
            (format!("seq=1, low=1, body=none, {P} "), Some(Unknown)),
            ("seq=1, low=1, body=none".into(), Some(Member("p"))),
            ("seq=1, low=1, body=none, p=:AAAA:".into(), Some(Member("p"))),
            ("seq=1, low=1, body=none, p=:AAAAAAAAAAAAAAAAAAAAAB==:".into(), Some(Member("p"))),
            (format!("seq=9, low=1, void=\"2,1\", body=none, {P}"), Some(Ranges("void"))),
            (format!("seq=9, low=1, void=\"\", body=none, {P}"), Some(Ranges("void"))),
            (format!("seq=9, low=1, body=none, acks=\"1\", {P}"), Some(Member("ackh"))),
            (format!("seq=9, low=1, body=none, acks=\"1-257\", {P}"), Some(Ranges("acks"))),
            (format!("seq=9, low=1, void=\"1-257\", body=none, {P}"), None),
            (format!("seq=9, low=1, body=none, {}", "x".repeat(MAX_FIELD)), Some(TooLong)),
        ] {
            assert_eq!(parse(&rest).err(), want, "{rest}");
        }
    }

    #[test]
    fn no_prefix_of_a_field_is_a_field() {
        let text = format!("sid=\"{SID}\", seq=12, att=1, low=9, body=records, by=5, {P}");
        for end in 0..text.len() {
            assert!(RequestField::parse(&text.as_bytes()[..end]).is_err(), "{end}");
        }
        assert_eq!(RequestField::parse(text.as_bytes()).unwrap().covered, text.len() - P.len() - 2);
    }
}
