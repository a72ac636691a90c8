//! What the meshes tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use meshguard_axum::core::control::{Action, Event};
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::{Call, Direction, Finding, Mesh, Sink};

use crate::evidence::{Books, Edge, Evidence, Found};
use crate::journal::lock;

/// What every edge begins with: `[trust] start` is absent.
const START: f32 = 0.5;
/// Incidents that are kept in words.
const MAX_TEXTS: usize = 64;

/// What one workload's meshes tell, through all of their restarts. Clones are one.
#[derive(Clone)]
pub(crate) struct Told(Arc<Inner>);

struct Inner {
    at: &'static str,
    findings: Mutex<HashMap<(bool, String), Found>>,
    acted: Mutex<Vec<String>>,
    alerts: Mutex<Vec<String>>,
    edges: Mutex<Vec<Edge>>,
    books: Mutex<Vec<Books>>,
}

impl Told {
    pub(crate) fn new(at: &'static str) -> Self {
        let (findings, acted, alerts, edges, books) = Default::default();
        Self(Arc::new(Inner { at, findings, acted, alerts, edges, books }))
    }

    /// Looks at a mesh that is at its end.
    pub(crate) fn close(&self, mesh: &Mesh) {
        let at = self.0.at;
        lock(&self.0.edges).extend(mesh.edges().into_iter().map(|edge| Edge {
            at,
            edge: edge.edge.to_string(),
            trust: edge.trust,
            start: START,
            restricted: edge.restriction.is_some(),
        }));
        let (out, came) = (mesh.counts(), mesh.accepted());
        let balance = out.balances() && came.balances() && out.open == 0 && came.open == 0;
        let text = format!("{out:?}, {came:?}");
        lock(&self.0.books).push(Books { at, text, balance });
    }

    /// Adds all of it.
    pub(crate) fn testify(&self, evidence: &mut Evidence) {
        evidence.findings.extend(lock(&self.0.findings).values().cloned());
        evidence.acted.extend(lock(&self.0.acted).iter().cloned());
        evidence.alerts.extend(lock(&self.0.alerts).iter().cloned());
        evidence.edges.extend(lock(&self.0.edges).iter().cloned());
        evidence.books.extend(lock(&self.0.books).iter().cloned());
    }

    fn act(&self, how: &str, action: &Action) {
        if action.kind != ActionKind::Alert {
            let text = format!("{}: {how} {:?} of {}", self.0.at, action.kind, action.edge);
            push(&self.0.acted, text);
        }
    }
}

fn push(texts: &Mutex<Vec<String>>, text: String) {
    let mut texts = lock(texts);
    if texts.len() < MAX_TEXTS {
        texts.push(text);
    }
}

impl Sink for Told {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let inbound = finding.direction == Direction::Inbound;
        let mut findings = lock(&self.0.findings);
        let found = findings.entry((inbound, finding.name.to_owned())).or_insert_with(|| Found {
            at: self.0.at,
            inbound,
            name: finding.name.to_owned(),
            times: 0,
            example: finding.detail.to_string(),
        });
        found.times += 1;
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Opened(incident) => push(
                &self.0.alerts,
                format!(
                    "{}: {} of {}: {}",
                    self.0.at,
                    incident.signal.as_str(),
                    incident.edge,
                    incident.text
                ),
            ),
            Event::Applied(action) => self.act("did", action),
            Event::Shadowed(action) => self.act("would have done", action),
            Event::Refused { action, .. } => self.act("wanted", action),
            _ => {}
        }
    }
}
