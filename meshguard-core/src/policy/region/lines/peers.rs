//! Callers, callees and hops: SPIFFE IDs, by the patterns that match them.

use std::collections::{BTreeMap, HashMap};

use super::super::TooComplex;
use super::super::automaton::Automaton;
use super::super::bits::Bits;
use super::super::words;
use crate::access::{Access, OwnedAccess};
use crate::identity::SpiffeId;
use crate::policy::template::Segment;

/// Which of an access' peers an axis is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy::region) enum Role {
    Caller,
    /// May be unknown.
    Callee,
    /// There may be none: a direct call, or one of which nothing is known.
    Hop,
}

impl Role {
    /// What there is beside IDs.
    fn beside(self) -> &'static [&'static str] {
        match self {
            Self::Caller => &[],
            Self::Callee => &["an unknown callee"],
            Self::Hop => &["direct", "neither direct nor through a known hop"],
        }
    }
}

/// Class of the role [`Role::Hop`]: no hop, and known to be direct.
pub(in crate::policy::region) const DIRECT: usize = 0;
/// Class of the role [`Role::Hop`]: no hop, and not known to be direct.
pub(in crate::policy::region) const INDIRECT: usize = 1;
/// Class of the role [`Role::Callee`].
pub(in crate::policy::region) const UNKNOWN: usize = 0;

/// One axis: the classes beside IDs first.
#[derive(Debug)]
pub(in crate::policy::region) struct PeerLine<'p> {
    role: Role,
    automaton: Automaton,
    names: Names<'p>,
    /// What is written for them, in the order of their numbers.
    shown: Vec<String>,
    /// Of each of them, its classes.
    sets: Vec<Bits>,
    ids: Vec<SpiffeId>,
    /// By the numbers of what matches.
    classes: HashMap<Vec<u32>, usize>,
}

/// The patterns and trust domains that an axis must tell apart.
#[derive(Debug, Default)]
pub(in crate::policy::region) struct Names<'p> {
    numbers: BTreeMap<&'p str, u32>,
    texts: Vec<&'p str>,
}

impl<'p> Names<'p> {
    /// A pattern's text, or a trust domain's name.
    pub(in crate::policy::region) fn add(&mut self, text: &'p str) {
        let new = self.texts.len() as u32; // bounded by the document's bytes
        if *self.numbers.entry(text).or_insert(new) == new {
            self.texts.push(text);
        }
    }
}

impl<'p> PeerLine<'p> {
    /// `accepted`: only IDs that these match are told apart at all, from what no policy accepts.
    pub(in crate::policy::region) fn new(
        role: Role,
        names: Names<'p>,
        accepted: Option<&[&str]>,
    ) -> Result<Self, TooComplex> {
        let mut segments: Vec<(Vec<Segment>, u32)> = Vec::new();
        for (text, number) in &names.numbers {
            segments.extend(segments_of(text).into_iter().map(|s| (s, *number)));
        }
        let automaton = Automaton::new(segments.iter().map(|(s, number)| (&**s, *number)));
        let accepted: Option<Vec<u32>> = accepted
            .map(|texts| texts.iter().filter_map(|t| names.numbers.get(t).copied()).collect());
        let mut line = Self {
            role,
            shown: names.texts.iter().map(|text| shown(text)).collect(),
            names,
            sets: Vec::new(),
            ids: Vec::new(),
            classes: HashMap::new(),
            automaton,
        };
        let beside = role.beside().len();
        let mut matches = Vec::new();
        for (id, class) in line.examples()? {
            if accepted.as_ref().is_some_and(|a| !a.iter().any(|n| class.contains(n))) {
                continue;
            }
            line.ids.push(id.parse().map_err(|_| TooComplex::Patterns)?);
            line.classes.insert(class.clone(), beside + matches.len());
            matches.push(class);
        }
        super::room(line.names.texts.len(), line.len())?;
        let mut sets = vec![Bits::none(line.len()); line.names.texts.len()];
        for (at, numbers) in matches.iter().enumerate() {
            for number in numbers {
                sets[*number as usize].insert(beside + at);
            }
        }
        line.sets = sets;
        Ok(line)
    }

    /// An ID of each class, and the numbers of what matches it. Those of one workload that a
    /// document names come first: they are what an operator knows.
    fn examples(&self) -> Result<Vec<(String, Vec<u32>)>, TooComplex> {
        let mut examples = Vec::new();
        for mut class in self.automaton.classes(false)? {
            if let [domain] = &*class.segments {
                // A trust domain's own ID is no workload's: take one with a path, if that is like.
                let path = [&**domain, self.automaton.other()];
                if self.automaton.read(path.into_iter()) == class.matches {
                    class.segments = path.into_iter().map(Box::from).collect();
                }
            }
            examples.push((format!("spiffe://{}", class.segments.join("/")), class.matches));
        }
        examples.sort_by_key(|(id, _)| !self.names.numbers.contains_key(&**id));
        Ok(examples)
    }

    pub(in crate::policy::region) fn len(&self) -> usize {
        self.role.beside().len() + self.ids.len()
    }

    /// The classes of the IDs that one of these texts matches.
    pub(in crate::policy::region) fn any<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Bits {
        let sets = texts.into_iter().filter_map(|text| self.names.numbers.get(text));
        sets.fold(Bits::none(self.len()), |all, number| all.or(&self.sets[*number as usize]))
    }

    /// The class of the access; `None` where no policy accepts the peer.
    pub(in crate::policy::region) fn class(&self, access: &Access<'_>) -> Option<usize> {
        let id = match self.role {
            Role::Caller => access.principal()?,
            Role::Callee => match access.callee() {
                Some(id) => id,
                None => return Some(UNKNOWN),
            },
            Role::Hop => match access.hop() {
                Some(id) => id,
                None => return Some(if access.is_direct() { DIRECT } else { INDIRECT }),
            },
        };
        let segments = id.as_str().split('/').skip(2);
        self.classes.get(&self.automaton.read(segments)).copied()
    }

    pub(in crate::policy::region) fn stand(&self, class: usize, access: &mut OwnedAccess) {
        let id = class.checked_sub(self.role.beside().len()).map(|at| self.ids[at].clone());
        match self.role {
            Role::Caller => access.from = id,
            Role::Callee => access.to = id,
            Role::Hop => {
                access.direct = class == DIRECT;
                access.via = id;
            }
        }
    }

    pub(in crate::policy::region) fn words(&self, set: &Bits) -> Vec<String> {
        let beside = self.role.beside();
        let mut words: Vec<String> = (0..)
            .zip(beside)
            .filter(|(at, _)| set.has(*at))
            .map(|(_, w)| (*w).to_owned())
            .collect();
        let named = self.shown.iter().map(String::as_str).zip(&self.sets);
        let named: Vec<(&str, &Bits)> = named.collect();
        let ids = Bits::of(self.len(), |at| at >= beside.len() && set.has(at));
        let id = |class: usize| self.ids[class - beside.len()].to_string();
        words.extend(words::cover(&ids, &named, "any other ID", id));
        words
    }
}

/// What is written for a pattern or a trust domain.
fn shown(text: &str) -> String {
    if text.contains('/') { text.to_owned() } else { format!("any of spiffe://{text}") }
}

/// A pattern as segments, the trust domain first; a trust domain as those of all its IDs.
fn segments_of(text: &str) -> Vec<Vec<Segment>> {
    let Some(path) = text.strip_prefix("spiffe://") else {
        let domain = Segment::Literal(text.into());
        return vec![vec![domain.clone()], vec![domain, Segment::Many]];
    };
    let (domain, path) = path.split_once('/').unwrap_or((path, ""));
    let domain = Segment::Literal(domain.into());
    let segment = |text: &str| match text {
        "*" => Segment::One,
        "**" => Segment::Many,
        literal => Segment::Literal(literal.into()),
    };
    vec![std::iter::once(domain).chain(path.split('/').map(segment)).collect()]
}
