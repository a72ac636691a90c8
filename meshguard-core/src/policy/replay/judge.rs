//! A candidate's decision on a call of which not all is known: yes, no, or what it depends on.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::known::{Asks, Held, Operation};
use super::relate::{covers, overlap};
use crate::access::Evidence;
use crate::identity::SpiffeId;
use crate::policy::Loaded;
use crate::policy::index::Numbers;
use crate::policy::model::{Effect, Peers, ProofNeed, Rule, RuleId, When};
use crate::policy::pattern::Glob;
use crate::policy::reason::Finding;
use crate::policy::template::{Protocol, Segment, Template};

/// What is not known: `the method`, `the header x-tenant`.
pub(super) type Unknowns = BTreeSet<String>;

/// Whether something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Yes,
    No,
    Depends(Unknowns),
}

impl Holds {
    fn known(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    fn depends(on: impl Into<String>) -> Self {
        Self::Depends(BTreeSet::from([on.into()]))
    }

    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Depends(mut on) => match other() {
                Self::No => Self::No,
                Self::Yes => Self::Depends(on),
                Self::Depends(more) => {
                    on.extend(more);
                    Self::Depends(on)
                }
            },
        }
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Yes => Self::Yes,
            Self::No => other(),
            Self::Depends(mut on) => match other() {
                Self::Yes => Self::Yes,
                Self::No => Self::Depends(on),
                Self::Depends(more) => {
                    on.extend(more);
                    Self::Depends(on)
                }
            },
        }
    }
}

/// The two ends of a call, as the candidate names them, and the rules that can speak of it.
pub(super) struct Edge {
    via: Option<Numbers>,
    /// Rules whose ends match, and whether that depends on the callee.
    rules: Vec<(RuleId, bool)>,
}

impl Edge {
    /// Or why no rule is asked.
    pub(super) fn of(
        loaded: &Loaded,
        from: Option<&SpiffeId>,
        via: Option<&SpiffeId>,
        to: Option<&SpiffeId>,
    ) -> Result<Self, Finding> {
        let from = from.ok_or(Finding::NoIdentity)?;
        if !loaded.accepts(from.trust_domain()) {
            return Err(Finding::ForeignTrustDomain);
        }
        let own = from.trust_domain() == loaded.mesh();
        let via = match via {
            Some(hop) => Some(loaded.hop(hop).ok_or(Finding::HopNotNamed)?),
            None => None,
        };
        let from = loaded.index.peers(from);
        let to = to.map(|to| loaded.index.peers(to));
        let mut edge = Self { via, rules: Vec::new() };
        for (id, rule) in (0..).zip(&loaded.document.rules) {
            let caller = match &rule.from {
                Some(peers) => from.meet(peers),
                None => rule.effect == Effect::Deny || own,
            };
            let callee = match (&rule.to, &to) {
                (None, _) => Some(true),
                (Some(peers), Some(to)) => Some(to.meet(peers)),
                (Some(_), None) => None,
            };
            if caller && callee != Some(false) && edge.comes_via(&rule.via) {
                edge.rules.push((id, callee.is_none()));
            }
        }
        Ok(edge)
    }

    /// A recorded call without a hop was direct.
    fn comes_via(&self, hops: &Peers) -> bool {
        match (hops, &self.via) {
            (None, _) => true,
            (Some(hops), Some(via)) => via.meet(hops),
            (Some(_), None) => false,
        }
    }
}

/// What the candidate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed(RuleId),
    Denied(Option<RuleId>),
    Depends(Unknowns),
}

/// What is known of a call, and what a candidate makes of it.
pub(super) struct Judge<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) edge: &'a Edge,
    pub(super) operation: &'a Operation<'a>,
    pub(super) evidence: Option<Evidence>,
    pub(super) held: Held<'a>,
}

impl Judge<'_> {
    /// Calls `used` for each rule that decides, or may; and whether it surely does. A shadow
    /// rule counts where it matches.
    pub(super) fn verdict(&self, used: &mut impl FnMut(RuleId, bool)) -> Verdict {
        let mut doubts = Unknowns::new();
        let (mut denied, mut maybe_denied) = (None, false);
        let (mut allowed, mut maybe_allowed) = (None, Vec::new());
        for (id, callee) in &self.edge.rules {
            let Some(rule) = self.loaded.document.rules.get(*id as usize) else { continue };
            let holds = self.rule(rule, *callee);
            match (rule.effect, holds) {
                (_, Holds::No) => {}
                (_, holds) if rule.shadow => used(*id, holds == Holds::Yes),
                (Effect::Deny, Holds::Yes) => denied = denied.or(Some(*id)),
                (Effect::Deny, Holds::Depends(on)) => {
                    maybe_denied = true;
                    doubts.extend(on);
                    used(*id, false);
                }
                (Effect::Allow, Holds::Yes) => allowed = allowed.or(Some(*id)),
                (Effect::Allow, Holds::Depends(on)) => maybe_allowed.push((*id, on)),
            }
        }
        if let Some(id) = denied {
            used(id, true);
            return Verdict::Denied(denied);
        }
        // Which of several allow rules counts is the first of the document's.
        let first = allowed.unwrap_or(RuleId::MAX);
        let earlier = maybe_allowed.iter().any(|(id, _)| *id < first);
        for (id, on) in maybe_allowed.into_iter().filter(|(id, _)| *id < first) {
            used(id, false);
            if allowed.is_none() {
                doubts.extend(on);
            }
        }
        match allowed {
            Some(id) => {
                used(id, !earlier && !maybe_denied);
                if maybe_denied { Verdict::Depends(doubts) } else { Verdict::Allowed(id) }
            }
            None if earlier => Verdict::Depends(doubts),
            None => Verdict::Denied(None),
        }
    }

    fn rule(&self, rule: &Rule, callee: bool) -> Holds {
        // An unknown callee never spares a call.
        let callee = match callee && rule.effect == Effect::Allow {
            true => Holds::depends("the callee"),
            false => Holds::Yes,
        };
        callee.and(|| self.operation(rule)).and(|| match rule.effect {
            Effect::Allow => self.when(&rule.when),
            Effect::Deny => self.deny_when(&rule.when),
        })
    }

    fn operation(&self, rule: &Rule) -> Holds {
        let Some(ids) = &rule.templates else { return Holds::Yes };
        let templates = &self.loaded.document.templates;
        let templates = ids.iter().filter_map(|id| templates.get(*id as usize));
        templates.fold(Holds::No, |holds, template| {
            holds.or(|| self.path(template, rule.effect).and(|| self.asks(template, rule.effect)))
        })
    }

    /// A deny rule also speaks of its paths with a slash behind them.
    fn path(&self, template: &Template, effect: Effect) -> Holds {
        let Some(paths) = &self.operation.path else { return Holds::depends("the path") };
        let holds = Self::on_path(template, paths);
        match (effect, paths.split_last()) {
            (Effect::Deny, Some((Segment::Literal(last), bare)))
                if last.is_empty() && !bare.is_empty() =>
            {
                holds.or(|| Self::on_path(template, bare))
            }
            // The last segment of a `{**}` may be empty.
            (Effect::Deny, Some((Segment::Many, bare))) if overlap(&template.segments, bare) => {
                holds.or(|| Holds::depends("the path"))
            }
            _ => holds,
        }
    }

    fn on_path(template: &Template, paths: &[Segment]) -> Holds {
        match covers(&template.segments, paths) {
            true => Holds::Yes,
            false if overlap(&template.segments, paths) => Holds::depends("the path"),
            false => Holds::No,
        }
    }

    /// Protocol and method. A deny rule speaks of what a server could take a call for.
    fn asks(&self, template: &Template, effect: Effect) -> Holds {
        let deny = effect == Effect::Deny;
        match (&template.protocol, self.operation.asks) {
            (Protocol::Grpc, Asks::Grpc) => Holds::Yes,
            (Protocol::Grpc, Asks::Http(_)) => Holds::known(deny),
            (Protocol::Http(None), Asks::Http(_)) => Holds::Yes,
            (Protocol::Http(own), Asks::Grpc) => {
                Holds::known(deny && own.as_deref().is_none_or(|own| own == "POST"))
            }
            (Protocol::Http(Some(own)), Asks::Http(Some(method))) => {
                let head = deny && method == "HEAD" && **own == *"GET";
                Holds::known(**own == *method || head)
            }
            (Protocol::Http(None) | Protocol::Grpc, Asks::Unknown) if deny => Holds::Yes,
            (Protocol::Http(Some(_)), Asks::Http(None)) => Holds::depends("the method"),
            (_, Asks::Unknown) => Holds::depends("the protocol and the method"),
        }
    }

    fn is_direct(&self) -> bool {
        self.edge.via.is_none()
    }

    fn deny_when(&self, when: &When) -> Holds {
        let direct = when.direct.is_none_or(|direct| direct == self.is_direct());
        Holds::known(direct).and(|| self.source(when))
    }

    fn when(&self, when: &When) -> Holds {
        let direct = when.direct.is_none_or(|direct| direct == self.is_direct());
        let mut holds = Holds::known(direct).and(|| self.evidence(when)).and(|| self.trust(when));
        holds = holds.and(|| self.proof(when));
        for needs in &when.headers {
            let name = needs.name.as_str();
            let mut same = self.held.headers.iter().filter(|held| held.name == needs.name);
            let sure = same.any(|held| implies(&held.glob, &needs.glob));
            holds = holds.and(|| Holds::known_or(sure, || format!("the header {name}")));
        }
        for needs in &when.claims {
            let wide = |held: &Glob| needs.any.iter().any(|needs| implies(held, needs));
            let mut same = self.held.claims.iter().filter(|held| held.name == needs.name);
            let sure = same.any(|held| held.any.iter().all(wide));
            holds = holds.and(|| Holds::known_or(sure, || format!("the claim {}", needs.name)));
        }
        holds.and(|| self.source(when))
    }

    fn evidence(&self, when: &When) -> Holds {
        match (when.evidence, self.evidence) {
            (None, _) => Holds::Yes,
            (Some(needs), Some(has)) => Holds::known(has >= needs),
            (Some(needs), None) if self.held.evidence.is_some_and(|held| held >= needs) => {
                Holds::Yes
            }
            (Some(_), None) => Holds::depends("the evidence"),
        }
    }

    fn trust(&self, when: &When) -> Holds {
        let Some(needs) = when.trust else { return Holds::Yes };
        let sure = self.held.trust.is_some_and(|held| held >= needs);
        Holds::known_or(sure, || "trust".to_owned())
    }

    fn proof(&self, when: &When) -> Holds {
        let Some(needs) = when.proof else { return Holds::Yes };
        let held = self.held.proof;
        let sure = held == Some(needs) || (needs == ProofNeed::Any && held.is_some());
        Holds::known_or(sure, || "the proof of a token".to_owned())
    }

    fn source(&self, when: &When) -> Holds {
        let Some(needs) = &when.source else { return Holds::Yes };
        let within = |held: &IpNet| needs.iter().any(|net| net.contains(held));
        let sure = self.held.source.is_some_and(|held| held.iter().all(within));
        Holds::known_or(sure, || "the source address".to_owned())
    }
}

impl Holds {
    fn known_or(sure: bool, on: impl FnOnce() -> String) -> Self {
        if sure { Self::Yes } else { Self::depends(on()) }
    }
}

/// Whether what matches `held` surely matches `needs`.
fn implies(held: &Glob, needs: &Glob) -> bool {
    let literal = !held.as_str().contains('*');
    held == needs || needs.as_str() == "*" || (literal && needs.matches(held.as_str().as_bytes()))
}
