//! What the mesh writes down.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use meshguard_core::ledger::{Decision, Entry, PolicyChange, Rewritten, Start, Stop};
use meshguard_core::{Policy, Timestamp};

use super::builder::hex;
use super::{Mesh, Shared};
use crate::ledger::{Condition, Ledger, LedgerError, Refusal};
use crate::sink::{Direction, Edge};

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

    /// Writes down what was refused: by itself, or, beyond a rate of its caller, as a count.
    /// Whether it was counted only.
    pub(crate) fn record_refusal(&self, id: u128, refusal: &Refusal<'_>, at: Timestamp) -> bool {
        let Some(ledger) = &self.0.ledger else { return false };
        if !self.0.refusals.is_own(ledger, refusal, at) {
            return true;
        }
        self.record(|| {
            Entry::Decision(Decision {
                id,
                from: refusal.from,
                via: refusal.via,
                allowed: false,
                reason: refusal.reason,
                route: refusal.route,
                policy_version: refusal.policy_version,
            })
        });
        false
    }

    /// Writes down the counts of refusals that are due.
    pub(crate) fn record_counts(&self, now: Timestamp) {
        if let Some(ledger) = &self.0.ledger {
            self.0.refusals.write(ledger, now);
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

    /// Writes down that a policy has taken another one's place. Of the same version and with another
    /// text, it is told: the document was rewritten without a new number.
    pub(super) fn policy_changed(&self, policy: &Policy, replaced: &Policy) {
        let (version, was) = (policy.version(), replaced.version());
        self.record(|| Entry::Policy(PolicyChange { version, replaced: Some(was) }));
        let (Some(&after), Some(&before)) = (policy.digest(), replaced.digest()) else { return };
        if version != was || after == before {
            return;
        }
        self.record(|| Entry::Rewritten(Rewritten { version, before, after }));
        let (before, after) = (hex(&before), hex(&after));
        let detail = format!("policy version {version}: sha256={after} instead of sha256={before}");
        let edge = Edge { from: None, to: self.id(), via: None };
        self.found(Direction::Inbound, edge, "policy-rewritten", &detail);
    }
}

/// Tells of a ledger that cannot be written, and when it is again, until the mesh is gone.
pub(super) async fn follow_ledger(mesh: Weak<Shared>) {
    let ledger = mesh.upgrade().and_then(|mesh| mesh.ledger.as_ref().map(Ledger::condition));
    let Some(mut conditions) = ledger else { return };
    let mut told = Condition::default();
    loop {
        let condition = conditions.borrow_and_update().clone();
        let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
        mesh.tell_ledger(&told, &condition);
        told = condition;
        drop(mesh);
        if conditions.changed().await.is_err() {
            return;
        }
    }
}

impl Mesh {
    fn tell_ledger(&self, before: &Condition, now: &Condition) {
        self.health().set_ledger_off(now.off);
        let edge = Edge { from: None, to: self.id(), via: None };
        let why = now.failure.as_ref().map(LedgerError::to_string).unwrap_or_default();
        if now.off && !before.off {
            self.found(Direction::Inbound, edge, "ledger-off", &why);
        } else if now.failures > before.failures && !now.off && !before.off {
            let detail = format!("{why}; done again on files opened anew");
            self.found(Direction::Inbound, edge, "ledger-failed", &detail);
        } else if before.off && !now.off {
            let lost = self.ledger().map_or(0, |ledger| ledger.stats().lost);
            let detail = format!("entries are written again; {lost} were lost since the start");
            self.found(Direction::Inbound, edge, "ledger-on", &detail);
        }
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
        self.refusals.close(ledger);
        let (sent, accepted) = (self.channels.counts(), self.sessions.sums().books);
        let (accepted, settled) = (accepted.accepted, accepted.settled);
        let _ = ledger.append(&Entry::Stop(Stop { sent, accepted, settled }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use meshguard_core::Policy;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;
    use crate::ledger::LedgerOptions;
    use crate::ledger::tests::rig::{Op, append, scripted};
    use crate::probe::HealthState;
    use crate::sink::{Call, Finding, Sink};

    const SOON: Duration = Duration::from_secs(20);

    struct Tell(Mutex<UnboundedSender<String>>);

    impl Sink for Tell {
        fn call(&self, _: &Call<'_>) {}

        fn finding(&self, finding: &Finding<'_>) {
            // A test that has seen enough listens no more.
            let _ = self.0.lock().unwrap().send(finding.name.to_owned());
        }
    }

    fn policy() -> Policy {
        "mesh = 'shop.example'\nversion = 1\n".parse().unwrap()
    }

    async fn next(told: &mut UnboundedReceiver<String>) -> String {
        timeout(SOON, told.recv()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_ledger_that_is_off_is_a_finding_and_a_state_and_ends_no_service() {
        let options = LedgerOptions::new().retry(Duration::ZERO);
        let (ledger, remote) = scripted(options);
        let (tell, mut told) = unbounded_channel();
        let builder = Mesh::dev("spiffe://shop.example/orders").unwrap().policy(policy());
        let mesh = builder.ledger(ledger.clone()).sink(Tell(Mutex::new(tell))).build().unwrap();
        let _listener = mesh.listen("127.0.0.1:0").await.unwrap();
        mesh.health().set(HealthState::Ready);
        remote.break_down(Op::Write);
        append(&ledger, 0);
        assert!(ledger.flush().await.is_err());
        let mut first = next(&mut told).await;
        if first == "ledger-failed" {
            first = next(&mut told).await;
        }
        assert_eq!((first.as_str(), mesh.health().is_ledger_off()), ("ledger-off", true));
        assert_eq!(mesh.health().state(), HealthState::Ready);
        remote.mend();
        assert_eq!(next(&mut told).await, "ledger-on");
        assert!(!mesh.health().is_ledger_off());
        ledger.flush().await.unwrap();
    }
}
