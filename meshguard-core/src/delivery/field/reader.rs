//! A cursor over a field's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Body, FieldError, Ranges};
use crate::delivery::{MAX_NUMBER, Proof};

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Self { rest: all, len: all.len() }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Takes `literal` if it comes next.
    pub(super) fn eat(&mut self, literal: &[u8]) -> bool {
        match self.rest.strip_prefix(literal) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(
        &mut self,
        literal: &[u8],
        member: &'static str,
    ) -> Result<(), FieldError> {
        if self.eat(literal) { Ok(()) } else { Err(FieldError::Member(member)) }
    }

    pub(super) fn take(&mut self, n: usize, member: &'static str) -> Result<&'a [u8], FieldError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(FieldError::Member(member))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A canonical decimal below 10^15.
    pub(super) fn number(&mut self, member: &'static str) -> Result<u64, FieldError> {
        let (n, rest) = number(self.rest).ok_or(FieldError::Member(member))?;
        self.rest = rest;
        Ok(n)
    }

    /// A quoted list of ranges, the opening quote already taken.
    pub(super) fn ranges(&mut self, member: &'static str) -> Result<Ranges<'a>, FieldError> {
        let end = self.rest.iter().position(|c| *c == b'"').ok_or(FieldError::Member(member))?;
        let text = self.take(end, member)?;
        self.expect(b"\"", member)?;
        Ranges::parse(text).ok_or(FieldError::Ranges(member))
    }

    /// A byte sequence of `N` bytes, its opening colon already taken.
    pub(super) fn bytes<const N: usize>(
        &mut self,
        member: &'static str,
    ) -> Result<[u8; N], FieldError> {
        let text = self.take(N.div_ceil(3) * 4, member)?;
        self.expect(b":", member)?;
        // The decoder wants room for the padding too.
        let mut out = [0; 48];
        match STANDARD.decode_slice(text, &mut out) {
            Ok(n) if n == N => Ok(std::array::from_fn(|i| out[i])),
            _ => Err(FieldError::Member(member)),
        }
    }

    pub(super) fn body(&mut self) -> Result<Body, FieldError> {
        self.expect(b", body=", "body")?;
        if self.eat(b"none") {
            Ok(Body::None)
        } else if self.eat(b"records") {
            let size = if self.eat(b", size=") { Some(self.number("size")?) } else { None };
            Ok(Body::Records(size))
        } else if self.eat(b"known") {
            self.expect(b", d=:", "d")?;
            Ok(Body::Known(self.bytes("d")?))
        } else {
            Err(FieldError::Member("body"))
        }
    }

    /// The last member, and nothing behind it.
    pub(super) fn proof(&mut self) -> Result<Proof, FieldError> {
        if !self.eat(b", p=:") {
            return Err(if self.rest.is_empty() {
                FieldError::Member("p")
            } else {
                FieldError::Unknown
            });
        }
        let proof = Proof(self.bytes("p")?);
        if self.rest.is_empty() { Ok(proof) } else { Err(FieldError::Unknown) }
    }
}

/// Reads a canonical decimal below 10^15: no sign, no leading zero.
pub(super) fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take(16).take_while(|c| c.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    if digits == 0 || (digits > 1 && number[0] == b'0') {
        return None;
    }
    let value = number.iter().fold(0, |n, c| n * 10 + u64::from(c - b'0'));
    (value < MAX_NUMBER).then_some((value, rest))
}
