//! What the mesh writes down.

use std::sync::atomic::Ordering;

use meshguard_core::ledger::{Entry, PolicyChange, Start, Stop};

use super::{Mesh, Shared};
use crate::ledger::Ledger;

impl Mesh {
    /// The ledger, where there is one.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        self.0.ledger.as_ref()
    }

    /// Writes an entry down, where there is a ledger.
    pub(crate) fn record<'a>(&self, entry: impl FnOnce() -> Entry<'a>) {
        if let Some(ledger) = &self.0.ledger {
            // What is lost is counted there.
            let _ = ledger.append(&entry());
        }
    }

    pub(super) fn started(&self) {
        let policy_version = self.policy().version();
        self.record(|| {
            Entry::Start(Start {
                service: self.id().as_str(),
                instance: &self.0.instance,
                version: env!("CARGO_PKG_VERSION"),
                policy_version,
            })
        });
    }

    pub(super) fn policy_changed(&self, version: u64, replaced: u64) {
        self.record(|| Entry::Policy(PolicyChange { version, replaced: Some(replaced) }));
    }
}

impl Shared {
    /// The last word: how the books stand. Said once.
    pub(super) fn stopped(&self) {
        let Some(ledger) = &self.ledger else { return };
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        self.sessions.close();
        let (sent, accepted) = (self.channels.counts(), self.sessions.sums().books);
        let (accepted, settled) = (accepted.accepted, accepted.settled);
        let _ = ledger.append(&Entry::Stop(Stop { sent, accepted, settled }));
    }
}
