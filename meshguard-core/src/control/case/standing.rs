//! Where an incident stands, told from its readings.

use std::time::Duration;

use super::{Case, Phase};
use crate::baseline::{Feature, Measure};
use crate::control::action::{Action, ActionState, Effect};
use crate::control::measure::{compare, is_absence, is_falling};
use crate::reflex::ActionKind;
use crate::time::Timestamp;

/// Without a reading for so long, or for three windows where that is longer, nothing gets
/// through any more.
const QUIET: Duration = Duration::from_secs(10);
/// The signal is gone after so many windows below half of the threshold...
const CALM_WINDOWS: u32 = 5;
/// ...that last so long, or half of the reflex's `ttl` where that is shorter.
const CALM_TIME: Duration = Duration::from_secs(30);
/// What was let in of a limit where windows and calls do not begin together.
const OVER_LIMIT: f32 = 1.1;
/// A restriction that was effective is measured again after so many windows above the threshold.
const LOUD_WINDOWS: u32 = 3;

impl Case {
    /// Whether the next step's time has come, and there is something to judge it by.
    pub(in crate::control) fn is_due(&self, now: Timestamp) -> bool {
        self.readings > 0 && self.due.is_some_and(|due| now >= due)
    }

    /// Whether the step that was taken helped so far.
    pub(in crate::control) fn has_improved(&self) -> bool {
        !self.is_hard() && self.compared() == Effect::Effective
    }

    fn compared(&self) -> Effect {
        if self.is_limited() {
            return Effect::Effective;
        }
        compare(self.incident.feature, &self.before, &self.latest, self.threshold, |measure| {
            self.bits(measure)
        })
    }

    /// Whether a limit does what it is for: no more than that was let in, though more may be asked
    /// for. Of another signal than the rate of calls or of handshakes that is all that can be
    /// expected where no other step follows.
    fn is_limited(&self) -> bool {
        let counted = [Some(Feature::Rate), Some(Feature::HandshakeFailures)];
        if !counted.contains(&self.incident.feature) && self.next_step().is_some() {
            return false;
        }
        let limit = self.in_force().find_map(|action| match &action.kind {
            ActionKind::Tighten(asked) => asked.rate,
            _ => None,
        });
        let Some((limit, admitted)) = limit.zip(self.admitted) else { return false };
        let most = limit.count as f32 / limit.per.as_secs_f32().max(1e-3);
        admitted <= most * OVER_LIMIT + 1.0 / self.window.as_secs_f32().max(1.0)
    }

    /// Whether the next step is not to be taken yet, for the metric is on its way back.
    pub(in crate::control) fn waits_for_falling(&self) -> bool {
        let unless = self.next_step().is_some_and(|next| next.unless_falling);
        unless
            && !self.is_hard()
            && is_falling(self.incident.feature, &self.before, &self.latest, |m| self.bits(m))
    }

    /// Whether the signal is gone.
    pub(in crate::control) fn is_calm(&self, now: Timestamp) -> bool {
        let (windows, since) = self.calm;
        windows >= CALM_WINDOWS && now.since(since) >= CALM_TIME.min(self.reflex.ttl / 2)
    }

    /// Whether the signal was there of late.
    pub(in crate::control) fn is_on(&self, now: Timestamp) -> bool {
        let recent = now.since(self.latest_at) <= CALM_TIME.max(self.window * 3);
        let repeated = !self.is_hard() || self.readings > 0;
        recent && repeated && self.bits(&self.latest) >= self.threshold / 2.0
    }

    /// Whether restrictions that worked do so no more.
    pub(in crate::control) fn has_relapsed(&self) -> bool {
        self.loud >= LOUD_WINDOWS
            && !self.is_hard()
            && !(self.quarantines() && self.still > 0)
            && self.compared() != Effect::Effective
    }

    /// Whether the signal is back, on probation.
    pub(in crate::control) fn is_back(&self) -> bool {
        self.is_back
    }

    /// What came of the restrictions, as soon as that can be said. At their expiry it must be.
    pub(in crate::control) fn effect(&self, expired: bool, now: Timestamp) -> Option<Effect> {
        let quarantine = self.quarantines();
        let due = self.due.is_none_or(|due| now >= due);
        if self.is_hard() {
            let helps = quarantine || self.readings == 0;
            let effect = if helps { Effect::Effective } else { Effect::NoEffect };
            return (expired || now >= self.hard_due()).then_some(effect);
        }
        if quarantine && self.still >= 2 {
            return Some(Effect::Effective);
        }
        if now >= self.quiet_at() || (expired && self.readings == 0) {
            let absence = is_absence(self.incident.signal, self.incident.feature, &self.before);
            let helps = quarantine || !absence;
            return Some(if helps { Effect::Effective } else { Effect::NoEffect });
        }
        let ready = (self.readings >= 2 && due) || expired;
        ready.then(|| self.compared())
    }

    /// The metric as it is, or as not observed where nothing gets through any more.
    pub(in crate::control) fn after(&self) -> Measure {
        if self.readings == 0 { Measure::default() } else { self.latest }
    }

    fn hard_due(&self) -> Timestamp {
        self.due.unwrap_or(self.taken_at + QUIET)
    }

    fn quiet_at(&self) -> Timestamp {
        self.taken_at.max(self.latest_at) + self.quiet()
    }

    /// Without a reading for so long, nothing gets through.
    pub(in crate::control) fn quiet(&self) -> Duration {
        QUIET.max(self.window * 3)
    }

    fn quarantines(&self) -> bool {
        self.in_force().any(|action| action.kind == ActionKind::Quarantine)
    }

    /// Its restrictions that hold, in shadow or not.
    pub(in crate::control) fn in_force(&self) -> impl Iterator<Item = &Action> {
        let holds = |a: &&Action| matches!(a.state, ActionState::InForce | ActionState::Shadow);
        self.incident.actions.iter().filter(holds)
    }

    /// Whether it restricts its edge, or would.
    pub(in crate::control) fn is_acting(&self) -> bool {
        matches!(self.phase, Phase::Proving { .. } | Phase::Holding { .. })
    }

    /// Whether its restrictions worked and have expired.
    pub(in crate::control) fn is_on_probation(&self) -> bool {
        matches!(self.phase, Phase::Probation { .. })
    }

    /// Bits of its cause above the threshold.
    pub(in crate::control) fn over(&self) -> f32 {
        self.bits(&self.latest) - self.threshold
    }

    /// When it is to be looked at without a score.
    pub(in crate::control) fn wake(&self) -> Timestamp {
        match self.phase {
            Phase::Watching { ends } => {
                let due = self.due.filter(|_| self.readings > 0);
                due.into_iter().chain(self.room).fold(ends, Timestamp::min)
            }
            Phase::Probation { ends } => ends,
            Phase::Holding { expires } => expires,
            Phase::Proving { expires } if self.is_hard() => self.hard_due().min(expires),
            Phase::Proving { expires } => {
                let measured = if self.readings >= 2 { self.due } else { None };
                measured.unwrap_or(expires).min(self.quiet_at()).min(expires)
            }
        }
    }
}
