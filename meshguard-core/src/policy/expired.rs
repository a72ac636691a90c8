//! A policy that nobody has confirmed for too long.

use super::reason::Finding;
use super::{Policy, Reads};

impl Policy {
    /// What holds in this policy's place once it is older than its deadline: every access is
    /// denied with [`Reason::PolicyExpired`](super::Reason::PolicyExpired). It has this one's
    /// version and [plan](Self::plan), so that the loop goes on.
    #[must_use]
    pub fn expired(&self) -> Self {
        Self {
            loaded: None,
            covered: self.covered.clone(),
            plan: self.plan.clone(),
            reads: Reads::default(),
            fingerprint: 0,
            origin: self.origin,
            expired: Some(self.version()),
        }
    }

    /// Whether this is what holds in place of a policy that is older than its deadline.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired.is_some()
    }

    /// Why nothing is allowed where no document is loaded.
    pub(super) fn absent(&self) -> Finding {
        if self.is_expired() { Finding::PolicyExpired } else { Finding::NoPolicy }
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, Reason};
    use crate::{Access, SpiffeId};

    #[test]
    fn an_expired_policy_denies_all_with_a_reason_of_its_own() {
        const ID: &SpiffeId = &SpiffeId::from_static("spiffe://m/a");
        let policy: Policy = "mesh='m'\nversion=7\n[[allow]]\nname='all'".parse().unwrap();
        let access = Access::http("GET", "/").by(ID).to(ID);
        assert!(policy.decide(&access).is_allowed() && !policy.is_expired());
        let expired = policy.expired();
        assert_eq!(expired.decide(&access).reason(), Reason::PolicyExpired);
        assert!(expired.is_expired() && expired.version() == 7);
        assert!(!expired.admits(ID, ID) && !expired.is_hop(ID));
        assert_eq!(expired.plan(), policy.plan());
        let ruling = expired.decide(&access).ruling();
        assert_eq!(expired.decision(ruling).unwrap().reason(), Reason::PolicyExpired);
    }
}
