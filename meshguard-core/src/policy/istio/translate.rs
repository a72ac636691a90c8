//! From policies in scope to native rules.

use std::collections::BTreeSet;

use super::document::{Action, Document, DryRun};
use super::error::{ImportError, ImportErrorKind as Kind, Warning, WarningKind};
use super::rule::{Facet, Rule};
use super::write::NativeRule;
use super::{Protocol, Purpose, Workload, aliases, unsafe_parts};
use crate::policy::MAX_RULES;
use crate::policy::model::Effect;
use crate::policy::term::{Key, Term};

/// The most native rules that one rule may become.
const MAX_PRODUCT: usize = 4096;
/// Names longer than this are replaced by the document's number.
const MAX_LABEL: usize = 100;
/// What stands for upstream's default where no ALLOW policy is in scope.
const DEFAULT_ALLOW: &str = "istio/no-allow-policy";

/// What was translated so far.
pub(super) struct Translation<'w> {
    workload: &'w Workload,
    pub(super) rules: Vec<NativeRule>,
    pub(super) warnings: Vec<Warning>,
    labels: BTreeSet<String>,
    /// Whether an ALLOW policy is in scope; else what no rule denies is allowed.
    pub(super) has_allow: bool,
}

impl<'w> Translation<'w> {
    /// Translates the documents that cover the workload; `others` do not.
    pub(super) fn of(
        workload: &'w Workload,
        documents: &[Document],
        others: &[Document],
    ) -> Result<Self, ImportError> {
        let (labels, rules, warnings) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut translation = Self { workload, rules, warnings, labels, has_allow: false };
        for document in others.iter().filter(|document| document.targeted) {
            let message = "bound to a gateway or a service: it does not speak of the workload";
            translation.warn(WarningKind::Targeted, document, "", message);
        }
        for document in documents {
            let translated = translation.document(document, documents);
            translated.map_err(|error| error.in_document(document.index))?;
        }
        if !translation.has_allow {
            let name = DEFAULT_ALLOW.to_owned();
            let rule = NativeRule { name, effect: Effect::Allow, shadow: false, terms: Vec::new() };
            translation.rules.push(rule);
        }
        Ok(translation)
    }

    fn document(&mut self, document: &Document, all: &[Document]) -> Result<(), ImportError> {
        let shadow = self.dry_run(document);
        if !document.has_rules {
            self.warn(WarningKind::NoRules, document, "", "without rules it matches nothing");
        }
        let effect = match document.action {
            Action::Audit => {
                self.warn(WarningKind::Audit, document, "", "AUDIT decides nothing: left out");
                return Ok(());
            }
            Action::Custom if shadow => return Ok(()),
            Action::Custom => match self.custom(document, all)? {
                Effect::Allow => return Ok(()),
                Effect::Deny => Effect::Deny,
            },
            Action::Deny => Effect::Deny,
            Action::Allow => {
                self.has_allow |= !shadow;
                Effect::Allow
            }
        };
        let label = self.label(document);
        for (at, rule) in document.rules.iter().enumerate() {
            let sink = Sink { document, effect, shadow, name: format!("{label}/{at}") };
            self.rule(&sink, rule)?;
        }
        Ok(())
    }

    /// Unique, and short enough for a rule's name.
    fn label(&mut self, document: &Document) -> String {
        let (mut label, number) = (document.label(), document.number);
        if label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            label = format!("document-{number}");
        }
        if !self.labels.insert(label.clone()) {
            let message = "a second policy of this name: both are kept";
            self.warn(WarningKind::DuplicateName, document, "", message);
            label = format!("{label}~{number}");
            self.labels.insert(label.clone());
        }
        label
    }

    fn dry_run(&mut self, document: &Document) -> bool {
        match document.dry_run {
            DryRun::Absent | DryRun::Off => false,
            DryRun::On => {
                self.warn(WarningKind::Shadowed, document, "", "dry-run: it changes nothing");
                true
            }
            DryRun::Unreadable => {
                let message = "the dry-run annotation is no boolean: the policy is enforced";
                self.warn(WarningKind::DryRun, document, "metadata.annotations", message);
                false
            }
        }
    }

    /// What a CUSTOM policy stands for. An allowance lets DENY and ALLOW policies decide; without
    /// the one provider that it needs, upstream denies what it matches.
    fn custom(&mut self, document: &Document, all: &[Document]) -> Result<Effect, ImportError> {
        let is_custom = |d: &&Document| d.action == Action::Custom && d.dry_run != DryRun::On;
        let providers: BTreeSet<_> = all.iter().filter(is_custom).map(|d| &d.provider).collect();
        let provider = document.provider.as_deref();
        let decision = provider.and_then(|name| self.workload.providers.get(name)).copied();
        let (decision, why) = match (providers.len(), provider, decision) {
            (2.., _, _) => (None, "more than one provider for one workload".to_owned()),
            (_, None, _) => (None, "no provider is named".to_owned()),
            (_, Some(name), None) => (None, format!("no decision is known of provider `{name}`")),
            (_, Some(name), Some(effect)) => {
                let word = if effect == Effect::Allow { "allow" } else { "deny" };
                (Some(effect), format!("provider `{name}` is taken to {word} whatever it is asked"))
            }
        };
        if decision.is_none() && self.workload.purpose == Purpose::Enforce {
            let label = document.label();
            return Err(ImportError::new(Kind::Provider, label, "spec.provider.name", why)
                .hinted("say what it decides, as `NAME=deny`"));
        }
        let denies = if decision.is_none() { ": what the policy matches is denied" } else { "" };
        self.warn(WarningKind::Custom, document, "spec.provider", &format!("{why}{denies}"));
        Ok(decision.unwrap_or(Effect::Deny))
    }

    fn rule(&mut self, sink: &Sink<'_>, rule: &Rule) -> Result<(), ImportError> {
        let tcp = self.workload.protocol == Protocol::Tcp;
        let asks_http = tcp && rule.facets().any(Facet::is_http);
        if asks_http && sink.effect == Effect::Allow {
            let message = "left out on TCP: it asks for what only HTTP has";
            self.warn(WarningKind::DroppedOnTcp, sink.document, &rule.field, message);
            return Ok(());
        }
        if asks_http {
            let message = "on TCP it denies more: what only HTTP has is ignored";
            self.warn(WarningKind::WidenedOnTcp, sink.document, &rule.field, message);
        }
        for facet in rule.facets() {
            unsafe_parts::look_at_facet(self, sink.document, facet);
        }
        unsafe_parts::look_at_rule(self, sink, rule);
        let product = rule.from.len().max(1) * rule.to.len().max(1);
        if product > MAX_PRODUCT || self.rules.len() + product > MAX_RULES {
            let message = format!("{product} combinations of `from` and `to` are too many");
            return Err(sink.fault(Kind::TooManyRules, &rule.field, message));
        }
        self.combinations(sink, rule)
    }

    fn combinations(&mut self, sink: &Sink<'_>, rule: &Rule) -> Result<(), ImportError> {
        let when = self.terms(sink, &rule.when)?;
        let clauses = |clauses: &[Vec<Facet>]| -> Result<Vec<Option<Vec<Term>>>, ImportError> {
            if clauses.is_empty() {
                return Ok(vec![Some(Vec::new())]);
            }
            clauses.iter().map(|clause| self.terms(sink, clause)).collect()
        };
        let (from, to) = (clauses(&rule.from)?, clauses(&rule.to)?);
        let Some(when) = when else { return Ok(()) };
        for (f, from) in from.iter().enumerate() {
            for (t, to) in to.iter().enumerate() {
                let (Some(from), Some(to)) = (from, to) else { continue };
                let terms = from.iter().chain(to).chain(&when).cloned().collect();
                let name = format!("{}/{f}/{t}", sink.name);
                let Sink { effect, shadow, .. } = *sink;
                self.rules.push(NativeRule { name, effect, shadow, terms });
            }
        }
        Ok(())
    }

    /// The terms of a clause; `None` if it never holds.
    fn terms(&self, sink: &Sink<'_>, facets: &[Facet]) -> Result<Option<Vec<Term>>, ImportError> {
        let mut terms = Vec::new();
        for facet in facets {
            if facet.values.is_empty() && facet.not_values.is_empty() {
                continue;
            }
            let Some(key) = &facet.key else {
                if facet.values.is_empty() { continue } else { return Ok(None) }
            };
            if self.workload.protocol == Protocol::Tcp && key.is_http() {
                continue;
            }
            let term = match key {
                Key::SourcePrincipal => {
                    let expand = |values: &[String]| aliases::expand(values, self.workload);
                    Term::new(key.clone(), &expand(&facet.values), &expand(&facet.not_values))
                }
                key => Term::new(key.clone(), &facet.values, &facet.not_values),
            };
            terms.push(
                term.map_err(|e| {
                    sink.fault(Kind::BadValue, &facet.field, e.message).hinted(e.hint)
                })?,
            );
        }
        Ok(Some(terms))
    }

    pub(super) fn warn(
        &mut self,
        kind: WarningKind,
        document: &Document,
        field: &str,
        message: &str,
    ) {
        let (document, field) = (document.label(), field.to_owned());
        let warning = Warning { kind, document, field, message: message.to_owned() };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(super) fn workload(&self) -> &'w Workload {
        self.workload
    }
}

/// Where a rule comes from and what becomes of it.
pub(super) struct Sink<'d> {
    pub(super) document: &'d Document,
    pub(super) effect: Effect,
    pub(super) shadow: bool,
    name: String,
}

impl Sink<'_> {
    fn fault(&self, kind: Kind, field: &str, message: impl Into<String>) -> ImportError {
        ImportError::new(kind, self.document.label(), field, message)
    }
}
