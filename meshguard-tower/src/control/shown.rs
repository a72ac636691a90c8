//! What the loop shows of its time: as the wall clock has it.

use meshguard_core::baseline::Window;
use meshguard_core::control::{Action, Event, Incident, Restriction};

use crate::clock::Offset;

pub(crate) fn window(mut window: Window, offset: Offset) -> Window {
    (window.start, window.end) = (offset.to_wall(window.start), offset.to_wall(window.end));
    window
}

pub(crate) fn restriction(mut restriction: Restriction, offset: Offset) -> Restriction {
    restriction.until = offset.to_wall(restriction.until);
    restriction
}

pub(crate) fn incident(mut incident: Incident, offset: Offset) -> Incident {
    incident.first_seen = offset.to_wall(incident.first_seen);
    incident.last_seen = offset.to_wall(incident.last_seen);
    incident.actions.iter_mut().for_each(|done| action(done, offset));
    incident
}

pub(super) fn event(mut event: Event, offset: Offset) -> Event {
    match &mut event {
        Event::Opened(opened) => **opened = incident((**opened).clone(), offset),
        Event::Applied(done)
        | Event::Shadowed(done)
        | Event::Expired(done)
        | Event::Refused { action: done, .. }
        | Event::Measured { action: done, .. }
        | Event::Undone { action: done, .. }
        | Event::Lifted { action: done, .. } => action(done, offset),
        // They have no time.
        _ => {}
    }
    event
}

fn action(action: &mut Action, offset: Offset) {
    (action.since, action.expires) = (offset.to_wall(action.since), offset.to_wall(action.expires));
}
