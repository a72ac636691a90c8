//! Rules under their keys.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::slice;

use super::numbers::{Ends, Few};
use super::table::{Table, mix};
use super::{ANY, FIRST_SPECIAL};
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
#[derive(Clone, Copy, Default)]
pub(in crate::policy) struct Group<'i> {
    pub(in crate::policy) deny: &'i [Filing],
    pub(in crate::policy) allow: &'i [Filing],
    /// Of both effects.
    pub(in crate::policy) shadow: &'i [Filing],
}

/// A rule as it is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) struct Filing {
    pub(in crate::policy) rule: RuleId,
    /// Whether it has conditions, or a hop: else it holds once it is found.
    pub(in crate::policy) conditional: bool,
}

/// All rules. A look-up is one of the pair, and then one of each template under it.
#[derive(Debug, Default)]
pub(super) struct Filed {
    pairs: Table<Pair>,
    pub(super) callers: Named,
    pub(super) callees: Named,
    /// By the pair's number: the rules for every operation.
    every: Box<[Option<Place>]>,
    has_every: bool,
    single: Table<Single>,
    rules: Box<[Filing]>,
}

/// The number of a pair of caller and callee, counted from 1.
#[derive(Debug)]
struct Pair {
    ends: u64,
    number: NonZeroU32,
}

/// The rules under a pair and a template.
#[derive(Debug)]
struct Single {
    key: u64,
    place: Place,
}

/// Where a group is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Here: one rule, as most groups are.
    One(Kind, Filing),
    /// In `rules`: where its kinds begin, and where it ends.
    Many { deny: u32, allow: u32, shadow: u32, end: u32 },
}

impl Filed {
    pub(super) fn new(mut entries: Vec<(Key, Kind, Filing)>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut filed = Self::default();
        let (mut pairs, mut every) = (HashMap::new(), vec![None]);
        let (mut single, mut deny) = (Vec::new(), 0);
        for group in entries.chunk_by(|(a, ..), (b, ..)| a == b) {
            // `MAX_ENTRIES` is far below `u32::MAX`.
            let upto = |last| deny + group.partition_point(|(_, kind, _)| *kind <= last) as u32;
            let (allow, shadow, end) = (upto(Kind::Deny), upto(Kind::Allow), upto(Kind::Shadow));
            let place = match group {
                [(_, kind, rule)] => Place::One(*kind, *rule),
                _ => Place::Many { deny, allow, shadow, end },
            };
            deny = end;
            let [from, to, template] = group[0].0;
            filed.callers.add(from);
            filed.callees.add(to);
            let pair = *pairs.entry(wide(from, to)).or_insert(every.len() as PairId);
            every.resize((pair as usize + 1).max(every.len()), None);
            if template == ANY {
                every[pair as usize] = Some(place);
                filed.has_every = true;
            } else {
                let key = wide(pair, template);
                single.push((hash(key), Single { key, place }));
            }
        }
        let pairs = pairs.into_iter().filter_map(|(ends, number)| {
            Some((hash(ends), Pair { ends, number: NonZeroU32::new(number)? }))
        });
        filed.pairs = Table::new(pairs.collect());
        filed.single = Table::new(single);
        filed.every = every.into();
        filed.rules = entries.into_iter().map(|(.., rule)| rule).collect();
        filed
    }

    /// Those pairs of which rules speak.
    #[inline]
    pub(super) fn pairs(&self, from: Ends<'_>, to: Ends<'_>) -> Few<PairId> {
        let mut pairs = Few::default();
        for from in from.named() {
            for to in to.named() {
                let ends = wide(*from, *to);
                if let Some(pair) = self.pairs.find(hash(ends), |pair| pair.ends == ends) {
                    pairs.push(pair.number.get());
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
    #[inline]
    pub(super) fn get(&self, pair: PairId, template: u32) -> Option<Group<'_>> {
        let place = match template {
            ANY => self.every[pair as usize].as_ref()?,
            _ => {
                let key = wide(pair, template);
                &self.single.find(hash(key), |single| single.key == key)?.place
            }
        };
        Some(match place {
            Place::One(kind, rule) => {
                let (one, none) = (slice::from_ref(rule), Group::default());
                match kind {
                    Kind::Deny => Group { deny: one, ..none },
                    Kind::Allow => Group { allow: one, ..none },
                    Kind::Shadow => Group { shadow: one, ..none },
                }
            }
            Place::Many { deny, allow, shadow, end } => {
                let slice = |from: &u32, to: &u32| &self.rules[*from as usize..*to as usize];
                Group {
                    deny: slice(deny, allow),
                    allow: slice(allow, shadow),
                    shadow: slice(shadow, end),
                }
            }
        })
    }
}

/// A set of patterns' numbers, and of those that stand for more than one peer.
#[derive(Debug, Default)]
pub(super) struct Named(Vec<bool>);

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

    pub(super) fn has(&self, number: u32) -> bool {
        self.0.get(Self::place(number)).copied().unwrap_or_default()
    }
}

pub(super) fn hash(key: u64) -> u64 {
    mix(key, 0)
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
        let filing = |rule| Filing { rule, conditional: rule == 4 };
        let numbers = |filings: &[Filing]| -> Vec<RuleId> {
            assert!(filings.iter().all(|f| f.conditional == (f.rule == 4)));
            filings.iter().map(|f| f.rule).collect()
        };
        let filed = Filed::new(vec![
            ([1, 2, 3], Kind::Allow, filing(9)),
            ([1, 2, 3], Kind::Deny, filing(8)),
            ([1, 2, 3], Kind::Allow, filing(4)),
            ([1, 2, 3], Kind::Allow, filing(4)),
            ([1, 2, ANY], Kind::Shadow, filing(5)),
            ([2, 1, 3], Kind::Deny, filing(6)),
        ]);
        let get = |from, to, template| {
            let pairs = filed.pairs(Ends::of(&[7, from, ANY]), Ends::of(&[to, OWN]));
            let [pair] = pairs.as_slice() else { panic!("{:?}", pairs.as_slice()) };
            let group = filed.get(*pair, template)?;
            Some([group.deny, group.allow, group.shadow].map(numbers))
        };
        assert_eq!(get(1, 2, 3), Some([vec![8], vec![4, 9], vec![]]));
        assert_eq!(get(1, 2, ANY), Some([vec![], vec![], vec![5]]));
        assert_eq!(get(2, 1, 3), Some([vec![6], vec![], vec![]]));
        assert_eq!([ANY, 2].map(|template| get(2, 1, template)), [None, None]);
        assert!(filed.pairs(Ends::of(&[2]), Ends::of(&[2])).as_slice().is_empty());
        assert!(filed.has_every());
        assert!(!Filed::new(vec![([1, 2, 3], Kind::Deny, filing(1))]).has_every());
    }
}
