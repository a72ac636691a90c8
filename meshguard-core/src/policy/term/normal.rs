//! A path as upstream's proxy normalises it before it asks its policies.

use std::borrow::Cow;

use crate::policy::model::Normalization;
use crate::policy::path::{self, PathError};

impl Normalization {
    /// The path to match, without its query and fragment. Borrows where nothing changes.
    ///
    /// # Errors
    /// What a strict reading refuses; of all others a NUL, raw or encoded, which upstream
    /// answers with 400.
    pub(crate) fn apply(self, raw: &str) -> Result<Cow<'_, str>, PathError> {
        if self == Self::Strict {
            return path::normalize(raw);
        }
        let path = raw.find(['?', '#']).map_or(raw, |end| &raw[..end]);
        if path.contains('\0') || path.contains("%00") {
            return Err(PathError::Control);
        }
        if self == Self::None || is_plain(path) {
            return Ok(Cow::Borrowed(path));
        }
        let mut path = Cow::Borrowed(path);
        if self == Self::DecodeAndMergeSlashes {
            path = Cow::Owned(decode_slashes(&path));
        }
        let path = resolve(&canonical(&path));
        if self == Self::Base {
            return Ok(Cow::Owned(path));
        }
        Ok(Cow::Owned(merge(&path)))
    }
}

/// Whether no step changes the path.
fn is_plain(path: &str) -> bool {
    let same = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,:;=@[]".contains(&b);
    path.starts_with('/')
        && path.as_bytes().windows(2).all(|w| w != b"//" && w != b"/.")
        && path.bytes().all(|b| b == b'/' || same(b))
}

/// `%2F` and `%5C` decoded, nothing else.
pub(crate) fn decode_slashes(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let byte = match escape(&rest.as_bytes()[at..]) {
            Some(b'/') => Some('/'),
            Some(b'\\') => Some('\\'),
            _ => None,
        };
        decoded.push(byte.unwrap_or('%'));
        rest = &rest[at + if byte.is_some() { 3 } else { 1 }..];
    }
    decoded.push_str(rest);
    decoded
}

/// Unreserved characters decoded, `\` as `/`, and encoded what may not stand raw.
pub(crate) fn canonical(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    if !path.starts_with(['/', '\\']) {
        out.push('/');
    }
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => out.push('/'),
            b'%' => match escape(&bytes[at - 1..]) {
                Some(value) if is_unreserved(value) => {
                    at += 2;
                    unescaped(&mut out, value, bytes.get(at).copied());
                }
                Some(_) => {
                    // The case of its digits is kept.
                    out.push_str(&path[at - 1..at + 2]);
                    at += 2;
                }
                None => out.push('%'),
            },
            byte if must_be_encoded(byte) => {
                out.push_str(&format!("%{byte:02X}"));
            }
            byte => out.push(char::from(byte)),
        }
    }
    out
}

/// A decoded character must not make an escape of a `%` that was none: `%%300` is not `%00`.
fn unescaped(out: &mut String, value: u8, next: Option<u8>) {
    let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
    let tail = out.as_bytes();
    let before = |back: usize| tail.len().checked_sub(back).map(|i| tail[i]);
    let escapes = value.is_ascii_hexdigit()
        && (before(1) == Some(b'%') && hex(next) || before(2) == Some(b'%') && hex(before(1)));
    if escapes {
        let percent = out.rfind('%').unwrap_or(0);
        out.insert_str(percent + 1, "25");
    }
    out.push(char::from(value));
}

/// Dot segments resolved (RFC 3986 §5.2.4), also where they carry parameters: `..;x`.
pub(crate) fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let dots = segment.split(';').next().unwrap_or(segment);
        match dots {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// `//` merged.
pub(crate) fn merge(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    merged
}

/// The byte that `%` and two hexadecimal digits at the beginning stand for.
pub(crate) fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |d: &u8| char::from(*d).to_digit(16).and_then(|v| u8::try_from(v).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn must_be_encoded(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7F || b"\"#<>?^`{|}".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};

    fn check(normalization: Normalization, expected: &[(&str, &str)]) {
        for (raw, want) in expected {
            let got = normalization.apply(raw);
            assert_eq!(got.as_deref(), Ok(*want), "{normalization:?} {raw}");
        }
    }

    const SAME: [(&str, &str); 4] =
        [("/", "/"), ("/app#foo", "/app"), ("/app/", "/app/"), ("/a?x=/..", "/a")];

    #[test]
    fn without_normalisation_only_query_and_fragment_go() {
        check(None, &SAME);
        check(None, &[("/app/../admin", "/app/../admin"), ("/app//\\%2e", "/app//\\%2e")]);
    }

    #[test]
    fn base_decodes_what_is_unreserved_and_resolves_dots() {
        check(Base, &SAME);
        check(
            Base,
            &[
                ("/app/../admin", "/admin"),
                ("/app//", "/app//"),
                ("/app/%2f", "/app/%2f"),
                ("/xyz%30..//abc", "/xyz0..//abc"),
                ("/app/%2E./admin", "/admin"),
                ("/app\\admin", "/app/admin"),
                ("/app/\\/\\/\\admin", "/app//////admin"),
                ("/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\\abc", "/%5Capp%2f%5c%2F..%2fadmin%5c/abc"),
                ("/app//../admin", "/app/admin"),
                ("/app//../../admin", "/admin"),
                ("/a/.", "/a/"),
                ("/a/..", "/"),
                ("/..", "/"),
                ("/a/..;x/b", "/b"),
                ("/a/.;/b", "/a/b"),
                ("/%%300", "/%2500"),
                ("/%%30%30", "/%2500"),
                ("/a\"b", "/a%22b"),
                ("/é", "/%C3%A9"),
                ("app", "/app"),
            ],
        );
    }

    #[test]
    fn slashes_are_merged_after_dots_are_resolved() {
        check(MergeSlashes, &SAME);
        check(
            MergeSlashes,
            &[
                ("/app//", "/app/"),
                ("/xyz%30..//abc", "/xyz0../abc"),
                ("/app//../admin", "/app/admin"),
                ("/app/%2f", "/app/%2f"),
            ],
        );
    }

    #[test]
    fn encoded_slashes_are_decoded_first() {
        check(DecodeAndMergeSlashes, &SAME);
        check(
            DecodeAndMergeSlashes,
            &[
                ("/app/%2f", "/app/"),
                ("/app%2f/", "/app/"),
                ("/%2Fapp%5cadmin%5Cabc", "/app/admin/abc"),
                ("/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\\abc", "/app/admin/abc"),
                ("/%c0%2e%c0%2e/admin", "/%c0.%c0./admin"),
                ("/%c0%2fadmin", "/%c0/admin"),
            ],
        );
    }

    #[test]
    fn what_upstream_does_not_normalise_stays() {
        for path in [
            "/0x2e0x2e/admin",
            "/%25c0%25ae%25c1%259cadmin",
            "/%252e%252e%252fadmin",
            "/%c0%ae%c0%ae/admin",
            "/.../admin",
            "/..../admin",
            "/;/admin",
            "/admin;a=b/xyz",
            "/admin,a=b/xyz",
            "/ADMIN",
            "/..%3b/admin",
        ] {
            check(DecodeAndMergeSlashes, &[(path, path)]);
        }
        for byte in 1..=0xFF_u8 {
            let raw = format!("/admin%{byte:02x}");
            let want = match byte {
                b'/' | b'\\' => "/admin/".to_owned(),
                byte if is_unreserved(byte) => format!("/admin{}", char::from(byte)),
                _ => raw.clone(),
            };
            check(DecodeAndMergeSlashes, &[(&raw, &want)]);
        }
    }

    #[test]
    fn a_nul_is_refused() {
        for path in ["/admin%00", "/a\0"] {
            assert_eq!(Base.apply(path), Err(PathError::Control));
            assert_eq!(None.apply(path), Err(PathError::Control));
        }
        assert!(Base.apply("/a?x=%00").is_ok());
    }
}
