//! Blocks in words.

use super::super::Scope;
use super::super::bits::Bits;
use super::super::block::{Axis, Block};
use super::super::lines::ordered;
use super::super::lines::peers::PeerLine;
use super::{CALLEE, CALLER, EVIDENCES, HEADERS, HOP, OPERATION, PROOF, SOURCE, Space, TRUST};

impl Space<'_> {
    pub(in crate::policy) fn operations_in_words(&self, classes: &[usize]) -> Vec<String> {
        let mut set = Bits::none(self.operations.len());
        classes.iter().for_each(|class| set.insert(*class));
        self.operations.words(&set)
    }

    pub(in crate::policy) fn scope(&self, block: &Block) -> Scope {
        let set = |axis: usize| block.set(axis as Axis).map(|set| &**set);
        let peers = |axis: usize, line: &PeerLine<'_>| {
            set(axis).map(|set| line.words(set)).unwrap_or_default()
        };
        let mut when = Vec::new();
        when.extend(set(EVIDENCES).map(ordered::evidence_words));
        when.extend(set(TRUST).map(|set| self.trust.words(set)));
        when.extend(set(PROOF).map(ordered::proof_words));
        when.extend(set(SOURCE).map(|set| self.sources.words(set)));
        let headers = (HEADERS..).zip(&self.headers);
        when.extend(headers.filter_map(|(axis, line)| set(axis).map(|set| line.words(set))));
        let mut first = HEADERS + self.headers.len();
        for line in &self.claims {
            let axes = (0..line.len()).filter_map(|at| Some((at, set(first + at)?)));
            when.extend(axes.filter_map(|(at, set)| line.words(at, set)));
            first += line.len();
        }
        Scope {
            from: peers(CALLER, &self.callers),
            to: peers(CALLEE, &self.callees),
            via: peers(HOP, &self.hops),
            operations: set(OPERATION).map(|s| self.operations.words(s)).unwrap_or_default(),
            when,
        }
    }
}
