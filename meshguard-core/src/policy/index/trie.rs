//! Templates and patterns by their segments.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::table::Table;
use super::word::{First, Word};
use crate::policy::template::Segment;

/// A tree of segments. Every node is looked at once for a path at the most, and the depth is
/// at most [`MAX_SEGMENTS`](super::super::template::MAX_SEGMENTS), so neither work nor stack
/// can be driven up by a path.
#[derive(Debug)]
pub(super) struct Trie<T> {
    nodes: Box<[Node]>,
    /// The children under a text, of all nodes.
    literals: Table<Literal>,
    /// Of those whose words do not tell all.
    long: Box<[Box<[u8]>]>,
    ends: Box<[T]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    one: Option<NodeId>,
    /// The root of what follows a `Many` here, read from the end of the path backwards.
    many: Option<NodeId>,
    has_literals: bool,
    /// Where in `ends` its own begin, and where they end.
    ends: (u32, u32),
}

/// The root is nobody's child.
type NodeId = NonZeroU32;

/// All that a step needs, in one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Literal {
    word: Word,
    parent: u32,
    child: NodeId,
    /// The child itself.
    node: Node,
    /// In `long`.
    text: u32,
}

/// A trie that still grows.
#[derive(Debug)]
pub(super) struct Seedling<'d, T> {
    nodes: Vec<Node>,
    literals: HashMap<(u32, &'d str), NodeId>,
    ends: Vec<(u32, T)>,
}

impl<T> Default for Seedling<'_, T> {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], literals: HashMap::new(), ends: Vec::new() }
    }
}

impl<'d, T: Copy> Seedling<'d, T> {
    /// Files `item` under segments of which at most one is `Many`.
    pub(super) fn insert(&mut self, segments: &'d [Segment], item: T) {
        let split = segments.iter().position(|s| *s == Segment::Many);
        let (head, tail) = segments.split_at(split.unwrap_or(segments.len()));
        let mut at = head.iter().fold(0, |at, segment| self.child(at, segment));
        if let [Segment::Many, tail @ ..] = tail {
            let root = self.step(at, |node| &mut node.many);
            at = tail.iter().rev().fold(root, |at, segment| self.child(at, segment));
        }
        self.ends.push((at, item));
    }

    fn child(&mut self, at: u32, segment: &'d Segment) -> u32 {
        let Segment::Literal(text) = segment else { return self.step(at, |node| &mut node.one) };
        self.nodes[at as usize].has_literals = true;
        let new = self.next();
        let child = *self.literals.entry((at, text)).or_insert(new);
        self.grow(child)
    }

    fn step(&mut self, at: u32, to: impl FnOnce(&mut Node) -> &mut Option<NodeId>) -> u32 {
        let new = self.next();
        let child = *to(&mut self.nodes[at as usize]).get_or_insert(new);
        self.grow(child)
    }

    fn next(&self) -> NodeId {
        // The count of nodes is bounded by the document's bytes, and there always is a root.
        NodeId::new(self.nodes.len() as u32).unwrap_or(NodeId::MIN)
    }

    fn grow(&mut self, child: NodeId) -> u32 {
        if child.get() as usize == self.nodes.len() {
            self.nodes.push(Node::default());
        }
        child.get()
    }

    pub(super) fn grown(mut self) -> Trie<T> {
        self.ends.sort_by_key(|(node, _)| *node); // stable
        let mut begin = 0;
        for group in self.ends.chunk_by(|(one, _), (two, _)| one == two) {
            let end = begin + group.len() as u32;
            self.nodes[group[0].0 as usize].ends = (begin, end);
            begin = end;
        }
        let (mut long, mut literals) = (Vec::new(), Vec::with_capacity(self.literals.len()));
        for ((parent, text), child) in self.literals {
            let word = First::of(text.as_bytes()).word;
            let node = self.nodes[child.get() as usize];
            let literal = Literal { word, parent, child, node, text: long.len() as u32 };
            if !word.is_whole() {
                long.push(text.as_bytes().into());
            }
            literals.push((word.hash(parent), literal));
        }
        Trie {
            nodes: self.nodes.into(),
            literals: Table::new(literals),
            long: long.into(),
            ends: self.ends.into_iter().map(|(_, item)| item).collect(),
        }
    }
}

impl<T: Copy> Default for Trie<T> {
    fn default() -> Self {
        Seedling::default().grown()
    }
}

impl<T: Copy> Trie<T> {
    /// Calls `found` for everything filed under segments that match `path`, which begins with
    /// a slash or is empty.
    #[inline]
    pub(super) fn find(&self, path: &str, found: &mut impl FnMut(T)) {
        if let Some(root) = self.nodes.first() {
            self.forward((0, root), path.as_bytes().strip_prefix(b"/"), found);
        }
    }

    /// `rest` is what is left of the path: `None` is nothing, `Some(b"")` one empty segment.
    /// Segments are compared as bytes: a slash is none of another character's.
    fn forward(
        &self,
        (mut at, mut node): (u32, &Node),
        mut rest: Option<&[u8]>,
        found: &mut impl FnMut(T),
    ) {
        while let Some(left) = rest {
            if let Some(many) = node.many {
                self.backward(self.node(many), left, found);
            }
            let first = First::of(left);
            let literal = self.literal(at, node, &first);
            let one = node.one.filter(|_| !first.text.is_empty()).map(|one| self.node(one));
            (at, node) = match (literal, one) {
                (Some(literal), Some(one)) => {
                    self.forward(literal, first.after, found);
                    one
                }
                (Some(next), None) | (None, Some(next)) => next,
                (None, None) => return,
            };
            rest = first.after;
        }
        self.end(node, found);
    }

    /// `left` is one segment or more, all of which a `Many` may take.
    fn backward(
        &self,
        (mut at, mut node): (u32, &Node),
        mut left: &[u8],
        found: &mut impl FnMut(T),
    ) {
        loop {
            self.end(node, found);
            if node.one.is_none() && !node.has_literals {
                return;
            }
            let Some(slash) = left.iter().rposition(|byte| *byte == b'/') else { return };
            let last = First::of(&left[slash + 1..]);
            left = &left[..slash];
            let literal = self.literal(at, node, &last);
            let one = node.one.filter(|_| !last.text.is_empty()).map(|one| self.node(one));
            (at, node) = match (literal, one) {
                (Some(literal), Some(one)) => {
                    self.backward(literal, left, found);
                    one
                }
                (Some(next), None) | (None, Some(next)) => next,
                (None, None) => return,
            };
        }
    }

    #[inline]
    fn node(&self, id: NodeId) -> (u32, &Node) {
        (id.get(), &self.nodes[id.get() as usize])
    }

    #[inline(always)] // as `First::of`
    fn literal(&self, at: u32, node: &Node, first: &First<'_>) -> Option<(u32, &Node)> {
        if !node.has_literals {
            return None;
        }
        let word = first.word;
        let is = |l: &Literal| {
            let same = l.parent == at && l.word == word;
            same && (word.is_whole() || *self.long[l.text as usize] == *first.text)
        };
        self.literals.find(word.hash(at), is).map(|literal| (literal.child.get(), &literal.node))
    }

    #[inline]
    fn end(&self, node: &Node, found: &mut impl FnMut(T)) {
        let (begin, end) = node.ends;
        self.ends[begin as usize..end as usize].iter().copied().for_each(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_of_many_children_is_found_and_no_other() {
        for count in [1, 4, 5, 300] {
            let literals: Vec<_> = (0..count)
                .map(|n| [Segment::Literal(format!("s{n}").into()), Segment::One])
                .collect();
            let mut trie = Seedling::default();
            for (n, segments) in (0..).zip(&literals) {
                trie.insert(&segments[..1], n);
                trie.insert(segments, n);
            }
            let trie = trie.grown();
            for n in 0..=count {
                let mut found = Vec::new();
                trie.find(&format!("/s{n}"), &mut |n| found.push(n));
                trie.find(&format!("/s{n}/x"), &mut |n| found.push(n));
                assert_eq!(found, if n < count { vec![n, n] } else { vec![] }, "{n} of {count}");
            }
        }
    }

    #[test]
    fn a_pattern_and_a_literal_of_one_shape_are_both_found() {
        let literal = |s: &str| Segment::Literal(s.into());
        let many = "m".repeat(17);
        let templates = [
            (1, vec![literal("a"), Segment::Many, literal("z")]),
            (2, vec![literal("a"), Segment::One, literal("z")]),
            (3, vec![literal("a"), Segment::Many]),
            (4, vec![Segment::Many, Segment::One]),
            (5, vec![literal("a"), literal("")]),
            (6, vec![literal(&many)]),
        ];
        let mut trie = Seedling::default();
        templates.iter().for_each(|(n, segments)| trie.insert(segments, *n));
        let trie = trie.grown();
        for (path, want) in [
            ("/a/b/z", vec![1, 2, 3, 4]),
            ("/a/b/c/z", vec![1, 3, 4]),
            ("/a/z", vec![3, 4]),
            ("/a/", vec![3, 5]),
            ("/a", vec![]),
            ("/", vec![]),
            ("", vec![]),
            ("/b/c", vec![4]),
            ("/b/", vec![]),
            ("/mmmmmmmmmmmmmmmmm", vec![6]),
            ("/mmmmmmmmnmmmmmmmm", vec![]),
            ("/mmmmmmmmmmmmmmmm", vec![]),
        ] {
            let mut found = Vec::new();
            trie.find(path, &mut |n| found.push(n));
            found.sort_unstable();
            assert_eq!(found, want, "{path}");
        }
    }
}
