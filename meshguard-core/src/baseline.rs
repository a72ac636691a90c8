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
//!   is no more than it is. What an edge has not shown yet is believed from what all edges of its
//!   kind have shown, and before those from a declared prior: a new address that does nothing but
//!   fail handshakes is found in its first window.
//!
//! What was not observed is absent, never 0; a rate of 0 is observed.
//!
//! The surprises of a feature's statistics ([`Statistic`]) are made one, at the price of having
//! looked at several; those of all features are made one, and calibrated once more.
//!
//! **What it cannot do.** The fewer windows were seen, the fewer bits there are: `n` windows give
//! at most `log2(1,024·n)`, so that an edge can alarm at one in `T` only after it was watched for
//! about `T / 1,000`. For the shares the windows of all edges of the kind count, and the
//! declared prior stands for 8,192 of them: 23 bits from a service's first window on.
//!
//! **Drift** is not a matter of rarity: a level that climbs slowly enough is never rare. So there
//! is a bound on how far it, or the last half minute, may walk from the week's
//! ([`Settings::drift`]), less what the service shows at that hour of that sort of day. Beyond the
//! bound a score has all the bits that its edge's windows can give, until an operator says that
//! the new level is no alarm ([`Baselines::false_alarm`]), or the week's normal has followed.
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
mod snapshot;
mod window;

pub use baselines::Baselines;
pub use edge::EdgeKey;
pub use feature::{FEATURES, Feature};
pub use latencies::Latencies;
pub use score::{Measure, Score, Statistic, bits_for};
pub use settings::Settings;
pub use snapshot::SnapshotError;
pub use window::{Latency, Window};
