//! What upstream's meaning leaves open: kept, with a warning.

use super::document::Document;
use super::error::WarningKind;
use super::rule::{Facet, Rule};
use super::translate::{Sink, Translation};
use super::{Protocol, aliases};
use crate::policy::model::{Effect, Normalization};
use crate::policy::term::Key;

/// What is to be known of one field.
pub(super) fn look_at_facet(to: &mut Translation<'_>, document: &Document, facet: &Facet) {
    if facet.empty_list {
        let message = "an empty list is read as absent, so that the rule matches more";
        to.warn(WarningKind::EmptyList, document, &facet.field, message);
    }
    match &facet.key {
        None => {
            let message = "no access has this metadata here: it is always missing";
            to.warn(WarningKind::AlwaysMissing, document, &facet.field, message);
        }
        Some(Key::SourcePrincipal) => {
            let foreign = |p: &String| aliases::is_foreign(p, to.workload());
            if facet.values.iter().chain(&facet.not_values).any(foreign) {
                let message = "a principal of a trust domain that is not the mesh's";
                to.warn(WarningKind::ForeignTrustDomain, document, &facet.field, message);
            }
        }
        Some(_) => {}
    }
}

/// What is to be known of a rule as a whole.
pub(super) fn look_at_rule(to: &mut Translation<'_>, sink: &Sink<'_>, rule: &Rule) {
    let tcp = to.workload().protocol == Protocol::Tcp;
    let mut warn = |kind, field: &str, message| to.warn(kind, sink.document, field, message);
    for field in &rule.empty {
        warn(WarningKind::EmptyList, field, empty(sink.effect, field));
    }
    match sink.effect {
        Effect::Allow => {
            if let Some(facet) = admits_plaintext(rule) {
                let message = "a caller without an identity has none of these, and is admitted; add `namespaces: [\"*\"]`";
                warn(WarningKind::AdmitsPlaintext, &facet.field, message);
            }
        }
        Effect::Deny => {
            for facet in rule.facets().filter(|facet| !tcp || !facet.is_http()) {
                if let Some((kind, message)) = spared(facet) {
                    warn(kind, &facet.field, message);
                }
            }
            if let Some(facet) = weak_paths(rule, to.workload().normalization).filter(|_| !tcp) {
                let message = "a backend that merges `//` or decodes `%2F` is reached by paths that this rule does not see";
                to.warn(WarningKind::WeakNormalization, sink.document, &facet.field, message);
            }
        }
    }
}

/// What an empty `from`, `to` or `when` comes to.
fn empty(effect: Effect, field: &str) -> &'static str {
    match (effect, field.rsplit('.').next()) {
        (Effect::Allow, Some("from")) => "it is empty, which is no limit: the rule admits anybody",
        (Effect::Deny, Some("from")) => "it is empty, which is no limit: the rule denies anybody",
        (_, Some("to")) => "it is empty, which is no limit: the rule is for every operation",
        _ => "it is empty, which is no limit: the rule always holds",
    }
}

/// The first field by which a source asks only who the caller is not.
fn admits_plaintext(rule: &Rule) -> Option<&Facet> {
    let identity = |facet: &&Facet| facet.key.as_ref().is_some_and(Key::is_identity);
    let asks = |facets: &[Facet]| facets.iter().filter(identity).any(|f| !f.values.is_empty());
    if asks(&rule.when) {
        return None;
    }
    let open = rule.from.iter().filter(|source| !asks(source)).flatten();
    open.chain(&rule.when).filter(identity).find(|f| !f.not_values.is_empty())
}

/// How a deny rule is evaded by having less.
fn spared(facet: &Facet) -> Option<(WarningKind, &'static str)> {
    if facet.values.is_empty() {
        return None;
    }
    match facet.key.as_ref()? {
        key if key.is_identity() => Some((
            WarningKind::SparesPlaintext,
            "a caller without an identity is not denied by it; deny `notPrincipals: [\"*\"]` too",
        )),
        Key::RequestHost if facet.values.iter().any(|host| !host.contains('*')) => Some((
            WarningKind::HostForms,
            "hosts keep their port and trailing dot: `a.com:80` is not `a.com`; deny `a.com:*` too",
        )),
        Key::RequestHeader(_) | Key::AuthClaims(_) | Key::AuthPrincipal => {
            Some((WarningKind::SparesMissing, "a request without it is not denied"))
        }
        _ => None,
    }
}

fn weak_paths(rule: &Rule, normalization: Normalization) -> Option<&Facet> {
    let weak =
        !matches!(normalization, Normalization::DecodeAndMergeSlashes | Normalization::Strict);
    let paths = |facet: &&Facet| facet.key == Some(Key::RequestPath) && !facet.values.is_empty();
    if weak { rule.facets().find(paths) } else { None }
}
