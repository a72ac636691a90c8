//! Whether a peer may do anything at all.

use super::Policy;
use super::model::{Effect, Rule, Semantics};
use crate::identity::SpiffeId;

impl Policy {
    /// Whether what is not known never helps a caller, which does not hold of documents that were
    /// imported with another system's semantics.
    #[must_use]
    pub fn is_native(&self) -> bool {
        let semantics = self.loaded.as_ref().map(|loaded| loaded.document.semantics);
        semantics.is_none_or(|semantics| semantics == Semantics::Native)
    }

    /// Whether `domain` is the mesh's trust domain or one that it federates with. Of no domain where
    /// none is loaded.
    #[must_use]
    pub fn accepts_domain(&self, domain: &str) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.accepts(domain))
    }

    /// Whether there is anything that `callee` may let `caller` do, whatever it asks and proves:
    /// an allow rule for the two, and no deny rule that denies it everything. Never false of one
    /// whom [`decide`](Self::decide) might allow something.
    ///
    /// A transport need not keep a connection of a peer that is not admitted, unless it
    /// [carries other peers' calls](Self::is_hop).
    #[must_use]
    pub fn admits(&self, caller: &SpiffeId, callee: &SpiffeId) -> bool {
        let Some(loaded) = &self.loaded else { return false };
        if !self.is_native() {
            return true; // where nothing is said all is allowed, and conditions are the rules
        }
        if !loaded.accepts(caller.trust_domain()) {
            return false;
        }
        let own = caller.trust_domain() == loaded.document.mesh.as_str();
        let (from, to) = (loaded.index.peers(caller), loaded.index.peers(callee));
        let concerns = |rule: &&Rule| {
            let of_all = own || rule.effect == Effect::Deny;
            !rule.shadow
                && rule.from.as_ref().map_or(of_all, |peers| from.meet(peers))
                && rule.to.as_ref().is_none_or(|peers| to.meet(peers))
        };
        let (mut allowed, mut denied) = (false, false);
        for rule in loaded.document.rules.iter().filter(concerns) {
            allowed |= rule.effect == Effect::Allow;
            denied |= rule.effect == Effect::Deny && is_total(rule);
        }
        allowed && !denied
    }
}

/// Whether a deny rule holds whatever is asked, and however.
fn is_total(rule: &Rule) -> bool {
    let when = &rule.when;
    let always = when.direct.is_none() && when.source.is_none() && !when.asks_for_more();
    always && rule.via.is_none() && rule.templates.is_none()
}
