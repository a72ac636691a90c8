//! The edges as the services' loops see them.

use std::fmt;

use meshguard_axum::EdgeStatus;
use meshguard_axum::core::baseline::{EdgeKey, Feature};
use serde::Serialize;

use super::ids::{BRANCHES, DOMAIN};
use super::member::Member;

/// One end of an edge, at the service that measures it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EdgeRow {
    /// Who measures.
    pub service: &'static str,
    /// What, as `caller batch`.
    pub edge: String,
    /// Calls, or handshakes, a second in its last window.
    pub per_second: f32,
    /// The part of them that failed, in percent, where there were any.
    pub failed_percent: Option<f32>,
    /// Milliseconds to the answer's head: 99 of 100 are no slower. Where there was any.
    pub p99_ms: Option<f32>,
    /// How rare that window was, in bits.
    pub bits: f32,
    /// Why.
    pub explanation: String,
    /// How far the edge is trusted, 0 to 1.
    pub trust: f32,
    /// What is in force on it.
    pub action: Option<String>,
}

/// All edges of all services; of the branch offices the one that is furthest from normal.
pub(super) fn measured(members: &[Member]) -> Vec<EdgeRow> {
    let mut rows = Vec::new();
    for member in members.iter().filter(|member| member.is_service()) {
        let edges = member.mesh.edges();
        let (branches, others): (Vec<_>, Vec<_>) = edges.iter().partition(|e| is_branch(&e.edge));
        rows.extend(others.iter().map(|status| EdgeRow::of(member.name, status)));
        let furthest = branches.iter().max_by(|a, b| a.score.bits.total_cmp(&b.score.bits));
        rows.extend(furthest.map(|status| {
            let edge = format!("caller branch/* (of {})", branches.len());
            EdgeRow { edge, ..EdgeRow::of(member.name, status) }
        }));
    }
    rows
}

fn is_branch(edge: &EdgeKey) -> bool {
    matches!(edge, EdgeKey::Caller(id) if BRANCHES.contains(id))
}

impl EdgeRow {
    fn of(service: &'static str, status: &EdgeStatus) -> Self {
        let measure = |feature| Some(status.score.measure(feature)).filter(|m| m.observed);
        let failures = [Feature::Errors, Feature::HandshakeFailures];
        let failed = failures.into_iter().find_map(measure);
        let action = status.restriction.map(|restriction| match restriction.quarantine {
            true => "quarantine".to_owned(),
            false => format!("tighten ({})", restriction.tighten),
        });
        Self {
            service,
            edge: short(&status.edge),
            per_second: measure(Feature::Rate).map_or(0.0, |m| m.value),
            failed_percent: failed.map(|m| 100.0 * m.value),
            p99_ms: status.window.latency.map(|latency| 1000.0 * latency.p99.as_secs_f32()),
            bits: status.score.bits,
            explanation: status.score.explain().to_string(),
            trust: status.trust,
            action,
        }
    }
}

/// What stands above rows.
pub(super) const HEAD: &str = concat!(
    "service     edge                                calls/s  failed",
    "       p99   bits trust  action"
);

impl fmt::Display for EdgeRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed_percent.map_or(String::new(), |part| format!("{part:.0} %"));
        let p99 = self.p99_ms.map_or(String::new(), |ms| format!("{ms:.1} ms"));
        write!(
            f,
            "{:<12}{:<34}{:>9.1}{failed:>8}{p99:>10}{:>7.1}{:>6.2}  {}",
            self.service,
            self.edge,
            self.per_second,
            self.bits,
            self.trust,
            self.action.as_deref().unwrap_or("-")
        )
    }
}

/// The domain is everybody's, and an instance is known by its first digits.
pub(super) fn short(edge: &EdgeKey) -> String {
    let domain = format!("spiffe://{DOMAIN}/");
    match edge {
        EdgeKey::Callee { id, instance } => {
            let instance: String = instance.chars().take(6).collect();
            format!("callee {} ({instance})", id.as_str().trim_start_matches(&domain))
        }
        edge => edge.to_string().replace(&domain, ""),
    }
}
