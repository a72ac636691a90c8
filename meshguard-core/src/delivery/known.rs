//! The digest `d` of a body that is known when its head is made.

use http::HeaderMap;
use sha2::{Digest, Sha256};

/// `SHA-256(u64 length ‖ body ‖ trailer block)`. The length goes first, so that no body can
/// be taken for another one with trailers.
#[must_use]
pub fn digest(body: &[u8], trailers: Option<&HeaderMap>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((body.len() as u64).to_be_bytes());
    hash.update(body);
    if let Some(trailers) = trailers {
        update_with_trailers(&mut hash, trailers);
    }
    hash.finalize().into()
}

/// SHA-256 of a trailer block alone, as FIN carries it.
#[must_use]
pub fn trailer_digest(trailers: &HeaderMap) -> [u8; 32] {
    let mut hash = Sha256::new();
    update_with_trailers(&mut hash, trailers);
    hash.finalize().into()
}

/// The digest of an empty body.
#[must_use]
pub fn empty() -> [u8; 32] {
    // SHA-256 of eight zero bytes.
    const EMPTY: [u8; 32] = [
        0xaf, 0x55, 0x70, 0xf5, 0xa1, 0x81, 0x0b, 0x7a, 0xf7, 0x8c, 0xaf, 0x4b, 0xc7, 0x0a, 0x66,
        0x0f, 0x0d, 0xf5, 0x1e, 0x42, 0xba, 0xf9, 0x1d, 0x4d, 0xe5, 0xb2, 0x32, 0x8d, 0xe0, 0xe8,
        0x3d, 0xfc,
    ];
    EMPTY
}

/// The trailer block: `name: value\n` of the trailers, sorted by name, then value.
fn update_with_trailers(hash: &mut Sha256, trailers: &HeaderMap) {
    let mut put = |name: &str, value: &[u8]| {
        hash.update(name);
        hash.update(b": ");
        hash.update(value);
        hash.update(b"\n");
    };
    if trailers.len() < 2 {
        // What nearly every gRPC answer has: `grpc-status` alone.
        return trailers.iter().for_each(|(n, v)| put(n.as_str(), v.as_bytes()));
    }
    let mut all: Vec<(&str, &[u8])> =
        trailers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    all.sort_unstable();
    all.iter().for_each(|(n, v)| put(n, v));
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_empty_body_has_the_constant_digest() {
        assert_eq!(empty(), digest(b"", None));
        assert_eq!(empty(), digest(b"", Some(&HeaderMap::new())));
    }

    #[test]
    fn trailers_are_sorted_by_name_then_value() {
        let mut a = HeaderMap::new();
        a.append("b", HeaderValue::from_static("2"));
        a.append("b", HeaderValue::from_static("1"));
        a.append("a", HeaderValue::from_static("3"));
        let mut b = HeaderMap::new();
        b.append("a", HeaderValue::from_static("3"));
        b.append("b", HeaderValue::from_static("1"));
        b.append("b", HeaderValue::from_static("2"));
        assert_eq!(digest(b"x", Some(&a)), digest(b"x", Some(&b)));
        assert_eq!(trailer_digest(&a), <[u8; 32]>::from(Sha256::digest("a: 3\nb: 1\nb: 2\n")));
    }

    #[test]
    fn a_body_is_not_taken_for_a_shorter_one_with_trailers() {
        let mut t = HeaderMap::new();
        t.insert("a", HeaderValue::from_static("b"));
        assert_ne!(digest(b"a: b\n", None), digest(b"", Some(&t)));
    }
}
