//! What is in force on an edge: all its actions, merged to the strictest.

use super::action::ActionId;
use super::incident::IncidentId;
use crate::baseline::EdgeKey;
use crate::reflex::{ActionKind, Rate, Tighten};
use crate::time::Timestamp;

/// What is in force on an edge. It can only narrow what policy allows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Restriction {
    /// Whether the edge is cut off.
    pub quarantine: bool,
    /// What is asked of it beyond policy.
    pub tighten: Tighten,
    /// When the last of its actions ends: then at the latest it is not to be enforced any more.
    pub until: Timestamp,
    /// The incident of its strictest action.
    pub incident: IncidentId,
    /// Its strictest action; of several, the newest.
    pub action: ActionId,
}

/// An action in force, or in shadow.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) incident: IncidentId,
    pub(super) edge: EdgeKey,
    pub(super) kind: ActionKind,
    pub(super) expires: Timestamp,
    pub(super) shadow: bool,
    /// Whether a hard signal calls for it.
    pub(super) hard: bool,
    /// Calls a second that departed when it was taken.
    pub(super) weight: f32,
}

impl Restriction {
    pub(super) fn merge<'a>(holds: impl Iterator<Item = (ActionId, &'a Hold)>) -> Option<Self> {
        holds.fold(None, |merged, (id, hold)| Some(Self::with(merged, id, hold)))
    }

    fn with(merged: Option<Self>, action: ActionId, hold: &Hold) -> Self {
        let mut all = merged.unwrap_or(Self {
            quarantine: false,
            tighten: Tighten::default(),
            until: hold.expires,
            incident: hold.incident,
            action,
        });
        all.until = all.until.max(hold.expires);
        let quarantine = matches!(hold.kind, ActionKind::Quarantine);
        if quarantine || !all.quarantine {
            (all.incident, all.action) = (hold.incident, action);
        }
        all.quarantine |= quarantine;
        if let ActionKind::Tighten(asked) = &hold.kind {
            all.tighten = strictest(&all.tighten, asked);
        }
        all
    }
}

fn strictest(a: &Tighten, b: &Tighten) -> Tighten {
    let trust = match (a.trust, b.trust) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let rate = match (a.rate, b.rate) {
        (Some(a), Some(b)) => Some(slower(a, b)),
        (a, b) => a.or(b),
    };
    Tighten { rate, evidence: a.evidence.max(b.evidence), direct: a.direct || b.direct, trust }
}

fn slower(a: Rate, b: Rate) -> Rate {
    let faster = u128::from(a.count) * b.per.as_nanos() > u128::from(b.count) * a.per.as_nanos();
    if faster { b } else { a }
}

/// What of an action can be asked of an edge; `None`: nothing.
pub(super) fn narrowed(kind: &ActionKind, edge: &EdgeKey) -> Option<ActionKind> {
    match (kind, edge) {
        (ActionKind::Alert, _) => Some(ActionKind::Alert),
        (_, EdgeKey::HopIn(_) | EdgeKey::HopOut(_)) => None,
        (ActionKind::Tighten(asked), EdgeKey::Callee { .. } | EdgeKey::Address(_)) => {
            let rate = asked.rate.map(|rate| Tighten { rate: Some(rate), ..Tighten::default() });
            rate.map(ActionKind::Tighten)
        }
        (kind, _) => Some(kind.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Evidence;

    fn hold(kind: ActionKind, expires: u64) -> Hold {
        let edge = EdgeKey::Address([10, 0, 0, 1].into());
        let expires = Timestamp::from_unix_secs(expires);
        Hold {
            incident: IncidentId(expires.as_unix_secs()),
            edge,
            kind,
            expires,
            shadow: false,
            hard: false,
            weight: 0.0,
        }
    }

    #[test]
    fn actions_on_one_edge_merge_to_the_strictest() {
        let rate = |count, secs| Some(Rate { count, per: Duration::from_secs(secs) });
        let a = Tighten { rate: rate(10, 1), evidence: None, direct: true, trust: Some(0.6) };
        let evidence = Some(Evidence::Digest);
        let b = Tighten { rate: rate(60, 60), evidence, direct: false, trust: Some(0.2) };
        let holds = [hold(ActionKind::Tighten(a), 9), hold(ActionKind::Tighten(b), 5)];
        for order in [[0, 1], [1, 0]] {
            let holds = order.map(|i| (ActionId(i as u64), &holds[i]));
            let merged = Restriction::merge(holds.into_iter()).unwrap();
            assert_eq!(merged.tighten, Tighten { rate: rate(60, 60), evidence, ..a });
            assert_eq!((merged.quarantine, merged.until.as_unix_secs()), (false, 9));
        }
    }

    #[test]
    fn a_quarantine_is_the_strictest_whatever_comes_after_it() {
        let tighten = Tighten { direct: true, ..Tighten::default() };
        let holds = [hold(ActionKind::Quarantine, 3), hold(ActionKind::Tighten(tighten), 7)];
        let numbered = (1..).map(ActionId).zip(&holds);
        let merged = Restriction::merge(numbered).unwrap();
        assert!(merged.quarantine && merged.tighten.direct);
        assert_eq!((merged.action, merged.incident), (ActionId(1), IncidentId(3)));
        assert_eq!(Restriction::merge(std::iter::empty()), None);
    }
}
