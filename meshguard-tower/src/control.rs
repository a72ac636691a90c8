//! The loop, run: what is measured becomes scores, scores verdicts, verdicts actions that are
//! enforced here.

mod driver;
mod events;
mod overlay;
pub(crate) mod shown;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

#[cfg(test)]
pub(crate) use driver::RECEIPT_DUE;
pub(crate) use driver::{Engine, drive};
pub(crate) use overlay::{Cause, Overlay, Stopped};

use crate::observe::Edges;

/// What calls see of the loop: where they are measured, and what is in force.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) edges: Edges,
    overlay: ArcSwap<Overlay>,
}

impl Gate {
    /// What is in force now.
    pub(crate) fn overlay(&self) -> Guard<Arc<Overlay>> {
        self.overlay.load()
    }

    /// Puts another snapshot into force.
    pub(crate) fn put(&self, overlay: Arc<Overlay>) {
        self.overlay.store(overlay);
    }
}
