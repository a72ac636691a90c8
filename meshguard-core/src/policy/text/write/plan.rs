//! What the document says of the loop, where that is not the default.

use super::amounts::{duration, float, rate};
use super::{Entries, Value, integer, list, text};
use crate::access::Evidence;
use crate::reflex::{ActionKind, Governor, Mode, Plan, Reflex, Scope, Side, Step, Tighten};

pub(super) fn put(plan: &Plan, top: &mut Entries) {
    let plain = Plan::default();
    if plan.reflexes != plain.reflexes {
        top.tables("reflex", plan.reflexes.iter().map(reflex).collect());
    }
    top.table("governor", governor(&plan.governor));
    if plan.trust_start != plain.trust_start {
        let mut trust = Entries::default();
        trust.put("start", float(plan.trust_start));
        top.table("trust", trust);
    }
}

fn reflex(reflex: &Reflex) -> Value {
    let mut fields = Entries::default();
    fields.put("name", text(&reflex.name));
    let mut on = Entries::default();
    on.put("signal", text(reflex.on.signal.as_str()));
    let one_in = reflex.on.one_in.map(|length| text(&format!("1 in {}", duration(length))));
    on.maybe("false_alarms", one_in);
    if !reflex.on.lasting.is_zero() {
        on.put("for", text(&duration(reflex.on.lasting)));
    }
    on.maybe("side", (reflex.on.side == Side::Both).then(|| text("both")));
    on.maybe("scope", (reflex.on.scope == Scope::Caller).then(|| text("caller")));
    fields.table("on", on);
    let mut steps = reflex.steps.iter();
    if let Some(first) = steps.next() {
        fields.put("do", actions(first));
    }
    fields.tables("then", steps.map(step).collect());
    fields.put("ttl", text(&duration(reflex.ttl)));
    fields.into()
}

fn step(step: &Step) -> Value {
    let mut fields = Entries::default();
    fields.put("after", text(&duration(step.after)));
    fields.maybe("unless", step.unless_falling.then(|| text("falling")));
    fields.put("do", actions(step));
    fields.into()
}

fn actions(step: &Step) -> Value {
    list(step.actions.iter().map(action).collect())
}

fn action(kind: &ActionKind) -> Value {
    let ActionKind::Tighten(asked) = kind else { return text(kind.as_str()) };
    let mut fields = Entries::default();
    fields.table("tighten", tighten(asked));
    fields.into()
}

fn tighten(asked: &Tighten) -> Entries {
    let mut fields = Entries::default();
    fields.maybe("rate", asked.rate.map(|asked| text(&rate(asked))));
    fields.maybe("evidence", asked.evidence.map(|asked: Evidence| text(asked.as_str())));
    fields.flag("direct", asked.direct);
    fields.maybe("trust", asked.trust.map(float));
    fields
}

fn governor(governor: &Governor) -> Entries {
    let plain = Governor::default();
    let mut fields = Entries::default();
    let mut say = |key, differs: bool, value: Value| fields.maybe(key, differs.then_some(value));
    say("max_share", governor.max_share != plain.max_share, float(governor.max_share));
    say("min_healthy", governor.min_healthy != plain.min_healthy, float(governor.min_healthy));
    say("min_peers", governor.min_peers != plain.min_peers, integer(governor.min_peers.into()));
    say("min_calls", governor.min_calls != plain.min_calls, integer(governor.min_calls));
    let most = text(&rate(governor.max_actions));
    say("max_actions", governor.max_actions != plain.max_actions, most);
    let mode = match governor.mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    };
    say("mode", governor.mode != plain.mode, text(mode));
    fields
}
