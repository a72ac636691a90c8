//! Headers that must not reach the application: what claims an identity, another address or
//! another target than the request's own, and our own.

use http::HeaderMap;

use super::refuse::DECISION;

/// Removes headers that claim an identity which only the connection can prove, and all that
/// begin with `meshguard`.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Nearly always there is `meshguard` alone, or nothing: removal needs the names by value.
    remove(headers, |name| CLAIMS.has(name));
}

/// As [`strip`], for a request on its way to the application: frameworks take the client's
/// address, the host and even the path from headers that any caller can set.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    remove(headers, |name| CLAIMS.has(name) || SPOOFS.has(name));
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

fn remove(headers: &mut HeaderMap, which: impl Fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| which(name.as_str())).cloned() {
        headers.remove(name);
    }
}

/// Names of headers, lower case.
struct Names {
    /// The letters that they begin with: nearly every header is told apart by its first.
    first: &'static [u8],
    begins: &'static [&'static str],
    exact: &'static [&'static str],
}

impl Names {
    fn has(&self, name: &str) -> bool {
        name.as_bytes().first().is_some_and(|first| self.first.contains(first))
            && (self.begins.iter().any(|begin| name.starts_with(begin))
                || self.exact.contains(&name))
    }
}

/// What claims to be proved by a connection, and is our own.
const CLAIMS: Names = Names {
    first: b"mxsc",
    begins: &[
        "meshguard",
        "x-forwarded-client-cert",
        "x-client-cert",
        "x-spiffe-",
        "x-ssl-client",
        "ssl-client",
        "client-cert", // RFC 9440, and its chain
        "x-peer-",
        "x-meshguard",
    ],
    exact: &[],
};

/// What proxies tell the service behind them, and what a caller could pretend to be told by one:
/// whom they have authenticated, from which address, for which host, path or method it was asked.
/// No header of a mesh says so; a caller's own words have another name.
const SPOOFS: Names = Names {
    first: b"xfrtc",
    begins: &[
        "x-forwarded", // -for, -host, -proto, -port, -prefix, -user, -email, …
        "x-envoy-",    // -original-path, -external-address, -peer-metadata, …
        "x-original-", // -url, -uri, -host, -method
        "x-auth-request-",
        "x-goog-authenticated-user-",
        "x-amzn-oidc-",
        "x-ms-client-principal",
        "cf-connecting-ip",
    ],
    exact: &[
        "forwarded", // RFC 7239
        "x-rewrite-url",
        "x-override-url",
        "x-host",
        "x-http-host-override",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-originating-ip",
        "x-remote-ip",
        "x-remote-addr",
        "true-client-ip",
        "fastly-client-ip",
        "x-remote-user",
        "remote-user",
        "x-webauth-user",
    ],
};

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(names: impl Iterator<Item = &'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in names {
            // Of a beginning, a name that begins so.
            let whole = if name.ends_with('-') { format!("{name}x") } else { name.to_owned() };
            let name = HeaderName::from_bytes(whole.as_bytes()).unwrap();
            headers.append(name.clone(), HeaderValue::from_static("a"));
            headers.append(name, HeaderValue::from_static("b"));
        }
        headers
    }

    const KEPT: [&str; 8] = [
        "x-tenant",
        "content-type",
        "authorization",
        "cookie",
        "server",
        "traceparent",
        "x-request-id",
        "range",
    ];

    #[test]
    fn what_claims_identity_goes_and_all_else_stays() {
        let mut headers = headers(CLAIMS.begins.iter().copied());
        assert_eq!(headers.keys_len(), CLAIMS.begins.len());
        headers.insert("x-spiffe-id", HeaderValue::from_static("spiffe://a/b"));
        headers.insert("meshguard-session", HeaderValue::from_static("renew"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        for kept in KEPT {
            headers.insert(kept, HeaderValue::from_static("a"));
        }
        strip(&mut headers);
        // What an application itself forwards is for its callee to drop.
        assert_eq!(headers.len(), KEPT.len() + 1);
    }

    #[test]
    fn what_only_a_proxy_could_know_does_not_reach_the_application() {
        let names = CLAIMS.begins.iter().chain(SPOOFS.begins).copied();
        let mut headers = headers(names);
        for name in SPOOFS.exact {
            headers.insert(*name, HeaderValue::from_static("a"));
        }
        for kept in KEPT {
            headers.insert(kept, HeaderValue::from_static("a"));
        }
        strip_request(&mut headers);
        assert_eq!(headers.len(), KEPT.len(), "{headers:?}");
    }

    #[test]
    fn every_name_begins_with_a_letter_that_is_looked_for() {
        for names in [CLAIMS, SPOOFS] {
            for name in names.begins.iter().chain(names.exact) {
                assert!(names.has(name), "{name}");
            }
        }
    }
}
