//! Entries of a rule's lists that never decide.

use super::super::region::{Block, Left, List, TooComplex};
use super::passes::Checker;
use super::{Finding, FindingKind as Kind};

impl Checker<'_, '_> {
    /// Of each rule that decides something, the entries that do not.
    pub(super) fn entries(&mut self) {
        for at in 0..self.rules.len() {
            if self.rules[at].idle || self.rules[at].open {
                continue;
            }
            let rule = self.rules[at].rule;
            let lists = [
                (List::From, &rule.from),
                (List::To, &rule.to),
                (List::Via, &rule.via),
                (List::Operations, &rule.templates),
            ];
            let lists = lists.map(|(list, entries)| (list, entries.as_deref().unwrap_or_default()));
            // A list of one entry is the rule.
            let lists: Vec<_> = lists.into_iter().filter(|(_, list)| list.len() > 1).collect();
            if lists.is_empty() {
                continue;
            }
            let before = match self.near(at) {
                Ok(near) => self.before(at, near),
                Err(why) => {
                    self.findings.push(Finding::open(&rule.name, why));
                    continue;
                }
            };
            for (list, entries) in lists {
                if let Err(why) = self.list(at, &before, list, entries) {
                    self.findings.push(Finding::open(&rule.name, why));
                    break;
                }
            }
        }
    }

    fn list(
        &mut self,
        at: usize,
        before: &[usize],
        list: List,
        entries: &[u32],
    ) -> Result<(), TooComplex> {
        let rule = self.rules[at].rule;
        let mut kept = entries.to_vec();
        for entry in entries {
            let part = self.space.entries(self.document, rule, list, &[*entry]);
            // An entry that the rule's other keys rule out is not decided by anything else.
            let part = part.and_then(|part| part.meet(&self.rules[at].block));
            let rest: Vec<u32> = kept.iter().copied().filter(|other| other != entry).collect();
            let rest = self.space.entries(self.document, rule, list, &rest);
            let rest = rest.filter(|_| kept.len() > 1);
            let others = match part {
                None => Some(vec![rule.name.to_string()]),
                Some(part) => self.by_others(&part, before, at, rest.as_ref())?,
            };
            let Some(others) = others else { continue };
            kept.retain(|other| other != entry);
            let peer =
                |key: &str| format!("{key} {}", self.document.patterns[*entry as usize].text);
            let text = match list {
                List::Operations => self.document.templates[*entry as usize].text(),
                List::From => peer("from"),
                List::To => peer("to"),
                List::Via => peer("via"),
            };
            let found = Finding::proved(Kind::DeadEntry, &rule.name, others);
            self.findings.push(Finding { entry: Some(text), ..found });
        }
        Ok(())
    }

    /// The names of the rules that cover `part` together with the rest of its own rule.
    fn by_others(
        &self,
        part: &Block,
        before: &[usize],
        own: usize,
        rest: Option<&Block>,
    ) -> Result<Option<Vec<String>>, TooComplex> {
        let blocks: Vec<&Block> =
            before.iter().map(|at| &self.rules[*at].block).chain(rest).collect();
        let name = |nth: usize| {
            let at = before.get(nth).copied().unwrap_or(own);
            self.rules[at].rule.name.to_string()
        };
        Ok(match self.left(part, &blocks)? {
            Left::Nothing(proof) => Some(proof.into_iter().map(name).collect()),
            Left::Some(_) => None,
        })
    }
}
