//! Headers that must not reach the application: what claims identity, and our own.

use http::HeaderMap;
#[cfg(test)]
use http::HeaderName;

use super::refuse::DECISION;

/// Removes headers that claim an identity which only the connection can prove, and all that
/// begin with `meshguard`.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Nearly always there is `meshguard` alone, or nothing: removal needs the names by value.
    while let Some(name) = headers.keys().find(|n| is_stripped(n.as_str())).cloned() {
        headers.remove(name);
    }
}

/// As [`strip`], for an answer on its way to its caller: the number of a refusal's decision is
/// what an operator can look up, and stays.
pub(crate) fn strip_answer(headers: &mut HeaderMap) {
    let decision = headers.remove(DECISION);
    strip(headers);
    if let Some(decision) = decision {
        headers.insert(DECISION, decision);
    }
}

/// By the beginning of the name, lower case.
const CLAIMS: [&str; 9] = [
    "meshguard",
    "x-forwarded-client-cert",
    "x-client-cert",
    "x-spiffe-",
    "x-ssl-client",
    "ssl-client",
    "client-cert", // RFC 9440, and its chain
    "x-peer-",
    "x-meshguard",
];

fn is_stripped(name: &str) -> bool {
    let first = name.as_bytes().first();
    matches!(first, Some(b'm' | b'x' | b's' | b'c')) && CLAIMS.iter().any(|c| name.starts_with(c))
}

/// The names of [`CLAIMS`] that are not our own, for the documentation and for tests.
#[cfg(test)]
pub(crate) fn claims() -> impl Iterator<Item = HeaderName> {
    CLAIMS.iter().filter(|c| !c.ends_with('-')).map(|c| HeaderName::from_static(c))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_claims_identity_goes_and_all_else_stays() {
        let mut headers = HeaderMap::new();
        for name in claims() {
            headers.append(name.clone(), HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
        }
        headers.insert("x-spiffe-id", HeaderValue::from_static("spiffe://a/b"));
        headers.insert("meshguard-session", HeaderValue::from_static("renew"));
        for kept in ["x-tenant", "content-type", "authorization", "cookie", "server"] {
            headers.insert(kept, HeaderValue::from_static("a"));
        }
        strip(&mut headers);
        assert_eq!(headers.len(), 5);
    }
}
