//! What changes beside the effect: how edges deliver, and what an allowed call must keep to.

use std::fmt;

use super::super::model::{DeliveryRule, Rule};
use super::super::region::{Block, Left, Space, Work, left};
use super::super::{Policy, RouteOptions};
use super::{Diff, Open, Scope, Side};
use crate::access::OwnedAccess;
use crate::identity::SpiffeId;

/// An edge that delivers otherwise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EdgeChange {
    /// A caller for which it changes.
    pub from: SpiffeId,
    /// A callee for which it changes.
    pub to: SpiffeId,
    /// All edges that the two rules of the documents have in common: not each of them need
    /// change, as earlier rules count first.
    pub scope: Scope,
    /// How it delivered.
    pub old: DeliveryRule,
    /// How it delivers.
    pub new: DeliveryRule,
}

/// A call that both policies allow, with another `limit` or `content`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ObligationChange<'p> {
    /// The rule of the old policy that allows it.
    pub old: &'p str,
    /// The rule of the new policy that allows it.
    pub new: &'p str,
    /// All that both rules match; earlier rules count first.
    pub scope: Scope,
    /// A call for which it changes.
    pub witness: OwnedAccess,
}

/// Operations of which the documents' `[[route]]`s say something else.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RouteChange {
    /// All of them, in words.
    pub operations: Vec<String>,
    /// What held.
    pub old: RouteOptions,
    /// What holds.
    pub new: RouteOptions,
    /// A call of one of them.
    pub witness: OwnedAccess,
}

impl<'p> Diff<'p> {
    /// What the routes say depends on the operation alone, so each class of operations is asked.
    pub(super) fn change_of_routes(&mut self, space: &Space<'p>, old: &Policy, new: &Policy) {
        let mut changes: Vec<(RouteOptions, RouteOptions, Vec<usize>)> = Vec::new();
        for (class, witness) in space.operations().enumerate() {
            let options = |policy: &Policy| policy.route_options(&witness.access());
            let (was, is) = (options(old), options(new));
            if was == is {
                continue;
            }
            match changes.iter_mut().find(|(old, new, _)| (*old, *new) == (was, is)) {
                Some((_, _, classes)) => classes.push(class),
                None => changes.push((was, is, vec![class])),
            }
        }
        self.routes.extend(changes.into_iter().filter_map(|(old, new, classes)| {
            let operations = space.operations_in_words(&classes);
            let witness = space.operations().nth(*classes.first()?)?;
            Some(RouteChange { operations, old, new, witness })
        }));
    }

    /// Where both allow, the first rule that matches says what the call must keep to.
    pub(super) fn change_of_obligations(
        &mut self,
        space: &Space<'p>,
        old: &Side<'p>,
        new: &Side<'p>,
        work: &mut Work,
    ) {
        let Some(pairs) = unlike(old, new) else { return };
        let denied = || old.deny.iter().chain(&new.deny);
        for (i, j) in pairs {
            let (a, b) = (&old.allow[i], &new.allow[j]);
            if let Err(why) = work.begin().spend(1 + i + j) {
                return self.open.push(Open { allow: Some(b.name), ..Open::all(why) });
            }
            let Some(both) = a.block.meet(&b.block) else { continue };
            let earlier = old.allow[..i].iter().chain(&new.allow[..j]).chain(denied());
            let earlier: Vec<&Block> = earlier.map(|named| &named.block).collect();
            match left(space, &both, &earlier, work) {
                Ok(Left::Nothing(_)) => {}
                Ok(Left::Some(piece)) => {
                    self.obligations.extend(space.witness(&piece).map(|witness| {
                        let scope = space.scope(&both);
                        ObligationChange { old: a.name, new: b.name, scope, witness }
                    }));
                }
                Err(why) => self.open.push(Open { allow: Some(b.name), ..Open::all(why) }),
            }
        }
    }

    /// The first rule that matches both ends counts; after all of them, what holds without one.
    pub(super) fn change_of_edges(
        &mut self,
        space: &Space<'p>,
        old: &Side<'p>,
        new: &Side<'p>,
        work: &mut Work,
    ) {
        let (old, new) = (edges(space, old), edges(space, new));
        for (i, (a, was)) in old.iter().enumerate() {
            for (j, (b, is)) in new.iter().enumerate() {
                let Some(both) = a.meet(b).filter(|_| was != is) else { continue };
                let earlier = old[..i].iter().chain(&new[..j]).map(|(block, _)| block);
                let earlier: Vec<&Block> = earlier.collect();
                match left(space, &both, &earlier, work.begin()) {
                    Ok(Left::Nothing(_)) => {}
                    Ok(Left::Some(piece)) => {
                        let witness = space.witness(&piece);
                        self.edges.extend(witness.and_then(|witness| {
                            let (from, to) = (witness.from?, witness.to?);
                            let scope = space.scope(&both);
                            Some(EdgeChange { from, to, scope, old: *was, new: *is })
                        }));
                    }
                    Err(why) => self.open.push(Open::all(why)),
                }
            }
        }
    }
}

/// The pairs of allow rules with other obligations; `None` where all have the same.
fn unlike(old: &Side<'_>, new: &Side<'_>) -> Option<impl Iterator<Item = (usize, usize)>> {
    let first = old.allow.iter().chain(&new.allow).next()?.rule;
    if old.allow.iter().chain(&new.allow).all(|named| keeps_to(named.rule, first)) {
        return None;
    }
    let pairs = (0..old.allow.len()).flat_map(|i| (0..new.allow.len()).map(move |j| (i, j)));
    Some(pairs.filter(|(i, j)| !keeps_to(old.allow[*i].rule, new.allow[*j].rule)))
}

fn keeps_to(a: &Rule, b: &Rule) -> bool {
    a.limit == b.limit && a.when.content == b.when.content
}

fn edges(space: &Space<'_>, side: &Side<'_>) -> Vec<(Block, DeliveryRule)> {
    let mut edges = Vec::new();
    let Some(loaded) = side.loaded else { return edges };
    let document = &loaded.document;
    for edge in &document.deliveries {
        edges.extend(space.edge(document, &edge.from, &edge.to).map(|block| (block, edge.rule)));
    }
    let rest = space.edge(document, &None, &None);
    edges.extend(rest.map(|block| (block, DeliveryRule::default())));
    edges
}

/// `spiffe://… to spiffe://…: delivery require, blake3 becomes off, sha256`
impl fmt::Display for EdgeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = |rule: &DeliveryRule| {
            let seal = match rule.seal {
                None => "",
                Some(true) => ", sealed",
                Some(false) => ", not sealed",
            };
            format!("{}{seal}, {}", rule.mode.as_str(), rule.transcript.as_str())
        };
        let (from, to, old, new) = (&self.from, &self.to, rule(&self.old), rule(&self.new));
        write!(f, "{from} to {to}: delivery {old} becomes {new}")
    }
}

/// `GET /orders/{id}: idempotent no becomes yes`
impl fmt::Display for RouteChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keep = |options: &RouteOptions| match options.keep_answers {
            Some(keep) => format!("{keep:?}"),
            None => "no".to_owned(),
        };
        let flag = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
        let all = |options: &RouteOptions| {
            [
                ("durability", options.durability.as_str().to_owned()),
                ("keep_answers", keep(options)),
                ("idempotent", flag(options.idempotent)),
                ("upgrade", flag(options.upgrade)),
                ("method_override", flag(options.method_override)),
            ]
        };
        let pairs = all(&self.old).into_iter().zip(all(&self.new)).filter(|(a, b)| a != b);
        let told = pairs.map(|((key, was), (_, is))| format!("{key} {was} becomes {is}"));
        let told: Vec<String> = told.collect();
        write!(f, "{}: {}", self.operations.join(" or "), told.join(", "))
    }
}

impl fmt::Display for ObligationChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} allows with other obligations than {}: {}", self.new, self.old, self.scope)
    }
}
