//! What a policy's conditions look at, so that a transport need not look up the rest.

use http::HeaderName;

use super::index::Room;
use super::model::{RouteRule, Rule};
use super::term::{Key, Term};
use super::{Loaded, METHOD_OVERRIDE_HEADERS, Policy};
use crate::identity::SpiffeId;

/// What conditions look at beside the headers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) trust: bool,
    claims: bool,
    proofs: bool,
    sources: bool,
    pub(super) shadows: bool,
}

/// What these rules look at, and which headers, with those that `routes` let name the method: sorted,
/// each once.
#[allow(clippy::needless_pass_by_value)] // an iterator, cloned for each pass
pub(super) fn of<'r>(
    rules: impl Iterator<Item = &'r Rule> + Clone,
    routes: &[RouteRule],
) -> (Reads, Box<[HeaderName]>) {
    let whens = || rules.clone().map(|rule| &rule.when);
    let terms = || whens().flat_map(|when| &when.terms).map(Term::key);
    let names = whens().flat_map(|when| &when.headers).map(|c| c.name.clone());
    let overrides = routes.iter().any(|route| route.method_override == Some(true));
    let methods = METHOD_OVERRIDE_HEADERS.into_iter().filter(|_| overrides);
    let names = names.chain(methods.map(HeaderName::from_static));
    let mut covered: Vec<HeaderName> = names.chain(terms().filter_map(Key::field)).collect();
    covered.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    covered.dedup();
    let reads = Reads {
        trust: whens().any(|when| when.trust.is_some()),
        claims: whens().any(|when| !when.claims.is_empty()) || terms().any(Key::is_claim),
        proofs: whens().any(|when| when.proof.is_some()),
        sources: whens().any(|when| when.source.is_some() || when.direct.is_some()),
        shadows: rules.clone().any(|rule| rule.shadow),
    };
    (reads, covered.into())
}

impl Policy {
    /// The headers that conditions look at and, where a route permits it, those that name the method
    /// ([`METHOD_OVERRIDE_HEADERS`]); sorted, each once. The transport must have the caller's proof
    /// cover them.
    #[must_use]
    pub fn covered_headers(&self) -> &[HeaderName] {
        &self.covered
    }

    /// Whether a rule has a condition on [`Access::trust`](crate::Access::trust). Where none has, a transport need not
    /// look it up.
    #[must_use]
    pub fn reads_trust(&self) -> bool {
        self.reads.trust
    }

    /// Whether a rule has a condition on [`Access::claims`](crate::Access::claims).
    #[must_use]
    pub fn reads_claims(&self) -> bool {
        self.reads.claims
    }

    /// Whether a rule has a condition on [`Access::proofs`](crate::Access::proofs).
    #[must_use]
    pub fn reads_proofs(&self) -> bool {
        self.reads.proofs
    }

    /// Whether what it decides on a call that came through a hop rests on what the call's caller has
    /// proved alone: no rule has a condition on the connection's own address or on whether it is
    /// direct, and the document is native.
    #[must_use]
    pub fn reads_proved_parts_alone(&self) -> bool {
        !self.reads.sources && self.is_native()
    }

    /// The policy as the workload `callee` reads it. It decides the same on every access to it; the
    /// headers, claims, proofs and trust that only rules for other callees look at need not be
    /// looked up there, nor be asked of its callers.
    #[must_use]
    pub fn for_callee(mut self, callee: &SpiffeId) -> Self {
        if let Some(Loaded { document, index }) = &self.loaded {
            let mut room = Room::default();
            let ends = index.callee(Some(callee), &mut room);
            let concerns = |rule: &&Rule| rule.to.as_ref().is_none_or(|to| ends.meet(to));
            (self.reads, self.covered) =
                of(document.rules.iter().filter(concerns), &document.routes);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://m/orders");
    const STOCK: &SpiffeId = &SpiffeId::from_static("spiffe://m/stock");
    const OTHER: &SpiffeId = &SpiffeId::from_static("spiffe://m/other");

    fn shared() -> Policy {
        let text = "mesh = 'm'\nversion = 1\n\
            [peers]\norders = 'spiffe://m/orders'\nstock = 'spiffe://m/stock'\n\
            [[allow]]\nname = 'a'\nto = ['orders']\nhttp = ['GET /a']\n\
            when = { claims = { scope = ['a'] }, proof = 'dpop', headers = { x-a = '*' } }\n\
            [[allow]]\nname = 'b'\nto = ['stock']\nwhen = { trust = 0.5, headers = { x-b = '*' } }\n\
            [[allow]]\nname = 'c'\nwhen = { headers = { x-c = '*' } }\n";
        text.parse().unwrap()
    }

    #[test]
    fn what_names_the_method_is_covered_where_a_route_permits_it() {
        let with = |flag: &str| -> Policy {
            let route = format!("[[route]]\nhttp = ['POST /a']\nmethod_override = {flag}\n");
            format!("mesh = 'm'\nversion = 1\n{route}").parse().unwrap()
        };
        let covered = ["x-http-method", "x-http-method-override", "x-method-override"];
        assert_eq!(reads(&with("true")).3, covered);
        assert_eq!(reads(&with("true").for_callee(ORDERS)).3, covered);
        assert!(reads(&with("false")).3.is_empty());
    }

    fn reads(policy: &Policy) -> (bool, bool, bool, Vec<&str>) {
        let headers = policy.covered_headers().iter().map(HeaderName::as_str).collect();
        (policy.reads_claims(), policy.reads_proofs(), policy.reads_trust(), headers)
    }

    #[test]
    fn a_callee_looks_at_what_rules_for_it_ask_for_and_at_nothing_else() {
        assert_eq!(reads(&shared()), (true, true, true, vec!["x-a", "x-b", "x-c"]));
        assert_eq!(reads(&shared().for_callee(ORDERS)), (true, true, false, vec!["x-a", "x-c"]));
        assert_eq!(reads(&shared().for_callee(STOCK)), (false, false, true, vec!["x-b", "x-c"]));
        assert_eq!(reads(&shared().for_callee(OTHER)), (false, false, false, vec!["x-c"]));
        let deny_all = Policy::deny_all().for_callee(OTHER);
        assert_eq!(reads(&deny_all), (false, false, false, vec![]));
    }
}
