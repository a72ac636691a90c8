//! The same decisions by reading every rule from the first to the last, without index, tries
//! or early ends. What `decide` is held against.

use serde_json::Value;

use crate::Access;
use crate::access::Operation;
use crate::identity::SpiffeId;
use crate::policy::model::{DeliveryRule, Document, Effect, Peers, Rule};
use crate::policy::path;
use crate::policy::reason::{Finding, UnmetAt};
use crate::policy::template::{Protocol, Segment, Template};

/// A mistake that an evaluator could make, planted to see that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    None,
    /// An allow rule is asked before a deny rule.
    AllowFirst,
    /// What is not known counts as if it held.
    UnknownHolds,
    /// A deny rule is spared by what is not known.
    UnknownSpares,
    /// `*` also takes several segments.
    WideStar,
    /// A rule without `from` speaks of federated callers, too.
    OpenToPartners,
    /// A shadow rule decides.
    ShadowDecides,
    /// One value of a header that matches is enough.
    AnyHeaderValue,
}

pub(super) const DEFECTS: [Defect; 7] = [
    Defect::AllowFirst,
    Defect::UnknownHolds,
    Defect::UnknownSpares,
    Defect::WideStar,
    Defect::OpenToPartners,
    Defect::ShadowDecides,
    Defect::AnyHeaderValue,
];

pub(super) fn decide(
    document: &Document,
    access: &Access<'_>,
    defect: Defect,
) -> (Finding, Option<u32>) {
    Reader { document, defect }.decide(access)
}

struct Reader<'d> {
    document: &'d Document,
    defect: Defect,
}

impl Reader<'_> {
    fn decide(&self, access: &Access<'_>) -> (Finding, Option<u32>) {
        let document = self.document;
        let Some(principal) = access.principal() else { return (Finding::NoIdentity, None) };
        if !accepts(document, principal) {
            return (Finding::ForeignTrustDomain, None);
        }
        let hops = document.hops.as_deref().unwrap_or_default();
        if access.hop().is_some_and(|hop| !accepts(document, hop) || !self.is_one_of(hop, hops)) {
            return (Finding::HopNotNamed, None);
        }
        let path = match path::normalize(access.path()) {
            Ok(path) => path,
            Err(error) => return (Finding::Path(error), None),
        };
        let route = document.templates.iter().position(|t| {
            t.routed
                && fits(t, access.operation(), Effect::Allow)
                && matches_path(&t.segments, &path)
        });
        (self.finding(access, &path), route.map(|r| r as u32))
    }

    fn finding(&self, access: &Access<'_>, path: &str) -> Finding {
        let rules = || (0..).zip(&self.document.rules);
        let matching = |effect: Effect| {
            let counts = move |rule: &Rule| {
                rule.effect == effect && (!rule.shadow || self.defect == Defect::ShadowDecides)
            };
            rules().filter(move |(_, r)| counts(r) && self.matches(r, access, path))
        };
        let denied = matching(Effect::Deny).find(|(_, rule)| self.holds(rule, access));
        let unmet: Vec<_> =
            matching(Effect::Allow).map(|(id, r)| (id, self.unmet(r, access))).collect();
        let allowed = unmet.iter().find(|(_, unmet)| unmet.is_empty()).map(|(id, _)| *id);
        match (denied, allowed) {
            (Some(_), Some(id)) if self.defect == Defect::AllowFirst => return Finding::Rule(id),
            (Some((id, _)), _) => return Finding::DenyRule(id),
            (None, Some(id)) => return Finding::Rule(id),
            (None, None) => {}
        }
        match unmet.iter().min_by_key(|(id, unmet)| (unmet.len(), *id)) {
            Some((rule, unmet)) => Finding::Unmet { rule: *rule, unmet: unmet[0] },
            None => Finding::NoRule,
        }
    }

    /// Whether the conditions of a deny rule hold.
    fn holds(&self, rule: &Rule, access: &Access<'_>) -> bool {
        let direct = access.is_direct() && access.hop().is_none();
        let source = rule.when.source.as_ref().is_none_or(|nets| match access.source_ip() {
            Some(ip) => nets.iter().any(|net| net.contains(&ip)),
            None => self.defect != Defect::UnknownSpares,
        });
        (rule.when.direct.is_none() || !direct) && source
    }

    fn matches(&self, rule: &Rule, access: &Access<'_>, path: &str) -> bool {
        let document = self.document;
        let deny = rule.effect == Effect::Deny;
        let within = |id: Option<&SpiffeId>, peers: &Peers, unknown: bool| match (id, peers) {
            (_, None) => true,
            (Some(id), Some(peers)) => self.is_one_of(id, peers),
            (None, Some(_)) => unknown && self.defect != Defect::UnknownSpares,
        };
        let operation = rule.templates.as_ref().is_none_or(|templates| {
            let mut templates = templates.iter().map(|id| &document.templates[*id as usize]);
            templates.any(|t| {
                fits(t, access.operation(), rule.effect) && matches_path(&t.segments, path)
            })
        });
        let own = |id: &SpiffeId| id.trust_domain() == document.mesh.as_str();
        let anybody = deny || self.defect == Defect::OpenToPartners;
        operation
            && within(access.principal(), &rule.from, false)
            && (rule.from.is_some() || anybody || access.principal().is_some_and(own))
            && within(access.callee(), &rule.to, deny)
            && within(access.hop(), &rule.via, deny && !access.is_direct())
    }

    fn unmet(&self, rule: &Rule, access: &Access<'_>) -> Vec<UnmetAt> {
        let unknown = self.defect == Defect::UnknownHolds;
        let when = &rule.when;
        let mut unmet = Vec::new();
        if when.direct == Some(true) && (!access.is_direct() || access.hop().is_some()) {
            unmet.push(UnmetAt::Direct);
        }
        if when.evidence.is_some_and(|needs| access.proved() < needs) {
            unmet.push(UnmetAt::Evidence(access.proved()));
        }
        match (when.trust, access.trusted()) {
            (Some(needs), Some(has)) if has < needs => {
                unmet.push(UnmetAt::Trust(Some(has.to_bits())));
            }
            (Some(_), None) if !unknown => unmet.push(UnmetAt::Trust(None)),
            _ => {}
        }
        let proofs = access.proved_binding();
        let proved = when.proof.is_none_or(|needs| match needs.as_str() {
            "dpop" => proofs.dpop,
            "certificate" => proofs.certificate,
            _ => proofs.dpop | proofs.certificate,
        });
        if !proved {
            unmet.push(UnmetAt::Proof);
        }
        self.unmet_headers(rule, access, &mut unmet);
        for (at, condition) in (0..).zip(&when.claims) {
            let claims = access.verified_claims().unwrap_or(&Value::Null);
            let values = claim_values(claims, &condition.name);
            let globs = || condition.any.iter().map(|g| g.as_str().as_bytes());
            match values {
                None if !unknown => unmet.push(UnmetAt::ClaimUnknown(at)),
                Some(values) if !globs().any(|g| values.iter().any(|v| glob(g, v.as_bytes()))) => {
                    unmet.push(UnmetAt::ClaimDiffers(at));
                }
                _ => {}
            }
        }
        match (&when.source, access.source_ip()) {
            (Some(nets), Some(ip)) if !nets.iter().any(|net| net.contains(&ip)) => {
                unmet.push(UnmetAt::SourceDiffers);
            }
            (Some(_), None) if !unknown => unmet.push(UnmetAt::SourceUnknown),
            _ => {}
        }
        unmet
    }

    fn unmet_headers(&self, rule: &Rule, access: &Access<'_>, unmet: &mut Vec<UnmetAt>) {
        for (at, condition) in (0..).zip(&rule.when.headers) {
            let mut values = Vec::new();
            access.any_header(condition.name.as_str(), |value| {
                values.push(value.to_vec());
                false
            });
            let mut matching = values.iter().map(|v| glob(condition.glob.as_str().as_bytes(), v));
            let fits = match self.defect {
                Defect::AnyHeaderValue => matching.any(|fits| fits),
                _ => matching.all(|fits| fits),
            };
            if !values.is_empty() && !fits {
                unmet.push(UnmetAt::HeaderDiffers(at));
            } else if values.is_empty() && self.defect != Defect::UnknownHolds {
                unmet.push(UnmetAt::HeaderUnknown(at));
            }
        }
    }

    fn is_one_of(&self, id: &SpiffeId, patterns: &[u32]) -> bool {
        patterns.iter().any(|p| {
            let text = &self.document.patterns[*p as usize].text;
            let pattern: Vec<&str> = text.split('/').collect();
            let id: Vec<&str> = id.as_str().split('/').collect();
            let same = |n: usize| (0..n).all(|i| pattern[i] == "*" || pattern[i] == id[i]);
            match pattern.split_last() {
                Some((&"**", head)) => id.len() > head.len() && same(head.len()),
                Some((&"*", head)) if self.defect == Defect::WideStar => {
                    id.len() > head.len() && same(head.len())
                }
                _ => id.len() == pattern.len() && same(id.len()),
            }
        })
    }
}

fn accepts(document: &Document, id: &SpiffeId) -> bool {
    let domain = id.trust_domain();
    domain == document.mesh.as_str() || document.federates.iter().any(|d| d.as_str() == domain)
}

/// The texts of a claim; `None` where there is none.
fn claim_values(claims: &Value, name: &str) -> Option<Vec<String>> {
    let pointer = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
    match claims.pointer(&pointer)? {
        Value::String(text) if name == "scope" => {
            Some(text.split(' ').map(str::to_owned).collect())
        }
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => {
            Some(list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        }
        _ => None,
    }
}

pub(super) fn delivery(document: &Document, from: &SpiffeId, to: &SpiffeId) -> DeliveryRule {
    let reader = Reader { document, defect: Defect::None };
    let within = |id, peers: &Peers| peers.as_ref().is_none_or(|p| reader.is_one_of(id, p));
    let mut edges = document.deliveries.iter();
    edges
        .find(|e| within(from, &e.from) && within(to, &e.to))
        .map_or_else(DeliveryRule::default, |e| e.rule)
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
