//! What is printed in the end.

use std::collections::BTreeMap;
use std::fmt;

use crate::evidence::{Evidence, Tally};
use crate::judge::Verdict;
use crate::shape::{Shape, Side};

/// So much of what speaks against a verdict is shown.
const SHOWN: usize = 20;

/// The table, and the verdicts.
pub(crate) struct Report {
    pub(crate) evidence: Evidence,
    pub(crate) verdicts: Vec<Verdict>,
}

impl Report {
    pub(crate) fn passed(&self) -> bool {
        self.verdicts.iter().all(Verdict::holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shapes(f, &self.evidence)?;
        lanes(f, &self.evidence)?;
        for alert in self.evidence.alerts.iter().take(SHOWN) {
            writeln!(f, "alert: {alert}")?;
        }
        writeln!(f)?;
        self.verdicts.iter().try_for_each(|verdict| tell(f, verdict))
    }
}

fn shapes(f: &mut fmt::Formatter<'_>, evidence: &Evidence) -> fmt::Result {
    writeln!(f, "{:24} {:>32}  {:>32}", "", "mesh", "stock")?;
    write!(f, "{:24}", "shape")?;
    for _ in 0..2 {
        write!(f, " {:>10} {:>10} {:>10} ", "whole", "cancelled", "failed")?;
    }
    writeln!(f)?;
    for shape in Shape::ALL {
        write!(f, "{:24}", shape.name())?;
        for side in [Side::Mesh, Side::Stock] {
            let Tally { whole, failed, cancelled } = evidence.counts[side as usize][shape.index()];
            write!(f, " {whole:>10} {cancelled:>10} {failed:>10} ")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// Where calls failed.
fn lanes(f: &mut fmt::Formatter<'_>, evidence: &Evidence) -> fmt::Result {
    let mut failed = BTreeMap::<String, u64>::new();
    for call in &evidence.failed {
        *failed.entry(call.lane.to_string()).or_default() += 1;
    }
    writeln!(f)?;
    failed.into_iter().try_for_each(|(lane, n)| writeln!(f, "{n:>6} failed over {lane}"))
}

fn tell(f: &mut fmt::Formatter<'_>, verdict: &Verdict) -> fmt::Result {
    let Verdict { claim, against, note } = verdict;
    let mark = if verdict.holds() { "ok " } else { "RED" };
    writeln!(
        f,
        "{mark} {claim}{}",
        if note.is_empty() { String::new() } else { format!(" ({note})") }
    )?;
    for why in against.iter().take(SHOWN) {
        writeln!(f, "      {why}")?;
    }
    if against.len() > SHOWN {
        writeln!(f, "      and {} more", against.len() - SHOWN)?;
    }
    Ok(())
}
