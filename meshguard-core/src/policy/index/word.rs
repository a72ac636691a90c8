//! Segments of a path, compared as words.

use super::table::mix;

/// So long a text is told by its ends.
const SHORT: u32 = 16;
const SLASHES: u64 = u64::from_ne_bytes([b'/'; 8]);
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// What tells a text from another: all of it where it is [short](Self::is_whole), else a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The first eight bytes, little-endian; fewer with zeros behind.
    head: u64,
    /// The last eight bytes, where there are more than eight; a hash where there are more than
    /// sixteen.
    tail: u64,
    length: u32,
}

/// The first segment of a path's rest.
#[derive(Debug)]
pub(super) struct First<'p> {
    pub(super) text: &'p [u8],
    pub(super) word: Word,
    /// What follows its slash; `None` where none does.
    pub(super) after: Option<&'p [u8]>,
}

impl<'p> First<'p> {
    #[inline(always)] // it is large, and would be copied
    pub(super) fn of(rest: &'p [u8]) -> Self {
        let first = load(rest);
        let (mut chunk, mut at) = (first, 0);
        // Zeros behind the end are no slashes.
        let end = loop {
            let other = chunk ^ SLASHES;
            // The lowest of these bits stands in a byte that is zero in `other`.
            let found = other.wrapping_sub(ONES) & !other & ONES << 7;
            if found != 0 {
                break at + found.trailing_zeros() as usize / 8;
            }
            at += 8;
            if at >= rest.len() {
                break rest.len();
            }
            chunk = load(&rest[at..]);
        };
        let (text, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        let after = after.get(1..);
        let head = if end < 8 { first & ((1 << (8 * end)) - 1) } else { first };
        Self { text, word: Word::new(text, head), after }
    }
}

impl Word {
    /// `text` is not so long that its length were more than [`u32::MAX`].
    #[inline]
    fn new(text: &[u8], head: u64) -> Self {
        let length = text.len() as u32;
        let tail = match text.last_chunk::<8>() {
            Some(_) if length > SHORT => digest(text),
            Some(last) if length > 8 => u64::from_le_bytes(*last),
            _ => 0,
        };
        Self { head, tail, length }
    }

    /// Whether texts are equal where their words are.
    pub(super) fn is_whole(&self) -> bool {
        self.length <= SHORT
    }

    #[inline]
    pub(super) fn hash(&self, under: u32) -> u64 {
        let place = u64::from(under) << 32 | u64::from(self.length);
        mix(self.head ^ self.tail.rotate_left(32), place)
    }
}

#[cold]
fn digest(text: &[u8]) -> u64 {
    text.chunks(8).fold(0, |hash, chunk| mix(hash, load(chunk)))
}

/// The first eight bytes, little-endian; fewer with zeros behind.
#[inline]
fn load(bytes: &[u8]) -> u64 {
    if let Some(chunk) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*chunk);
    }
    // Reads that overlap agree where they do.
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let [first, last] = [first, last].map(|word| u64::from(u32::from_le_bytes(*word)));
        return first | last << (8 * (bytes.len() - 4));
    }
    let byte = |at: usize| bytes.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
    byte(0) | byte(1) | byte(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of every length, with and without a slash behind, the bytes all different.
    #[test]
    fn the_first_segment_ends_before_the_first_slash() {
        let letters: Vec<u8> = (0..40).map(|n| b'a' + n % 26).collect();
        for length in 0..letters.len() {
            let text = &letters[..length];
            let alone = First::of(text);
            assert_eq!((alone.text, alone.after), (text, None));
            for after in [&b""[..], b"/", b"x", b"x/y", b"0123456789/0123456789"] {
                let path = [text, b"/", after].concat();
                let first = First::of(&path);
                assert_eq!((first.text, first.after), (text, Some(after)));
                assert_eq!(first.word, alone.word, "{length}");
            }
        }
    }

    #[test]
    fn short_words_are_equal_only_where_their_texts_are() {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for length in 0..=SHORT as usize {
            texts.push(vec![0; length]);
            for at in 0..length {
                for byte in [1, b'a', 0x80, 0xFF] {
                    let mut text = vec![0; length];
                    text[at] = byte;
                    texts.push(text);
                }
            }
        }
        for one in &texts {
            for two in &texts {
                let words = [one, two].map(|text| First::of(text).word);
                assert!(words[0].is_whole());
                assert_eq!(words[0] == words[1], one == two, "{one:?} {two:?}");
            }
        }
        assert!(!First::of(&[b'a'; 17]).word.is_whole());
    }

    #[test]
    fn words_spread_over_the_low_bits() {
        let hash = |n: u32| First::of(format!("svc-{n}").as_bytes()).word.hash(n % 3) & 0xFFFF;
        let low: std::collections::HashSet<_> = (0..8192).map(hash).collect();
        // 8,192 balls into 65,536 bins leave about 7,700 filled.
        assert!(low.len() > 7_400, "{}", low.len());
    }
}
