//! What became of a caller's calls.

/// A caller's calls since the simulation began, by what became of them. The first is the sum of
/// the next six.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that it wanted to make.
    pub made: u64,
    /// The callee let them in.
    pub let_in: u64,
    /// The callee's policy refused them.
    pub refused: u64,
    /// The callee's loop did not let them in.
    pub restricted: u64,
    /// Its own loop did not let them out.
    pub held_back: u64,
    /// There was no connection: the callee's acceptor did not let it in.
    pub unconnected: u64,
    /// All callees that it knows were stopped.
    pub unserved: u64,
    /// Of those let in: failed, by whomsoever.
    pub failed: u64,
    /// Calls under way, and streams, that a quarantine ended. They count as let in, too.
    pub cut: u64,
}

impl Counts {
    /// What the loop took from the caller: all that it did not let through, or ended. Policy's
    /// refusals are not among them.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.restricted + self.held_back + self.unconnected + self.cut
    }

    /// Whether every call is accounted for.
    #[must_use]
    pub const fn balances(&self) -> bool {
        let dealt_with = self.let_in + self.refused + self.restricted;
        self.made == dealt_with + self.held_back + self.unconnected + self.unserved
    }
}
