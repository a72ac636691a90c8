//! What is asked: who, for which operation, on what, with which evidence.

pub mod head;
mod owned;

use std::fmt;
use std::net::IpAddr;

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName};
use serde_json::Value;

pub use self::owned::{NotAMethod, OwnedAccess, OwnedOperation};
use crate::identity::SpiffeId;

/// How complete the delivery of a request's body is proved to be. Ordered: more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Nothing says how long the body is.
    #[default]
    None,
    /// A `content-length` (RFC 9110 §8.6), held against the body.
    Length,
    /// A `content-digest` (RFC 9530 §2), held against the body.
    Digest,
    /// Proved to an authenticated end by the delivery protocol.
    Verified,
}

impl Evidence {
    /// The name used in policy documents and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Length => "length",
            Self::Digest => "digest",
            Self::Verified => "verified",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The operation asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// An HTTP request: method and *raw* path, without the query.
    Http {
        /// The method, as it stands in the request.
        method: &'a str,
        /// The raw path, still percent-encoded.
        path: &'a str,
    },
    /// A gRPC call. `path` is the raw `:path`, `/package.Service/Method`.
    Grpc {
        /// The raw path.
        path: &'a str,
    },
    /// Bytes of no protocol that policy knows.
    Tcp,
}

/// What binds a request's token to its caller, as was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proofs {
    /// The token names the key of a DPoP proof that holds for this request (RFC 9449).
    pub dpop: bool,
    /// The token names the certificate of the caller's connection (RFC 8705 §3).
    pub certificate: bool,
}

/// What is asked of policy. Made once for each request; borrows all that it names.
///
/// ```
/// use meshguard_core::{Access, Evidence, SpiffeId};
/// const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
/// let access = Access::http("GET", "/orders/7").by(CHECKOUT).evidence(Evidence::Verified);
/// assert_eq!(access.principal(), Some(CHECKOUT));
/// ```
///
/// What is left out is unknown, and a condition on something unknown is false.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    operation: Operation<'a>,
    principal: Option<&'a SpiffeId>,
    via: Option<&'a SpiffeId>,
    to: Option<&'a SpiffeId>,
    evidence: Evidence,
    direct: bool,
    trust: Option<f32>,
    headers: Headers<'a>,
    network: Network<'a>,
    claims: Option<&'a Value>,
    proofs: Proofs,
}

/// What the connection and the head's target say.
#[derive(Clone, Copy, Debug, Default)]
struct Network<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<u16>,
    source: Option<IpAddr>,
    client: Option<IpAddr>,
    destination: Option<IpAddr>,
    server_name: Option<&'a str>,
    /// What the caller is called where that is no SPIFFE ID, without a scheme.
    named: Option<&'a str>,
}

impl<'a> Access<'a> {
    /// An HTTP request for the raw `path`, without its query.
    #[must_use]
    pub fn http(method: &'a str, path: &'a str) -> Self {
        Self::new(Operation::Http { method, path })
    }

    /// A gRPC call of the raw `path`, as `/shop.v1.Orders/Get`.
    #[must_use]
    pub fn grpc(path: &'a str) -> Self {
        Self::new(Operation::Grpc { path })
    }

    /// A connection whose protocol is not known.
    #[must_use]
    pub fn tcp() -> Self {
        Self::new(Operation::Tcp)
    }

    fn new(operation: Operation<'a>) -> Self {
        Self {
            operation,
            principal: None,
            via: None,
            to: None,
            evidence: Evidence::None,
            direct: false,
            trust: None,
            headers: Headers::Pairs(Vec::new()),
            network: Network::default(),
            claims: None,
            proofs: Proofs::default(),
        }
    }

    /// The end-to-end caller.
    #[must_use]
    pub fn by(mut self, principal: &'a SpiffeId) -> Self {
        self.principal = Some(principal);
        self
    }

    /// The hop that carried the call for its caller; such a call is not direct.
    #[must_use]
    pub fn via(mut self, hop: &'a SpiffeId) -> Self {
        self.via = Some(hop);
        self.direct = false;
        self
    }

    /// The workload that is called.
    #[must_use]
    pub fn to(mut self, callee: &'a SpiffeId) -> Self {
        self.to = Some(callee);
        self
    }

    /// How complete the request's delivery is proved to be.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// States that the caller itself holds the other end of the connection.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// How far the caller is trusted, 0 to 1. What is not a number is not known.
    #[must_use]
    pub fn trust(mut self, trust: f32) -> Self {
        self.trust = (!trust.is_nan()).then(|| trust.clamp(0.0, 1.0));
        self
    }

    /// A header that the caller's proof covers. May be called repeatedly.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        match &mut self.headers {
            Headers::Pairs(pairs) => pairs.push((name, value)),
            Headers::Map { .. } => self.headers = Headers::Pairs(vec![(name, value)]),
        }
        self
    }

    /// The request's headers, of which those in `covered` (lower case) were proved by the
    /// caller. Replaces what [`header`](Self::header) gave.
    #[must_use]
    pub fn headers(mut self, map: &'a HeaderMap, covered: &'a [HeaderName]) -> Self {
        self.headers = Headers::Map { map, covered };
        self
    }

    /// The scheme of the target, where that has one: `:scheme`, or what stands before `://`.
    #[must_use]
    pub fn scheme(mut self, scheme: &'a str) -> Self {
        self.network.scheme = Some(scheme);
        self
    }

    /// The host that is asked for, as `Host` or `:authority` has it, port included.
    #[must_use]
    pub fn host(mut self, host: &'a str) -> Self {
        self.network.host = Some(host);
        self
    }

    /// The port that was connected to.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.network.port = Some(port);
        self
    }

    /// The address of the connection's other end: the caller's, or its last hop's.
    #[must_use]
    pub fn source(mut self, address: IpAddr) -> Self {
        self.network.source = Some(address.to_canonical());
        self
    }

    /// The address of the first client, where trusted hops have told it.
    #[must_use]
    pub fn client(mut self, address: IpAddr) -> Self {
        self.network.client = Some(address.to_canonical());
        self
    }

    /// The address that was connected to.
    #[must_use]
    pub fn destination(mut self, address: IpAddr) -> Self {
        self.network.destination = Some(address);
        self
    }

    /// The server name that the TLS handshake asked for (RFC 6066 §3).
    #[must_use]
    pub fn server_name(mut self, name: &'a str) -> Self {
        self.network.server_name = Some(name);
        self
    }

    /// The claims of the request's token, an object, once its signature, issuer, audience and
    /// time were verified (RFC 7519).
    #[must_use]
    pub fn claims(mut self, claims: &'a Value) -> Self {
        self.claims = Some(claims);
        self
    }

    /// What binds the token to its caller.
    #[must_use]
    pub fn proofs(mut self, proofs: Proofs) -> Self {
        self.proofs = proofs;
        self
    }

    /// A caller whose name is no SPIFFE ID, for documents that compare names as texts.
    pub(crate) fn named(mut self, name: &'a str) -> Self {
        self.network.named = Some(name);
        self
    }

    /// What the caller is called, without a scheme.
    pub(crate) fn caller_name(&self) -> Option<&'a str> {
        let id = self.principal.and_then(|id| id.as_str().strip_prefix("spiffe://"));
        self.network.named.or(id)
    }

    /// The same, read as another operation.
    pub(crate) fn operating(mut self, operation: Operation<'a>) -> Self {
        self.operation = operation;
        self
    }

    /// The same without the slash at the end of its path, where there is one, and more before it.
    pub(crate) fn unslashed(&self) -> Option<Self> {
        let path = self.path().strip_suffix('/').filter(|bare| !bare.is_empty())?;
        let operation = match self.operation {
            Operation::Http { method, .. } => Operation::Http { method, path },
            _ => Operation::Grpc { path },
        };
        Some(self.clone().operating(operation))
    }

    /// What is asked for.
    #[must_use]
    pub fn operation(&self) -> Operation<'a> {
        self.operation
    }

    /// The raw path; empty where the protocol is not known.
    #[must_use]
    pub fn path(&self) -> &'a str {
        match self.operation {
            Operation::Http { path, .. } | Operation::Grpc { path } => path,
            Operation::Tcp => "",
        }
    }

    /// The method: `POST` for gRPC, none where the protocol is not known.
    #[must_use]
    pub fn method(&self) -> Option<&'a str> {
        match self.operation {
            Operation::Http { method, .. } => Some(method),
            Operation::Grpc { .. } => Some("POST"),
            Operation::Tcp => None,
        }
    }

    /// The end-to-end caller, where known.
    #[must_use]
    pub fn principal(&self) -> Option<&'a SpiffeId> {
        self.principal
    }

    /// The hop, where there is one.
    #[must_use]
    pub fn hop(&self) -> Option<&'a SpiffeId> {
        self.via
    }

    /// The workload that is called, where known.
    #[must_use]
    pub fn callee(&self) -> Option<&'a SpiffeId> {
        self.to
    }

    /// How complete the delivery is proved to be.
    #[must_use]
    pub fn proved(&self) -> Evidence {
        self.evidence
    }

    /// Whether the caller itself holds the other end of the connection.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// How far the caller is trusted, 0 to 1, where known.
    #[must_use]
    pub fn trusted(&self) -> Option<f32> {
        self.trust
    }

    /// The host that is asked for, where known.
    #[must_use]
    pub fn asked_host(&self) -> Option<&'a str> {
        self.network.host
    }

    /// The port that was connected to, where known.
    #[must_use]
    pub fn asked_port(&self) -> Option<u16> {
        self.network.port
    }

    /// The address of the connection's other end, where known.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.network.source
    }

    /// The address of the first client, where trusted hops have told it.
    #[must_use]
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.network.client
    }

    /// The address that was connected to, where known.
    #[must_use]
    pub fn destination_ip(&self) -> Option<IpAddr> {
        self.network.destination
    }

    /// The server name that the TLS handshake asked for, where known.
    #[must_use]
    pub fn asked_server_name(&self) -> Option<&'a str> {
        self.network.server_name
    }

    /// The verified claims, where there are any.
    #[must_use]
    pub fn verified_claims(&self) -> Option<&'a Value> {
        self.claims
    }

    /// What binds the token to its caller.
    #[must_use]
    pub fn proved_binding(&self) -> Proofs {
        self.proofs
    }

    /// Calls `each` with the name and the value of every header, covered by a proof or not.
    pub(crate) fn each_raw_header(&self, mut each: impl FnMut(&str, &[u8])) {
        match &self.headers {
            Headers::Pairs(pairs) => {
                pairs.iter().for_each(|(name, value)| each(name, value.trim_ascii().as_bytes()));
            }
            Headers::Map { map, .. } => {
                map.iter().for_each(|(name, value)| {
                    each(name.as_str(), value.as_bytes().trim_ascii());
                });
            }
        }
    }

    /// Whether any value of the header `name` satisfies `test`, covered by a proof or not. For
    /// what a caller must not be able to hide by leaving its proof out.
    pub fn any_raw_header(&self, name: &str, test: impl FnMut(&[u8]) -> bool) -> bool {
        match &self.headers {
            Headers::Pairs(_) => self.any_header(name, test),
            Headers::Map { map, .. } => any_value(map, name, test),
        }
    }

    /// As [`any_header`](Self::any_header), of a name that is parsed already.
    pub(crate) fn any_named_header(
        &self,
        name: &HeaderName,
        test: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        match &self.headers {
            Headers::Pairs(_) => self.any_header(name.as_str(), test),
            Headers::Map { map, covered } => covered.contains(name) && any_value(map, name, test),
        }
    }

    /// Whether any *covered* value of the header `name` satisfies `test`. Values are looked at
    /// one by one, never joined; a header that no proof covers does not exist here.
    pub fn any_header(&self, name: &str, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        match &self.headers {
            Headers::Pairs(pairs) => pairs
                .iter()
                .any(|(n, v)| n.eq_ignore_ascii_case(name) && test(v.trim_ascii().as_bytes())),
            Headers::Map { map, covered } => {
                // A look-up by `HeaderName` does not parse the name again.
                let name = covered.iter().find(|c| c.as_str().eq_ignore_ascii_case(name));
                name.is_some_and(|name| any_value(map, name, test))
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Headers<'a> {
    Pairs(Vec<(&'a str, &'a str)>),
    Map { map: &'a HeaderMap, covered: &'a [HeaderName] },
}

fn any_value(
    map: &HeaderMap,
    name: impl AsHeaderName,
    mut test: impl FnMut(&[u8]) -> bool,
) -> bool {
    map.get_all(name).iter().any(|value| test(value.as_bytes().trim_ascii()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn evidence_is_ordered() {
        assert!(Evidence::None < Evidence::Length);
        assert!(Evidence::Length < Evidence::Digest);
        assert!(Evidence::Digest < Evidence::Verified);
    }

    #[test]
    fn a_header_that_is_not_covered_does_not_exist() {
        let mut map = HeaderMap::new();
        map.append("x-tenant", HeaderValue::from_static("a"));
        map.append("x-tenant", HeaderValue::from_static(" b "));
        let covered = [HeaderName::from_static("x-tenant")];
        let access = Access::http("GET", "/").headers(&map, &covered);
        assert!(access.any_header("X-Tenant", |v| v == b"b"));
        assert!(!access.any_header("x-tenant", |v| v == b"a, b"));
        let access = Access::http("GET", "/").headers(&map, &[]);
        assert!(!access.any_header("x-tenant", |_| true));
    }

    #[test]
    fn trust_is_from_0_to_1_or_not_known() {
        assert_eq!(Access::http("GET", "/").trusted(), None);
        assert_eq!(Access::http("GET", "/").trust(0.25).trusted(), Some(0.25));
        assert_eq!(Access::http("GET", "/").trust(7.0).trusted(), Some(1.0));
        assert_eq!(Access::http("GET", "/").trust(-1.0).trusted(), Some(0.0));
        assert_eq!(Access::http("GET", "/").trust(0.5).trust(f32::NAN).trusted(), None);
    }

    #[test]
    fn a_call_through_a_hop_is_not_direct() {
        const HOP: &SpiffeId = &SpiffeId::from_static("spiffe://a/hop");
        assert!(!Access::http("GET", "/").direct().via(HOP).is_direct());
    }
}
