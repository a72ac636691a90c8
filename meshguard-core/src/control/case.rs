//! An open incident, as it runs through the steps of its reflex.

mod standing;

use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, ActionId, ActionState};
use super::governor::GovernorRefusal;
use super::incident::{Incident, IncidentState};
use super::measure::{is_absence, is_share, is_still, reading, threshold, window};
use super::told::{only_tells, told_effect};
use crate::baseline::{EdgeKey, Feature, Measure, Score};
use crate::reflex::{ActionKind, Reflex, Scope, Step};
use crate::time::Timestamp;

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long an instance is not called the first time: what made it sick may be over soon.
const FIRST_CUT: Duration = Duration::from_secs(10);
/// A departure that comes back after every restriction for so long is a change that lasts...
const LASTS: Duration = Duration::from_secs(1_800);
/// ...and its reflex leaves the edge alone for so long, in which it is learnt.
pub(super) const LEARNT: Duration = Duration::from_secs(1_800);
/// How long a repeated action holds at most, unless the reflex says more.
pub(super) const LONGEST_REPEAT: Duration = Duration::from_secs(3_600);

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Nothing is in force. The incident ends then at the latest.
    Watching { ends: Timestamp },
    /// Its restrictions are in force, and their effect is to be measured.
    Proving { expires: Timestamp },
    /// They work.
    Holding { expires: Timestamp },
    /// They worked and expired. The incident ends then, unless the signal comes back.
    Probation { ends: Timestamp },
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) incident: Incident,
    pub(super) reflex: Arc<Reflex>,
    pub(super) phase: Phase,
    /// The step that was last taken.
    pub(super) step: usize,
    /// How long its next actions hold.
    pub(super) ttl: Duration,
    /// The signal when the step was taken.
    pub(super) before: Measure,
    /// The signal as it was last read.
    pub(super) latest: Measure,
    latest_at: Timestamp,
    taken_at: Timestamp,
    /// When the next step is due.
    due: Option<Timestamp>,
    threshold: f32,
    window: Duration,
    /// Readings since the step, or since the restrictions expired.
    readings: u32,
    /// Scores in succession in which nothing came through.
    still: u32,
    /// Readings in succession at or above the threshold.
    loud: u32,
    /// Readings in succession below half of the threshold, and since when.
    calm: (u32, Timestamp),
    /// The governor refused all that the step would have put into force.
    pub(super) refused: bool,
    /// When `max_actions` permits more, where that is what it was refused for.
    pub(super) room: Option<Timestamp>,
    /// On probation: since when the signal is back, and whether it has lasted.
    back: Option<Timestamp>,
    is_back: bool,
    /// Whether it was ever above the threshold on the side that is acted on; from then on it is
    /// judged by that side alone.
    harms: bool,
    /// When a caller last asked for more than usual.
    loaded: Option<Timestamp>,
    /// Calls a second that were let in, by the last window.
    admitted: Option<f32>,
    /// Calls a second that departed, by the last window above the threshold.
    weight: f32,
    /// The largest effect that it was read with above the threshold.
    told: f32,
}

/// A load has risen from so many bits on...
const RISEN: f32 = 6.0;
/// ...and is the cause of what is seen in the windows of so long after.
const LOADED: Duration = Duration::from_secs(5);

impl Case {
    pub(super) fn new(incident: Incident, reflex: &Arc<Reflex>, cause: &Measure) -> Self {
        let now = incident.first_seen;
        Self {
            reflex: Arc::clone(reflex),
            phase: Phase::Watching { ends: now },
            step: 0,
            ttl: match &incident.edge {
                EdgeKey::Callee { .. } => reflex.ttl.min(FIRST_CUT),
                _ => reflex.ttl,
            },
            before: *cause,
            latest: *cause,
            latest_at: now,
            taken_at: now,
            due: None,
            threshold: 0.0,
            window: Duration::ZERO,
            readings: 0,
            still: 0,
            loud: 0,
            calm: (0, now),
            refused: false,
            room: None,
            back: None,
            is_back: false,
            harms: incident.signal.is_hard(),
            loaded: None,
            admitted: None,
            weight: 0.0,
            told: 0.0,
            incident,
        }
    }

    /// Whether it is about a departure that may be acted on: nothing is to be learnt meanwhile.
    pub(super) fn harms(&self) -> bool {
        self.harms
    }

    /// How far a reading is from normal, as far as it matters here.
    pub(super) fn bits(&self, measure: &Measure) -> f32 {
        if self.harms { measure.harm } else { measure.bits }
    }

    /// Why its departure is told and not acted on, if it is.
    pub(super) fn harmless(&self) -> Option<GovernorRefusal> {
        let refusals = self.incident.feature == Some(Feature::Refusals);
        match () {
            () if self.is_hard() => None,
            () if self.incident.shared => Some(GovernorRefusal::Shared),
            () if refusals && self.reflex.on.scope == Scope::Narrow => {
                Some(GovernorRefusal::RefusedAnyway)
            }
            () if !self.harms => Some(GovernorRefusal::Harmless),
            () if self.is_victim() => Some(GovernorRefusal::NotItsDoing),
            () => None,
        }
    }

    /// Whether it is told and nothing else, whatever comes of it.
    pub(super) fn is_told_only(&self) -> bool {
        !self.is_hard() && (self.harmless().is_some() || only_tells(&self.reflex))
    }

    /// What it told of, and how large that was at most. `None` where its reflex does more than tell; but
    /// of what is shared and not `over` it did no more, whatever it would do about one edge alone.
    pub(super) fn told(&self, over: bool) -> Option<(Feature, f32)> {
        let goes_on = self.incident.shared && !over;
        let tells = !self.is_hard() && (goes_on || only_tells(&self.reflex));
        self.incident.feature.filter(|_| tells).map(|feature| (feature, self.told))
    }

    /// Takes up how large a departure is that it tells of.
    pub(super) fn tell(&mut self, measure: &Measure) {
        let effect = self.incident.feature.map_or(0.0, |feature| told_effect(feature, measure));
        if effect.abs() > self.told.abs() {
            self.told = effect;
        }
    }

    /// Its edge departs by itself, and no longer as its siblings do.
    pub(super) fn unshare(&mut self) {
        self.incident.shared = false;
        self.refused = true;
    }

    /// Whether its departure has come back for as long as only a change does that lasts. Nobody says
    /// so of a hard signal, nor of an incident that an operator has confirmed.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        let known = self.is_hard() || self.incident.confirmed;
        !known && now.since(self.incident.first_seen) >= LASTS
    }

    /// A sibling departs alike: it goes on.
    pub(super) fn joined(&mut self, now: Timestamp) {
        self.calm = (0, now);
        self.incident.last_seen = now;
    }

    /// Whether it is a caller's latency, and the caller asked for no more than usual before.
    fn is_victim(&self) -> bool {
        let latency = matches!(self.incident.feature, Some(Feature::P50 | Feature::P99));
        let caller = matches!(self.incident.edge, EdgeKey::Caller(_));
        latency && caller && self.loaded.is_none_or(|at| self.latest_at.since(at) > LOADED)
    }

    /// Calls a second that depart from normal, as it was last seen above the threshold: not negative.
    pub(super) fn weight(&self) -> f32 {
        self.weight
    }

    /// Notes how many calls depart.
    pub(super) fn weigh(&mut self, score: &Score) {
        let feature = self.incident.feature.or(score.worst);
        let weight = feature.map_or(0.0, |feature| departing(score, feature));
        self.weight = if weight.is_finite() { weight.max(0.0) } else { 0.0 };
    }

    /// Notes whether a caller asks for more than usual.
    pub(super) fn load(&mut self, score: &Score, now: Timestamp) {
        let of = [Feature::Rate, Feature::RequestBytes, Feature::ResponseBytes];
        if of.iter().any(|feature| score.measure(*feature).harm >= RISEN) {
            self.loaded = Some(now);
        }
    }

    /// Notes whether a reading departs to the side that is acted on.
    pub(super) fn side(&mut self, measure: &Measure) {
        self.harms |= !self.is_hard() && measure.harm >= self.threshold.max(f32::MIN_POSITIVE);
    }

    pub(super) fn is_hard(&self) -> bool {
        self.incident.signal.is_hard()
    }

    /// Takes the edge's next score up. A hard signal has no scores.
    pub(super) fn note(&mut self, score: &Score, now: Timestamp) {
        if self.is_hard() {
            return;
        }
        self.scale(score);
        self.load(score, now);
        self.admitted = Some(score.measure(Feature::Rate)).filter(|m| m.observed).map(|m| m.value);
        self.still = if is_still(score) { self.still + 1 } else { 0 };
        self.note_return(score, now);
        if let Some(measure) = reading(&self.reflex.on, self.incident.feature, score) {
            self.read(&measure, now);
            if self.loud > 0 {
                self.weigh(score);
            }
        }
    }

    /// Takes a threshold and the window's length from a score.
    pub(super) fn scale(&mut self, score: &Score) {
        self.threshold = threshold(&self.reflex.on, score);
        self.window = window(score.windows_per_day).min(Duration::from_secs(60));
    }

    /// Takes up that a fact was stated again.
    pub(super) fn repeat(&mut self, measure: &Measure, now: Timestamp) {
        self.is_back = matches!(self.phase, Phase::Probation { .. });
        self.read(measure, now);
    }

    fn read(&mut self, measure: &Measure, now: Timestamp) {
        (self.latest, self.latest_at) = (*measure, now);
        self.side(measure);
        let bits = self.bits(measure);
        self.readings += 1;
        self.loud += 1;
        if bits >= self.threshold {
            self.incident.last_seen = now;
            self.incident.bits = self.incident.bits.max(bits);
            self.tell(measure);
        } else {
            self.loud = 0;
        }
        if bits >= self.threshold / 2.0 {
            self.calm = (0, now);
        } else {
            let since = if self.calm.0 == 0 { now } else { self.calm.1 };
            self.calm = (self.calm.0 + 1, since);
        }
    }

    /// On probation any feature counts, but not the first window, which may have begun before.
    fn note_return(&mut self, score: &Score, now: Timestamp) {
        if !matches!(self.phase, Phase::Probation { .. }) || self.readings == 0 {
            return;
        }
        let Some(measure) = reading(&self.reflex.on, None, score) else { return };
        if self.bits(&measure) < self.threshold || self.is_aftermath(score.top, &measure) {
            self.back = None;
            return;
        }
        let since = *self.back.get_or_insert(now);
        self.is_back = now.since(since) >= self.reflex.on.lasting;
    }

    /// Whether a departure is what a restriction leaves behind: less traffic than is normal.
    pub(super) fn is_aftermath(&self, top: Option<Feature>, measure: &Measure) -> bool {
        let absence = is_absence(self.incident.signal, self.incident.feature, &self.before);
        !absence && top == Some(Feature::Rate) && measure.spreads < 0.0
    }

    /// Begins a step.
    pub(super) fn begin(&mut self, step: usize, now: Timestamp) {
        self.step = step;
        self.taken_at = now;
        self.before = self.latest;
        self.due = self.next_step().map(|next| now + next.after.max(SHORTEST));
        self.readings = 0;
        self.still = 0;
        self.loud = 0;
        self.calm = (0, now);
        self.refused = false;
        self.room = None;
    }

    /// Whether the signal was above its threshold when it was last read.
    pub(super) fn is_loud(&self) -> bool {
        self.loud > 0
    }

    /// Whether the signal was above its threshold when it was last read, and that was not long ago.
    pub(super) fn is_loud_still(&self, now: Timestamp) -> bool {
        let recent = self.is_hard() || now.since(self.latest_at) <= self.quiet();
        recent && self.bits(&self.latest) >= self.threshold
    }

    /// Waits until there is room for another action.
    pub(super) fn wait_for(&mut self, room: Option<Timestamp>) {
        self.room = room;
        if let (Some(room), Phase::Watching { ends }) = (room, &mut self.phase) {
            *ends = (*ends).max(room);
        }
    }

    /// How long the edge is on probation: long enough to see whether the signal is back, whose first
    /// window does not count.
    pub(super) fn probation(&self) -> Duration {
        self.ttl.max(self.window * 4)
    }

    /// Begins the time after the restrictions expired.
    pub(super) fn begin_probation(&mut self, ends: Timestamp) {
        self.phase = Phase::Probation { ends };
        self.readings = 0;
        self.back = None;
        self.is_back = false;
    }

    pub(super) fn next_step(&self) -> Option<&Step> {
        self.reflex.steps.get(self.step + 1)
    }

    /// Waits once more as long as before the next step.
    pub(super) fn postpone(&mut self, now: Timestamp) {
        self.due = self.next_step().map(|next| now + next.after.max(SHORTEST));
        if self.due.is_none() {
            self.readings = 0;
        }
    }

    /// A new action of it, not in force yet.
    pub(super) fn action(&self, id: ActionId, kind: ActionKind, now: Timestamp) -> Action {
        let state = if kind.restricts() { ActionState::Refused } else { ActionState::Told };
        Action {
            id,
            incident: self.incident.id,
            kind,
            edge: self.incident.edge.clone(),
            since: now,
            expires: now,
            moves: self.incident.signal,
            state,
            effect: None,
        }
    }

    pub(super) fn state(&self) -> IncidentState {
        self.incident.state
    }
}

/// How many calls a second depart in a feature: those above the normal share or rate, or of a level
/// the part by which it is above normal.
fn departing(score: &Score, feature: Feature) -> f32 {
    let (measure, rate) = (score.measure(feature), score.measure(Feature::Rate).value);
    let above = measure.value - measure.normal;
    match feature {
        Feature::Rate => above,
        _ if is_share(feature) => above * rate,
        _ => rate * above / measure.value,
    }
}
