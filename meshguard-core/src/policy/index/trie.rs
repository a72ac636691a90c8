//! Templates and patterns by their segments.

use super::{Map, Segment};

/// So many texts are compared one by one rather than hashed.
const FEW: usize = 4;

/// A tree of segments. Every node is looked at once for a path at the most, and the depth is
/// at most [`MAX_SEGMENTS`](super::super::template::MAX_SEGMENTS), so neither work nor stack
/// can be driven up by a path.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    one: Option<u32>,
    /// The root of what follows a `Many` here, read from the end of the path backwards.
    many: Option<u32>,
    ends: Vec<u32>,
}

/// The children under a text.
#[derive(Debug)]
enum Literals {
    Few(Vec<(Box<[u8]>, u32)>),
    Many(Map<Box<[u8]>, u32>),
}

impl Default for Literals {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Literals {
    fn get(&self, text: &[u8]) -> Option<u32> {
        match self {
            Self::Few(few) => few.iter().find(|(own, _)| **own == *text).map(|(_, child)| *child),
            Self::Many(many) => many.get(text).copied(),
        }
    }

    fn insert(&mut self, text: Box<[u8]>, child: u32) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push((text, child)),
            Self::Few(few) => {
                let mut many: Map<_, _> = few.drain(..).collect();
                many.insert(text, child);
                *self = Self::Many(many);
            }
            Self::Many(many) => _ = many.insert(text, child),
        }
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// Files `number` under segments of which at most one is `Many`.
    pub(super) fn insert(&mut self, segments: &[Segment], number: u32) {
        let split = segments.iter().position(|s| *s == Segment::Many);
        let (head, tail) = segments.split_at(split.unwrap_or(segments.len()));
        let mut at = head.iter().fold(0, |at, segment| self.child(at, segment));
        if let [Segment::Many, tail @ ..] = tail {
            let new = self.nodes.len() as u32; // bounded by the document's bytes
            let root = *self.nodes[at as usize].many.get_or_insert(new);
            if root == new {
                self.nodes.push(Node::default());
            }
            at = tail.iter().rev().fold(root, |at, segment| self.child(at, segment));
        }
        self.nodes[at as usize].ends.push(number);
    }

    fn child(&mut self, at: u32, segment: &Segment) -> u32 {
        let new = self.nodes.len() as u32;
        let node = &mut self.nodes[at as usize];
        let child = match segment {
            Segment::Literal(text) => node.literals.get(text.as_bytes()).unwrap_or_else(|| {
                node.literals.insert(text.as_bytes().into(), new);
                new
            }),
            Segment::One | Segment::Many => *node.one.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Calls `found` for everything filed under segments that match `path`, which begins with
    /// a slash or is empty.
    pub(super) fn find(&self, path: &str, found: &mut impl FnMut(u32)) {
        self.forward(0, path.as_bytes().strip_prefix(b"/"), found);
    }

    /// `rest` is what is left of the path: `None` is nothing, `Some(b"")` one empty segment.
    /// Segments are compared as bytes: a slash is none of another character's.
    fn forward(&self, at: u32, rest: Option<&[u8]>, found: &mut impl FnMut(u32)) {
        let node = &self.nodes[at as usize];
        let Some(rest) = rest else {
            return node.ends.iter().copied().for_each(found);
        };
        // Segments are short: a loop is faster than a search.
        let slash = rest.iter().position(|byte| *byte == b'/');
        let (first, after) = match slash.and_then(|at| rest.split_at_checked(at)) {
            Some((first, after)) => (first, after.get(1..)),
            None => (rest, None),
        };
        if let Some(next) = node.literals.get(first) {
            self.forward(next, after, found);
        }
        if let Some(next) = node.one.filter(|_| !first.is_empty()) {
            self.forward(next, after, found);
        }
        if let Some(next) = node.many {
            self.backward(next, rest, found);
        }
    }

    /// `left` is one segment or more, all of which a `Many` may take.
    fn backward(&self, at: u32, left: &[u8], found: &mut impl FnMut(u32)) {
        let node = &self.nodes[at as usize];
        node.ends.iter().copied().for_each(&mut *found);
        let Some(slash) = left.iter().rposition(|byte| *byte == b'/') else { return };
        let (left, last) = (&left[..slash], &left[slash + 1..]);
        if let Some(next) = node.literals.get(last) {
            self.backward(next, left, found);
        }
        if let Some(next) = node.one.filter(|_| !last.is_empty()) {
            self.backward(next, left, found);
        }
    }
}
