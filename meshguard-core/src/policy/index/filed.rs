//! Rules under their keys.

use super::{ANY, FIRST_SPECIAL, Few, Map};
use crate::policy::model::RuleId;

/// Caller, callee, template.
pub(in crate::policy) type Key = [u32; 3];

/// What is done with a rule; in the order in which they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Deny,
    Allow,
    Shadow,
}

/// Number of a pair of caller and callee under which there are rules.
pub(in crate::policy) type PairId = u32;

/// The rules under one key, each kind in the order of the document.
#[derive(Clone, Copy)]
pub(in crate::policy) struct Group<'i> {
    pub(in crate::policy) deny: &'i [RuleId],
    pub(in crate::policy) allow: &'i [RuleId],
    /// Of both effects.
    pub(in crate::policy) shadow: &'i [RuleId],
}

/// All rules. A look-up is one of the pair, and then one of each template under it.
#[derive(Debug, Default)]
pub(super) struct Filed {
    pairs: Map<u64, PairId>,
    callers: Named,
    callees: Named,
    /// By the pair's number: the rules for every operation.
    every: Vec<Place>,
    has_every: bool,
    /// By the pair's number and the template.
    single: Map<u64, Place>,
    rules: Box<[RuleId]>,
}

/// Where in `rules` a group's kinds begin, and where it ends.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    deny: u32,
    allow: u32,
    shadow: u32,
    end: u32,
}

impl Filed {
    pub(super) fn new(mut entries: Vec<(Key, Kind, RuleId)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut filed = Self::default();
        let mut deny = 0;
        for group in entries.chunk_by(|(a, ..), (b, ..)| a == b) {
            // `MAX_ENTRIES` is far below `u32::MAX`.
            let upto = |last| deny + group.partition_point(|(_, kind, _)| *kind <= last) as u32;
            let (allow, shadow, end) = (upto(Kind::Deny), upto(Kind::Allow), upto(Kind::Shadow));
            filed.place(group[0].0, Place { deny, allow, shadow, end });
            deny = end;
        }
        filed.rules = entries.into_iter().map(|(.., rule)| rule).collect();
        filed
    }

    fn place(&mut self, [from, to, template]: Key, place: Place) {
        self.callers.add(from);
        self.callees.add(to);
        let new = self.every.len() as PairId;
        let pair = *self.pairs.entry(wide(from, to)).or_insert(new);
        if pair == new {
            self.every.push(Place::default());
        }
        if template == ANY {
            self.every[pair as usize] = place;
            self.has_every = true;
        } else {
            self.single.insert(wide(pair, template), place);
        }
    }

    /// Those pairs of which rules speak.
    pub(super) fn pairs(&self, from: &[u32], to: &[u32]) -> Few<PairId> {
        let mut pairs = Few::default();
        for from in from.iter().filter(|n| self.callers.has(**n)) {
            for to in to.iter().filter(|n| self.callees.has(**n)) {
                if let Some(pair) = self.pairs.get(&wide(*from, *to)) {
                    pairs.push(*pair);
                }
            }
        }
        pairs
    }

    /// Whether there are rules for every operation.
    pub(super) fn has_every(&self) -> bool {
        self.has_every
    }

    /// The rules under a pair and a template, or those under it for every operation.
    pub(super) fn get(&self, pair: PairId, template: u32) -> Group<'_> {
        let place = match template {
            ANY => self.every[pair as usize],
            _ => self.single.get(&wide(pair, template)).copied().unwrap_or_default(),
        };
        let slice = |from: u32, to: u32| &self.rules[from as usize..to as usize];
        Group {
            deny: slice(place.deny, place.allow),
            allow: slice(place.allow, place.shadow),
            shadow: slice(place.shadow, place.end),
        }
    }
}

/// A set of patterns' numbers, and of those that stand for more than one peer.
#[derive(Debug, Default)]
struct Named(Vec<bool>);

impl Named {
    /// The numbers that are no pattern's come first.
    fn place(number: u32) -> usize {
        number.wrapping_sub(FIRST_SPECIAL) as usize
    }

    fn add(&mut self, number: u32) {
        let place = Self::place(number);
        if self.0.len() <= place {
            self.0.resize(place + 1, false);
        }
        self.0[place] = true;
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(Self::place(number)).copied().unwrap_or_default()
    }
}

pub(super) fn wide(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::super::OWN;
    use super::*;

    #[test]
    fn rules_are_found_under_their_key_by_kind_and_in_order() {
        let filed = Filed::new(vec![
            ([1, 2, 3], Kind::Allow, 9),
            ([1, 2, 3], Kind::Deny, 8),
            ([1, 2, 3], Kind::Allow, 4),
            ([1, 2, 3], Kind::Allow, 4),
            ([1, 2, ANY], Kind::Shadow, 5),
            ([2, 1, 3], Kind::Deny, 6),
        ]);
        let get = |from, to, template| {
            let pairs = filed.pairs(&[7, from, ANY], &[to, OWN]);
            let [pair] = pairs.as_slice() else { panic!("{:?}", pairs.as_slice()) };
            let group = filed.get(*pair, template);
            [group.deny, group.allow, group.shadow].map(<[u32]>::to_vec)
        };
        assert_eq!(get(1, 2, 3), [vec![8], vec![4, 9], vec![]]);
        assert_eq!(get(1, 2, ANY), [vec![], vec![], vec![5]]);
        assert_eq!(get(2, 1, 3), [vec![6], vec![], vec![]]);
        for template in [ANY, 2] {
            assert!(get(2, 1, template).iter().all(Vec::is_empty));
        }
        assert!(filed.pairs(&[2], &[2]).as_slice().is_empty());
        assert!(filed.has_every());
        assert!(!Filed::new(vec![([1, 2, 3], Kind::Deny, 1)]).has_every());
    }
}
