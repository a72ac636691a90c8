//! Events and actions in an operator's words.

use std::fmt;

use super::event::Event;
use crate::reflex::{ActionKind, Tighten};

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tighten(asked) => write!(f, "tighten ({asked})"),
            kind => f.write_str(kind.as_str()),
        }
    }
}

impl fmt::Display for Tighten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut next =
            |f: &mut fmt::Formatter<'_>| f.write_str(std::mem::replace(&mut separator, ", "));
        if let Some(rate) = self.rate {
            next(f)?;
            write!(f, "at most {} in {:?}", rate.count, rate.per)?;
        }
        if let Some(evidence) = self.evidence {
            next(f)?;
            write!(f, "evidence {evidence}")?;
        }
        if self.direct {
            next(f)?;
            f.write_str("direct")?;
        }
        if let Some(trust) = self.trust {
            next(f)?;
            write!(f, "trust {trust}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(i) => write!(f, "{}: {}: {} ({})", i.id, i.edge, i.text, i.reflex),
            Self::Joined { incident, edge, text } => write!(f, "{incident}: {edge} too: {text}"),
            Self::State { incident, edge, from, to } => {
                write!(f, "{incident}: {edge}: {from} → {to}")
            }
            Self::Applied(a) => write!(f, "{}: {}: {} for {}", a.id, a.edge, a.kind, a.incident),
            Self::Shadowed(a) => {
                write!(f, "{}: {}: {} for {} in shadow", a.id, a.edge, a.kind, a.incident)
            }
            Self::Refused { action: a, why } => {
                write!(f, "{}: {}: {} for {} refused: {why}", a.id, a.edge, a.kind, a.incident)
            }
            Self::Measured { action: a, effect, before, after } => write!(
                f,
                "{}: {}: {} was {effect}: {} before, {} after, normally {}",
                a.id, a.edge, a.kind, before.value, after.value, before.normal
            ),
            Self::Undone { action: a, why } => {
                write!(f, "{}: {}: {} undone: {why}", a.id, a.edge, a.kind)
            }
            Self::Expired(a) => write!(f, "{}: {}: {} expired", a.id, a.edge, a.kind),
            Self::Lifted { action: a, why } => {
                write!(f, "{}: {}: {} lifted: {why}", a.id, a.edge, a.kind)
            }
            Self::Full { edge, missed } => {
                write!(f, "{edge}: no room for another incident; {missed} missed so far")
            }
            Self::Gap { lost } => write!(f, "{lost} events were lost"),
        }
    }
}
