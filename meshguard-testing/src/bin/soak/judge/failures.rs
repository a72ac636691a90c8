//! Which calls may fail.

use std::time::Duration;

use super::Verdict;
use crate::evidence::{Evidence, Failed, Restart};
use crate::shape::{Lane, Side};

/// Why a call may have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// It was under way when its callee restarted.
    UnderWay,
    /// Through a hop, and not to be repeated: among the first ones after its callee's restart.
    First,
    /// Through a hop, and not to be repeated: begun while its callee drained beside its successor,
    /// with connections of the hop to both.
    Beside,
    /// The hop says itself (502) that it has lost its own connection to the callee, right after
    /// the restart that ended that connection. So does a proxy before the stock stack.
    Hop,
}

/// A hop notices so long after a restart that a connection of its own has ended with it.
const NOTICED: Duration = Duration::from_secs(1);

/// And so long after that the former instance is gone: it has closed its connections just then.
const CLOSED: Duration = Duration::from_millis(100);

/// Why this call may have failed. `None`: it may not.
pub(crate) fn excuse(failed: &Failed, restarts: &[Restart]) -> Option<Excuse> {
    let mut own = of_callee(failed, restarts);
    if own.clone().any(|restart| failed.begun <= restart.to && failed.ended >= restart.from) {
        return Some(Excuse::UnderWay);
    }
    let later = own.any(|restart| restart.to < failed.begun);
    let may = failed.lane.via && !failed.shape.is_idempotent() && failed.first && later;
    if may {
        return Some(Excuse::First);
    }
    let beside = |r: &Restart| {
        r.to <= failed.begun && r.gone.is_none_or(|gone| failed.begun <= gone + CLOSED)
    };
    let may = failed.lane.via && !failed.shape.is_idempotent();
    if may && of_callee(failed, restarts).any(beside) {
        return Some(Excuse::Beside);
    }
    let just = |restart: &Restart| {
        failed.begun.checked_duration_since(restart.to).is_some_and(|since| since < NOTICED)
    };
    let of_hop = failed.lane.via && failed.why.contains("502 Bad Gateway");
    (of_hop && of_callee(failed, restarts).any(just)).then_some(Excuse::Hop)
}

pub(super) fn verdict(evidence: &Evidence) -> Verdict {
    let (mut against, mut under_way, mut first, mut beside, mut hop) = (Vec::new(), 0, 0, 0, 0);
    for failed in evidence.failed.iter().filter(|failed| failed.lane.side == Side::Mesh) {
        match excuse(failed, &evidence.restarts) {
            Some(Excuse::UnderWay) => under_way += 1,
            Some(Excuse::First) => first += 1,
            Some(Excuse::Beside) => beside += 1,
            Some(Excuse::Hop) => hop += 1,
            None => against.push(tell(failed, &evidence.restarts)),
        }
    }
    if evidence.failed_beyond > 0 {
        against.push(format!("{} more that nobody looked at", evidence.failed_beyond));
    }
    let note = format!(
        "{under_way} under way at a restart, {first} first after it through a hop, \
         {beside} through a hop while it drained, {hop} on a connection that the hop lost with it"
    );
    super::verdict("no call failed without a restart's excuse", against, note)
}

fn tell(failed: &Failed, restarts: &[Restart]) -> String {
    let Failed { lane, shape, begun, ended, why, .. } = failed;
    let took = ended.duration_since(*begun).as_millis();
    let since = of_callee(failed, restarts)
        .filter_map(|restart| begun.checked_duration_since(restart.to))
        .min()
        .map_or("before any restart".into(), |t| format!("{} ms after one", t.as_millis()));
    format!("{lane}, {}, begun {since}, after {took} ms: {why}", shape.name())
}

/// The restarts of the callee that was called.
fn of_callee<'a>(
    failed: &Failed,
    restarts: &'a [Restart],
) -> impl Iterator<Item = &'a Restart> + Clone {
    let Lane { side, callee, .. } = failed.lane;
    restarts.iter().filter(move |restart| (restart.side, restart.callee) == (side, callee))
}
