//! Segments as a regular language: which texts some patterns tell apart.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::TooComplex;
use crate::policy::template::Segment;

/// The most states in which a reader of all patterns can be, before comparing gives up.
const MAX_STATES: usize = 200_000;
/// The most work: in how many places the reader is, in each step.
const MAX_WORK: usize = 50_000_000;

/// All patterns of an axis, read segment by segment at once.
#[derive(Debug)]
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// A segment that no pattern names.
    other: Box<str>,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, u32>,
    one: Option<u32>,
    many: Option<u32>,
    /// Stays where it is, whatever is read: inside of a `Many`.
    repeats: bool,
    ends: Vec<u32>,
}

/// Texts that the same patterns match.
#[derive(Debug)]
pub(super) struct Class {
    /// The patterns' numbers, sorted.
    pub(super) matches: Vec<u32>,
    /// One of the shortest texts.
    pub(super) segments: Vec<Box<str>>,
}

impl Automaton {
    pub(super) fn new<'p>(patterns: impl IntoIterator<Item = (&'p [Segment], u32)>) -> Self {
        let mut automaton = Self { nodes: vec![Node::default()], other: Box::default() };
        for (segments, number) in patterns {
            automaton.insert(segments, number);
        }
        automaton.other = automaton.unnamed();
        automaton
    }

    fn insert(&mut self, segments: &[Segment], number: u32) {
        let end = segments.iter().fold(0, |at, segment| self.child(at, segment));
        self.nodes[end].ends.push(number);
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len() as u32; // bounded by the document's bytes
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(new),
            Segment::One => *node.one.get_or_insert(new),
            Segment::Many => *node.many.get_or_insert(new),
        };
        if child == new {
            let repeats = *segment == Segment::Many;
            self.nodes.push(Node { repeats, ..Node::default() });
        }
        child as usize
    }

    /// `x`, or what is nearest to it.
    fn unnamed(&self) -> Box<str> {
        let named: BTreeSet<&str> =
            self.nodes.iter().flat_map(|node| node.literals.keys()).map(|text| &**text).collect();
        let short = ["x", "y", "z", "other"].into_iter().find(|text| !named.contains(text));
        let counted = || (1..).map(|n| format!("x{n}")).find(|text| !named.contains(&**text));
        match short {
            Some(text) => text.into(),
            None => counted().unwrap_or_default().into(), // named is finite
        }
    }

    /// A segment that no pattern names.
    pub(super) fn other(&self) -> &str {
        &self.other
    }

    /// The numbers of the patterns that match, sorted.
    pub(super) fn read<'s>(&self, segments: impl Iterator<Item = &'s str>) -> Vec<u32> {
        let end = segments.fold(vec![0], |at, segment| self.step(&at, segment));
        self.ends(&end)
    }

    fn step(&self, at: &[u32], segment: &str) -> Vec<u32> {
        let mut next = Vec::new();
        for number in at {
            let node = &self.nodes[*number as usize];
            next.extend(node.repeats.then_some(*number));
            next.extend(node.literals.get(segment));
            next.extend(node.one.filter(|_| !segment.is_empty()));
            next.extend(node.many);
        }
        next.sort_unstable();
        next.dedup();
        next
    }

    fn ends(&self, at: &[u32]) -> Vec<u32> {
        let ends = at.iter().flat_map(|node| &self.nodes[*node as usize].ends);
        let mut ends: Vec<u32> = ends.copied().collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Every set of patterns for which there is a text of one segment or more that they match
    /// and the others do not; the shortest texts first. `slash`: the last segment may be empty.
    pub(super) fn classes(&self, slash: bool) -> Result<Vec<Class>, TooComplex> {
        self.classes_within(slash, MAX_WORK)
    }

    fn classes_within(&self, slash: bool, most: usize) -> Result<Vec<Class>, TooComplex> {
        let mut work = 0_usize;
        let mut walk = Walk { states: HashMap::new(), trail: Vec::new(), classes: Vec::new() };
        let mut seen = BTreeSet::new();
        let mut todo = VecDeque::from([(vec![0], usize::MAX)]);
        while let Some((at, from)) = todo.pop_front() {
            for segment in self.alphabet(&at) {
                work += 1 + at.len();
                let next = self.step(&at, segment);
                if walk.states.contains_key(&next) {
                    continue;
                }
                walk.visit(self, &mut seen, &next, (from, segment));
                let state = walk.trail.len() - 1;
                walk.states.insert(next.clone(), state);
                todo.push_back((next, state));
            }
            if slash {
                // Nothing follows an empty segment, so it leads to no state.
                let next = self.step(&at, "");
                walk.visit(self, &mut seen, &next, (from, ""));
            }
            if walk.trail.len() > MAX_STATES || work > most {
                return Err(TooComplex::Patterns);
            }
        }
        Ok(walk.classes)
    }

    /// The segments that lead from here to different places: those that are named here, and one
    /// that is not.
    fn alphabet(&self, at: &[u32]) -> Vec<&str> {
        let nodes = at.iter().map(|node| &self.nodes[*node as usize]);
        let named: BTreeSet<&str> =
            nodes.flat_map(|node| node.literals.keys()).map(|text| &**text).collect();
        let other = std::iter::once(&*self.other).filter(|_| !defect!(KnowsNoOther));
        other.chain(named.into_iter().filter(|text| !text.is_empty())).collect()
    }
}

/// What [`Automaton::classes`] has seen.
struct Walk<'a> {
    states: HashMap<Vec<u32>, usize>,
    /// For each text: the text before it, and its last segment.
    trail: Vec<(usize, &'a str)>,
    classes: Vec<Class>,
}

impl<'a> Walk<'a> {
    fn visit(
        &mut self,
        automaton: &Automaton,
        seen: &mut BTreeSet<Vec<u32>>,
        at: &[u32],
        step: (usize, &'a str),
    ) {
        let matches = automaton.ends(at);
        self.trail.push(step);
        if seen.contains(&matches) {
            return;
        }
        seen.insert(matches.clone());
        let mut segments = Vec::new();
        let mut from = self.trail.len() - 1;
        while let Some((before, segment)) = self.trail.get(from) {
            segments.push(Box::from(*segment));
            from = *before;
        }
        segments.reverse();
        self.classes.push(Class { matches, segments });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::template::Template;

    fn automaton(paths: &[&str]) -> Automaton {
        let template = |path: &&str| Template::http(&format!("* {path}"), 0).ok();
        let templates: Vec<Template> = paths.iter().filter_map(template).collect();
        assert_eq!(templates.len(), paths.len());
        Automaton::new((0..).zip(&templates).map(|(number, t)| (&*t.segments, number)))
    }

    #[test]
    fn each_class_is_what_its_segments_match_and_none_is_missing() {
        let paths = ["/a", "/a/", "/{x}", "/{x}/b", "/a/{**}", "/{**}/b", "/{**}", "/b/{**}/a/{x}"];
        let automaton = automaton(&paths);
        let classes = automaton.classes(true).unwrap();
        for class in &classes {
            let read = automaton.read(class.segments.iter().map(|segment| &**segment));
            assert_eq!(read, class.matches, "{class:?}");
        }
        let mut texts: Vec<Vec<&str>> = vec![Vec::new()];
        for at in 0.. {
            let Some(text) = texts.get(at).filter(|text| text.len() < 6).cloned() else { break };
            texts.extend(["a", "b", "q"].map(|s| [&*text, &[s]].concat()));
        }
        for text in texts {
            for last in ["a", "b", "q", ""] {
                let read = automaton.read(text.iter().copied().chain([last]));
                assert!(classes.iter().any(|c| c.matches == read), "{text:?} {last}");
            }
        }
    }

    #[test]
    fn patterns_that_cannot_be_told_apart_in_bounds_are_refused() {
        let deep = format!("/{{**}}/a{}", "/{x}".repeat(30));
        let few = automaton(&[&deep]).classes_within(true, 100_000);
        assert_eq!(few.unwrap_err(), TooComplex::Patterns);
    }
}
