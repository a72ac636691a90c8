//! The one strict reading of a path, on what a backend could read.

use std::borrow::Cow;
use std::fmt;

/// Why a raw path is refused before any rule is asked.
///
/// Every one of these is a path that two readers could take for two different things: the
/// framework routes on the raw path, a backend behind it may decode or resolve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A raw `?` or `#`: the query is no part of an [`Access`](crate::Access)'s path.
    QueryOrFragment,
    /// A raw `\`, which some readers take for `/`.
    Backslash,
    /// An escape that hides a separator: `%2F` or `%5C`.
    EncodedSeparator,
    /// `%25` before something that a second decoding would make a separator, a dot or a control
    /// character: `%252F`, `%252e`.
    DoubleEncoding,
    /// A `%` that two hexadecimal digits do not follow (RFC 3986 §2.1).
    BadEscape,
    /// A control character, raw or encoded; `%00` among them.
    Control,
    /// The decoded path is not UTF-8.
    NotUtf8,
    /// An empty segment other than the last: `//`.
    EmptySegment,
    /// A segment `.` or `..`, raw or encoded (RFC 3986 §5.2.4).
    DotSegment,
    /// A dot segment or an empty one that hides behind parameters: `..;/`, `/;x/`.
    DotParameters,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "does not begin with /",
            Self::QueryOrFragment => "contains ? or #",
            Self::Backslash => "contains a backslash",
            Self::EncodedSeparator => "contains an encoded slash or backslash",
            Self::DoubleEncoding => "encodes a separator or dot twice",
            Self::BadEscape => "has a malformed percent escape",
            Self::Control => "contains a control character",
            Self::NotUtf8 => "is not UTF-8 once decoded",
            Self::EmptySegment => "has an empty segment",
            Self::DotSegment => "has a dot segment",
            Self::DotParameters => "has a dot segment with parameters",
        })
    }
}

/// The path with its escapes decoded once. Borrows where there is no `%`.
#[inline]
pub(super) fn normalize(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if is_plain(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    inspect(raw)
}

#[cold]
fn inspect(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    let mut escaped = false;
    for byte in raw.bytes() {
        match byte {
            b'?' | b'#' => return Err(PathError::QueryOrFragment),
            b'\\' => return Err(PathError::Backslash),
            b'%' => escaped = true,
            _ => {}
        }
    }
    let path = if escaped { Cow::Owned(decode(raw)?) } else { Cow::Borrowed(raw) };
    if path.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    check_segments(&path)?;
    Ok(path)
}

/// Whether nothing in the path calls for a closer look, as is so for nearly all of them: what
/// this accepts, [`inspect`] would accept as it stands.
#[inline]
fn is_plain(raw: &[u8]) -> bool {
    let (Some(b'/'), Some((last, but_last))) = (raw.first(), raw.split_last()) else {
        return false;
    };
    !is_odd(*last)
        && !windows::<16>(raw).unwrap_or_else(|| {
            windows::<8>(raw).unwrap_or_else(|| {
                but_last.iter().zip(&raw[1..]).any(|(byte, next)| calls(*byte, *next))
            })
        })
}

/// Whether one of the bytes but the last [calls](calls) for a closer look; `None` where there are
/// not more than `N`. So many are looked at at once, and the last of them overlap.
#[inline]
fn windows<const N: usize>(raw: &[u8]) -> Option<bool> {
    let end = raw.len().checked_sub(N + 1)?;
    let mut bad = [0; N];
    let mut at = 0;
    loop {
        let (bytes, next) = (raw[at..].first_chunk::<N>()?, raw[at + 1..].first_chunk::<N>()?);
        for i in 0..N {
            bad[i] |= u8::from(calls(bytes[i], next[i]));
        }
        if at == end {
            return Some(bad.iter().fold(0, |all, one| all | one) != 0);
        }
        at = (at + N).min(end);
    }
}

/// Whether a byte may call for a closer look, with the one that follows it.
#[inline]
fn calls(byte: u8, next: u8) -> bool {
    // `.` and `/` differ in the last bit only.
    is_odd(byte) | (byte == b'/') & (next | 1 == b'/')
}

/// Not visible ASCII, or something that ends a path, escapes, separates parameters or is taken
/// for `/`; or one of two innocent ones that are not worth telling from these.
#[inline]
fn is_odd(byte: u8) -> bool {
    // No branches: many bytes are looked at at once.
    (byte.cast_signed() < 0x21)
        | (byte == 0x7F)
        | (byte == b'\\')
        | (byte | 4 == b'?') // and `;`
        | (byte | 6 == b'\'') // and `!#%`
}

/// What holds for every segment of a decoded path, which begins with `/`.
fn check_segments(path: &str) -> Result<(), PathError> {
    if path.contains("//") {
        return Err(PathError::EmptySegment);
    }
    for segment in path.split('/') {
        if matches!(segment, "." | "..") {
            return Err(PathError::DotSegment);
        }
        if let Some((".." | "." | "", _)) = segment.split_once(';') {
            return Err(PathError::DotParameters);
        }
    }
    Ok(())
}

/// Every escape decoded once, if that is not ambiguous.
pub(super) fn decode(raw: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (byte, after) = escape(rest).ok_or(PathError::BadEscape)?;
        match byte {
            b'/' | b'\\' => return Err(PathError::EncodedSeparator),
            b'%' if hides(after) => return Err(PathError::DoubleEncoding),
            _ => bytes.push(byte),
        }
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| PathError::NotUtf8)
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = rest.split_first_chunk::<2>()?;
    let value = |d: u8| char::from(d).to_digit(16).and_then(|v| u8::try_from(v).ok());
    Some((value(digits[0])? * 16 + value(digits[1])?, after))
}

/// Whether `rest`, which follows a `%25`, would be a separator, a dot or a control character if
/// it were decoded again, however often. Its digits may be written encoded themselves.
fn hides(mut rest: &[u8]) -> bool {
    while let Some((high, after)) = digit(rest) {
        let Some((low, after)) = digit(after) else { return false };
        match high * 16 + low {
            b'%' => rest = after,
            byte => return b"/\\.;?#".contains(&byte) || byte.is_ascii_control(),
        }
    }
    false
}

/// A hexadecimal digit that stands raw or escaped.
fn digit(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, after) = rest.split_first()?;
    let (byte, after) = if first == b'%' { escape(after)? } else { (first, after) };
    let value = char::from(byte).to_digit(16)?;
    Some((u8::try_from(value).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_path_is_read_as_it_stands_and_borrowed() {
        for path in ["/", "/orders", "/orders/", "/a/b.c/d..e/...", "/a;v=1/b", "/é", "/a b"] {
            assert!(matches!(normalize(path), Ok(Cow::Borrowed(p)) if p == path), "{path}");
        }
    }

    #[test]
    fn escapes_of_ordinary_characters_are_decoded_once() {
        for (raw, want) in [
            ("/orders/%37", "/orders/7"),
            ("/a%20b", "/a b"),
            ("/%C3%A9", "/é"),
            ("/100%25", "/100%"),
            ("/100%25/x", "/100%/x"),
            ("/a%2eb", "/a.b"),
            ("/%2541", "/%41"),
            ("/a%3Fb%23c", "/a?b#c"),
        ] {
            assert_eq!(normalize(raw).as_deref(), Ok(want), "{raw}");
        }
    }

    #[test]
    fn each_ambiguity_has_its_own_refusal() {
        use PathError::*;
        for (raw, want) in [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("orders", NotAbsolute),
            ("http://shop.example/orders", NotAbsolute),
            ("%2forders", NotAbsolute),
            ("/orders?x=1", QueryOrFragment),
            ("/orders#x", QueryOrFragment),
            ("/admin\\users", Backslash),
            ("/..\\admin", Backslash),
            ("/a%2Fb", EncodedSeparator),
            ("/a%2fb", EncodedSeparator),
            ("/a%5Cb", EncodedSeparator),
            ("/a%5cb", EncodedSeparator),
            ("/a/%252f", DoubleEncoding),
            ("/a/%252F..", DoubleEncoding),
            ("/a/%252e%252e/b", DoubleEncoding),
            ("/a/%25252e", DoubleEncoding),
            ("/a/%255c", DoubleEncoding),
            ("/a/%2500", DoubleEncoding),
            ("/a/..%253b/b", DoubleEncoding),
            ("/a/%25%32%66", DoubleEncoding),
            ("/a/%25%32e", DoubleEncoding),
            ("/a/%2", BadEscape),
            ("/a/%", BadEscape),
            ("/a/%zz", BadEscape),
            ("/a/%u002e", BadEscape),
            ("/a/%+1", BadEscape),
            ("/a\0", Control),
            ("/a\r\n", Control),
            ("/a\u{7f}", Control),
            ("/a%00", Control),
            ("/a%0d%0a", Control),
            ("/a%7F", Control),
            ("/a%C2%85", Control),
            ("/a%ff", NotUtf8),
            ("/%c0%ae%c0%ae/", NotUtf8),
            ("//", EmptySegment),
            ("//admin", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("/.", DotSegment),
            ("/..", DotSegment),
            ("/./a", DotSegment),
            ("/admin/../public/x", DotSegment),
            ("/a/%2e%2e/b", DotSegment),
            ("/a/%2E./b", DotSegment),
            ("/a/.%2e", DotSegment),
            ("/a/..;/b", DotParameters),
            ("/a/..;x=1", DotParameters),
            ("/a/.;/b", DotParameters),
            ("/a/%2e%2e;/b", DotParameters),
            ("/a/..%3b/b", DotParameters),
            ("/;/admin", DotParameters),
        ] {
            assert_eq!(normalize(raw), Err(want), "{raw:?}");
        }
    }

    #[test]
    fn a_path_that_is_plain_at_first_sight_passes_the_closer_look() {
        let bytes = b"/a.;%2?\\~ \x7f";
        let count = bytes.len().pow(4);
        let mut plain = 0;
        for number in 0..count {
            let digits = std::iter::successors(Some(number), |n| Some(n / bytes.len()));
            let raw: Vec<u8> = digits.take(4).map(|n| bytes[n % bytes.len()]).collect();
            let text = str::from_utf8(&raw).unwrap();
            if is_plain(&raw) {
                plain += 1;
                assert_eq!(inspect(text).as_deref(), Ok(text));
            }
        }
        assert!(plain > 40, "{plain} of {count}");
    }

    /// Wherever it stands, in a path of any length: many bytes are looked at at once.
    #[test]
    fn nothing_escapes_the_first_sight() {
        for length in 3..40 {
            let path = format!("/{}", "a".repeat(length - 1));
            assert!(is_plain(path.as_bytes()), "{length}");
            for at in 1..length - 1 {
                for (byte, next) in
                    (0..=0x7F).flat_map(|b| [b'a', b'/', b'.', b';'].map(|n| (b, n)))
                {
                    let mut raw = path.clone().into_bytes();
                    (raw[at], raw[at + 1]) = (byte, next);
                    let text = str::from_utf8(&raw).unwrap();
                    if is_plain(&raw) {
                        assert_eq!(inspect(text).as_deref(), Ok(text));
                    }
                }
            }
            let accent = format!("{}é", &path[..length - 1]);
            assert!(!is_plain(accent.as_bytes()));
        }
    }

    #[test]
    fn a_refusal_does_not_depend_on_how_deep_the_encoding_goes() {
        let deep = format!("/a/%{}2e", "25".repeat(1_000_000));
        assert_eq!(normalize(&deep), Err(PathError::DoubleEncoding));
    }
}
