//! Policies as regions of a finite space, so that what they decide can be compared and proved.
//!
//! A [`Space`] is what some documents tell apart; each of their rules is a [`Block`] of it. All
//! questions come down to one: what of a block is left once others are taken away. Work is
//! bounded; where the bound is reached, the answer is [`TooComplex`], never a guess.

#[cfg(test)]
pub(in crate::policy) mod defect;

/// Whether a seeded defect is in force; outside of tests, never.
macro_rules! defect {
    ($which:ident) => {{
        #[cfg(test)]
        let seeded = crate::policy::region::defect::seeded()
            == Some(crate::policy::region::defect::Defect::$which);
        #[cfg(not(test))]
        let seeded = false;
        seeded
    }};
}

mod automaton;
mod bits;
mod block;
mod cover;
mod globs;
mod lines;
mod space;
mod words;

use std::fmt;

pub(super) use self::block::Block;
pub(super) use self::cover::{Ground, Left, Work, left, narrow};
pub(super) use self::space::{List, Space};

/// What makes policies too complex to compare within the bounds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TooComplex {
    /// Peers' patterns or operations' templates overlap in too many ways.
    Patterns,
    /// Patterns of one header's or claim's values overlap in too many ways.
    Values,
    /// One claim that conditions ask for stands inside of another.
    Claims,
    /// Too many rules, peers or operations.
    Size,
    /// Too many headers and claims have conditions.
    Conditions,
    /// The rules overlap in too many ways.
    Search,
    /// The document was imported, and its conditions are not compared yet.
    Imported,
}

impl fmt::Display for TooComplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Patterns => "patterns of peers or operations overlap in too many ways",
            Self::Values => "patterns of a header's or claim's values overlap in too many ways",
            Self::Claims => "one claim that conditions ask for stands inside of another",
            Self::Size => "too many rules, peers or operations",
            Self::Conditions => "too many headers and claims have conditions",
            Self::Search => "rules overlap in too many ways",
            Self::Imported => "conditions of imported documents are not compared",
        })
    }
}

impl std::error::Error for TooComplex {}

/// A region in words: what an access in it says of each, `or` between the entries of a list.
/// An empty list is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// Callers.
    pub from: Vec<String>,
    /// Callees.
    pub to: Vec<String>,
    /// Hops; or that there is none.
    pub via: Vec<String>,
    /// Operations, as `http` and `grpc` name them.
    pub operations: Vec<String>,
    /// Conditions, all of which hold.
    pub when: Vec<String>,
}

/// `from a, b to c: GET /orders/{id}; evidence at least digest`
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |list: &[String], any: &str| {
            if list.is_empty() { any.to_owned() } else { list.join(" or ") }
        };
        write!(f, "from {}", or(&self.from, "anybody"))?;
        if !self.to.is_empty() {
            write!(f, " to {}", or(&self.to, ""))?;
        }
        if !self.via.is_empty() {
            write!(f, " via {}", or(&self.via, ""))?;
        }
        write!(f, ": {}", or(&self.operations, "every operation"))?;
        self.when.iter().try_for_each(|condition| write!(f, "; {condition}"))
    }
}
