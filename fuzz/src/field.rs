//! The `meshguard` header field.

use meshguard_core::delivery::field::{RequestField, ResponseField, put_proof};

/// Reading a field never panics, and what is read is written back to the same bytes: there is
/// one way to write a head.
pub fn field(data: &[u8]) {
    let mut out = Vec::new();
    if let Ok(f) = RequestField::parse(data) {
        let void: Vec<_> = f.void.iter().flat_map(|v| v.pairs()).collect();
        let acked: Option<Vec<u64>> = f.acks.map(|a| a.seqs.iter().collect());
        let acks = f.acks.as_ref().zip(acked.as_deref()).map(|(a, seqs)| (seqs, a.proof));
        let numbers = (f.seq, f.att, f.low);
        RequestField::write(&mut out, &f.sid, numbers, &void, &f.body, acks, f.by);
        assert_eq!(out, data[..f.covered], "a request's field is written another way");
        put_proof(&mut out, &f.proof);
        assert_eq!(out, data, "a request's proof is written another way");
    }
    if let Ok(f) = ResponseField::parse(data) {
        ResponseField::write(&mut out, f.seq, &f.body, &f.rcpt, f.dup);
        assert_eq!(out, data[..f.covered], "a response's field is written another way");
        put_proof(&mut out, &f.proof);
        assert_eq!(out, data, "a response's proof is written another way");
    }
}
