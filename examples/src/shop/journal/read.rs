//! A loop's own events, as the journal keeps them.

use meshguard_axum::core::baseline::Measure;
use meshguard_axum::core::control::{Action, Event};
use meshguard_axum::core::reflex::ActionKind;

use super::{Deed, Journal, Kind};

impl Journal {
    /// Takes down what the loop of `service` tells.
    pub(in crate::shop) fn hear(&self, service: &'static str, event: &Event) {
        let (edge, deed) = match event {
            Event::Opened(incident) => (
                &incident.edge,
                Deed::Opened {
                    incident: incident.id.0,
                    reflex: incident.reflex.to_string(),
                    signal: incident.signal,
                    bits: incident.bits,
                    words: incident.text.to_string(),
                },
            ),
            Event::State { edge, to, .. } if to.is_over() => (edge, Deed::Over(to.as_str())),
            Event::Applied(action) => (&action.edge, taken(action)),
            Event::Refused { action, why } => (&action.edge, refused(action, why.to_string())),
            Event::Shadowed(action) => {
                (&action.edge, refused(action, "it is in shadow mode".to_owned()))
            }
            Event::Measured { action, effect, before, after } => {
                let (before, after) = (words(before), words(after));
                let deed = Deed::Measured { action: action.id.0, effect: *effect, before, after };
                (&action.edge, deed)
            }
            Event::Undone { action, why } => {
                (&action.edge, ended(action, format!("undone: {why}")))
            }
            Event::Expired(action) => (&action.edge, ended(action, "expired".to_owned())),
            Event::Lifted { action, why } => {
                (&action.edge, ended(action, format!("lifted: {why}")))
            }
            _ => return,
        };
        self.note(service, edge, deed);
    }
}

fn taken(action: &Action) -> Deed {
    let (words, incident) = (action.kind.to_string(), action.incident.0);
    Deed::Taken { action: action.id.0, incident, kind: kind(&action.kind), words }
}

fn refused(action: &Action, why: String) -> Deed {
    let (words, incident) = (action.kind.to_string(), action.incident.0);
    Deed::Refused { action: action.id.0, incident, kind: kind(&action.kind), words, why }
}

fn ended(action: &Action, how: String) -> Deed {
    Deed::Ended { action: action.id.0, how }
}

/// What is not known restricts, for all that we know.
fn kind(kind: &ActionKind) -> Kind {
    match kind {
        ActionKind::Alert => Kind::Alert,
        ActionKind::Tighten(_) => Kind::Tighten,
        _ => Kind::Quarantine,
    }
}

fn words(measure: &Measure) -> String {
    match measure.observed {
        true => format!("{:.1} spreads ({:.1} bits)", measure.spreads, measure.bits),
        false => "nothing".to_owned(),
    }
}
