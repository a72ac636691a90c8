//! The covered values of one header, by the globs that match all of them.

use std::collections::{HashMap, HashSet, VecDeque};

use http::HeaderName;

use super::super::bits::Bits;
use super::super::globs::{self, Language};
use super::super::{TooComplex, words};
use crate::access::{Access, OwnedAccess};
use crate::policy::pattern::Glob;

/// The most sets of globs that several values can be matched by together.
const MAX_SETS: usize = 20_000;

/// One axis: no value at all is its first class.
#[derive(Debug)]
pub(in crate::policy::region) struct HeaderLine<'p> {
    name: &'p HeaderName,
    globs: Vec<&'p Glob>,
    /// Of each class but the first: values that stand for it.
    values: Vec<Vec<String>>,
    /// By the numbers of the globs that match every value.
    classes: HashMap<Vec<u32>, usize>,
    sets: Vec<Bits>,
}

impl<'p> HeaderLine<'p> {
    pub(in crate::policy::region) fn new(
        name: &'p HeaderName,
        globs: impl IntoIterator<Item = &'p Glob>,
    ) -> Result<Self, TooComplex> {
        let mut own: Vec<&Glob> = globs.into_iter().collect();
        own.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        own.dedup();
        let texts: Vec<&str> = own.iter().map(|glob| glob.as_str()).collect();
        let single = globs::classes(&texts, Language::Header)?;
        let (mut values, mut classes) = (Vec::new(), HashMap::new());
        for (matches, texts) in together(&single)? {
            values.push(texts);
            classes.insert(matches, values.len());
        }
        let len = 1 + values.len();
        super::room(own.len(), len)?;
        let mut sets = vec![Bits::none(len); own.len()];
        for (matches, class) in &classes {
            for number in matches {
                sets[*number as usize].insert(*class);
            }
        }
        Ok(Self { name, globs: own, values, classes, sets })
    }

    pub(in crate::policy::region) fn name(&self) -> &'p HeaderName {
        self.name
    }

    pub(in crate::policy::region) fn len(&self) -> usize {
        1 + self.values.len()
    }

    /// There is a value, and all of them match.
    pub(in crate::policy::region) fn matching(&self, glob: &Glob) -> Bits {
        let at = self.globs.iter().position(|own| *own == glob);
        at.map_or_else(|| Bits::none(self.len()), |at| self.sets[at].clone())
    }

    pub(in crate::policy::region) fn class(&self, access: &Access<'_>) -> Option<usize> {
        let name = self.name.as_str();
        if !access.any_header(name, |_| true) {
            return Some(0);
        }
        let all = |glob: &Glob| !access.any_header(name, |value| !glob.matches(value));
        let numbered = (0..).zip(&self.globs);
        let matches: Vec<u32> = numbered.filter(|(_, glob)| all(glob)).map(|(n, _)| n).collect();
        self.classes.get(&matches).copied()
    }

    pub(in crate::policy::region) fn stand(&self, class: usize, access: &mut OwnedAccess) {
        let values = class.checked_sub(1).map_or(&[][..], |at| &self.values[at]);
        access.headers.extend(values.iter().map(|v| (self.name.to_string(), v.clone())));
    }

    pub(in crate::policy::region) fn words(&self, set: &Bits) -> String {
        let named: Vec<(&str, &Bits)> =
            self.globs.iter().map(|glob| glob.as_str()).zip(&self.sets).collect();
        let values = Bits::of(self.len(), |class| class > 0 && set.has(class));
        let example = |class: usize| format!("{:?}", self.values[class - 1]);
        let mut words = words::cover(&values, &named, "any other value", example);
        if set.has(0) {
            words.push("not there".to_owned());
        }
        format!("header {}: {}", self.name, words.join(" or "))
    }
}

/// The numbers of the globs that match all of some values, and these.
type Matched = (Vec<u32>, Vec<String>);

/// What one value or several can be matched by: every intersection of what single ones are, each
/// with values that make it.
fn together(single: &[globs::Class]) -> Result<Vec<Matched>, TooComplex> {
    let mut seen: HashSet<Vec<u32>> = HashSet::new();
    let mut sets: Vec<Matched> = Vec::new();
    let mut todo: VecDeque<usize> = VecDeque::new();
    let mut add = |sets: &mut Vec<_>, todo: &mut VecDeque<_>, matches: Vec<u32>, values| {
        if seen.insert(matches.clone()) {
            todo.push_back(sets.len());
            sets.push((matches, values));
        }
    };
    for class in single {
        add(&mut sets, &mut todo, class.matches.clone(), vec![class.text.clone()]);
    }
    let mut steps = 0_usize;
    while let Some(at) = todo.pop_front().filter(|_| !defect!(OneValue)) {
        for class in single {
            steps += 1;
            let both: Vec<u32> = sets[at]
                .0
                .iter()
                .filter(|n| class.matches.binary_search(n).is_ok())
                .copied()
                .collect();
            let mut values = sets[at].1.clone();
            values.push(class.text.clone());
            add(&mut sets, &mut todo, both, values);
        }
        if sets.len() > MAX_SETS || steps > 100 * MAX_SETS {
            return Err(TooComplex::Values);
        }
    }
    Ok(sets)
}
