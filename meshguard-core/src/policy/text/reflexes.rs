//! `[[reflex]]`, `[governor]` and `[trust]`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::amounts::{duration, one_in, rate, share};
use super::conditions::EVIDENCE;
use super::fields::{Fields, wrong_type};
use super::peers::empty_list;
use super::tree::{Node, Value};
use crate::access::Evidence;
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::reflex::{
    ActionKind, Governor, MAX_TTL, Mode, Plan, Rate, Reflex, Scope, Side, Signal, Step, Tighten,
    Trigger,
};

/// The most reflexes in one document.
pub const MAX_REFLEXES: usize = 64;
/// The most steps of one reflex.
pub const MAX_STEPS: usize = 8;
const MAX_ACTIONS: u32 = 10_000;

pub(super) fn plan(top: &Fields<'_>) -> Result<Plan, Fault> {
    let mut plan = Plan::default();
    let reflexes = reflexes(top)?;
    if !reflexes.is_empty() {
        plan.reflexes = reflexes;
    }
    if let Some(fields) = top.table("governor")? {
        plan.governor = governor(&fields)?;
    }
    if let Some(fields) = top.table("trust")? {
        fields.known(&["start"])?;
        plan.trust_start = share(&fields, "start")?.unwrap_or(plan.trust_start);
    }
    Ok(plan)
}

fn reflexes(top: &Fields<'_>) -> Result<Vec<Reflex>, Fault> {
    let tables = top.tables("reflex")?;
    if let Some(first) = tables.get(MAX_REFLEXES) {
        let message = format!("the document has {} reflexes", tables.len());
        return Err(Fault::new(Kind::TooManyReflexes, first.at, message)
            .hint(format!("the bound is {MAX_REFLEXES}")));
    }
    let mut names = BTreeSet::new();
    let mut reflexes = Vec::with_capacity(tables.len());
    for fields in &tables {
        let name = super::rule_name(fields)?;
        if !names.insert(name.value) {
            let message = format!("two reflexes are called `{}`", name.value);
            return Err(Fault::new(Kind::DuplicateReflex, name.at, message)
                .hint("incidents are told by the reflex's name: give each its own"));
        }
        reflexes.push(reflex(name.value, fields)?);
    }
    Ok(reflexes)
}

fn reflex(name: &str, fields: &Fields<'_>) -> Result<Reflex, Fault> {
    fields.known(&["name", "on", "do", "then", "ttl"])?;
    let on = trigger(&fields.require("on", fields.table("on")?)?)?;
    let ttl = match duration(fields, "ttl")? {
        Some(ttl) if ttl.value > MAX_TTL => {
            return Err(Fault::new(Kind::BadDuration, ttl.at, "`ttl` is too long")
                .hint("an action holds for 24h at most"));
        }
        Some(ttl) => ttl.value,
        None => Reflex::DEFAULT_TTL,
    };
    let actions = fields.require("do", actions(fields)?)?;
    let mut steps = vec![Step { after: Duration::ZERO, unless_falling: false, actions }];
    let then = fields.one_or_more("then")?;
    if let Some(extra) = then.get(MAX_STEPS - 1) {
        return Err(Fault::new(Kind::TooManySteps, extra.at, "the reflex has too many steps")
            .hint(format!("`do` and `then` are {MAX_STEPS} steps at most")));
    }
    for fields in &then {
        steps.push(step(fields, ttl)?);
    }
    Ok(Reflex { name: name.into(), on, steps, ttl })
}

fn trigger(fields: &Fields<'_>) -> Result<Trigger, Fault> {
    fields.known(&["signal", "false_alarms", "for", "side", "scope"])?;
    let words = Signal::all().map(|signal| (signal.as_str(), signal)).collect::<Vec<_>>();
    let signal = fields.require("signal", fields.word("signal", &words)?)?;
    let one_in = one_in(fields, "false_alarms")?;
    let lasting = duration(fields, "for")?.map(|lasting| lasting.value);
    if !signal.is_hard() {
        let one_in = Some(fields.require("false_alarms", one_in)?);
        let lasting = lasting.unwrap_or_default();
        let side = fields.word("side", &[("harmful", Side::Harmful), ("both", Side::Both)])?;
        let scope =
            fields.word("scope", &[("narrow", Scope::Narrow), ("caller", Scope::Caller)])?;
        let (side, scope) = (side.unwrap_or_default(), scope.unwrap_or_default());
        return Ok(Trigger { signal, one_in, lasting, side, scope });
    }
    for key in ["false_alarms", "for", "side", "scope"] {
        if let Some(value) = fields.get(key) {
            let message = format!("`{key}` stands with `{signal}`, which is no matter of chance");
            return Err(Fault::new(Kind::HardSignal, value.at, message)
                .hint(format!("remove `{key}`: it is acted on at once")));
        }
    }
    Ok(Trigger::new(signal, None))
}

fn step(fields: &Fields<'_>, ttl: Duration) -> Result<Step, Fault> {
    fields.known(&["after", "unless", "do"])?;
    let after = fields.require("after", duration(fields, "after")?)?;
    if after.value > ttl {
        let message = "the step comes when the reflex's `ttl` is over";
        return Err(Fault::new(Kind::LateStep, after.at, message)
            .hint("make `ttl` longer, or `after` shorter"));
    }
    let unless = fields.word("unless", &[("falling", ())])?;
    let actions = fields.require("do", actions(fields)?)?;
    Ok(Step { after: after.value, unless_falling: unless.is_some(), actions })
}

/// `do`: one action, or a list of them.
fn actions(fields: &Fields<'_>) -> Result<Option<Vec<ActionKind>>, Fault> {
    let Some(value) = fields.get("do") else { return Ok(None) };
    let Value::List(list) = &value.value else { return Ok(Some(vec![action(value)?])) };
    if list.is_empty() {
        return Err(empty_list("do", value.at));
    }
    let mut actions: Vec<ActionKind> = Vec::with_capacity(list.len().min(3));
    for value in list.iter() {
        let kind = action(value)?;
        if actions.iter().any(|a| a.as_str() == kind.as_str()) {
            let message = format!("`{}` stands twice in one step", kind.as_str());
            return Err(Fault::new(Kind::DuplicateAction, value.at, message).hint("keep one"));
        }
        actions.push(kind);
    }
    Ok(Some(actions))
}

fn action(value: &Node) -> Result<ActionKind, Fault> {
    const KNOWN: &str = "it is one of `\"alert\"`, `\"quarantine\"`, `{ tighten = { … } }`";
    let at = value.at;
    match &value.value {
        Value::Text(word) => match &**word {
            "alert" => Ok(ActionKind::Alert),
            "quarantine" => Ok(ActionKind::Quarantine),
            word => {
                let message = format!("`do` knows no `{}`", word.escape_debug());
                let words = ["alert", "quarantine"].into_iter();
                Err(Fault::new(Kind::UnknownValue, at, message).suggest(word, words, KNOWN))
            }
        },
        Value::Table(table) => {
            let fields = Fields::new("an action", at, table);
            fields.known(&["tighten"])?;
            tighten(&fields.require("tighten", fields.table("tighten")?)?)
        }
        _ => Err(wrong_type("do", value, "an action").hint(KNOWN)),
    }
}

fn tighten(fields: &Fields<'_>) -> Result<ActionKind, Fault> {
    fields.known(&["rate", "evidence", "direct", "trust"])?;
    let asked = Tighten {
        rate: rate(fields, "rate")?,
        evidence: fields.word("evidence", &EVIDENCE)?,
        direct: fields.flag("direct")?,
        trust: share(fields, "trust")?,
    };
    let idle = |key| fields.get(key).map(|value| value.at);
    let direct = idle("direct").filter(|_| !asked.direct);
    let evidence = idle("evidence").filter(|_| asked.evidence == Some(Evidence::None));
    let empty = (asked == Tighten::default()).then_some(fields.at);
    if let Some(at) = direct.or(evidence).or(empty) {
        return Err(Fault::new(Kind::EmptyTighten, at, "it asks for nothing beyond policy")
            .hint("give `tighten` a `rate`, an `evidence`, `direct = true` or a `trust`"));
    }
    Ok(ActionKind::Tighten(asked))
}

fn governor(fields: &Fields<'_>) -> Result<Governor, Fault> {
    fields.known(&["max_share", "min_healthy", "min_peers", "min_calls", "max_actions", "mode"])?;
    let plain = Governor::default();
    let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
    Ok(Governor {
        max_share: share(fields, "max_share")?.unwrap_or(plain.max_share),
        min_healthy: share(fields, "min_healthy")?.unwrap_or(plain.min_healthy),
        min_peers: min_peers(fields)?.unwrap_or(plain.min_peers),
        min_calls: fields.u64("min_calls")?.map_or(plain.min_calls, |n| n.value),
        max_actions: max_actions(fields)?.unwrap_or(plain.max_actions),
        mode: fields.word("mode", &modes)?.unwrap_or(plain.mode),
    })
}

fn min_peers(fields: &Fields<'_>) -> Result<Option<u32>, Fault> {
    let Some(count) = fields.u64("min_peers")? else { return Ok(None) };
    u32::try_from(count.value).map(Some).map_err(|_| out_of_range(fields, "min_peers", u32::MAX))
}

fn max_actions(fields: &Fields<'_>) -> Result<Option<Rate>, Fault> {
    let rate = rate(fields, "max_actions")?;
    match rate {
        Some(rate) if rate.count > MAX_ACTIONS => {
            Err(out_of_range(fields, "max_actions", MAX_ACTIONS))
        }
        rate => Ok(rate),
    }
}

fn out_of_range(fields: &Fields<'_>, key: &str, most: u32) -> Fault {
    let at = fields.get(key).map_or(fields.at, |value| value.at);
    Fault::new(Kind::OutOfRange, at, format!("`{key}` is too large"))
        .hint(format!("it is {most} at most"))
}
