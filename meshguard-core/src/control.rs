//! Control: scores become verdicts, verdicts become actions, and the next scores show whether an
//! action worked.
//!
//! [`Control`] is a sans-IO machine: scores, hard signals and deliveries go in by `handle_*`,
//! what happened comes out of [`poll_event`](Control::poll_event), and what is in force stands in
//! [`restriction`](Control::restriction). Time is an argument.
//!
//! ```
//! use std::time::Duration;
//! use meshguard_core::baseline::{EdgeKey, FEATURES, Feature, Measure, Score};
//! use meshguard_core::control::{Control, Event, IncidentState};
//! use meshguard_core::policy::{Policy, PolicyError};
//! use meshguard_core::{SpiffeId, Timestamp};
//!
//! let policy: Policy = r#"
//!     mesh = "shop.example"
//!     version = 1
//!     [[reflex]]
//!     name = "errors"
//!     on   = { signal = "errors", false_alarms = "1 in 30 days" }   # 21.3 bits at 1 s windows
//!     do   = "alert"
//!     then = { after = "10s", do = "quarantine" }
//!     [governor]
//!     min_peers = 1
//!     max_share = 1.0
//! "#.parse()?;
//! let score = |bits| {
//!     let mut measures = [Measure::default(); FEATURES];
//!     let measure = Measure { observed: true, bits, harm: bits, ..Measure::default() };
//!     measures[Feature::Errors.index()] = Measure { value: 0.3, spreads: bits, ..measure };
//!     let top = Some(Feature::Errors);
//!     Score { bits, harm: bits, windows_per_day: 86_400.0, seen: 5_000, measures, top, worst: top,
//!             ..Score::default() }
//! };
//! let t0 = Timestamp::from_unix_secs(1_800_000_000);
//! let edge = EdgeKey::Caller(SpiffeId::from_static("spiffe://shop.example/checkout"));
//!
//! let mut control = Control::new(policy.plan().clone());
//! control.handle_score(&edge, &score(31.0), t0);                 // told, nothing more
//! assert!(matches!(control.poll_event(), Some(Event::Opened(_))));
//! assert!(matches!(control.poll_event(), Some(Event::Applied(_))));
//! assert!(control.restriction(&edge).is_none());
//!
//! let t1 = t0 + Duration::from_secs(10);
//! control.handle_score(&edge, &score(33.0), t1);                 // it did not help: the next step
//! assert!(control.restriction(&edge).is_some_and(|r| r.quarantine));
//! assert_eq!(control.incidents().next().map(|i| i.state), Some(IncidentState::Acting));
//! # Ok::<(), PolicyError>(())
//! ```
//!
//! # An incident's life
//! A window above a reflex's threshold, or several where it is to last, **opens** an incident:
//! one for an edge and a reflex. Its first step is taken at once. A later step is taken when it
//! is due, where the step before it did not help.
//!
//! A restriction's **effect** is measured when the next step is due, and not before two readings
//! of the metric; where there is no next step, at the second reading; where nothing is read for
//! 10 s, or for three windows if that is longer, then; and at its expiry at the latest. It is
//! effective if the signal is below half of its threshold, or the metric has come half of the
//! way back to normal, or past it. That nothing is read any more means that nothing gets through:
//! which is what a quarantine is for, and is relief of whatever there was too much of, but none
//! of a silence. Two windows without a call say so of a quarantine at once.
//!
//! What is **effective** is held until it expires. For as long again, and at least four windows, the
//! edge is on probation: if the signal comes back, the step that worked is taken again, for twice as
//! long, an hour at most. An instance is cut off for 10 s the first time, and then for twice as long
//! each. What comes back half an hour after the incident began **lasts**: the incident is escalated,
//! and its reflex rests there for half an hour, in which the baseline learns it; not where an operator
//! confirmed it, a hard signal is open, or most of the edge's calls fail.
//!
//! What is **not** effective is undone, and the next step is taken; past the last one the incident is
//! reverted, and its reflex rests on that edge for its `ttl`, an hour at most. A restriction that was
//! effective and is not any more, for three windows, is measured again. Of a share of calls the share
//! itself is compared, of other features how far they are from normal, in usual spreads.
//!
//! An incident that restricts nothing is resolved after five windows below half of the threshold
//! that last 30 s (or half of the `ttl`, if that is shorter), and ends after its `ttl` in any
//! case: resolved if the signal is gone, else escalated to people, whereupon the reflex rests as
//! above. Learning stops while an incident that may be acted on is open, of all edges that it lists
//! ([`stops_learning`](Control::stops_learning)), and then goes on. What siblings share and is escalated is
//! told no more for a day, and learnt.
//!
//! # What is told and not acted on
//! - A departure to the **side** that does no harm, unless the reflex acts on both ([`Side`]).
//! - Of a caller what policy refuses anyway, unless the reflex acts on the whole caller ([`Scope`]).
//! - What most **siblings** share: the callers of this service, or the instances of a callee. A
//!   window above a threshold waits for theirs, for twice its own length, 2 s at least and 10 s at
//!   most. Where more than half of them depart to the same side, at least half as far, the incident is
//!   [shared](Incident::shared); also where they depart a quarter as far in the mean, or most of them by
//!   two spreads, and this one is less than six spreads beyond the median of them. For 30 s after it the
//!   same holds for who comes back later than the others. Who stands out later is acted on then.
//! - A caller's **latency**, unless its calls or bytes rose in the 5 s before.
//! - A change that was [planned](Control::expect_change), which also needs 6 bits more.
//!
//! What is told only is one incident for a reflex, a feature and a kind of edge: others
//! [join](Event::Joined) it. It costs no trust. Where its reflex does nothing but tell, the same
//! departure is told again after a day if it went on, after half an hour if it was over, then after
//! twice as long each time, a day at most; and at once where it is half as large again.
//!
//! While an edge is restricted no window of it opens another incident: its windows measure the
//! restriction. **Hard signals** need no windows and always act, on the very same call; a
//! quarantine for one is held to its expiry whatever comes.
//!
//! # The governor
//! Before each restriction the governor counts what would be restricted after it, over all
//! actions together, see [`GovernorRefusal`]. What it refuses is an event; it is done after all
//! once it is permitted, if the signal is above its threshold then: for `max_actions` as soon as
//! there is room, for other caps with the next window. What comes first takes the place of what
//! comes after: a restriction of a caller that of an address, a hard signal's any other, and else one
//! for which less than half as many calls a second depart. When peers leave, or caps are lowered, what
//! breaks a cap is lifted, the
//! newest first: at no time is more restricted than the caps allow of the edges that are
//! [known](KNOWN_FOR). Instances of a callee stay while they answer: with errors to half of the calls
//! at most, and not longer ago than 15 s or three of their windows. In shadow mode and after [`freeze`](Control::freeze) nothing takes effect.
//!
//! # Trust
//! An edge's trust starts at the plan's, comes half of what is missing nearer to 1 in
//! [`HALF_EARNED`] verified deliveries, and goes half of the way back to the start in
//! [`HALF_FORGOTTEN`]. An opened incident takes half of it at its threshold and half of the rest
//! for each 10 bits above; a quarantine and a hard signal take all. Verdicts lower `max_share` of
//! the known callers at a time, but always one: what ails all of them is not their fault.
//!
//! # What the driver must do
//! Not count as calls or handshakes what the loop itself refuses, or else a quarantine never
//! looks effective; call [`forget`](Control::forget) for what is gone; and call
//! [`handle_timeout`](Control::handle_timeout) when [`poll_timeout`](Control::poll_timeout) says.

mod act;
mod action;
mod case;
mod cycle;
mod describe;
mod edges;
mod event;
mod governor;
mod incident;
mod judge;
mod measure;
mod operator;
mod planned;
mod restriction;
mod run;
mod siblings;
#[cfg(test)]
mod tests;
mod told;
mod trust;
mod unconfirmed;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use self::action::{Action, ActionId, ActionState, Effect};
pub use self::cycle::{Cadence, Loop, Reading};
pub use self::edges::{KNOWN_FOR, MAX_EDGES};
pub use self::event::{Event, Lift, MAX_EVENTS};
pub use self::governor::GovernorRefusal;
pub use self::incident::{HARD_BITS, Incident, IncidentId, IncidentState};
pub use self::planned::{
    ChangeError, Changed, LONGEST_CHANGE, MAX_CHANGED, MAX_CHANGES, PlannedChange,
};
pub use self::restriction::Restriction;
pub use self::trust::{HALF_EARNED, HALF_FORGOTTEN, MAX_TRUSTED};
pub use self::unconfirmed::Unconfirmed;

use self::act::End;
use self::case::Case;
use self::edges::Edges;
use self::event::Events;
use self::governor::Books;
use self::judge::told;
use self::planned::Changes;
use self::run::Cause;
use self::trust::Trusts;
use crate::baseline::{EdgeKey, Measure, Score};
use crate::reflex::{Mode, Plan, Reflex, Signal};
#[cfg(doc)]
use crate::reflex::{Scope, Side};
use crate::time::Timestamp;

/// The most incidents that are open at a time, half of them of addresses. Others are counted and
/// told.
pub const MAX_OPEN: usize = 1_024;
/// The most incidents that are kept after their end.
pub const MAX_CLOSED: usize = 256;
/// The most other edges that an incident lists.
pub const MAX_ALIKE: usize = 64;
/// The most actions that an incident remembers.
pub const MAX_ACTIONS: usize = 32;

/// How often the edges that are known are gone through.
const SWEEP: Duration = Duration::from_secs(60);

/// The loop's judgement and its hand. See [the module](self).
#[derive(Debug)]
pub struct Control {
    plan: Plan,
    reflexes: Vec<Arc<Reflex>>,
    /// The latest time that was given: time does not go back here.
    now: Timestamp,
    sweep_at: Option<Timestamp>,
    edges: Edges,
    trust: Trusts,
    /// The open incidents.
    cases: BTreeMap<IncidentId, Case>,
    /// The last ones that are over, the newest last.
    closed: VecDeque<Incident>,
    books: Books,
    restrictions: BTreeMap<EdgeKey, Restriction>,
    revision: u64,
    frozen: bool,
    events: Events,
    changes: Changes,
    /// Edges with a window that waits for those of its siblings.
    waiting: BTreeSet<EdgeKey>,
    last_incident: u64,
    last_action: u64,
    missed: u64,
    /// Whether it was told that there is no room for more incidents.
    full: bool,
    /// A seeded defect: actions do not expire.
    #[cfg(test)]
    forgets_expiry: bool,
    /// Each edge is judged by itself: for tests of what comes after.
    #[cfg(test)]
    without_siblings: bool,
}

impl Control {
    /// With nothing known yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut control = Self {
            reflexes: plan.reflexes.iter().cloned().map(Arc::new).collect(),
            now: Timestamp::EPOCH,
            sweep_at: None,
            edges: Edges::default(),
            trust: Trusts::new(plan.trust_start),
            cases: BTreeMap::new(),
            closed: VecDeque::new(),
            books: Books::default(),
            restrictions: BTreeMap::new(),
            revision: 0,
            frozen: false,
            events: Events::default(),
            changes: Changes::default(),
            waiting: BTreeSet::new(),
            last_incident: 0,
            last_action: 0,
            missed: 0,
            full: false,
            #[cfg(test)]
            forgets_expiry: false,
            #[cfg(test)]
            without_siblings: false,
            plan,
        };
        control.enforce_trust();
        control
    }

    /// Goes on with another plan. An incident whose reflex is in it as it was goes on; others are
    /// reverted. What breaks the new caps is lifted, and all of it where the mode changes.
    pub fn set_plan(&mut self, plan: Plan, now: Timestamp) {
        let now = self.tick(now);
        let mode = std::mem::replace(&mut self.plan, plan).governor.mode;
        self.reflexes = self.plan.reflexes.iter().cloned().map(Arc::new).collect();
        self.trust.set_start(self.plan.trust_start);
        self.enforce_trust();
        self.edges.forget_signals();
        self.waiting.clear();
        let built_in = |case: &Case| *case.reflex == told(case.incident.signal);
        let gone = |case: &Case| !built_in(case) && !self.plan.reflexes.contains(&case.reflex);
        let gone: Vec<_> = self.cases.iter().filter(|(_, c)| gone(c)).map(|(id, _)| *id).collect();
        for id in gone {
            self.with_case(id, |control, case| {
                control.lift(case, End::Lifted(Lift::Plan));
                control.finish(case, IncidentState::Reverted);
            });
        }
        if mode != self.plan.governor.mode {
            self.stand_all_down(Lift::Plan, now);
        }
        self.review(now);
    }

    /// A window of an edge was closed, or its silence was measured.
    pub fn handle_score(&mut self, edge: &EdgeKey, score: &Score, now: Timestamp) {
        let now = self.tick(now);
        let concerns = self.edges.concerns(edge);
        if !self.edges.record(edge, score, now) {
            return;
        }
        self.plan_sweep(now);
        for id in self.cases_of(edge) {
            self.with_case(id, |control, case| {
                case.note(score, now);
                control.advance(case, now);
            });
        }
        let evicted = std::mem::take(&mut self.edges.evicted);
        let instance = matches!(edge, EdgeKey::Callee { .. }) && !self.books.holds.is_empty();
        if evicted || instance || self.edges.concerns(edge) > concerns {
            self.review(now);
        }
        self.judge(edge, score, now);
        self.settle(now);
    }

    /// Somebody states a fact, which needs no statistics: every reflex on that signal acts at
    /// once. Where the plan has none, it is told. `detail` is for people; at most some 250 bytes
    /// of it are kept.
    pub fn handle_signal(&mut self, edge: &EdgeKey, signal: Signal, detail: &str, now: Timestamp) {
        let now = self.tick(now);
        if self.edges.place(edge).is_none() {
            return;
        }
        let measure =
            Measure { observed: true, bits: HARD_BITS, harm: HARD_BITS, ..Measure::default() };
        let mut reflexes: Vec<_> = self.reflexes.clone();
        reflexes.retain(|reflex| reflex.on.signal == signal);
        if reflexes.is_empty() {
            reflexes.push(Arc::new(told(signal)));
        }
        for reflex in &reflexes {
            if let Some(id) = self.case_of(edge, &reflex.name) {
                self.with_case(id, |control, case| {
                    case.repeat(&measure, now);
                    control.advance(case, now);
                });
            } else if !self.rests(edge, reflex, now) {
                let text = words::detail(signal, detail);
                self.open(
                    edge,
                    reflex,
                    Cause { measure, feature: None, text, score: None, shared: false },
                    now,
                );
            }
        }
    }

    /// So many deliveries on an edge were verified: trust is earned.
    pub fn handle_deliveries(&mut self, edge: &EdgeKey, verified: u64, now: Timestamp) {
        let now = self.tick(now);
        self.trust.earn(edge, verified, now);
        self.plan_sweep(now);
    }

    /// The edge is not measured any more, and does not count as known. What is in force on it
    /// holds on, unless it breaks a cap now.
    pub fn forget(&mut self, edge: &EdgeKey) {
        self.edges.forget(edge);
        self.review(self.now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let waits = |edge| self.edges.get(edge)?.waiting.as_ref().map(|waiting| waiting.until);
        let waiting = self.waiting.iter().filter_map(waits);
        let gone = self.books.callees().filter_map(|id| self.edges.first_gone(id, self.now));
        let cases = self.cases.values().map(Case::wake);
        cases.chain(self.sweep_at).chain(waiting).chain(gone).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.tick(now);
        let due = self.cases.iter().filter(|(_, case)| case.wake() <= now);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        for id in due {
            self.with_case(id, |control, case| control.advance(case, now));
        }
        self.settle(now);
        if self.books.callees().next().is_some() {
            self.review(now);
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.edges.sweep(now);
            self.trust.sweep(now);
            self.sweep_at = None;
            self.plan_sweep(now);
            self.review(now);
        }
    }

    /// What happened next, in its order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.poll()
    }

    /// What is in force on an edge now: all actions merged to the strictest. In shadow mode and
    /// while frozen there is none.
    #[must_use]
    pub fn restriction(&self, edge: &EdgeKey) -> Option<&Restriction> {
        self.restrictions.get(edge)
    }

    /// All that is in force now.
    pub fn restrictions(&self) -> impl Iterator<Item = (&EdgeKey, &Restriction)> {
        self.restrictions.iter()
    }

    /// Changes with the restrictions in force.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How far an edge is trusted, 0 to 1, as of the last time that was given.
    #[must_use]
    pub fn trust(&self, edge: &EdgeKey) -> f32 {
        self.trust.get(edge)
    }

    /// Edges whose trust is not where it started, [`MAX_TRUSTED`] at most.
    pub fn trusted(&self) -> impl Iterator<Item = (&EdgeKey, f32)> {
        self.trust.all()
    }

    /// Whether an incident of the edge is open.
    #[must_use]
    pub fn is_open(&self, edge: &EdgeKey) -> bool {
        self.edges.get(edge).is_some_and(|known| !known.cases.is_empty())
    }

    /// Whether nothing is to be learnt of the edge now: it has an incident that may be acted on, or is
    /// listed in one that its siblings share, or a [change](Self::expect_change) is planned.
    #[must_use]
    pub fn stops_learning(&self, edge: &EdgeKey) -> bool {
        let joined = self.edges.get(edge).and_then(|known| known.joined.as_ref());
        joined.is_some_and(|id| self.harms(id)) || self.has_episode(edge)
    }

    /// Whether what was known of the edge before is to be kept: as above, of incidents of its own.
    pub(super) fn has_episode(&self, edge: &EdgeKey) -> bool {
        let cases = self.edges.get(edge).map_or(&[][..], |known| &known.cases);
        self.changes.concern(edge, self.now) || cases.iter().any(|id| self.harms(id))
    }

    fn harms(&self, id: &IncidentId) -> bool {
        self.cases.get(id).is_some_and(Case::harms)
    }

    /// How many incidents were not opened because [`MAX_OPEN`] were, or half of it of addresses.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many scores and signals were not taken up because [`MAX_EDGES`] edges of their kind
    /// had open incidents.
    #[must_use]
    pub fn blind(&self) -> u64 {
        self.edges.unplaced
    }

    fn enforce_trust(&mut self) {
        self.trust.enforced = !self.frozen && self.plan.governor.mode == Mode::Enforce;
    }

    /// Takes the time, which does not go back.
    fn tick(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.plan_sweep(self.now);
        self.now
    }

    fn plan_sweep(&mut self, now: Timestamp) {
        let idle = self.edges.is_empty() && self.trust.is_empty();
        if self.sweep_at.is_none() && !idle {
            self.sweep_at = Some(now + SWEEP);
        }
    }
}
