//! The same decisions by reading every rule from the first to the last, without index, tries
//! or early ends. What `decide` is held against.

use crate::Access;
use crate::access::Operation;
use crate::identity::SpiffeId;
use crate::policy::model::{DeliveryRule, Document, Effect, Peers, Rule};
use crate::policy::path;
use crate::policy::reason::{Finding, UnmetAt};
use crate::policy::template::{Protocol, Segment, Template};

pub(super) fn decide(document: &Document, access: &Access<'_>) -> (Finding, Option<u32>) {
    let mesh = document.mesh.as_str();
    let Some(principal) = access.principal() else { return (Finding::NoIdentity, None) };
    if principal.trust_domain() != mesh {
        return (Finding::ForeignTrustDomain, None);
    }
    if access
        .hop()
        .is_some_and(|hop| !is_one_of(document, hop, document.hops.as_deref().unwrap_or_default()))
    {
        return (Finding::HopNotNamed, None);
    }
    let path = match path::normalize(access.path()) {
        Ok(path) => path,
        Err(error) => return (Finding::Path(error), None),
    };
    let route = document.templates.iter().position(|t| {
        fits(t, access.operation(), Effect::Allow) && matches_path(&t.segments, &path)
    });
    (finding(document, access, &path), route.map(|r| r as u32))
}

fn finding(document: &Document, access: &Access<'_>, path: &str) -> Finding {
    let matching = |effect: Effect| {
        let rules = (0..).zip(&document.rules).filter(move |(_, rule)| rule.effect == effect);
        rules.filter(|(_, rule)| matches(document, rule, access, path))
    };
    let direct = access.is_direct() && access.hop().is_none();
    for (id, rule) in matching(Effect::Deny) {
        if rule.when.direct.is_none() || !direct {
            return Finding::DenyRule(id);
        }
    }
    let unmet: Vec<_> = matching(Effect::Allow).map(|(id, r)| (id, unmet(r, access))).collect();
    if let Some((id, _)) = unmet.iter().find(|(_, unmet)| unmet.is_empty()) {
        return Finding::Rule(*id);
    }
    match unmet.iter().min_by_key(|(id, unmet)| (unmet.len(), *id)) {
        Some((rule, unmet)) => Finding::Unmet { rule: *rule, unmet: unmet[0] },
        None => Finding::NoRule,
    }
}

fn matches(document: &Document, rule: &Rule, access: &Access<'_>, path: &str) -> bool {
    let deny = rule.effect == Effect::Deny;
    let within = |id: Option<&SpiffeId>, peers: &Peers, unknown: bool| match (id, peers) {
        (_, None) => true,
        (Some(id), Some(peers)) => is_one_of(document, id, peers),
        (None, Some(_)) => unknown,
    };
    let operation = rule.templates.as_ref().is_none_or(|templates| {
        templates
            .iter()
            .map(|id| &document.templates[*id as usize])
            .any(|t| fits(t, access.operation(), rule.effect) && matches_path(&t.segments, path))
    });
    operation
        && within(access.principal(), &rule.from, false)
        && within(access.callee(), &rule.to, deny)
        && within(access.hop(), &rule.via, deny && !access.is_direct())
}

fn unmet(rule: &Rule, access: &Access<'_>) -> Vec<UnmetAt> {
    let mut unmet = Vec::new();
    if rule.when.direct == Some(true) && (!access.is_direct() || access.hop().is_some()) {
        unmet.push(UnmetAt::Direct);
    }
    if let Some(needs) = rule.when.evidence
        && access.proved() < needs
    {
        unmet.push(UnmetAt::Evidence(access.proved()));
    }
    if let Some(needs) = rule.when.trust {
        match access.trusted() {
            Some(has) if has >= needs => {}
            has => unmet.push(UnmetAt::Trust(has.map(f32::to_bits))),
        }
    }
    for (at, condition) in (0..).zip(&rule.when.headers) {
        let mut values = Vec::new();
        access.any_header(condition.name.as_str(), |value| {
            values.push(value.to_vec());
            false
        });
        if values.is_empty() {
            unmet.push(UnmetAt::HeaderUnknown(at));
        } else if !values.iter().all(|v| glob(condition.glob.as_str().as_bytes(), v)) {
            unmet.push(UnmetAt::HeaderDiffers(at));
        }
    }
    unmet
}

pub(super) fn delivery(document: &Document, from: &SpiffeId, to: &SpiffeId) -> DeliveryRule {
    let within = |id, peers: &Peers| peers.as_ref().is_none_or(|p| is_one_of(document, id, p));
    let mut edges = document.deliveries.iter();
    edges
        .find(|e| within(from, &e.from) && within(to, &e.to))
        .map_or_else(DeliveryRule::default, |e| e.rule)
}

fn is_one_of(document: &Document, id: &SpiffeId, patterns: &[u32]) -> bool {
    id.trust_domain() == document.mesh.as_str()
        && patterns.iter().any(|p| {
            let text = &document.patterns[*p as usize].text;
            let pattern: Vec<&str> = text.split('/').collect();
            let id: Vec<&str> = id.as_str().split('/').collect();
            let same = |n: usize| (0..n).all(|i| pattern[i] == "*" || pattern[i] == id[i]);
            match pattern.split_last() {
                Some((&"**", head)) => id.len() > head.len() && same(head.len()),
                _ => id.len() == pattern.len() && same(id.len()),
            }
        })
}

fn fits(template: &Template, operation: Operation<'_>, effect: Effect) -> bool {
    let deny = effect == Effect::Deny;
    match (&template.protocol, operation) {
        (_, Operation::Tcp) => false,
        (Protocol::Grpc, Operation::Grpc { .. }) => true,
        (Protocol::Grpc, Operation::Http { .. }) => deny,
        (Protocol::Http(own), operation) => {
            let (method, http) = match operation {
                Operation::Http { method, .. } => (method, true),
                Operation::Grpc { .. } => ("POST", false),
                Operation::Tcp => return false,
            };
            let same = own.as_ref().is_none_or(|own| **own == *method);
            let head = method == "HEAD" && own.as_deref() == Some("GET");
            (http && same) || (deny && (same || head))
        }
    }
}

fn matches_path(segments: &[Segment], path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    matches_parts(segments, &parts)
}

fn matches_parts(segments: &[Segment], parts: &[&str]) -> bool {
    match (segments, parts) {
        ([], []) => true,
        ([Segment::Many, rest @ ..], [_, ..]) => {
            (1..=parts.len()).any(|taken| matches_parts(rest, &parts[taken..]))
        }
        ([Segment::One, rest @ ..], [part, parts @ ..]) => {
            !part.is_empty() && matches_parts(rest, parts)
        }
        ([Segment::Literal(text), rest @ ..], [part, parts @ ..]) => {
            **text == **part && matches_parts(rest, parts)
        }
        _ => false,
    }
}

fn glob(glob_: &[u8], value: &[u8]) -> bool {
    match (glob_, value) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=value.len()).any(|n| glob(rest, &value[n..])),
        ([g, rest @ ..], [v, value @ ..]) => g == v && glob(rest, value),
        _ => false,
    }
}
