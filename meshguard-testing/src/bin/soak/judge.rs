//! What has to hold at the end of a run.

mod failures;
mod findings;

use std::fmt;
use std::time::Duration;

use crate::evidence::Evidence;
use crate::shape::{Shape, Side};

use failures::{Excuse, excuse};

/// Memory is compared with what it was then, or halfway in a shorter run.
const SETTLED: Duration = Duration::from_secs(120);
/// Growth that says nothing.
const MEMORY_SLACK: u64 = 8 << 20;
/// How many calls of a shape may fail here beyond twice the rate of stock: small numbers vary.
const RATE_SLACK: f64 = 5.0;
/// How far a trust may be below its start by rounding.
const TRUST_SLACK: f32 = 1e-4;

/// One thing that has to hold, and whether it does.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) claim: &'static str,
    /// What speaks against it; it holds where nothing does.
    pub(crate) against: Vec<String>,
    /// What is worth knowing all the same.
    pub(crate) note: String,
}

impl Verdict {
    pub(crate) fn holds(&self) -> bool {
        self.against.is_empty()
    }
}

/// All verdicts, in the order in which they are told.
pub(crate) fn judge(evidence: &Evidence) -> Vec<Verdict> {
    vec![
        ran(evidence),
        failures::verdict(evidence),
        once(evidence),
        findings::verdict(evidence),
        trust(evidence),
        memory(evidence),
        rates(evidence),
        books(evidence),
    ]
}

fn verdict(claim: &'static str, against: Vec<String>, note: impl fmt::Display) -> Verdict {
    Verdict { claim, against, note: note.to_string() }
}

/// A run in which nothing happens shows nothing.
fn ran(evidence: &Evidence) -> Verdict {
    let mut against = Vec::new();
    for (side, name) in [(Side::Mesh, "mesh"), (Side::Stock, "stock")] {
        for shape in Shape::ALL {
            let tally = evidence.counts[side as usize][shape.index()];
            if tally.whole + tally.cancelled == 0 {
                against.push(format!("no {} was tried to its end on {name}", shape.name()));
            }
        }
    }
    let restarts = evidence.restarts.iter().filter(|r| r.side == Side::Mesh).count();
    if restarts < 2 {
        against.push(format!("{restarts} restarts"));
    }
    let calls: u64 = evidence.counts.iter().flatten().map(|tally| tally.all()).sum();
    verdict(
        "every shape ran, and callees restarted",
        against,
        format!("{calls} calls, {restarts} restarts"),
    )
}

fn once(evidence: &Evidence) -> Verdict {
    let of = |side| evidence.repeated.iter().filter(move |r| r.side == side);
    let against = of(Side::Mesh).map(|r| format!("call {} was handled {} times", r.id, r.times));
    verdict(
        "no call was handled twice",
        against.collect(),
        format!("{} on stock", of(Side::Stock).count()),
    )
}

fn trust(evidence: &Evidence) -> Verdict {
    let mut against = Vec::new();
    for edge in &evidence.edges {
        if edge.trust + TRUST_SLACK < edge.start {
            against.push(format!(
                "{}: trust in {} is {:.3}, and began at {:.3}",
                edge.at, edge.edge, edge.trust, edge.start
            ));
        }
        if edge.restricted {
            against.push(format!("{}: {} is restricted", edge.at, edge.edge));
        }
    }
    if evidence.edges.is_empty() {
        against.push("no edge was looked at".into());
    }
    against.extend(evidence.acted.iter().cloned());
    verdict(
        "no trust was lost, nothing was done beyond an alert",
        against,
        format!("{} edges, {} alerts", evidence.edges.len(), evidence.alerts.len()),
    )
}

fn memory(evidence: &Evidence) -> Verdict {
    const CLAIM: &str = "memory ends at most at 1.1 times what it was, and 8 MiB";
    let Some((length, end)) = evidence.memory.last().copied() else {
        return verdict(CLAIM, Vec::new(), "not measured on this system");
    };
    let at = SETTLED.min(length / 2);
    let then = evidence.memory.iter().find(|(time, _)| *time >= at).map_or(end, |m| m.1);
    let limit = then + then / 10 + MEMORY_SLACK;
    let note = format!("{} MiB after {} s, {} MiB now", then >> 20, at.as_secs(), end >> 20);
    let against = if end > limit { vec![note.clone()] } else { Vec::new() };
    verdict(CLAIM, against, note)
}

/// Calls that a hop's hint has cost are judged by themselves: stock has no sessions.
fn rates(evidence: &Evidence) -> Verdict {
    let mut against = Vec::new();
    for shape in Shape::ALL {
        let [here, stock] =
            [Side::Mesh, Side::Stock].map(|side| evidence.counts[side as usize][shape.index()]);
        let hinted = evidence.failed.iter().filter(|failed| {
            failed.shape == shape
                && failed.lane.side == Side::Mesh
                && matches!(
                    excuse(failed, &evidence.restarts),
                    Some(Excuse::First | Excuse::Beside)
                )
        });
        let failed = here.failed.saturating_sub(hinted.count() as u64);
        let rate = stock.failed as f64 / stock.all().max(1) as f64;
        let usual = 2.0 * rate * here.all() as f64 + RATE_SLACK;
        if failed as f64 > usual {
            against.push(format!(
                "{}: {failed} of {} fail, on stock {} of {}",
                shape.name(),
                here.all(),
                stock.failed,
                stock.all()
            ));
        }
    }
    verdict("no shape fails here that does not fail on stock", against, "")
}

fn books(evidence: &Evidence) -> Verdict {
    let mut against: Vec<_> = evidence
        .books
        .iter()
        .filter(|books| !books.balance)
        .map(|books| format!("{}: {}", books.at, books.text))
        .collect();
    if evidence.books.is_empty() {
        against.push("no books were looked at".into());
    }
    verdict("books balance", against, format!("{} books", evidence.books.len()))
}

#[cfg(test)]
mod tests;
