//! The machine: windows in, scores out.

use std::collections::VecDeque;
use std::time::Duration;

use super::edge::EdgeKey;
use super::model::{Kind, Model, SHARES};
use super::places::Places;
use super::reading::Marks;
use super::score::Score;
use super::season::{Seasons, has_vote};
use super::settings::Settings;
use super::share::Pooled;
use super::sharing::Sharing;
use super::window::Window;
use crate::time::Timestamp;

/// How many kinds of edges there are.
pub(super) const KINDS: usize = 5;

/// A window as rare as this teaches the calibrators only after [`HOLD`] further ones, so that an
/// attack does not become usual while it is being judged.
const HELD_BITS: f32 = 14.0;
/// In windows of its edge.
const HOLD: u32 = 30;
/// Windows on hold, of all edges; beyond, the oldest is learnt before its time.
const MAX_HELD: usize = 1_024;

/// Of a kind of edges that nothing was learnt of.
const DECLARED: Kind = [Pooled::new(); SHARES];

/// The learnt normal of every edge of one service.
///
/// Sans-IO: windows are handed in when they close ([`handle_window`](Self::handle_window)), and
/// still edges are asked about by whoever sweeps them ([`silence`](Self::silence)). The first
/// window of an edge takes a place (about 2 KiB) and allocates; later ones do not.
///
/// ```
/// use std::time::Duration;
/// use meshguard_core::baseline::{Baselines, EdgeKey, Feature, Settings, Window};
/// use meshguard_core::{SpiffeId, Timestamp};
///
/// let mut baselines = Baselines::new(Settings::default());
/// let edge = EdgeKey::Caller(SpiffeId::from_static("spiffe://shop.example/checkout"));
/// let mut start = Timestamp::from_unix_secs(1_700_000_000);
/// let mut window = |calls| {
///     let end = start + Duration::from_secs(1);
///     let window = Window { start, end, calls, asked: calls, ..Window::default() };
///     start = end;
///     window
/// };
/// for i in 0..5_000 {
///     baselines.handle_window(&edge, &window(200 + i * 7 % 30), true);
/// }
/// let score = baselines.handle_window(&edge, &window(900), true);
/// assert_eq!(score.top, Some(Feature::Rate));
/// assert!(score.bits > 21.3); // fewer than one such window in 30 days
/// ```
#[derive(Clone, Debug)]
pub struct Baselines {
    settings: Settings,
    places: Places,
    kinds: [Kind; KINDS],
    seasons: Seasons,
    sharing: Sharing,
    now: Timestamp,
    /// Seconds by which the wall clock is ahead of the windows' time.
    ahead: i64,
    held: VecDeque<Held>,
    blind: u64,
}

/// A window that has not yet taught the calibrators.
#[derive(Clone, Debug)]
struct Held {
    place: usize,
    due: u32,
    marks: Marks,
}

impl Baselines {
    /// Nothing learnt yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            places: Places::new(&settings),
            kinds: [DECLARED; KINDS],
            seasons: Seasons::new(settings.max_edges),
            sharing: Sharing::default(),
            now: Timestamp::EPOCH,
            ahead: 0,
            held: VecDeque::with_capacity(MAX_HELD),
            blind: 0,
            settings,
        }
    }

    /// Scores a closed window against its edge's normal; and learns it where `learn`.
    ///
    /// Where all places are taken by edges with open incidents, the score is 0 bits and the
    /// window is counted as [`blind`](Self::blind).
    pub fn handle_window(&mut self, edge: &EdgeKey, window: &Window, learn: bool) -> Score {
        self.now = self.now.max(window.end);
        let wall = window.end.moved(self.ahead);
        self.seasons.turn(wall, &mut self.places, &mut self.kinds, &self.settings);
        let known = self.places.find(edge).is_some();
        let Some(at) = self.places.take(edge) else {
            self.blind = self.blind.saturating_add(1);
            return Score::blank();
        };
        if !known {
            self.held.retain(|held| held.place != at);
        }
        self.learn_due(at);
        self.sharing.count(&mut self.places, self.now);
        let Some(place) = self.places.get_mut(at) else { return Score::blank() };
        // Of addresses what is declared is all that is believed: what one shows excuses no other.
        let mut declared = DECLARED;
        let pooled = &mut self.kinds[edge.place_of_kind()];
        let kind = if has_vote(edge) { pooled } else { &mut declared };
        let (season, hour) = (self.seasons.at(edge, wall), self.seasons.hour_for(edge));
        let edges = self.sharing.edges(edge);
        let reading = place.model.read(window, season, kind, edges, &self.settings);
        if window.events() > 0 {
            place.busy = Some(window.end);
        }
        if learn {
            place.model.learn(window, &reading, hour, &self.settings);
            if reading.score.bits < HELD_BITS {
                place.model.learn_marks(&reading.marks, kind, &self.settings);
            } else {
                let due = place.model.windows().saturating_add(HOLD);
                self.hold(Held { place: at, due, marks: reading.marks });
            }
        }
        reading.score
    }

    /// Sets by how many seconds the wall clock is ahead of the windows' time; negative where it is
    /// behind. The hour and the sort of day go by the wall clock, and nothing else does. At first 0.
    pub fn set_wall_offset(&mut self, seconds: i64) {
        self.ahead = seconds;
        self.seasons.go_back(self.now.moved(seconds));
    }

    /// The silence of an edge that has shown no call and no handshake for `idle`: a score of
    /// which [`silence`](Score::silence) is set, and nothing else but what describes the edge.
    /// `None` where the edge, or its usual gaps, are not known well enough.
    #[must_use]
    pub fn silence(&self, edge: &EdgeKey, idle: Duration) -> Option<Score> {
        let place = self.places.get(self.places.find(edge)?)?;
        place.model.silence(idle.as_secs_f32(), self.sharing.edges(edge), &self.settings)
    }

    /// A score of this edge was a false alarm: what stood out in it is no longer rare, at that
    /// distance of those features of this edge, and nowhere else. Where it was drift, the present
    /// is taken for the week's normal.
    pub fn false_alarm(&mut self, edge: &EdgeKey, score: &Score) {
        let season = self.seasons.at(edge, self.now.moved(self.ahead));
        if let Some(place) = self.places.find(edge).and_then(|at| self.places.get_mut(at)) {
            let usual = place.model.usual(season, &self.settings);
            place.model.excuse(score, usual);
        }
    }

    /// The open episode of this edge was a true incident: all that was learnt of it is taken
    /// back, the windows on hold when it began included. Nothing happens where none is open.
    pub fn confirm(&mut self, edge: &EdgeKey) {
        let Some(at) = self.places.find(edge) else { return };
        let Some(place) = self.places.get_mut(at) else { return };
        if let Some(before) = place.before.as_ref() {
            *place.model = **before;
            self.held.retain(|held| held.place != at);
        }
    }

    /// Begins (`open`) or ends the episode of an edge. While it is open the edge is never
    /// evicted, and what it knew before is kept for [`confirm`](Self::confirm), which must come
    /// before the end. The edge has no vote on what is usual at this hour. An edge that has no place
    /// is not given one.
    pub fn keep(&mut self, edge: &EdgeKey, open: bool) {
        let Some(place) = self.places.find(edge).and_then(|at| self.places.get_mut(at)) else {
            return;
        };
        if !open {
            place.before = None;
        } else if place.before.is_none() {
            if let Some(hour) = self.seasons.hour_for(edge) {
                place.model.spoil_vote(hour);
            }
            place.before = Some(place.model.clone());
        }
    }

    /// An edge that is not known yet goes on where `before` is: it is the same instance's, which has
    /// another certificate. What an open episode of `before` shows is left out.
    pub fn succeed(&mut self, edge: &EdgeKey, before: &EdgeKey) {
        let known = self.places.find(before).and_then(|at| self.places.get(at));
        let Some(known) = known.filter(|_| self.places.find(edge).is_none()) else { return };
        let model = known.before.as_ref().unwrap_or(&known.model).clone();
        let Some(at) = self.places.take(edge) else { return };
        self.held.retain(|held| held.place != at);
        if let Some(place) = self.places.get_mut(at) {
            place.model = model;
            place.model.resume();
        }
    }

    /// A restriction of this edge has ended: its next windows are judged by themselves, and not
    /// by what was followed before it.
    pub fn resume(&mut self, edge: &EdgeKey) {
        if let Some(place) = self.places.find(edge).and_then(|at| self.places.get_mut(at)) {
            place.model.resume();
        }
    }

    /// How many edges are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no edge is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Windows of edges that found no place.
    #[must_use]
    pub const fn blind(&self) -> u64 {
        self.blind
    }

    /// How many windows of an edge were learnt; 0 of one that has no place.
    #[must_use]
    pub fn known(&self, edge: &EdgeKey) -> u32 {
        let place = self.places.find(edge).and_then(|at| self.places.get(at));
        place.map_or(0, |place| place.model.windows())
    }

    /// The bytes that one edge's normal takes, beside its name.
    #[must_use]
    pub const fn bytes_of_one() -> usize {
        size_of::<Model>()
    }

    fn hold(&mut self, held: Held) {
        if self.held.len() >= MAX_HELD
            && let Some(first) = self.held.pop_front()
        {
            self.learn_held(&first);
        }
        self.held.push_back(held);
    }

    /// Learns what of this edge was on hold for long enough, unless an episode is open.
    fn learn_due(&mut self, at: usize) {
        if self.held.is_empty() {
            return;
        }
        let Some(place) = self.places.get(at) else { return };
        if place.before.is_some() {
            return;
        }
        let windows = place.model.windows();
        let due = |held: &Held| held.place == at && held.due <= windows;
        while let Some(i) = self.held.iter().position(due) {
            if let Some(held) = self.held.remove(i) {
                self.learn_held(&held);
            }
        }
    }

    fn learn_held(&mut self, held: &Held) {
        let Some(place) = self.places.get_mut(held.place) else { return };
        let mut declared = DECLARED;
        let pooled = &mut self.kinds[place.key.place_of_kind()];
        let kind = if has_vote(&place.key) { pooled } else { &mut declared };
        place.model.learn_marks(&held.marks, kind, &self.settings);
    }
}

/// What of the machine a snapshot holds.
impl Baselines {
    pub(super) const fn parts(&self) -> (&Places, &[Kind; KINDS], &Seasons) {
        (&self.places, &self.kinds, &self.seasons)
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces all that is known.
    pub(super) fn replace(&mut self, places: Places, kinds: [Kind; KINDS], seasons: Seasons) {
        (self.places, self.kinds, self.seasons) = (places, kinds, seasons);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SpiffeId;

    #[test]
    fn the_hour_goes_by_the_wall_clock_and_returns_with_it() {
        let edge = EdgeKey::Caller(SpiffeId::from_static("spiffe://shop.example/checkout"));
        let (mut baselines, start) = (Baselines::new(Settings::default()), 472_222);
        let mut hour_at = |secs: u64, ahead| {
            baselines.set_wall_offset(ahead);
            let end = Timestamp::from_unix_secs(start * 3_600 + secs);
            let window = Window { start: end, end, calls: 1, asked: 1, ..Window::default() };
            baselines.handle_window(&edge, &window, true);
            baselines.seasons.hour_for(&edge).unwrap_or_default() - start
        };
        assert_eq!(hour_at(60, 0), 0);
        assert_eq!((hour_at(120, 7_200), hour_at(3_700, 7_200)), (2, 3));
        assert_eq!((hour_at(3_760, 0), hour_at(3_820, -300)), (1, 0));
    }
}
