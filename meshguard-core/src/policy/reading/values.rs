//! The readings of a header: one server takes a line as it stands, another one its elements, a
//! third all lines as one.

use crate::access::Access;

/// Fields whose grammar is no list (RFC 9110, RFC 6265, RFC 9449, gRPC over HTTP/2), though their
/// values may have commas.
const SINGLE: [&str; 26] = [
    "authorization",
    "content-disposition",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "dpop",
    "etag",
    "expires",
    "from",
    "grpc-message",
    "grpc-timeout",
    "host",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "proxy-authorization",
    "referer",
    "retry-after",
    "server",
    "user-agent",
    "x-amzn-trace-id",
];

/// Whether the values of a field are never read as lists. `name` is in lower case.
pub(in crate::policy) fn is_single(name: &str) -> bool {
    SINGLE.binary_search(&name).is_ok()
}

/// The elements of a list (RFC 9110 §5.6.1) but for empty ones: what stands between commas that
/// are in no quotes, and between any, since not everybody looks for quotes. A text in quotes is an
/// element with them and without.
fn any_element(value: &[u8], mut test: impl FnMut(&[u8]) -> bool) -> bool {
    let mut one = |element: &[u8]| {
        let element = element.trim_ascii();
        let bare = element.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        !element.is_empty() && (test(element) || bare.is_some_and(&mut test))
    };
    let mut quoted = false;
    let mut escaped = false;
    let mut elements = value.split(|byte| {
        let ends = *byte == b',' && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
        ends
    });
    elements.any(&mut one) || (value.contains(&b'"') && value.split(|b| *b == b',').any(one))
}

/// What stands in the lines of a header, under all names that some server takes for its own:
/// behind some interfaces (RFC 3875 §4.1.18), `x_role` is `x-role`.
pub(in crate::policy) fn lines(access: &Access<'_>, name: &str) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    access.each_raw_header(|found, value| {
        let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-');
        if found.len() == name.len() && found.bytes().zip(name.bytes()).all(|(a, b)| same(a, b)) {
            lines.push(value.to_vec());
        }
    });
    lines
}

/// Whether `test` holds for one reading that a server may make of these lines.
pub(in crate::policy) fn any_reading(
    name: &str,
    lines: &[Vec<u8>],
    mut test: impl FnMut(&[u8]) -> bool,
) -> bool {
    if lines.iter().any(|line| test(line)) {
        return true;
    }
    if lines.len() > 1 && (test(&lines.join(&b", "[..])) || test(&lines.join(&b","[..]))) {
        return true;
    }
    !is_single(name) && lines.iter().any(|line| any_element(line, &mut test))
}

/// Whether `test` holds for each line, and for each element of one.
pub(in crate::policy) fn every_part(name: &str, line: &[u8], test: impl Fn(&[u8]) -> bool) -> bool {
    let whole = || is_single(name) || !line.iter().any(|byte| b",\"".contains(byte));
    test(line) && (whole() || !any_element(line, |element| !test(element)))
}

/// Whether a pattern was written for lists: then it is compared with lines as a whole.
pub(in crate::policy) fn knows_lists(pattern: &str) -> bool {
    pattern.contains([',', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_without_lists_are_sorted() {
        assert!(SINGLE.is_sorted());
        assert!(is_single("user-agent") && !is_single("x-role"));
    }

    #[test]
    fn an_element_stands_between_commas_and_quotes_may_count_or_not() {
        for (value, want) in [
            ("a", &["a"][..]),
            ("a, b ,c", &["a", "b", "c"]),
            (",, a ,", &["a"]),
            (r#""a, b", c"#, &[r#""a, b""#, "a, b", "c", "\"a", "b\"", "c"]),
            (r#""a\", b""#, &[r#""a\", b""#, r#"a\", b"#, r#""a\""#, r"a\", "b\""]),
            ("", &[]),
        ] {
            let mut found = Vec::new();
            any_element(value.as_bytes(), |element| {
                found.push(String::from_utf8_lossy(element).into_owned());
                false
            });
            assert_eq!(found, want, "{value}");
        }
    }
}
