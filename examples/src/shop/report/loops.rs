//! The report for people: what the loop did about each attack.

use std::fmt;

use super::Report;
use crate::shop::edges::HEAD;
use crate::shop::verdict::{ActionRow, ScenarioRow};

impl Report {
    pub(super) fn scenarios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scenarios.is_empty() {
            return Ok(());
        }
        let w = self.windows;
        writeln!(
            f,
            "  Windows are of {} ms, where there are {} calls in them, and of {} ms at most; an edge \
             is scored\n  after {} of them. In a service: 1 s, 50 calls, 10 s; 300 windows.\n",
            w.busy_ms, w.calls, w.quiet_ms, w.warm_up
        )?;
        self.scenarios.iter().try_for_each(|row| row.write(f))
    }

    /// How the edges were, as the loops saw them last.
    pub(super) fn measured(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {HEAD}")?;
        self.measured.iter().try_for_each(|row| writeln!(f, "  {row}"))?;
        writeln!(f)
    }
}

impl ScenarioRow {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match &self.not_run {
            Some(_) => "NOT RUN",
            None if self.passed() => "PASSED",
            None => "FAILED",
        };
        writeln!(f, "  {:<20}{verdict}  {}", self.scenario, self.about)?;
        if let Some(why) = &self.not_run {
            return writeln!(f, "    {why}\n");
        }
        writeln!(f, "    at {:.1} s, for {:.1} s", self.began_s, self.lasted_s)?;
        if let (Some(ms), Some(windows)) = (self.verdict_ms, self.verdict_windows) {
            writeln!(
                f,
                "    seen after {ms:.0} ms ({windows:.1} windows) by {}: {}, {}, {:.1} bits",
                self.service, self.edge, self.signal, self.bits
            )?;
            writeln!(f, "    {}", self.words)?;
        }
        for action in &self.actions {
            writeln!(f, "    {action}")?;
        }
        self.write_calls(f)?;
        for (other, count) in &self.others {
            writeln!(f, "    also told: {count}x {other}")?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "    FAILED: {problem}"))?;
        writeln!(f)
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    honest calls hit: {}", self.honest_hit)?;
        if self.suspects_hit > 0 {
            write!(f, "; calls of that identity turned away: {}", self.suspects_hit)?;
        }
        if self.tried > 0 {
            let (tried, through, cut) = (self.tried, self.through, self.through_when_cut);
            write!(f, "; tried {tried}, through {through}, of them when cut off {cut}")?;
        }
        if let Some((unserved, when_cut)) = self.unserved {
            write!(f, "; orders not served: {unserved}, of them when it was cut off {when_cut}")?;
        }
        if let Some(again) = self.called_again {
            write!(f, "; called again {again} times")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for ActionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:>5.0} ms  {}: {}", self.at_ms, self.reflex, self.action)?;
        if let Some(why) = &self.refused {
            return write!(f, "  refused by the governor: {why}");
        }
        if let Some(effect) = &self.effect {
            write!(f, "  {effect}")?;
        }
        if let Some((how, ms)) = &self.ended {
            write!(f, "  {how} after {ms:.0} ms")?;
        }
        Ok(())
    }
}
