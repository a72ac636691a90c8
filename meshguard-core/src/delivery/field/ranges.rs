//! Lists of sequence numbers, as `1800-1801,1839`.

use super::put_number;
use super::reader::number;
use crate::delivery::MAX_RANGES;

/// A range of seqs: the first one and the last one.
pub type Range = (u64, u64);

/// Ascending, disjoint ranges of seqs, at most [`MAX_RANGES`] of them; checked when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges<'a>(&'a [u8]);

impl<'a> Ranges<'a> {
    /// Checks a list; `None` unless it is canonical: ranges of two and more, separated by
    /// commas, ascending and disjoint, with neighbours joined.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (mut rest, mut after, mut count) = (text, 0, 0);
        loop {
            let (first, last, behind) = pair(rest)?;
            count += 1;
            // `after` is two above the last one's end: neighbours must be joined.
            if first < after || count > MAX_RANGES {
                return None;
            }
            after = last + 2;
            match behind.split_first() {
                None => return Some(Self(text)),
                Some((b',', more)) => rest = more,
                Some(_) => return None,
            }
        }
    }

    /// The ranges, ascending.
    pub fn pairs(&self) -> impl Iterator<Item = Range> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (first, last, behind) = pair(rest)?;
            rest = behind.strip_prefix(b",").unwrap_or(behind);
            Some((first, last))
        })
    }

    /// The seqs, ascending. There may be as many as numbers go: ask [`len`](Self::len) first.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.pairs().flat_map(|(first, last)| first..=last)
    }

    /// How many seqs the ranges hold. A list has at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> u64 {
        self.pairs().map(|(first, last)| last - first + 1).sum()
    }
}

/// `a` or `a-b` with a < b.
fn pair(text: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (first, rest) = number(text)?;
    match rest.strip_prefix(b"-") {
        None => Some((first, first, rest)),
        Some(rest) => {
            let (last, rest) = number(rest)?;
            (first < last).then_some((first, last, rest))
        }
    }
}

/// Writes ranges, which must be ascending, with neighbours joined.
pub fn write_pairs(pairs: &[Range], out: &mut Vec<u8>) {
    for (n, (first, last)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        put_number(out, *first);
        if last > first {
            out.push(b'-');
            put_number(out, *last);
        }
    }
}

/// Writes ascending seqs in canonical form.
pub fn write_ranges(seqs: impl IntoIterator<Item = u64>, out: &mut Vec<u8>) {
    let mut run: Option<Range> = None;
    let mut comma = false;
    let mut put = |pair: Range, out: &mut Vec<u8>| {
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
        write_pairs(&[pair], out);
    };
    for seq in seqs {
        run = match run {
            Some((first, last)) if seq == last + 1 => Some((first, seq)),
            Some(done) => {
                put(done, out);
                Some((seq, seq))
            }
            None => Some((seq, seq)),
        };
    }
    if let Some(done) = run {
        put(done, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let seqs = [1, 2, 3, 7, 9, 10];
        let mut text = Vec::new();
        write_ranges(seqs, &mut text);
        assert_eq!(text, b"1-3,7,9-10");
        assert_eq!(Ranges::parse(&text).unwrap().iter().collect::<Vec<_>>(), seqs);
    }

    #[test]
    fn only_canonical_lists_are_read() {
        for bad in [
            "",
            ",",
            "1,",
            ",1",
            "1,1",
            "2,1",
            "1,2",
            "1-1",
            "3-1",
            "1-3,3",
            "1-3,4",
            "01",
            "1 ,3",
            "-1",
            "1-",
            "1--2",
            "a",
            "1000000000000000",
        ] {
            assert_eq!(Ranges::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn ranges_are_bounded_and_the_numbers_in_them_are_not() {
        let text = |n: u64| {
            let mut out = Vec::new();
            write_ranges((0..n).map(|i| 2 * i + 1), &mut out);
            out
        };
        assert_eq!(Ranges::parse(&text(MAX_RANGES as u64)).unwrap().len(), MAX_RANGES as u64);
        assert_eq!(Ranges::parse(&text(MAX_RANGES as u64 + 1)), None);
        let all = Ranges::parse(b"1-999999999999999").unwrap();
        assert_eq!((all.len(), all.pairs().count()), (999_999_999_999_999, 1));
    }

    #[test]
    fn pairs_are_written_as_their_numbers_are() {
        let (mut seqs, mut pairs) = (Vec::new(), Vec::new());
        write_ranges([1, 2, 3, 7, 9, 10], &mut seqs);
        write_pairs(&[(1, 3), (7, 7), (9, 10)], &mut pairs);
        assert_eq!(seqs, pairs);
    }
}
