//! What the policy document says of the loop: which signal leads to which action, and what caps
//! them all. Data alone: [`policy`](crate::policy) reads it, control runs it.

use std::fmt;
use std::time::Duration;

use crate::access::Evidence;
use crate::baseline::Feature;

/// The longest time for which an action of a [`Reflex`] holds.
pub const MAX_TTL: Duration = Duration::from_secs(86_400);

/// How the loop is to act: `[[reflex]]`, `[governor]` and `[trust]` of a policy document.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In the order of the document.
    pub reflexes: Vec<Reflex>,
    /// What caps all actions together.
    pub governor: Governor,
    /// Where an edge's trust starts, and decays to: 0 to 1.
    pub trust_start: f32,
}

/// A rule from signal to action.
#[derive(Clone, Debug, PartialEq)]
pub struct Reflex {
    /// Its name, unique in its document.
    pub name: Box<str>,
    /// What sets it off.
    pub on: Trigger,
    /// What it does, one step after the other: `do`, then each `then`.
    pub steps: Vec<Step>,
    /// How long an action holds, unless it is undone before; at most [`MAX_TTL`].
    pub ttl: Duration,
}

impl Reflex {
    /// How long an action holds where the document does not say.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
}

/// What sets a reflex off.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Which signal.
    pub signal: Signal,
    /// As rare as this, for an edge: one false alarm in so long a time. Hard signals have none.
    pub one_in: Option<Duration>,
    /// The signal must hold for so long; one window is enough where it is 0.
    pub lasting: Duration,
    /// Which departures are acted on, and not only told.
    pub side: Side,
    /// Whether it acts on a caller for what policy refuses anyway.
    pub scope: Scope,
}

impl Trigger {
    /// One window of `signal`, as rare as one in `one_in`, to the harmful side.
    #[must_use]
    pub const fn new(signal: Signal, one_in: Option<Duration>) -> Self {
        Self { signal, one_in, lasting: Duration::ZERO, side: Side::Harmful, scope: Scope::Narrow }
    }
}

/// Which departures from normal are acted on. The others are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// More of a feature: each does harm by being more.
    #[default]
    Harmful,
    /// Less of it, too, and that it varies more or less than usual.
    Both,
}

/// How much of an edge a restriction may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// No more than the signal covers: what policy refuses costs a caller nothing that policy allows.
    #[default]
    Narrow,
    /// All of the caller.
    Caller,
}

/// What the loop can react to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// All features of an edge together.
    Any,
    /// One feature.
    Feature(Feature),
    /// An edge that has fallen still.
    Silence,
    /// Hard: a certificate that was revoked.
    Revoked,
    /// Hard: two statements of one peer that contradict each other.
    Contradiction,
    /// Hard: a proof or a record forged by the peer at the other end of a direct connection.
    Forged,
    /// Hard: what the policy expects did not come.
    Absent,
}

impl Signal {
    /// Every signal that a policy document can name.
    pub fn all() -> impl Iterator<Item = Self> {
        let features = Feature::ALL.into_iter().map(Self::Feature);
        let hard = [Self::Revoked, Self::Contradiction, Self::Forged, Self::Absent];
        std::iter::once(Self::Any).chain(features).chain([Self::Silence]).chain(hard)
    }

    /// The name used in policy documents, logs and the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Feature(feature) => feature.as_str(),
            Self::Silence => "silence",
            Self::Revoked => "revoked",
            Self::Contradiction => "contradiction",
            Self::Forged => "forged",
            Self::Absent => "absent",
        }
    }

    /// Whether it is certain by itself, so that no statistics are asked.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::Revoked | Self::Contradiction | Self::Forged | Self::Absent)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One step of a reflex.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How long after the step before; 0 for the first.
    pub after: Duration,
    /// Not taken where the metric is falling by then.
    pub unless_falling: bool,
    /// What is done, all at once.
    pub actions: Vec<ActionKind>,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ActionKind {
    /// Tells, and nothing else.
    Alert,
    /// Asks more of an edge than policy does.
    Tighten(Tighten),
    /// Cuts an edge off: inbound nothing of it is let in, outbound it is not called.
    Quarantine,
}

impl ActionKind {
    /// The name used in policy documents, logs and the ledger.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Tighten(_) => "tighten",
            Self::Quarantine => "quarantine",
        }
    }

    /// Whether it takes something from an edge, so that the governor is asked.
    #[must_use]
    pub const fn restricts(&self) -> bool {
        !matches!(self, Self::Alert)
    }
}

/// What is asked of an edge beyond policy. It can only narrow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tighten {
    /// At most so many calls; of an address, connections.
    pub rate: Option<Rate>,
    /// At least so much evidence of a request's delivery.
    pub evidence: Option<Evidence>,
    /// Only on connections of its own.
    pub direct: bool,
    /// At least so much trust.
    pub trust: Option<f32>,
}

/// So many in so long a time; short of it in a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; not 0.
    pub count: u32,
    /// In how long; not 0.
    pub per: Duration,
}

/// Caps on actions, counted after the action over all actions together.
#[derive(Clone, Debug, PartialEq)]
pub struct Governor {
    /// The largest share of a service's known callers that may be restricted: 0 to 1. An
    /// address counts as the callers that were seen behind it.
    pub max_share: f32,
    /// The least share of a callee's instances that must stay unrestricted: 0 to 1. The last
    /// one always does.
    pub min_healthy: f32,
    /// With fewer known callers than this, none of them is restricted.
    pub min_peers: u32,
    /// An edge that has shown fewer calls than this is not restricted, but for a hard signal.
    pub min_calls: u64,
    /// The most restrictions in a time.
    pub max_actions: Rate,
    /// Whether actions take effect.
    pub mode: Mode,
}

/// Whether actions take effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// Everything but the effect.
    Shadow,
}

impl Default for Plan {
    /// What holds where the document says nothing: an alert at one false alarm in 30 days.
    fn default() -> Self {
        let on = Trigger::new(Signal::Any, Some(Duration::from_secs(30 * 86_400)));
        let step =
            Step { after: Duration::ZERO, unless_falling: false, actions: vec![ActionKind::Alert] };
        let reflex =
            Reflex { name: "alert".into(), on, steps: vec![step], ttl: Reflex::DEFAULT_TTL };
        Self { reflexes: vec![reflex], governor: Governor::default(), trust_start: 0.5 }
    }
}

impl Default for Governor {
    fn default() -> Self {
        Self {
            max_share: 0.1,
            min_healthy: 0.5,
            min_peers: 5,
            min_calls: 100,
            max_actions: Rate { count: 6, per: Duration::from_secs(60) },
            mode: Mode::Enforce,
        }
    }
}
