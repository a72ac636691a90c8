//! The report for people: the books of both sides, and the ledgers.

use std::fmt;

use super::Report;

impl Report {
    pub(super) fn books(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {:<10}{:>8} ={:>10} +{:>6} +{:>9} +{:>7} +{:>14} +{:>14} +{:>5}",
            "caller",
            "made",
            "delivered",
            "early",
            "rejected",
            "failed",
            "not delivered",
            "indeterminate",
            "open"
        )?;
        for b in &self.books {
            writeln!(
                f,
                "  {:<10}{:>8} {}{:>10} +{:>6} +{:>9} +{:>7} +{:>14} +{:>14} +{:>5}",
                b.caller,
                b.made,
                if b.balances { "=" } else { "≠" },
                b.delivered,
                b.answered_early,
                b.rejected,
                b.failed,
                b.not_delivered,
                b.indeterminate,
                b.open
            )?;
        }
        writeln!(f)
    }

    pub(super) fn callees(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<10}{:>10} ={:>9} +{:>5}", "callee", "accepted", "settled", "open")?;
        for b in &self.callees {
            let sign = if b.balances { "=" } else { "≠" };
            writeln!(
                f,
                "  {:<10}{:>10} {sign}{:>9} +{:>5}",
                b.callee, b.accepted, b.settled, b.open
            )?;
        }
        writeln!(f)
    }

    pub(super) fn ledgers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {:<11}{:>8}{:>8}{:>8}{:>9}{:>6}{:>10}{:>13}  verified",
            "ledger", "entries", "sent", "agreed", "received", "loop", "bytes", "checkpoints"
        )?;
        for l in &self.ledgers {
            writeln!(
                f,
                "  {:<11}{:>8}{:>8}{:>8}{:>9}{:>6}{:>10}{:>13}  {}",
                l.service,
                l.entries,
                l.sent,
                l.agreed,
                l.received,
                l.steps,
                l.bytes,
                l.checkpoints,
                l.problem.as_deref().unwrap_or("by files and public key")
            )?;
        }
        writeln!(f)
    }
}
