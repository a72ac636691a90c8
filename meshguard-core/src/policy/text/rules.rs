//! `[[allow]]` and `[[deny]]`.

use super::Reader;
use super::amounts::rate;
use super::conditions::when;
use super::fields::Fields;
use super::terms::terms;
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::policy::model::{Effect, Limit, Peers, Per, Rule, Semantics, When};

/// The largest `burst`.
const MAX_BURST: u64 = 1_000_000;

impl<'d> Reader<'d> {
    pub(super) fn rule(
        &mut self,
        effect: Effect,
        name: &str,
        fields: &Fields<'d>,
    ) -> Result<Rule, Fault> {
        if matches!(self.semantics, Semantics::Istio(_)) {
            return imported(effect, name, fields);
        }
        match effect {
            Effect::Allow => fields
                .known(&["name", "shadow", "from", "to", "via", "http", "grpc", "when", "limit"])?,
            Effect::Deny => {
                fields.known(&["name", "shadow", "from", "to", "via", "http", "grpc", "when"])?;
            }
        }
        let shadow = fields.flag("shadow")?;
        let from = self.peers.limit(fields, "from")?;
        let to = self.peers.limit(fields, "to")?;
        let via = self.peers.limit(fields, "via")?;
        self.check_via(fields, &via)?;
        let templates = self.operations(fields, !shadow)?;
        let when = match fields.table("when")? {
            Some(table) => when(effect, &via, &table)?,
            None => When::default(),
        };
        let limit = fields.table("limit")?.map(|table| limit(&table)).transpose()?;
        Ok(Rule { name: name.into(), effect, shadow, from, to, via, templates, when, limit })
    }

    /// Each peer of `via` must share an ID with one of `hops`.
    fn check_via(&self, fields: &Fields<'d>, via: &Peers) -> Result<(), Fault> {
        let pattern = |id: &u32| &self.peers.patterns[*id as usize];
        let hops = self.hops.as_deref().unwrap_or_default();
        let is_hop = |id: &u32| {
            hops.binary_search(id).is_ok()
                || hops.iter().any(|hop| pattern(hop).overlaps(pattern(id)))
        };
        let Some(id) = via.iter().flatten().find(|id| !is_hop(id)) else { return Ok(()) };
        let at = fields.get("via").map_or(fields.at, |names| names.at);
        let message = format!("no hop is `{}`", pattern(id).text);
        Err(Fault::new(Kind::ViaNotAHop, at, message)
            .hint("a call through it is denied before any rule: add the peer to `hops`"))
    }
}

/// A rule of an imported document, which has terms alone.
fn imported(effect: Effect, name: &str, fields: &Fields<'_>) -> Result<Rule, Fault> {
    fields.known(&["name", "shadow", "when"]).map_err(|fault| {
        fault.hint("a rule of `semantics = \"istio\"` has `name`, `shadow` and `when.where`")
    })?;
    let shadow = fields.flag("shadow")?;
    let mut when = When::default();
    if let Some(table) = fields.table("when")? {
        table.known(&["where"])?;
        when.terms = terms(&table)?;
    }
    let (from, to, via, templates, limit) = (None, None, None, None, None);
    Ok(Rule { name: name.into(), effect, shadow, from, to, via, templates, when, limit })
}

fn limit(fields: &Fields<'_>) -> Result<Limit, Fault> {
    fields.known(&["rate", "burst", "per"])?;
    let rate = fields.require("rate", rate(fields, "rate")?)?;
    let burst = match fields.u64("burst")? {
        None => rate.count,
        Some(burst) => match u32::try_from(burst.value) {
            Ok(count) if (1..=MAX_BURST).contains(&burst.value) => count,
            _ => {
                return Err(Fault::new(Kind::OutOfRange, burst.at, "`burst` is out of range")
                    .hint(format!("it is from 1 to {MAX_BURST}")));
            }
        },
    };
    let per = fields.word("per", Per::WORDS)?;
    Ok(Limit { rate, burst, per: per.unwrap_or_default() })
}
