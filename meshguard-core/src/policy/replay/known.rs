//! What a record lets us know of the call: which operations it can have been, and what the rule
//! that decided it has found to hold.

use std::borrow::Cow;

use ipnet::IpNet;

use super::relate::{covers, overlap};
use crate::access::Evidence;
use crate::policy::Policy;
use crate::policy::flow::{Flow, Refusal, Was};
use crate::policy::model::{
    ClaimCondition, Document, Effect, HeaderCondition, ProofNeed, Rule, Semantics, When,
};
use crate::policy::template::{Protocol, Segment, Template};

/// One operation that the call may have been.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) struct Operation<'a> {
    pub(in crate::policy) asks: Asks<'a>,
    /// The paths that it may have had; `None`: any.
    pub(super) path: Option<Cow<'a, [Segment]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Asks<'a> {
    /// HTTP, with this method where it is known.
    Http(Option<&'a str>),
    Grpc,
    /// Either.
    Unknown,
}

/// What the rule that allowed the call found to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held<'a> {
    pub(super) trust: Option<f32>,
    pub(super) evidence: Option<Evidence>,
    pub(super) proof: Option<ProofNeed>,
    pub(super) headers: &'a [HeaderCondition],
    pub(super) claims: &'a [ClaimCondition],
    pub(super) source: Option<&'a [IpNet]>,
}

impl<'a> Held<'a> {
    fn by(when: &'a When) -> Self {
        Self {
            trust: when.trust,
            evidence: when.evidence,
            proof: when.proof,
            headers: &when.headers,
            claims: &when.claims,
            source: when.source.as_deref(),
        }
    }
}

/// The policy that decided the call, where that is the one in hand.
pub(in crate::policy) fn decider<'a>(
    recorded: Option<&'a Policy>,
    flow: &Flow<'_>,
) -> Option<&'a Document> {
    let policy = recorded.filter(|policy| policy.version() == flow.policy_version)?;
    policy.loaded.as_ref().map(|loaded| &loaded.document)
}

/// Whether the path was found to have one reading only, as the candidate reads it.
pub(super) fn is_read(document: Option<&Document>, flow: &Flow<'_>) -> bool {
    let strictly = document.is_none_or(|document| document.semantics == Semantics::Native);
    let unasked = match flow.was {
        Was::Allowed(_) => false,
        Was::Refused(words) => matches!(Refusal::read(words), Some(Refusal::Unasked(_))),
    };
    strictly && !unasked
}

/// What must have held for the call to be decided so.
pub(super) fn held<'a>(document: Option<&'a Document>, flow: &Flow<'_>) -> Held<'a> {
    let Was::Allowed(name) = flow.was else { return Held::default() };
    let rule = document.and_then(|document| rule(document, name));
    rule.map_or_else(Held::default, |rule| Held::by(&rule.when))
}

fn rule<'a>(document: &'a Document, name: &str) -> Option<&'a Rule> {
    document.rules.iter().find(|rule| *rule.name == *name && !rule.shadow)
}

/// The operations that the call can have been; at least one.
pub(in crate::policy) fn operations<'a>(
    document: Option<&'a Document>,
    flow: &Flow<'a>,
) -> Vec<Operation<'a>> {
    let decided = document.and_then(|document| decided_by(document, flow));
    let mut found = match flow.route {
        Some(route) => routed(document, decided, route),
        None => decided.map_or_else(Vec::new, |(rule, document)| of_rule(document, rule)),
    };
    if let Some(method) = flow.method {
        for operation in &mut found {
            match &mut operation.asks {
                Asks::Http(own) => _ = own.get_or_insert(method),
                // gRPC is POST, and POST may be gRPC.
                Asks::Unknown if method != "POST" => operation.asks = Asks::Http(Some(method)),
                Asks::Unknown | Asks::Grpc => {}
            }
        }
        found.retain(|operation| match operation.asks {
            Asks::Http(own) => own == Some(method),
            Asks::Grpc => method == "POST",
            Asks::Unknown => true,
        });
    }
    if found.is_empty() {
        found.push(Operation { asks: Asks::Unknown, path: None });
    }
    found
}

/// The rule that the record names.
fn decided_by<'a>(document: &'a Document, flow: &Flow<'_>) -> Option<(&'a Rule, &'a Document)> {
    let name = match flow.was {
        Was::Allowed(name) => name,
        Was::Refused(words) => match Refusal::read(words)? {
            Refusal::Deny(name) | Refusal::Unmet(name) => name,
            _ => return None,
        },
    };
    rule(document, name).map(|rule| (rule, document))
}

/// With a route: its paths, and the methods of the templates that are called so. Of these the
/// rule that decided leaves those that it names.
fn routed<'a>(
    document: Option<&'a Document>,
    decided: Option<(&'a Rule, &'a Document)>,
    route: &str,
) -> Vec<Operation<'a>> {
    let same = |t: &&Template| *t.route == *route && t.routed;
    let named = document.iter().flat_map(|d| d.templates.iter().filter(same));
    let mut found: Vec<Operation<'a>> = match decided {
        Some((Rule { effect: Effect::Allow, templates: Some(own), .. }, document)) => {
            let own = own.iter().filter_map(|id| document.templates.get(*id as usize));
            let own: Vec<&Template> = own.collect();
            named.flat_map(|t| own.iter().filter_map(move |own| both(t, own))).collect()
        }
        Some((Rule { effect: Effect::Deny, templates: Some(own), .. }, document)) => {
            let own = own.iter().filter_map(|id| document.templates.get(*id as usize));
            let own: Vec<&Template> = own.collect();
            named.flat_map(|t| own.iter().flat_map(move |own| both_wide(t, own))).collect()
        }
        _ => named.map(of_template).collect(),
    };
    found.dedup();
    if found.is_empty() {
        found.extend(unnamed(route));
    }
    found
}

/// What two templates of one operation have in common.
fn both<'a>(a: &'a Template, b: &'a Template) -> Option<Operation<'a>> {
    let asks = match (&a.protocol, &b.protocol) {
        (Protocol::Grpc, Protocol::Grpc) => Asks::Grpc,
        (Protocol::Http(a), Protocol::Http(b)) => match (a, b) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => Asks::Http(a.as_deref().or(b.as_deref())),
        },
        _ => return None,
    };
    if !overlap(&a.segments, &b.segments) {
        return None;
    }
    let narrow = if covers(&a.segments, &b.segments) { b } else { a };
    Some(Operation { asks, path: Some(Cow::Borrowed(&narrow.segments)) })
}

/// As [`both`], where the second is a deny rule's: it speaks of what a server could take the
/// operation for.
fn both_wide<'a>(named: &'a Template, deny: &'a Template) -> Vec<Operation<'a>> {
    let asks = match (&named.protocol, &deny.protocol) {
        (Protocol::Grpc, Protocol::Grpc) => vec![Asks::Grpc],
        (Protocol::Grpc, Protocol::Http(method)) => match method.as_deref() {
            None | Some("POST") => vec![Asks::Grpc],
            Some(_) => Vec::new(),
        },
        (Protocol::Http(own), Protocol::Grpc | Protocol::Http(None)) => {
            vec![Asks::Http(own.as_deref())]
        }
        (Protocol::Http(own), Protocol::Http(Some(method))) => {
            let head = (**method == *"GET").then_some("HEAD");
            let denied = std::iter::once(&**method).chain(head);
            let own = own.as_deref();
            denied
                .filter(|m| own.is_none_or(|own| own == *m))
                .map(|m| Asks::Http(Some(m)))
                .collect()
        }
    };
    if !overlap(&named.segments, &deny.segments) {
        return Vec::new();
    }
    let narrow =
        if covers(&named.segments, &deny.segments) { &deny.segments } else { &named.segments };
    let operation = |asks| Operation { asks, path: Some(Cow::Borrowed(&**narrow)) };
    asks.into_iter().map(operation).collect()
}

fn of_template(template: &Template) -> Operation<'_> {
    let asks = match &template.protocol {
        Protocol::Http(method) => Asks::Http(method.as_deref()),
        Protocol::Grpc => Asks::Grpc,
    };
    Operation { asks, path: Some(Cow::Borrowed(&template.segments)) }
}

/// A route that no policy in hand names: its text says the protocol and the paths.
fn unnamed<'a>(route: &str) -> Option<Operation<'a>> {
    let http = route.starts_with('/');
    let template =
        if http { Template::http(&format!("* {route}"), 0) } else { Template::grpc(route, 0) };
    let asks = if http { Asks::Http(None) } else { Asks::Grpc };
    let path = Some(Cow::Owned(template.ok()?.segments.into_vec()));
    Some(Operation { asks, path })
}

/// Without a route: what the rule that refused the call names, as widely as it matches.
fn of_rule<'a>(document: &'a Document, rule: &'a Rule) -> Vec<Operation<'a>> {
    let ids = rule.templates.as_deref().unwrap_or_default();
    let templates = ids.iter().filter_map(|id| document.templates.get(*id as usize));
    let wide = rule.effect == Effect::Deny;
    let operation = |template: &'a Template| {
        let mut operation = of_template(template);
        if wide {
            operation.asks = Asks::Unknown;
        }
        operation
    };
    templates.map(operation).collect()
}
