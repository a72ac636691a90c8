//! Fields as bytes: one way to write each, and nothing else is read.

use std::fmt;
use std::time::Duration;

use super::error::{EntryError, EntryErrorKind};
use crate::access::Evidence;
use crate::delivery::{Failure, Outcome, Sid, Unknown};
use crate::escape::{self, is_plain};
use crate::time::Timestamp;

/// Bytes of a text, at most.
pub const MAX_TEXT: usize = 4096;
/// What a text that was cut ends with.
const CUT: &str = "…";

/// A field. `get` accepts exactly what `put` writes.
pub(super) trait Wire<'a>: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError>;
}

/// The fields of a struct, in the order in which they stand in the entry.
macro_rules! wire {
    ($name:ident $(<$life:lifetime>)? { $($field:ident),* $(,)? }) => {
        impl<'a> $crate::ledger::entry::wire::Wire<'a> for $name $(<$life>)? {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::ledger::entry::wire::Wire::put(&self.$field, out);)*
            }

            fn get(
                from: &mut $crate::ledger::entry::wire::Reader<'a>,
            ) -> Result<Self, $crate::ledger::entry::EntryError> {
                $(let $field = $crate::ledger::entry::wire::Wire::get(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// The values of an enumeration, each a byte.
macro_rules! wire_enum {
    ($name:ty { $($byte:literal => $value:pat_param = $make:expr),* $(,)? }) => {
        impl<'a> $crate::ledger::entry::wire::Wire<'a> for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $($value => $byte,)* });
            }

            fn get(
                from: &mut $crate::ledger::entry::wire::Reader<'a>,
            ) -> Result<Self, $crate::ledger::entry::EntryError> {
                match from.tag()? {
                    $($byte => Ok($make),)*
                    _ => Err(from.bad_tag()),
                }
            }
        }
    };
}

pub(super) use {wire, wire_enum};

/// Reads an entry from its beginning.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The encoding's version: some fields are younger than others.
    pub(super) version: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, version: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], EntryError> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..len) else {
            return Err(EntryError::new(self.at, EntryErrorKind::Short));
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The byte of an enumeration.
    pub(super) fn tag(&mut self) -> Result<u8, EntryError> {
        Ok(self.array::<1>()?[0])
    }

    /// The byte just read stands for nothing.
    pub(super) fn bad_tag(&self) -> EntryError {
        let at = self.at - 1;
        EntryError::new(at, EntryErrorKind::Tag(self.bytes[at]))
    }

    pub(super) fn end(&self) -> Result<(), EntryError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            _ => Err(EntryError::new(self.at, EntryErrorKind::Trailing)),
        }
    }
}

macro_rules! wire_number {
    ($($number:ty)*) => {$(
        impl<'a> Wire<'a> for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
                Ok(Self::from_be_bytes(from.array()?))
            }
        }
    )*};
}

// f32: its bits (IEEE 754), whatever they are.
wire_number!(u8 u16 u64 u128 f32);

impl<'a, const N: usize> Wire<'a> for [u64; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|number| number.put(out));
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        let mut all = [0; N];
        for number in &mut all {
            *number = u64::get(from)?;
        }
        Ok(all)
    }
}

impl<'a> Wire<'a> for &'a str {
    /// Escaped, and cut where it is too long then.
    fn put(&self, out: &mut Vec<u8>) {
        let at = out.len();
        0_u16.put(out);
        if self.len() <= MAX_TEXT && is_plain(self) {
            out.extend_from_slice(self.as_bytes());
        } else {
            put_escaped(self, out);
        }
        // At most MAX_TEXT, which is below 2^16.
        let len = (out.len() - at - 2) as u16;
        out[at..at + 2].copy_from_slice(&len.to_be_bytes());
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        let at = from.at;
        let len = usize::from(u16::get(from)?);
        if len > MAX_TEXT {
            return Err(EntryError::new(at, EntryErrorKind::TextLength));
        }
        let bytes = from.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| EntryError::new(at, EntryErrorKind::Utf8))
    }
}

/// Appends the text escaped, or as much of it as fits with [`CUT`] behind it: whole characters,
/// and whole escapes.
fn put_escaped(text: &str, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut kept = begin;
    for c in text.chars() {
        // Appending to a vector does not fail.
        let _ = escape::put(c, &mut Text(out));
        if out.len() - begin <= MAX_TEXT - CUT.len() {
            kept = out.len();
        } else if out.len() - begin > MAX_TEXT {
            out.truncate(kept);
            out.extend_from_slice(CUT.as_bytes());
            return;
        }
    }
}

/// Bytes that grow by text.
struct Text<'o>(&'o mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        match from.tag()? {
            0 => Ok(None),
            1 => T::get(from).map(Some),
            _ => Err(from.bad_tag()),
        }
    }
}

impl<'a> Wire<'a> for Timestamp {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_unix_nanos().put(out);
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        u64::get(from).map(Self::from_unix_nanos)
    }
}

impl<'a> Wire<'a> for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).put(out);
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        u64::get(from).map(Self::from_nanos)
    }
}

impl<'a> Wire<'a> for [u8; 32] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        from.array()
    }
}

impl<'a> Wire<'a> for Sid {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, EntryError> {
        from.array().map(Self::from_random)
    }
}

wire_enum!(bool { 0 => false = false, 1 => true = true });

wire_enum!(Evidence {
    0 => Self::None = Self::None,
    1 => Self::Length = Self::Length,
    2 => Self::Digest = Self::Digest,
    3 => Self::Verified = Self::Verified,
});

wire_enum!(Outcome {
    1 => Self::Delivered = Self::Delivered,
    2 => Self::Rejected = Self::Rejected,
    3 => Self::Failed(Failure::Aborted) = Self::Failed(Failure::Aborted),
    4 => Self::Failed(Failure::ShortReceipt) = Self::Failed(Failure::ShortReceipt),
    5 => Self::Failed(Failure::WrongReceipt) = Self::Failed(Failure::WrongReceipt),
    6 => Self::Failed(Failure::BadReceipt) = Self::Failed(Failure::BadReceipt),
    7 => Self::NotDelivered = Self::NotDelivered,
    8 => Self::Indeterminate(Unknown::NoAnswer) = Self::Indeterminate(Unknown::NoAnswer),
    9 => Self::Indeterminate(Unknown::Unproven) = Self::Indeterminate(Unknown::Unproven),
    10 => Self::Indeterminate(Unknown::BadProof) = Self::Indeterminate(Unknown::BadProof),
    11 => Self::Indeterminate(Unknown::NoReceipt) = Self::Indeterminate(Unknown::NoReceipt),
    12 => Self::Indeterminate(Unknown::Duplicate) = Self::Indeterminate(Unknown::Duplicate),
    13 => Self::Indeterminate(Unknown::Dropped) = Self::Indeterminate(Unknown::Dropped),
    14 => Self::AnsweredEarly = Self::AnsweredEarly,
});
