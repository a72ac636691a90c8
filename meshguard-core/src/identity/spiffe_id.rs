//! SPIFFE IDs, as in "The SPIFFE Identity and Verifiable Identity Document", section 2.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

const SCHEME: &str = "spiffe://";
const MAX_ID: usize = 2048;
const MAX_TRUST_DOMAIN: usize = 255;

/// The name of a workload: `spiffe://trust-domain/path`, at most 2,048 bytes.
///
/// A value of this type is well-formed: there is no other way to make one. Cloning is cheap.
#[derive(Clone)]
pub struct SpiffeId {
    text: Text,
    trust_domain_end: u16,
    /// Of the text, so that it is not hashed again for each decision.
    digest: u64,
}

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl SpiffeId {
    /// A SPIFFE ID known at compile time, for constants.
    ///
    /// ```
    /// use meshguard_core::SpiffeId;
    /// const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
    /// assert_eq!(CHECKOUT.path(), "/checkout");
    /// ```
    ///
    /// # Panics
    /// Where `text` is not a SPIFFE ID: at compile time, if used in a constant.
    #[must_use]
    #[allow(clippy::panic)] // documented, and a compile error in a constant
    pub const fn from_static(text: &'static str) -> Self {
        match check(text.as_bytes()) {
            Ok(trust_domain_end) => {
                let digest = digest(text.as_bytes());
                Self { text: Text::Static(text), trust_domain_end, digest }
            }
            Err(_) => panic!("not a SPIFFE ID"),
        }
    }

    /// The whole identifier, as `spiffe://shop.example/ns/prod/sa/orders`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Static(s) => s,
            Text::Shared(s) => s,
        }
    }

    /// The trust domain's name, as `shop.example`.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.as_str()[SCHEME.len()..usize::from(self.trust_domain_end)]
    }

    /// The path with its leading slash, or the empty string where the ID names a trust domain.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.as_str()[usize::from(self.trust_domain_end)..]
    }
}

impl SpiffeId {
    /// A hash of the text, without a key: for maps that only a policy's author fills.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

/// FNV-1a (draft-eastlake-fnv), its bits mixed once more at the end.
pub(crate) const fn digest(text: &[u8]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut at = 0;
    while at < text.len() {
        hash = (hash ^ text[at] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        at += 1;
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ (hash >> 32)
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let trust_domain_end = check(text.as_bytes())?;
        let digest = digest(text.as_bytes());
        Ok(Self { text: Text::Shared(Arc::from(text)), trust_domain_end, digest })
    }
}

impl TryFrom<&str> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: &str) -> Result<Self, SpiffeIdError> {
        text.parse()
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, SpiffeIdError> {
        text.parse()
    }
}

impl From<&SpiffeId> for SpiffeId {
    fn from(id: &SpiffeId) -> Self {
        id.clone()
    }
}

impl PartialEq for SpiffeId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SpiffeId {}

impl PartialOrd for SpiffeId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SpiffeId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for SpiffeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for SpiffeId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.as_str())
    }
}

/// The name of a trust domain, as `shop.example`: lower-case letters, digits, `.`, `-`, `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TrustDomain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let end = check_trust_domain(text.as_bytes(), 0)?;
        if end == text.len() { Ok(Self(Arc::from(text))) } else { Err(SpiffeIdError::TrustDomain) }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({})", self.0)
    }
}

/// Why a text is not a SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// It does not begin with `spiffe://`.
    Scheme,
    /// Longer than 2,048 bytes, or its trust domain longer than 255.
    TooLong,
    /// The trust domain is empty or has a character other than `a-z 0-9 . - _`.
    TrustDomain,
    /// A path segment is empty, `.` or `..`, or the path ends in a slash.
    PathSegment,
    /// The path has a character other than `a-z A-Z 0-9 . - _`.
    PathCharacter,
}

impl fmt::Display for SpiffeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a SPIFFE ID begins with spiffe://",
            Self::TooLong => "a SPIFFE ID has at most 2048 bytes, its trust domain at most 255",
            Self::TrustDomain => "a trust domain is one or more of a-z 0-9 . - _",
            Self::PathSegment => "a path segment must not be empty, `.` or `..`",
            Self::PathCharacter => "a path has only a-z A-Z 0-9 . - _ between its slashes",
        })
    }
}

impl std::error::Error for SpiffeIdError {}

/// Checks a whole ID; returns the index behind its trust domain.
const fn check(b: &[u8]) -> Result<u16, SpiffeIdError> {
    let scheme = SCHEME.as_bytes();
    if b.len() > MAX_ID {
        return Err(SpiffeIdError::TooLong);
    }
    if b.len() < scheme.len() {
        return Err(SpiffeIdError::Scheme);
    }
    let mut i = 0;
    while i < scheme.len() {
        if b[i] != scheme[i] {
            return Err(SpiffeIdError::Scheme);
        }
        i += 1;
    }
    let end = match check_trust_domain(b, scheme.len()) {
        Ok(end) => end,
        Err(e) => return Err(e),
    };
    match check_path(b, end) {
        Ok(()) => Ok(end as u16), // at most MAX_ID
        Err(e) => Err(e),
    }
}

/// Checks the trust domain that starts at `start`; returns the index behind it.
const fn check_trust_domain(b: &[u8], start: usize) -> Result<usize, SpiffeIdError> {
    let mut i = start;
    while i < b.len() && b[i] != b'/' {
        if !matches!(b[i], b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_') {
            return Err(SpiffeIdError::TrustDomain);
        }
        i += 1;
    }
    if i == start {
        return Err(SpiffeIdError::TrustDomain);
    }
    if i - start > MAX_TRUST_DOMAIN {
        return Err(SpiffeIdError::TooLong);
    }
    Ok(i)
}

const fn check_path(b: &[u8], start: usize) -> Result<(), SpiffeIdError> {
    let mut i = start;
    while i < b.len() {
        let segment = i + 1; // b[i] is a slash
        let mut end = segment;
        while end < b.len() && b[end] != b'/' {
            if !matches!(b[end], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_') {
                return Err(SpiffeIdError::PathCharacter);
            }
            end += 1;
        }
        let dots = matches!(b.split_at(segment).1.split_at(end - segment).0, b"" | b"." | b"..");
        if dots {
            return Err(SpiffeIdError::PathSegment);
        }
        i = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_id_gives_its_parts() {
        let id: SpiffeId = "spiffe://shop.example/ns/prod/sa/orders".parse().unwrap();
        assert_eq!(id.trust_domain(), "shop.example");
        assert_eq!(id.path(), "/ns/prod/sa/orders");
        let root: SpiffeId = "spiffe://shop.example".parse().unwrap();
        assert_eq!(root.path(), "");
    }

    #[test]
    fn each_malformation_has_its_own_error() {
        use SpiffeIdError::*;
        let long = format!("spiffe://{}", "a".repeat(256));
        let longer = format!("spiffe://a/{}", "b".repeat(2048));
        for (text, want) in [
            ("", Scheme),
            ("http://a/b", Scheme),
            ("SPIFFE://a/b", Scheme),
            ("spiffe://", TrustDomain),
            ("spiffe:///a", TrustDomain),
            ("spiffe://Shop/a", TrustDomain),
            ("spiffe://u@a/b", TrustDomain),
            ("spiffe://a:1/b", TrustDomain),
            ("spiffe://a?b", TrustDomain),
            ("spiffe://a/", PathSegment),
            ("spiffe://a//b", PathSegment),
            ("spiffe://a/b/", PathSegment),
            ("spiffe://a/./b", PathSegment),
            ("spiffe://a/..", PathSegment),
            ("spiffe://a/b%20", PathCharacter),
            ("spiffe://a/b#c", PathCharacter),
            ("spiffe://a/é", PathCharacter),
            (long.as_str(), TooLong),
            (longer.as_str(), TooLong),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(want), "{text}");
        }
    }

    #[test]
    fn a_trust_domain_is_found_by_its_name() {
        let domain: TrustDomain = "shop.example".parse().unwrap();
        let known = std::collections::BTreeMap::from([(domain.clone(), 7)]);
        assert_eq!(known.get("shop.example"), Some(&7));
        assert_eq!(known.get("shop.exampl"), None);
        let known = std::collections::HashMap::from([(domain, 7)]);
        assert_eq!(known.get("shop.example"), Some(&7));
    }

    #[test]
    fn a_constant_equals_its_parsed_twin() {
        const ID: &SpiffeId = &SpiffeId::from_static("spiffe://a/b");
        assert_eq!(*ID, "spiffe://a/b".parse().unwrap());
    }
}
