//! A request's head must have one reading, whoever reads it: policy, the framework, or what stands
//! behind it. A transport asks [`read`] before it proves anything; policy asks the same of an
//! [`Access`], as far as it is known.

use std::fmt;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::{Access, Headers, Operation};

/// Why a head is refused before any rule is asked: two readers could take it for two requests, or
/// no HTTP message has such a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadError {
    /// The target's scheme is neither `http` nor `https`.
    Scheme,
    /// Nothing says which host is asked (RFC 9112 §3.2).
    NoHost,
    /// More than one `Host` line, be they equal.
    Hosts,
    /// A host that is no name or address, with a port or without: a user, a list, an escape.
    MalformedHost,
    /// `Host` and the target's own authority are not the same text.
    HostDiffers,
    /// A method that is no token (RFC 9110 §9.1).
    MalformedMethod,
    /// A known method in another case: `delete` (methods are case-sensitive).
    MethodCase,
    /// A header that names the method a second time, where no route permits it.
    MethodOverride,
    /// The request may name its method twice, but the rule that allows the other one demands a
    /// limit or a content, and only one rule's demands are met.
    MethodOwes,
    /// The request asks for another protocol, and its route does not permit it.
    Upgrade,
    /// The request asks for another protocol where delivery is required: nothing of what follows
    /// could be verified.
    UpgradeUnproved,
    /// A character that no target has: a space, a `<` (RFC 3986 §2).
    Target,
    /// A header's name that is no token (RFC 9110 §5.1).
    MalformedName,
    /// A header's value with a control character (RFC 9110 §5.5).
    MalformedValue,
    /// Two ways to tell where the body ends, or one that says nothing (RFC 9112 §6.3).
    Framing,
}

impl HeadError {
    /// What is wrong, in words that its caller may be told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "a scheme other than http and https",
            Self::NoHost => "no host",
            Self::Hosts => "more than one host",
            Self::MalformedHost => "malformed host",
            Self::HostDiffers => "host and authority differ",
            Self::MalformedMethod => "malformed method",
            Self::MethodCase => "a method in another case",
            Self::MethodOverride => "a header that overrides the method",
            Self::MethodOwes => "the rule of the other method has a limit or a content",
            Self::Upgrade => "no upgrade here",
            Self::UpgradeUnproved => "an upgrade has no delivery to verify",
            Self::Target => "malformed target",
            Self::MalformedName => "malformed header name",
            Self::MalformedValue => "malformed header value",
            Self::Framing => "more than one framing",
        }
    }

    /// All of them, so that what was recorded in words can be read again.
    pub(crate) const ALL: [Self; 15] = [
        Self::Scheme,
        Self::NoHost,
        Self::Hosts,
        Self::MalformedHost,
        Self::HostDiffers,
        Self::MalformedMethod,
        Self::MethodCase,
        Self::MethodOverride,
        Self::MethodOwes,
        Self::Upgrade,
        Self::UpgradeUnproved,
        Self::Target,
        Self::MalformedName,
        Self::MalformedValue,
        Self::Framing,
    ];
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for HeadError {}

/// Reads the head of a request as a transport has it. Returns the authority that is asked.
///
/// # Errors
/// What is ambiguous about it.
pub fn read<'h>(
    method: &Method,
    uri: &'h Uri,
    headers: &'h HeaderMap,
) -> Result<&'h str, HeadError> {
    if let Some(scheme) = uri.scheme_str() {
        check_scheme(scheme)?;
    }
    let host = one_host(headers)?;
    let authority = match (uri.authority().map(Authority::as_str), host) {
        (Some(a), Some(h)) if !a.eq_ignore_ascii_case(h) => return Err(HeadError::HostDiffers),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err(HeadError::NoHost),
    };
    if !is_host(authority) {
        return Err(HeadError::MalformedHost);
    }
    check_case(method.as_str())?;
    check_framing(headers)?;
    Ok(authority)
}

/// The only `Host` line, where there is one (RFC 9110 §7.2).
fn one_host(headers: &HeaderMap) -> Result<Option<&str>, HeadError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(HeadError::Hosts),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| HeadError::MalformedHost),
        (None, None) => Ok(None),
    }
}

impl Access<'_> {
    /// Whether what is known of the head has one reading; nothing else is looked at.
    pub(crate) fn check_head(&self) -> Result<(), HeadError> {
        if self.operation == Operation::Tcp {
            return Ok(());
        }
        self.network.scheme.map_or(Ok(()), check_scheme)?;
        self.check_host()?;
        if let Operation::Http { method, .. } = self.operation
            && !method.is_empty()
        {
            check_method(method)?;
        }
        check_target(self.path())?;
        match &self.headers {
            // A map has no names and values but those of HTTP.
            Headers::Map { map, .. } => check_framing(map),
            Headers::Pairs(pairs) if pairs.is_empty() => Ok(()),
            Headers::Pairs(pairs) => check_framing(&map_of(pairs)?),
        }
    }

    /// The access's host and the `Host` lines of its headers; neither needs to be known.
    fn check_host(&self) -> Result<(), HeadError> {
        let mut hosts = 0;
        let mut differs = false;
        let mut malformed = self.network.host.is_some_and(|host| !is_host(host));
        self.any_raw_header("host", |line| {
            hosts += 1;
            let line = str::from_utf8(line).unwrap_or_default();
            differs |= self.network.host.is_some_and(|host| !host.eq_ignore_ascii_case(line));
            malformed |= !is_host(line);
            false
        });
        match (hosts > 1, differs, malformed) {
            (true, ..) => Err(HeadError::Hosts),
            (_, true, _) => Err(HeadError::HostDiffers),
            (_, _, true) => Err(HeadError::MalformedHost),
            (false, false, false) => Ok(()),
        }
    }

    /// Whether it asks for another protocol than HTTP's own.
    pub(crate) fn upgrades(&self) -> bool {
        let upgrade = || self.any_raw_header(UPGRADE.as_str(), |_| true);
        self.method() == Some("CONNECT") || upgrade()
    }
}

/// The headers as a server has them.
fn map_of(pairs: &[(&str, &str)]) -> Result<HeaderMap, HeadError> {
    let mut map = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(without_space(value).as_bytes());
        let (name, value) = (
            name.map_err(|_| HeadError::MalformedName)?,
            value.map_err(|_| HeadError::MalformedValue)?,
        );
        map.try_append(name, value).map_err(|_| HeadError::MalformedName)?;
    }
    Ok(map)
}

/// A value without the white space around it, which is no part of it (RFC 9110 §5.5).
fn without_space(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

fn check_scheme(scheme: &str) -> Result<(), HeadError> {
    let known = ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    if known { Ok(()) } else { Err(HeadError::Scheme) }
}

fn check_method(method: &str) -> Result<(), HeadError> {
    Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::MalformedMethod)?;
    check_case(method)
}

/// Methods are compared exactly (RFC 9110 §9.1). `delete` is not `DELETE`, and who takes it for
/// that runs what policy was not asked about.
fn check_case(method: &str) -> Result<(), HeadError> {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let lower = method.bytes().any(|b| b.is_ascii_lowercase());
    match lower && KNOWN.iter().any(|known| known.eq_ignore_ascii_case(method)) {
        true => Err(HeadError::MethodCase),
        false => Ok(()),
    }
}

/// What a path says is read elsewhere; this is whether a request line has room for it.
fn check_target(path: &str) -> Result<(), HeadError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%:@".contains(&b);
    if path.bytes().all(plain) || !path.starts_with('/') {
        return Ok(());
    }
    PathAndQuery::try_from(path).map(drop).map_err(|_| HeadError::Target)
}

/// `chunked` alone, or a length that is one number.
fn check_framing(headers: &HeaderMap) -> Result<(), HeadError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let alone = codings.next().is_none() && !headers.contains_key(CONTENT_LENGTH);
        return if chunked && alone { Ok(()) } else { Err(HeadError::Framing) };
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(length);
    let Some(first) = lengths.next() else { return Ok(()) };
    match first.is_some() && lengths.all(|next| next == first) {
        true => Ok(()),
        false => Err(HeadError::Framing),
    }
}

fn length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Whether a text is a name or an address, with a port or without. Nothing of what readers take
/// apart differently is: no user, no list, no escapes.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or_default())),
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let is_name = if text.starts_with('[') {
        name.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
    } else {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    !name.is_empty() && is_name && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests;
