//! Claims about policy.

mod admits;
mod announced;
mod compared;
mod conditions;
mod decisions;
mod explained;
mod findings;
pub(super) mod generate;
mod matching;
mod nearby;
mod plans;
mod properties;
mod reference;
mod refusals;
mod replayed;
mod yaml;

use super::Policy;
use crate::identity::SpiffeId;

const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/checkout");
const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/orders");
const NIGHTLY: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/batch/sa/nightly");
const EDGE: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/edge");

/// A policy with these rules, the hop `edge`, and those of a few peers that the rules use.
fn policy(rules: &str) -> Policy {
    let peers = [
        ("edge", "ns/prod/sa/edge"),
        ("checkout", "ns/prod/sa/checkout"),
        ("orders", "ns/prod/sa/orders"),
        ("batch", "ns/batch/sa/*"),
        ("prod", "ns/prod/**"),
    ];
    let mut text = "mesh='shop.example'\nversion=7\nhops=['edge']\n[peers]\n".to_owned();
    for (name, path) in peers {
        if text.contains(&format!("'{name}'")) || rules.contains(&format!("'{name}'")) {
            text.push_str(&format!("{name}='spiffe://shop.example/{path}'\n"));
        }
    }
    text.push_str(rules);
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}
