//! Whether a URI names what was asked for, in whichever way it is written (RFC 3986 §6.2).

/// Whether `uri` is `https` at `authority`, for the raw `path`, its query and fragment left out.
/// Both sides are normalised by syntax and by scheme (§6.2.2, §6.2.3) before they are compared.
pub(super) fn is_target(uri: &str, authority: &str, path: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (named, named_path) = match rest[..end].find('/') {
        Some(slash) => rest[..end].split_at(slash),
        None => (&rest[..end], ""),
    };
    let same = |a: Option<String>, b: Option<String>| a.is_some() && a == b;
    scheme.eq_ignore_ascii_case("https")
        && same(self::authority(named), self::authority(authority))
        && same(self::path(named_path), self::path(path))
}

/// In lower case, without the scheme's own port. `None`: none that a request can have.
fn authority(text: &str) -> Option<String> {
    let (host, port) = match text.rfind(':') {
        // Inside of brackets a colon is part of an address.
        Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    let address = host.starts_with('[') && host.ends_with(']');
    let sound = |b: u8| b.is_ascii_graphic() && !b"/?#@\\".contains(&b) && (address || b != b':');
    if host.is_empty() || !host.bytes().all(sound) {
        return None;
    }
    let mut name = unescape(host)?;
    name.make_ascii_lowercase();
    let port = match port {
        "" => 443,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u16>().ok()?,
        _ => return None,
    };
    Some(if port == 443 { name } else { format!("{name}:{port}") })
}

/// Without dot segments (§5.2.4); an empty one is `/`.
fn path(text: &str) -> Option<String> {
    if !text.is_empty() && !text.starts_with('/') || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let path = unescape(text)?;
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if dots && segments.peek().is_none() {
            kept.push("");
        }
    }
    Some(format!("/{}", kept.join("/")))
}

/// Decodes what need not be escaped, and writes other escapes in upper case (§6.2.2.1, §6.2.2.2).
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('%');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        out.push_str(&part[2..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_the_same_however_it_is_written() {
        for (uri, authority, path) in [
            ("https://a.example/x", "a.example", "/x"),
            ("HTTPS://A.Example/x", "a.example", "/x"),
            ("https://a.example:443/x", "a.example", "/x"),
            ("https://a.example:/x", "A.EXAMPLE:443", "/x"),
            ("https://a.example:8443/x", "a.example:8443", "/x"),
            ("https://a.example", "a.example", "/"),
            ("https://a.example/?q=1#f", "a.example", "/"),
            ("https://a.example?q=/y", "a.example", "/"),
            ("https://a.example/%7euser/%c3%a9", "a.example", "/~user/%C3%A9"),
            ("https://a.example/b/../x/./y", "a.example", "/x/y"),
            ("https://a.example/x/..", "a.example", "/"),
            ("https://[2001:DB8::1]:8443/x", "[2001:db8::1]:8443", "/x"),
            ("https://[::1]/x", "[::1]:443", "/x"),
        ] {
            assert!(is_target(uri, authority, path), "{uri}");
        }
    }

    #[test]
    fn another_target_is_another_one() {
        for (uri, authority, path) in [
            ("http://a.example/x", "a.example", "/x"),
            ("https://b.example/x", "a.example", "/x"),
            ("https://a.example.evil/x", "a.example", "/x"),
            ("https://a.example:444/x", "a.example", "/x"),
            ("https://a.example@b.example/x", "b.example", "/x"),
            ("https://a.example\\@b.example/x", "b.example", "/x"),
            ("https://a.example/X", "a.example", "/x"),
            ("https://a.example/x/", "a.example", "/x"),
            ("https://a.example//x", "a.example", "/x"),
            ("https://a.example/x%2fy", "a.example", "/x/y"),
            ("https://a.example/x%2", "a.example", "/x%2"),
            ("https://a.example/é", "a.example", "/é"),
            ("https://a.example/a b", "a.example", "/a b"),
            ("https:///x", "", "/x"),
            ("a.example/x", "a.example", "/x"),
            ("/x", "a.example", "/x"),
            ("", "", ""),
            ("https://a.example/y/x", "a.example/y", "/x"),
            ("https://a.example:8443:443/x", "a.example:8443", "/x"),
            ("https://a.example:99999/x", "a.example:99999", "/x"),
            ("https://a.example:+443/x", "a.example", "/x"),
        ] {
            assert!(!is_target(uri, authority, path), "{uri}");
        }
    }
}
