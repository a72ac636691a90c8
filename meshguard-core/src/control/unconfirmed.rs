//! The share of an edge's answers that nobody confirms, because their callers have left. It is
//! watched, and told where it departs; nothing else follows from it.

use std::fmt;

use crate::baseline::Window;

/// What a window weighs in the recent share: about the last ten windows.
const RECENT: f32 = 0.1;
/// What a window weighs in the usual share, once there are enough: about the last 250.
const USUAL: f32 = 0.004;
/// So many windows with answers in them make a usual share.
const WARM_UP: u32 = 100;
/// So many unconfirmed answers, at least, are a departure.
const LEAST: f32 = 10.0;
/// So far above the usual share the recent one is a departure.
const DEPARTS: f32 = 0.2;
/// So near to the usual share it is none any more.
const RETURNS: f32 = 0.1;

/// The share of an edge's answers whose callers left without a word of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unconfirmed {
    /// Unconfirmed answers and all, fading.
    recent: (f32, f32),
    usual: (f32, f32),
    windows: u32,
    departed: bool,
    news: bool,
}

impl Unconfirmed {
    /// The share of the last ten windows or so, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f32 {
        ratio(self.recent)
    }

    /// The share of the last 250 windows or so, 0 to 1.
    #[must_use]
    pub fn usual(&self) -> f32 {
        ratio(self.usual)
    }

    /// Whether the share is far above the usual one.
    #[must_use]
    pub fn departs(&self) -> bool {
        self.departed
    }

    /// Whether it is so since the last window: what is told, once.
    #[must_use]
    pub fn has_just_departed(&self) -> bool {
        self.departed && self.news
    }

    /// The same after one more window.
    pub(super) fn after(mut self, window: &Window) -> Self {
        let unconfirmed = window.unconfirmed as f32;
        let all = (window.receipts as f32).max(unconfirmed);
        self.news = false;
        if all == 0.0 {
            return self;
        }
        fade(&mut self.recent, RECENT, unconfirmed, all);
        self.judge();
        let new = 1.0 / (self.windows as f32 + 1.0);
        fade(&mut self.usual, USUAL.max(new), unconfirmed, all);
        self.windows = self.windows.saturating_add(1);
        self
    }

    fn judge(&mut self) {
        let over = self.share() - self.usual();
        let enough = self.windows >= WARM_UP && self.recent.0 / RECENT >= LEAST;
        if !self.departed && enough && over > DEPARTS {
            (self.departed, self.news) = (true, true);
        } else if self.departed && over < RETURNS {
            self.departed = false;
        }
    }
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (share, usual) = (100.0 * self.share(), 100.0 * self.usual());
        write!(
            f,
            "callers left without a receipt of {share:.0} % of the answers, usually {usual:.0} %"
        )
    }
}

fn fade(sum: &mut (f32, f32), by: f32, unconfirmed: f32, all: f32) {
    sum.0 += by * (unconfirmed - sum.0);
    sum.1 += by * (all - sum.1);
}

fn ratio((unconfirmed, all): (f32, f32)) -> f32 {
    if all > 0.0 { unconfirmed / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(windows: usize, of: Unconfirmed, unconfirmed: u64, receipts: u64) -> Unconfirmed {
        let window = Window { unconfirmed, receipts, ..Window::default() };
        (0..windows).fold(of, |share, _| share.after(&window))
    }

    #[test]
    fn short_jobs_are_usual_where_they_always_were() {
        let jobs = after(1_000, Unconfirmed::default(), 8, 10);
        assert!(!jobs.departs() && (jobs.usual() - 0.8).abs() < 0.01);
    }

    #[test]
    fn a_share_that_rises_departs_once_until_it_is_usual_again() {
        let calm = after(200, Unconfirmed::default(), 0, 100);
        let mut risen = calm;
        let mut news = 0;
        for _ in 0..20 {
            risen = after(1, risen, 90, 100);
            news += u32::from(risen.has_just_departed());
        }
        assert!(risen.departs() && news == 1, "{risen:?}");
        assert!(risen.to_string().starts_with("callers left without a receipt of "));
        let over = after(60, risen, 0, 100);
        assert!(!over.departs());
    }

    #[test]
    fn one_caller_that_crashes_is_no_departure() {
        let calm = after(200, Unconfirmed::default(), 0, 20);
        let crash = after(1, calm, 9, 9);
        assert!(!crash.departs() && crash.share() > 0.0);
        assert!(!after(1, Unconfirmed::default(), 1_000, 1_000).departs(), "nothing is usual yet");
    }
}
