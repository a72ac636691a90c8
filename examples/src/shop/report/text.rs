//! The report for people.

use std::collections::BTreeSet;
use std::fmt;

use super::{FaultRow, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = if self.stock { "the stock stack" } else { "meshguard" };
        writeln!(f, "The shop on {stack}: {:.1} s, seed {}\n", self.seconds, self.seed)?;
        self.edges(f)?;
        if !self.stock {
            self.measured(f)?;
            self.scenarios(f)?;
        }
        if !self.faults.is_empty() {
            self.faults(f)?;
        }
        if self.stock {
            return self.lost(f);
        }
        self.books(f)?;
        self.callees(f)?;
        self.ledgers(f)?;
        self.verdict(f)
    }
}

impl Report {
    fn edges(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, rate) = ("calls", "calls/s");
        writeln!(
            f,
            "  {:<30}{calls:>8}{rate:>9}{:>11}{:>11}{:>11}{:>8}",
            "edge", "p50", "p99", "verified", "failed"
        )?;
        for row in &self.edges {
            writeln!(
                f,
                "  {:<30}{:>8}{:>9.0}{:>8.1} ms{:>8.1} ms{:>9.1} %{:>8}",
                row.edge,
                row.calls,
                row.calls_per_second,
                row.p50_ms,
                row.p99_ms,
                row.verified_percent,
                row.failed
            )?;
        }
        writeln!(f)
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (how, sign) = match self.stock {
            true => ("what came of it", ""),
            false => ("named by the caller | by the callee", "    first sign ms"),
        };
        writeln!(
            f,
            "  {:<35}{:<12}{:>8}{:>6}{:>8}{sign}  {how}",
            "fault", "on", "injected", "seen", "silent"
        )?;
        for row in &self.faults {
            let on = row.lanes.join(" ");
            write!(
                f,
                "  {:<35}{on:<12}{:>8}{:>6}{:>8}",
                row.fault, row.injected, row.seen, row.silent
            )?;
            if self.stock {
                writeln!(f, "  {}", row.believed())?;
            } else {
                writeln!(f, "{:>17}  {}", row.delay(), row.named())?;
            }
        }
        let (injected, seen, silent) = (self.injected, self.seen, self.silent);
        writeln!(f, "  {:<47}{injected:>8}{seen:>6}{silent:>8}", "in all")?;
        if !self.echoes.is_empty() {
            let echoes: Vec<_> =
                self.echoes.iter().map(|(name, n)| format!("{n} {name}")).collect();
            writeln!(f, "  and in the callees' books afterwards: {}", echoes.join(", "))?;
        }
        writeln!(f)
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.problems();
        if !problems.is_empty() {
            return problems.iter().try_for_each(|problem| writeln!(f, "FAILED: {problem}"));
        }
        let not_run = self.scenarios.iter().filter(|row| row.not_run.is_some()).count();
        writeln!(
            f,
            "PASSED: {} faults, each seen and named; {} attacks, each seen and answered; nobody \
             honest was\nfooled or cut off; the totals add up, and the ledgers say the same. The \
             same without meshguard: --stock",
            self.injected,
            self.scenarios.len() - not_run
        )?;
        if not_run > 0 {
            writeln!(f, "NOT RUN, for this system does not let them be: {not_run} attacks")?;
        }
        Ok(())
    }

    fn lost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} faults were silent: an application took for whole what was not, and \
             neither end of\nthe call had an error. mTLS would change nothing: it ends at the hop.",
            self.silent, self.injected
        )
    }
}

impl FaultRow {
    fn delay(&self) -> String {
        match (self.first_sign_ms, self.last_sign_ms) {
            (Some(first), Some(last)) => format!("{first:.1} ≤ {last:.1}"),
            _ => String::new(),
        }
    }

    fn named(&self) -> String {
        let names = |names: &[String]| match names {
            [] => "–".to_owned(),
            names => names.join(", "),
        };
        let unnamed = if self.unnamed > 0 { "  NOT ALWAYS NAMED" } else { "" };
        format!("{} | {}{unnamed}", names(&self.caller), names(&self.callee))
    }

    fn believed(&self) -> String {
        let fooled = self.fooled.join("; ");
        if self.silent > 0 {
            return fooled;
        }
        let seen: BTreeSet<&str> =
            self.caller.iter().chain(&self.callee).map(String::as_str).collect();
        let but = if fooled.is_empty() { "" } else { "; an error at one end: " };
        let seen: Vec<&str> = seen.into_iter().collect();
        format!("{fooled}{but}{}", seen.join(", "))
    }
}
