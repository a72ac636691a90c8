//! Follows a source of policies.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use meshguard_core::Policy;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::enforceable::enforceable;
use super::{Mesh, ReloadError, Shared};
use crate::sink::{Direction, Edge};
use crate::source::{News, PolicySource};

/// Puts in force what the source brings, until the mesh is gone.
pub(super) async fn follow(
    mesh: Weak<Shared>,
    mut source: Box<dyn PolicySource>,
    stale_after: Option<Duration>,
) {
    let mut term = Term::new(stale_after);
    let mut open = true;
    loop {
        let news = tokio::select! {
            biased;
            news = source.next(), if open => news,
            () = term.over() => {
                let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
                term.stale = mesh.policy_is_stale(source.name());
                continue;
            }
        };
        let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
        let offered = match news {
            Some(News::Policy(policy)) => Ok(*policy),
            Some(News::Failed(error)) => Err(error),
            Some(News::Fresh) => {
                mesh.policy_is_fresh(term.renew());
                continue;
            }
            None => {
                tracing::warn!(target: "meshguard::policy", "{} has ended", source.name());
                open = false;
                continue;
            }
        };
        let name = source.name().to_owned();
        let Some(outcome) = offer(mesh, name, offered).await else { return };
        if outcome.is_ok() {
            term.renew();
        }
        source.told(&outcome);
    }
}

/// Offers a policy in a thread that may block: what is made of it grows with the document. `None`:
/// the runtime ends.
async fn offer(
    mesh: Mesh,
    source: String,
    offered: Result<Policy, ReloadError>,
) -> Option<Result<u64, Arc<ReloadError>>> {
    let kept = mesh.clone();
    match spawn_blocking(move || mesh.offer(&source, offered)).await {
        Ok(outcome) => Some(outcome),
        Err(error) if error.is_cancelled() => None,
        Err(error) => {
            Some(Err(kept.keep_policy(ReloadError::Source("meshguard".into(), error.into()))))
        }
    }
}

/// How long what is in force holds without another word of its source.
struct Term {
    length: Option<Duration>,
    until: Option<Instant>,
    /// What was in force until it was over.
    stale: Option<Arc<Policy>>,
}

impl Term {
    fn new(length: Option<Duration>) -> Self {
        Self { length, until: length.map(|length| Instant::now() + length), stale: None }
    }

    /// It begins anew; what had expired.
    fn renew(&mut self) -> Option<Arc<Policy>> {
        self.until = self.length.map(|length| Instant::now() + length);
        self.stale.take()
    }

    async fn over(&mut self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
        self.until = None;
    }
}

impl Mesh {
    /// Nobody has confirmed the policy for too long: it holds no more. What held.
    fn policy_is_stale(&self, source: &str) -> Option<Arc<Policy>> {
        let held = self.policy();
        if held.is_expired() {
            return None;
        }
        let put = self.put_policy(Some(&held), Arc::new(held.expired()), |status| {
            status.expired = true;
        });
        if !put {
            return None;
        }
        let edge = Edge { from: None, to: self.id(), via: None };
        let detail = format!("policy version {}: no word from {source}", held.version());
        self.found(Direction::Inbound, edge, "policy-expired", &detail);
        Some(held)
    }

    /// What had expired is the newest after all.
    fn policy_is_fresh(&self, stale: Option<Arc<Policy>>) {
        let expired = self.policy();
        if let Some(stale) = stale.filter(|_| expired.is_expired()) {
            self.put_policy(Some(&expired), stale, |status| status.expired = false);
        }
    }

    /// Puts in force what the source of this name offers, unless it is older than what is, or cannot
    /// be taken.
    pub(super) fn offer(
        &self,
        source: &str,
        offered: Result<Policy, ReloadError>,
    ) -> Result<u64, Arc<ReloadError>> {
        let taken = offered.and_then(|policy| {
            self.goes_on_announcing(source, &policy)?;
            enforceable(&policy, &self.0.tls).map(|()| policy)
        });
        let policy = match taken {
            Ok(policy) => Arc::new(policy.for_callee(self.id())),
            Err(error) => return Err(self.keep_policy(error)),
        };
        let found = policy.version();
        loop {
            let current = self.policy();
            if found < current.version() {
                let current = current.version();
                return Err(self.keep_policy(ReloadError::OlderPolicy { current, found }));
            }
            let put = self.put_policy(Some(&current), Arc::clone(&policy), |status| {
                (status.expired, status.refused) = (false, None);
                status.loads += 1;
            });
            if put {
                return Ok(found);
            }
        }
    }
    /// Refuses a document without a digest of a source that has announced one before: the line that
    /// would show a half document may be what is missing.
    fn goes_on_announcing(&self, source: &str, policy: &Policy) -> Result<(), ReloadError> {
        if policy.announces_digest() {
            self.0.announced.store(true, Ordering::Relaxed);
        } else if self.0.announced.load(Ordering::Relaxed) {
            return Err(ReloadError::Unannounced(source.to_owned()));
        }
        Ok(())
    }
}
