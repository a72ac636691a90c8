//! What becomes allowed or denied.

use std::fmt;

use super::super::model::Effect;
use super::super::region::{Block, Left, Scope, Space, TooComplex, Work, left, narrow};
use super::Named;
use crate::access::OwnedAccess;

/// Accesses that one policy allows and the other denies.
#[derive(Clone, Debug)]
pub struct Region<'p> {
    becomes: Effect,
    allow: &'p str,
    deny: Option<&'p str>,
    scope: Scope,
    except: Vec<&'p str>,
    witness: OwnedAccess,
    block: Block,
    without: Vec<Block>,
}

impl<'p> Region<'p> {
    /// What the new policy decides, and the old one does not.
    #[must_use]
    pub fn becomes(&self) -> Effect {
        self.becomes
    }

    /// The rule that allows it: of the new policy where it becomes allowed, else of the old one.
    #[must_use]
    pub fn allow(&self) -> &'p str {
        self.allow
    }

    /// The deny rule of the other policy; `None` where no allow rule of that matches.
    #[must_use]
    pub fn deny(&self) -> Option<&'p str> {
        self.deny
    }

    /// All of the region, in words, but for [`except`](Self::except).
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Rules, of either policy, whose matches are no part of the region.
    #[must_use]
    pub fn except(&self) -> &[&'p str] {
        &self.except
    }

    /// An access in the region: the two policies differ on it.
    #[must_use]
    pub fn witness(&self) -> &OwnedAccess {
        &self.witness
    }

    pub(super) fn has(&self, cell: &[u32]) -> bool {
        self.block.has(cell) && !self.without.iter().any(|block| block.has(cell))
    }
}

/// `allowed, by checkout-orders: from … : GET /orders/{id}; but for what other-rule matches`
impl fmt::Display for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.becomes, self.deny) {
            (Effect::Allow, None) => write!(f, "allowed, by {}", self.allow)?,
            (Effect::Allow, Some(deny)) => {
                write!(f, "allowed, by {}, as {deny} denies it no more", self.allow)?;
            }
            (Effect::Deny, None) => write!(f, "denied, as {} allows it no more", self.allow)?,
            (Effect::Deny, Some(deny)) => {
                write!(f, "denied, by {deny}, where {} allowed it", self.allow)?;
            }
        }
        write!(f, ": {}", self.scope)?;
        if self.except.is_empty() {
            return Ok(());
        }
        write!(f, "; but for what {} matches", self.except.join(" or "))
    }
}

/// One question: what of a block is left without others.
pub(super) struct Find<'a, 'p> {
    pub(super) space: &'a Space<'p>,
    pub(super) becomes: Effect,
    pub(super) allow: &'p str,
    pub(super) deny: Option<&'p str>,
}

impl<'p> Find<'_, 'p> {
    pub(super) fn region(
        &self,
        block: &Block,
        others: &[&Named<'p>],
        work: &mut Work,
    ) -> Result<Option<Region<'p>>, TooComplex> {
        work.spend(others.len())?;
        let blocks: Vec<&Block> = others.iter().map(|other| &other.block).collect();
        let Some((block, near)) = narrow(self.space, block, &blocks, work)? else {
            return Ok(None);
        };
        let near_blocks: Vec<&Block> = near.iter().map(|at| blocks[*at]).collect();
        let Left::Some(piece) = left(self.space, &block, &near_blocks, work)? else {
            return Ok(None);
        };
        let Some(witness) = self.space.witness(&piece) else { return Ok(None) };
        Ok(Some(Region {
            becomes: self.becomes,
            allow: self.allow,
            deny: self.deny,
            scope: self.space.scope(&block),
            except: near.iter().map(|at| others[*at].name).collect(),
            witness,
            without: near_blocks.into_iter().cloned().collect(),
            block,
        }))
    }
}
