//! What the services' loops hold to be wrong, as the table shows it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshguard_axum::core::Timestamp;
use meshguard_axum::core::control::Incident;

use super::edges;
use super::member::Member;

/// Incidents that are shown: those that are open, then those that were seen last.
const SHOWN: usize = 8;

/// One incident at the service that found it.
pub(super) struct IncidentRow {
    service: &'static str,
    /// Since its signal was last seen.
    ago: Duration,
    incident: Incident,
}

/// The incidents of all services.
pub(super) fn found(members: &[Member]) -> Vec<IncidentRow> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_unix_secs(now.as_secs());
    let mut rows = Vec::new();
    for member in members.iter().filter(|member| member.is_service()) {
        rows.extend(member.mesh.incidents().into_iter().map(|incident| IncidentRow {
            service: member.name,
            ago: now.since(incident.last_seen),
            incident,
        }));
    }
    rows.sort_by_key(|row| (row.incident.state.is_over(), row.ago));
    rows.truncate(SHOWN);
    rows
}

/// What stands above rows.
pub(super) const HEAD: &str =
    "service     incident  state           last seen  took of trust  what";

impl fmt::Display for IncidentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, ago, incident } = self;
        let (id, state) = (incident.id.to_string(), incident.state.as_str());
        write!(f, "{service:<12}{id:<10}{state:<13}{:>4} s ago", ago.as_secs())?;
        write!(f, "{:>15.2}  ", incident.trust_taken())?;
        write!(f, "{}: {}", edges::short(&incident.edge), incident.text)?;
        match (incident.shared, incident.alike.len()) {
            (false, 0) => Ok(()),
            (true, 0) => f.write_str(" (shared)"),
            (shared, others) => {
                write!(f, " (and {others} others{})", if shared { ", shared" } else { "" })
            }
        }
    }
}
