//! The learnt normal of every edge, and how far a window departs from it, in bits of surprise.
//!
//! [`Baselines`] takes the closed [`Window`]s of a service's edges and answers each with a
//! [`Score`]. Two sorts of features are told apart:
//!
//! - *Levels* (rate, latencies, bytes) are compared in their logarithm with a mean that is learnt
//!   slowly and by clamped steps, so that one window cannot move it far. How rare a departure is
//!   is read from a forgetful histogram of the edge's own departures, and beyond that histogram
//!   from its tail. Windows of few calls are given more room.
//! - *Shares* (errors, handshake failures, missing receipts, refusals) have a natural normal:
//!   none. Their distance is the root of the binomial deviance, so that one failure of one call
//!   is no more than it is. What an edge has not shown yet is believed from what the edges of its
//!   kind have shown (an hour of each weighs the same, and what is normal is a median over five
//!   edges or more), and before those from a declared prior. Of addresses that prior is all: what
//!   one shows excuses no other, and a new one that does nothing but fail handshakes is found in
//!   its first window.
//!
//! What was not observed is absent, never 0; a rate of 0 is observed.
//!
//! The surprises of a feature's statistics ([`Statistic`]) are made one, at the price of having
//! looked at several; those of all features are made one, and calibrated once more.
//!
//! **What it cannot do.** The fewer windows were seen, the fewer bits there are: `n` windows give
//! at most `log2(1,024·n)`, so that an edge can alarm at one in `T` only after it was watched for
//! about `T / 1,000`. For the shares the windows of all edges of the kind count, each
//! for as many tens of seconds as it lasts and for one at most, and the declared prior stands for 8,192 of them: 23 bits from a service's first window on.
//!
//! **Drift** is not a matter of rarity: a level that climbs slowly enough is never rare. So there
//! is a bound on how far it, or the last half minute, may walk from the week's
//! ([`Settings::drift`]), less what is usual of its kind at that hour of that sort of day. Beyond the
//! bound a score has all the bits that its edge's windows can give, until an operator says that
//! the new level is no alarm ([`Baselines::false_alarm`]), or the week's normal has followed.
//!
//! **What an hour does** is learnt for each kind of edge, when the hour is over: each edge that was
//! known for a day, and had no open episode in that hour, has one vote, however much it called. The
//! hour takes the median over five edges or more; where fewer are there, over all of them.
//! Addresses have no vote, and no season. An edge is judged by the season where its own votes of
//! the last week (twelve at least) lay near it, within half of the bound in the mean; by the week
//! alone where they lay nearer to that. Where they lay near neither, drift is not looked for.
//!
//! A window of 14 bits or more teaches the calibrators only thirty windows later, so that an
//! attack is not made usual by its own first seconds; if an incident is opened meanwhile
//! ([`Baselines::keep`]) and then confirmed ([`Baselines::confirm`]), it never does.

mod baselines;
mod calibrator;
mod edge;
mod explain;
mod feature;
mod gap;
mod latencies;
mod level;
mod model;
mod places;
mod reading;
mod sample;
mod score;
mod season;
mod settings;
mod share;
mod sharing;
mod snapshot;
mod vote;
mod window;

pub use baselines::Baselines;
pub use edge::EdgeKey;
pub use feature::{FEATURES, Feature};
pub use latencies::Latencies;
pub use score::{Departure, Measure, Score, Statistic, bits_for};
pub use settings::Settings;
pub use snapshot::SnapshotError;
pub use window::{Latency, Window};
