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

/// Makes trailers what their head's headers are: they are read as such where somebody merges them
/// (RFC 9110 §6.5.1). What an ingress may say in its head, it has no reason to say behind a body.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_request(trailers);
}

/// Names of headers, lower case. Some interfaces take `_` for `-` (RFC 3875 §4.1.18), so a name
/// that is written so is the same one.
struct Names {
    /// The letters that they begin with: nearly every header is told apart by its first.
    first: &'static [u8],
    begins: &'static [&'static str],
    exact: &'static [&'static str],
}

impl Names {
    fn has(&self, name: &str) -> bool {
        name.as_bytes().first().is_some_and(|first| self.first.contains(first))
            && (self.begins.iter().any(|begin| begins(name, begin))
                || self.exact.iter().any(|exact| name.len() == exact.len() && begins(name, exact)))
    }
}

fn begins(name: &str, begin: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    name.len() >= begin.len() && name.bytes().zip(begin.bytes()).all(same)
}

/// What claims to be proved by a connection, and is our own.
const CLAIMS: Names = Names {
    first: b"mxscld",
    begins: &[
        "meshguard",
        "x-forwarded-client-cert",     // Envoy
        "x-forwarded-tls-client-cert", // Traefik, and its -info
        "x-client-cert",
        "x-spiffe-",
        "x-ssl-client",
        "x-ssl-cert",
        "ssl-client",
        "client-cert",      // RFC 9440, and its chain
        "cf-client-cert",   // Cloudflare
        "x-amzn-mtls-",     // AWS: -clientcert, -clientcert-subject, …
        "x-arr-clientcert", // Azure
        "x-tls-client-",
        "dapr-caller-", // Dapr: -app-id, -namespace
        "x-peer-",
        "x-meshguard",
    ],
    exact: &[
        "l5d-client-id", // Linkerd
        "x-client-dn",
        "x-client-verify",
        "x-kuma-tags",
    ],
};

/// What proxies tell the service behind them, and what a caller could pretend to be told by one:
/// whom they have authenticated, from which address, for which host, path or method it was asked.
/// No header of a mesh says so; a caller's own words have another name.
const SPOOFS: Names = Names {
    first: b"xfrtcdawphilso",
    begins: &[
        "x-forwarded", // -for, -host, -proto, -port, -prefix, -user, -email, …
        "x-envoy-",    // -original-path, -external-address, -peer-metadata, …
        "x-original-", // -url, -uri, -host, -method
        "x-remote-",   // -user, -group, -extra-…, -ip, -addr
        "remote-",     // -user, -groups, -name, -email
        "l5d-",        // Linkerd: -remote-ip, -server-id, …
        // Who has logged in, by what stands before a service.
        "x-auth-request-",
        "x-auth-couchdb-",
        "x-authentik-",
        "x-authenticated-",
        "x-credential-", // Kong
        "x-pomerium-",
        "x-vouch-",
        "x-webauth-",
        "oidc-",
        "shib-",
        "tailscale-", // -user-login, -user-name, …
        // Platforms.
        "x-amzn-oidc-",
        "x-amzn-tls-",
        "cloudfront-", // -viewer-address, -viewer-country, …
        "x-goog-authenticated-user-",
        "x-appengine-",
        "x-ms-client-principal",
        "x-ms-token-",
        "x-fd-",
        "cf-access-", // -authenticated-user-email, -jwt-assertion
        "cf-connecting-ip",
        "fly-forwarded-",
        "wl-proxy-",
        "x-vercel-ip-",
    ],
    exact: &[
        "forwarded", // RFC 7239
        "x-rewrite-url",
        "x-override-url",
        "x-waws-unencoded-url",
        "x-host",
        "x-http-host-override",
        "x-scheme",
        "x-url-scheme",
        "front-end-https",
        // From which address.
        "x-real-ip",
        "x-real-port",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-originating-ip",
        "x-user-ip",
        "x-proxyuser-ip",
        "true-client-ip",
        "client-ip",
        "http-client-ip",
        "proxy-client-ip",
        "ali-cdn-real-ip",
        "cf-ipcountry",
        "cf-pseudo-ipv4",
        "cf-visitor",
        "do-connecting-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "fly-region",
        "incap-client-ip",
        "x-akamai-edgescape",
        "x-azure-clientip",
        "x-azure-fdid",
        "x-azure-socketip",
        "x-ms-forwarded-client-ip",
        "x-nf-client-connection-ip",
        "x-sucuri-clientip",
        "x-vercel-forwarded-for",
        "x-vercel-proxied-for",
        // Who it is.
        "dapr-callee-app-id",
        "iv-creds",
        "iv-groups",
        "iv-user",
        "oam-remote-user",
        "sm-universalid",
        "sm-user",
        "sm-userdn",
        "teleport-jwt-assertion",
        "x-amzn-lambda-context",
        "x-amzn-request-context",
        "x-anonymous-consumer",
        "x-apigateway-api-userinfo",
        "x-arr-ssl",
        "x-consumer-custom-id",
        "x-consumer-groups",
        "x-consumer-id",
        "x-consumer-username",
        "x-endpoint-api-userinfo",
        "x-goog-iap-jwt-assertion",
        "x-jwt-assertion",
        "x-userinfo",
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

    /// A caller's own words, and what only helps to find a request again.
    const KEPT: [&str; 24] = [
        "x-amzn-trace-id",
        "x-auth-token",
        "x-azure-ref",
        "x-b3-traceid",
        "x-client-version",
        "x-consumer",
        "x-ms-client-request-id",
        "x-user-id",
        "cf-ray",
        "cache-control",
        "fly-request-id",
        "from",
        "impersonate-user",
        "idempotency-key",
        "accept",
        "origin",
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
        let claims = CLAIMS.begins.iter().chain(CLAIMS.exact).copied();
        let mut headers = headers(claims);
        assert_eq!(headers.keys_len(), CLAIMS.begins.len() + CLAIMS.exact.len());
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

    /// An interface that makes variables of headers takes them for the same.
    #[test]
    fn a_name_with_underscores_is_the_same_name() {
        for name in ["x_forwarded_client_cert", "x-amzn_mtls-clientcert", "L5D_CLIENT_ID"] {
            assert!(CLAIMS.has(&name.to_ascii_lowercase()), "{name}");
        }
        for name in ["x_real_ip", "remote_user", "x_forwarded_for", "fly-client_ip"] {
            assert!(SPOOFS.has(name), "{name}");
        }
        for name in ["x_tenant", "x_real_ip_2", "remote", "x_", "_", ""] {
            assert!(!CLAIMS.has(name) && !SPOOFS.has(name), "{name}");
        }
    }

    #[test]
    fn trailers_are_held_to_what_heads_are() {
        let mut trailers = headers(["x-real-ip", "meshguard-peer", "client-cert"].into_iter());
        for kept in ["grpc-status", "grpc-message", "x-checksum"] {
            trailers.insert(kept, HeaderValue::from_static("0"));
        }
        strip_trailers(&mut trailers);
        assert_eq!(trailers.len(), 3, "{trailers:?}");
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
