//! What the loop does, told: to the log, to the ledger, and to the sink.

use meshguard_core::control::{Action, Event, Incident, Loop};
use meshguard_core::escape::Escaped;
use meshguard_core::ledger::{self, Change, Entry};

use crate::clock::Offset;
use crate::mesh::Mesh;

/// Tells of one step of the loop.
pub(super) fn tell(mesh: &Mesh, event: &Event) {
    log(event);
    mesh.stepped(event);
}

/// Tells of what an operator does.
pub(super) fn operated(mesh: &Mesh, verb: &str, target: &str) {
    tracing::warn!(target: "meshguard::control", { operator.verb = verb, target = %Escaped(target) }, "operator");
    mesh.record(|| Entry::Operator(ledger::Operator { verb, target }));
}

fn log(event: &Event) {
    let told = Escaped(event);
    match event {
        Event::State { .. } | Event::Expired(_) => {
            tracing::info!(target: "meshguard::control", "{told}");
        }
        _ => tracing::warn!(target: "meshguard::control", "{told}"),
    }
}

/// Writes down one step of the loop, whose state is `state`.
pub(super) fn record(mesh: &Mesh, state: &Loop, event: &Event, offset: Offset) {
    if mesh.ledger().is_none() {
        return; // nobody reads the texts
    }
    match event {
        Event::Opened(opened) => incident(mesh, opened, opened.state.as_str()),
        Event::State { incident: id, to, .. } => {
            if let Some(changed) = state.control().incident(*id) {
                incident(mesh, changed, to.as_str());
            }
        }
        Event::Applied(done) => action(mesh, done, offset, Change::Applied, ""),
        Event::Shadowed(done) => action(mesh, done, offset, Change::Shadowed, ""),
        Event::Refused { action: done, why } => {
            action(mesh, done, offset, Change::Refused, &why.to_string());
        }
        Event::Undone { action: done, why } => {
            action(mesh, done, offset, Change::Undone, why.as_str());
        }
        Event::Expired(done) => action(mesh, done, offset, Change::Expired, ""),
        Event::Lifted { action: done, why } => {
            action(mesh, done, offset, Change::Lifted, &why.to_string());
        }
        Event::Measured { action, effect, before, after } => mesh.record(|| {
            Entry::Effect(ledger::Effect {
                action: action.id.0,
                incident: Some(action.incident.0),
                effect: effect.as_str(),
                before: before.bits,
                after: after.bits,
            })
        }),
        // Neither an incident nor an action: told and counted.
        _ => {}
    }
}

fn incident(mesh: &Mesh, incident: &Incident, state: &str) {
    let edge = incident.edge.to_string();
    mesh.record(|| {
        Entry::Incident(ledger::Incident {
            id: incident.id.0,
            edge: &edge,
            reflex: &incident.reflex,
            signal: incident.signal.as_str(),
            bits: incident.bits,
            state,
            text: &incident.text,
        })
    });
}

fn action(mesh: &Mesh, action: &Action, offset: Offset, change: Change, why: &str) {
    let (kind, edge) = (action.kind.to_string(), action.edge.to_string());
    mesh.record(|| {
        Entry::Action(ledger::Action {
            id: action.id.0,
            incident: Some(action.incident.0),
            kind: &kind,
            edge: &edge,
            change,
            why,
            expires: Some(offset.to_wall(action.expires)),
        })
    });
}
