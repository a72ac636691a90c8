//! What policy is asked about a request, kept while the request lives: it can be asked again.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use meshguard_core::dpop::{Checked, Thumbprint};
use meshguard_core::{Access, Policy, Proofs, Timestamp};
use serde_json::Value;

use super::exchange::Exchange;

/// A request's head, as policy reads it. Making one allocates nothing but for headers: all else
/// is shared with the head that goes on to the application.
pub(crate) struct Facts {
    grpc: bool,
    method: Method,
    uri: Uri,
    /// `Host`, where the target itself has no authority.
    host: Option<HeaderValue>,
    /// All of them, where the policy that let the request in reads any.
    headers: Option<HeaderMap>,
    token: Option<Token>,
}

/// A token that was verified.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// An object (RFC 7519 §4).
    pub(crate) claims: Arc<Value>,
    /// What binds it to its caller.
    pub(crate) proofs: Proofs,
    /// From then on it says nothing any more.
    pub(crate) until: Timestamp,
    /// The issuer's key that it is signed with; once that is trusted no more, it says nothing.
    pub(crate) key: Thumbprint,
    /// The proof that came with it, which is good once.
    pub(crate) proof: Option<Checked>,
    /// For the answer: the nonce that the next proof is to carry.
    pub(crate) nonce: Option<HeaderValue>,
}

impl Token {
    fn holds(&self, exchange: &Exchange, now: Timestamp) -> bool {
        let tokens = exchange.mesh.0.tokens.as_ref();
        now < self.until && tokens.is_some_and(|tokens| tokens.trusts(&self.key))
    }
}

impl Facts {
    /// Of a head whose authority was checked.
    pub(super) fn of(parts: &Parts, grpc: bool) -> Self {
        let host = match parts.uri.authority() {
            Some(_) => None,
            None => parts.headers.get(header::HOST).cloned(),
        };
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        Self { grpc, method, uri, host, headers: None, token: None }
    }

    /// With what a token says.
    pub(super) fn token(mut self, token: Option<Token>) -> Self {
        self.token = token;
        self
    }

    /// With the headers that a rule may read when it is asked again.
    pub(super) fn keep_headers(mut self, headers: &HeaderMap, policy: &Policy) -> Self {
        self.headers = reads_headers(policy).then(|| headers.clone());
        self
    }

    /// What policy is asked now, while the head is at hand. Trust changes, and is the caller's.
    pub(super) fn access_with<'a>(
        &'a self,
        exchange: &'a Exchange,
        headers: Option<&'a HeaderMap>,
        now: Timestamp,
    ) -> Access<'a> {
        let path = self.uri.path();
        let access = match self.grpc {
            true => Access::grpc(path),
            false => Access::http(self.method.as_str(), path),
        };
        let connection = &exchange.connection;
        let access = access
            .to(exchange.mesh.id())
            .by(exchange.principal.id())
            .evidence(exchange.evidence)
            .source(connection.remote_addr().ip())
            .destination(connection.local_addr().ip())
            .port(connection.local_addr().port());
        let access = match &exchange.via {
            Some(hop) => access.via(hop.id()),
            None => access.direct(),
        };
        let access = match (headers, &exchange.proven) {
            (None, _) => access,
            (Some(headers), Some(proven)) => access.headers(headers, &proven.session.covered),
            (Some(headers), None) => access.headers(headers, &[]),
        };
        let access = match self.host() {
            Some(host) => access.host(host),
            None => access,
        };
        let access = match self.uri.scheme_str() {
            Some(scheme) => access.scheme(scheme),
            None => access,
        };
        let access = match connection.server_name() {
            Some(name) => access.server_name(name),
            None => access,
        };
        match self.token.as_ref().filter(|token| token.holds(exchange, now)) {
            Some(token) => access.claims(&token.claims).proofs(token.proofs),
            None => access,
        }
    }

    /// What the token says, where there is one.
    pub(super) fn verified(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    fn host(&self) -> Option<&str> {
        match self.uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => self.host.as_ref()?.to_str().ok(),
        }
    }
}

impl Exchange {
    /// What `policy` is to be asked about a request that was let in, `now`; without trust, which
    /// changes. `None`: not all that it reads is known any more, and doubt denies.
    pub(crate) fn access(&self, policy: &Policy, now: Timestamp) -> Option<Access<'_>> {
        let facts = self.facts.get()?;
        let headers = facts.headers.as_ref();
        // By native semantics what is not known never helps a caller.
        let known = headers.is_some() || policy.is_native();
        known.then(|| facts.access_with(self, headers, now))
    }
}

fn reads_headers(policy: &Policy) -> bool {
    !policy.covered_headers().is_empty() || !policy.is_native()
}
