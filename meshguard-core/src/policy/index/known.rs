//! IDs that a policy names, found by a digest that an ID brings along.

use super::numbers::Ends;
use super::table::Table;
use crate::identity::{SpiffeId, digest};
use crate::policy::model::PatternId;

/// What is known of each ID that a pattern names.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: Table<Name>,
    lists: Box<[u32]>,
}

#[derive(Debug)]
pub(super) struct Name {
    text: Box<str>,
    digest: u64,
    /// The pattern that names it.
    pub(super) pattern: PatternId,
    /// Where its numbers stand, unless they are many: so the memory that this takes has a bound.
    sides: Option<[Side; 2]>,
}

/// A part of `lists`: [`Ends`].
#[derive(Clone, Copy, Debug)]
struct Side {
    begin: u32,
    end: u32,
    named: u32,
}

/// Names, and their numbers as caller and as callee.
#[derive(Debug, Default)]
pub(super) struct Builder {
    names: Vec<(u64, Name)>,
    lists: Vec<u32>,
}

impl Builder {
    pub(super) fn insert(&mut self, text: &str, pattern: PatternId, ends: Option<[Ends<'_>; 2]>) {
        let sides = ends.map(|ends| ends.map(|ends| self.file(ends)));
        let digest = digest(text.as_bytes());
        self.names.push((digest, Name { text: text.into(), digest, pattern, sides }));
    }

    /// A document's bound keeps all of these far below `u32::MAX`.
    fn file(&mut self, ends: Ends<'_>) -> Side {
        let begin = self.lists.len() as u32;
        self.lists.extend_from_slice(ends.all);
        Side { begin, end: self.lists.len() as u32, named: ends.named as u32 }
    }

    pub(super) fn built(self) -> Known {
        Known { names: Table::new(self.names), lists: self.lists.into() }
    }
}

impl Known {
    #[inline]
    pub(super) fn get(&self, id: &SpiffeId) -> Option<&Name> {
        let digest = id.digest();
        self.names.find(digest, |name| name.digest == digest && *name.text == *id.as_str())
    }

    /// As a caller.
    #[inline]
    pub(super) fn caller(&self, name: &Name) -> Option<Ends<'_>> {
        name.sides.map(|[caller, _]| self.ends(caller))
    }

    /// As the callee.
    #[inline]
    pub(super) fn callee(&self, name: &Name) -> Option<Ends<'_>> {
        name.sides.map(|[_, callee]| self.ends(callee))
    }

    #[inline]
    fn ends(&self, side: Side) -> Ends<'_> {
        let all = &self.lists[side.begin as usize..side.end as usize];
        Ends { all, named: side.named as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_however_it_was_made() {
        const STATIC: &SpiffeId = &SpiffeId::from_static("spiffe://a/one");
        let ends = |all: &'static [u32], named| Ends { all, named };
        let mut known = Builder::default();
        known.insert("spiffe://a/one", 1, Some([ends(&[1, 7], 1), ends(&[7, 1, 9], 0)]));
        known.insert("spiffe://a/two", 2, None);
        let known = known.built();
        let one: SpiffeId = "spiffe://a/one".parse().unwrap();
        for id in [STATIC, &one] {
            let name = known.get(id).unwrap();
            assert_eq!(name.pattern, 1);
            assert_eq!(known.caller(name), Some(ends(&[1, 7], 1)));
            assert_eq!(known.callee(name), Some(ends(&[7, 1, 9], 0)));
        }
        let two = known.get(&"spiffe://a/two".parse().unwrap()).unwrap();
        assert_eq!((two.pattern, known.caller(two)), (2, None));
        assert!(known.get(&"spiffe://a/three".parse().unwrap()).is_none());
    }
}
