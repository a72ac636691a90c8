//! The loop itself: a window is scored, the score judged, the verdict acted on; and what the
//! action did is in the next window.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{ChangeError, Control, Event, Incident, IncidentId, PlannedChange, Unconfirmed};
use crate::baseline::{Baselines, EdgeKey, Score, Settings, Window};
use crate::reflex::{Plan, Signal};
use crate::time::Timestamp;

/// Incidents that can still be called false alarms, with the score that opened each.
const REMEMBERED: usize = 256;

/// When windows close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// The shortest window, for edges with enough in it. Default 1 s.
    pub busy: Duration,
    /// The longest. Default 10 s.
    pub quiet: Duration,
    /// So much makes a window before it is the longest. Default 50 calls or handshakes.
    pub calls: u64,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { busy: Duration::from_secs(1), quiet: Duration::from_secs(10), calls: 50 }
    }
}

impl Cadence {
    /// Whether a window that was open for so long, with so many events in it, is to be closed.
    #[must_use]
    pub fn is_due(&self, open: Duration, events: u64) -> bool {
        open >= self.quiet || (open >= self.busy && events >= self.calls)
    }
}

/// An edge as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its last window.
    pub window: Window,
    /// What that came to.
    pub score: Score,
    /// Of its answers, the share that nobody confirmed.
    pub unconfirmed: Unconfirmed,
}

/// Baselines and control together: what a service runs, and what a simulation runs.
///
/// Feed it windows in the order of their ends, and [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so; then poll events until there are none, and put
/// [`Control::restrictions`] into force.
#[derive(Debug)]
pub struct Loop {
    baselines: Baselines,
    control: Control,
    readings: HashMap<EdgeKey, Reading>,
    opened: VecDeque<(IncidentId, EdgeKey, Score)>,
    most: usize,
}

impl Loop {
    /// Nothing learnt, nothing in force.
    #[must_use]
    pub fn new(settings: Settings, plan: Plan) -> Self {
        let most = settings.max_edges;
        let (baselines, control) = (Baselines::new(settings), Control::new(plan));
        Self { baselines, control, readings: HashMap::new(), opened: VecDeque::new(), most }
    }

    /// Another plan is in force.
    pub fn set_plan(&mut self, plan: Plan, now: Timestamp) {
        self.control.set_plan(plan, now);
    }

    /// A window of an edge was closed. It is learnt unless an incident is open there that may be acted
    /// on.
    pub fn handle_window(&mut self, edge: &EdgeKey, window: &Window) -> &Reading {
        let now = window.end;
        let stopped = self.control.stops_learning(edge);
        let score = self.baselines.handle_window(edge, window, !stopped);
        self.control.handle_score(edge, &score, now);
        let unproved = window.missing_receipts.saturating_add(window.unconfirmed);
        let verified = window.receipts.saturating_sub(unproved);
        if verified > 0 {
            self.control.handle_deliveries(edge, verified, now);
        }
        self.baselines.keep(edge, self.control.has_episode(edge));
        if self.readings.len() >= self.most && !self.readings.contains_key(edge) {
            self.evict();
        }
        let before = self.readings.get(edge).map(|reading| reading.unconfirmed);
        let unconfirmed = before.unwrap_or_default().after(window);
        let reading = Reading { window: *window, score, unconfirmed };
        self.readings.entry(edge.clone()).insert_entry(reading).into_mut()
    }

    /// Sets how far the wall clock is ahead of the windows' time: see
    /// [`Baselines::set_wall_offset`].
    pub fn set_wall_offset(&mut self, seconds: i64) {
        self.baselines.set_wall_offset(seconds);
    }

    /// An edge goes on where `before` is: see [`Baselines::succeed`]. No restriction passes over.
    pub fn succeed(&mut self, edge: &EdgeKey, before: &EdgeKey) {
        self.baselines.succeed(edge, before);
    }

    /// An edge has shown nothing for `idle`.
    pub fn handle_idle(&mut self, edge: &EdgeKey, idle: Duration, now: Timestamp) {
        if let Some(score) = self.baselines.silence(edge, idle) {
            self.control.handle_score(edge, &score, now);
            self.baselines.keep(edge, self.control.has_episode(edge));
        }
    }

    /// Something that needs no statistics.
    pub fn handle_signal(&mut self, edge: &EdgeKey, signal: Signal, detail: &str, now: Timestamp) {
        self.control.handle_signal(edge, signal, detail, now);
        self.baselines.keep(edge, self.control.has_episode(edge));
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.control.poll_timeout()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.control.handle_timeout(now);
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.control.poll_event()?;
        if let Event::Expired(action)
        | Event::Undone { action, .. }
        | Event::Lifted { action, .. } = &event
        {
            self.baselines.resume(&action.edge);
        }
        if let Event::Opened(incident) = &event
            && let Some(reading) = self.readings.get(&incident.edge)
        {
            if self.opened.len() == REMEMBERED {
                self.opened.pop_front();
            }
            let (id, edge) = (incident.id, incident.edge.clone());
            self.opened.push_back((id, edge, reading.score.clone()));
        }
        Some(event)
    }

    /// What is in force, and why.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What is normal.
    #[must_use]
    pub fn baselines(&self) -> &Baselines {
        &self.baselines
    }

    /// What is normal, to restore it.
    pub fn baselines_mut(&mut self) -> &mut Baselines {
        &mut self.baselines
    }

    /// The edges as they were last seen.
    pub fn readings(&self) -> impl Iterator<Item = (&EdgeKey, &Reading)> {
        self.readings.iter()
    }

    /// An edge as it was last seen.
    #[must_use]
    pub fn reading(&self, edge: &EdgeKey) -> Option<&Reading> {
        self.readings.get(edge)
    }

    /// An edge has been still for so long that it is not to count as one that is there, as an
    /// instance that others could do without. What is normal on it stays known.
    pub fn lapse(&mut self, edge: &EdgeKey) {
        self.control.forget(edge);
    }

    /// An edge is not measured any more.
    pub fn forget(&mut self, edge: &EdgeKey) {
        self.readings.remove(edge);
        self.control.forget(edge);
    }

    /// An operator says that an incident was a true one: what was learnt during it is taken back.
    pub fn confirm(&mut self, id: IncidentId, now: Timestamp) -> Option<Incident> {
        let incident = self.control.incident(id)?.clone();
        self.baselines.confirm(&incident.edge);
        self.control.confirm(id, now);
        Some(incident)
    }

    /// An operator says that an incident was none: it is ended, its actions are lifted, and what
    /// stood out does not again, there and nowhere else.
    pub fn false_alarm(&mut self, id: IncidentId, now: Timestamp) -> Option<Incident> {
        let incident = self.control.incident(id)?.clone();
        if let Some((_, edge, score)) = self.opened.iter().find(|(opened, ..)| *opened == id) {
            self.baselines.false_alarm(edge, score);
        }
        self.control.false_alarm(id, now);
        self.baselines.keep(&incident.edge, self.control.has_episode(&incident.edge));
        Some(incident)
    }

    /// An operator expects a change: see [`Control::expect_change`].
    ///
    /// # Errors
    /// As there.
    pub fn expect_change(
        &mut self,
        change: PlannedChange,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        self.control.expect_change(change, now)
    }

    /// An operator lifts all that is in force on an edge.
    pub fn release(&mut self, edge: &EdgeKey, now: Timestamp) {
        self.control.release(edge, now);
    }

    /// The kill switch: lifts all that is in force; nothing takes effect until
    /// [`thaw`](Self::thaw).
    pub fn freeze(&mut self, now: Timestamp) {
        self.control.freeze(now);
    }

    /// Actions take effect again.
    pub fn thaw(&mut self, now: Timestamp) {
        self.control.thaw(now);
    }

    /// Makes room among the readings: the one whose window ended first goes.
    fn evict(&mut self) {
        let oldest = self.readings.iter().min_by_key(|(_, reading)| reading.window.end);
        if let Some(edge) = oldest.map(|(edge, _)| edge.clone()) {
            self.readings.remove(&edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SpiffeId;

    #[test]
    fn an_instance_with_another_certificate_goes_on_with_what_was_learnt_and_takes_nothing_over() {
        let id = SpiffeId::from_static("spiffe://shop.example/orders");
        let edge = |instance: &str| EdgeKey::Callee { id: id.clone(), instance: instance.into() };
        let (before, after, other) = (edge("a 1"), edge("a 2"), edge("b 1"));
        let mut state = Loop::new(Settings::default(), Plan::default());
        let mut end = Timestamp::from_unix_secs(1_700_000_000);
        for _ in 0..400 {
            let start = end;
            end = start + Duration::from_secs(1);
            let window = Window { start, end, calls: 100, asked: 100, ..Window::default() };
            state.handle_window(&before, &window);
        }
        state.succeed(&after, &before);
        let known = |state: &Loop, edge| state.baselines().known(edge);
        assert_eq!((known(&state, &after), known(&state, &before)), (400, 400));
        assert!(state.control().restrictions().next().is_none());
        // What is known stays, and of what is not known there is nothing to take.
        state.succeed(&before, &other);
        state.succeed(&other, &edge("c 1"));
        assert_eq!((known(&state, &before), known(&state, &other)), (400, 0));
    }

    #[test]
    fn a_window_closes_when_there_is_enough_in_it_and_at_the_latest_when_it_is_long() {
        let cadence = Cadence::default();
        let ms = Duration::from_millis;
        assert!(!cadence.is_due(ms(999), 10_000));
        assert!(cadence.is_due(ms(1_000), 50) && !cadence.is_due(ms(1_000), 49));
        assert!(cadence.is_due(ms(7_000), 50) && !cadence.is_due(ms(9_999), 49));
        assert!(cadence.is_due(ms(10_000), 0));
    }
}
