//! casbin: its enforcer in memory, over a model whose matcher asks the rarest thing first.

use std::hint::black_box;

use casbin::{CachedEnforcer, CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};

use crate::workload::PREFIX;
use crate::{Call, Effect, Engine, Error, From, Sample, Workload, in_turn};

const MODEL: &str = r#"
[request_definition]
r = sub, team, obj, act, path, tenant, verified

[policy_definition]
p = sub, obj, act, path, tenant, verified, eft

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = r.obj == p.obj && (r.sub == p.sub || r.team == p.sub) && r.act == p.act && (p.tenant == "" || keyMatch(r.tenant, p.tenant)) && (p.verified == "" || r.verified == p.verified) && keyMatch3(r.path, p.path)
"#;

type Arguments = (String, String, String, &'static str, String, &'static str, &'static str);

/// An enforcer's `enforce`.
pub struct Casbin<E> {
    name: &'static str,
    enforcer: E,
    calls: Vec<Arguments>,
}

impl Casbin<Enforcer> {
    /// Loads the rules and prepares the arguments.
    ///
    /// # Errors
    /// Where casbin refuses any of them.
    pub fn new(load: &Workload, sample: &Sample) -> Result<Self, Error> {
        Self::load("casbin", load, sample)
    }
}

impl Casbin<CachedEnforcer> {
    /// As [`new`](Casbin::new); the cache has every call of the sample after the first turn: the
    /// price of asking the same again.
    ///
    /// # Errors
    /// Where casbin refuses any of them.
    pub fn cached(load: &Workload, sample: &Sample) -> Result<Self, Error> {
        Self::load("casbin, cached", load, sample)
    }
}

impl<E: CoreApi + MgmtApi> Casbin<E> {
    fn load(name: &'static str, load: &Workload, sample: &Sample) -> Result<Self, Error> {
        let enforcer = wait(async {
            let model = DefaultModel::from_str(MODEL).await?;
            let mut enforcer = E::new(model, MemoryAdapter::default()).await?;
            enforcer.add_policies(lines(load)).await?;
            Ok(enforcer)
        })?;
        Ok(Self { name, enforcer, calls: calls(load, sample) })
    }
}

impl<E: CoreApi> Engine for Casbin<E> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decide(&mut self, from: usize, count: usize) -> usize {
        in_turn(&self.calls, from, count, |call| {
            black_box(self.enforcer.enforce(borrowed(black_box(call)))).unwrap_or(false)
        })
    }
}

fn wait<T>(future: impl Future<Output = casbin::Result<T>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(future)?)
}

fn lines(load: &Workload) -> Vec<Vec<String>> {
    let line = |rule: &crate::Rule| {
        let from = match rule.from {
            From::Service(service) => load.id(service),
            From::Team(team) => load.pattern(team),
        };
        let tenant = if rule.tenant { format!("{PREFIX}*") } else { String::new() };
        let verified = if rule.verified { "yes" } else { "" };
        let effect = if rule.effect == Effect::Allow { "allow" } else { "deny" };
        let texts = [rule.method, &rule.template("{id}"), &tenant, verified, effect];
        [from, load.id(rule.to)].into_iter().chain(texts.map(str::to_owned)).collect()
    };
    load.rules.iter().map(line).collect()
}

fn calls(load: &Workload, sample: &Sample) -> Vec<Arguments> {
    let arguments = |call: &Call| {
        (
            call.caller.as_str().to_owned(),
            load.pattern(load.team(call.from)),
            call.callee.as_str().to_owned(),
            call.method,
            call.path.clone(),
            call.tenant.unwrap_or(""),
            if call.verified { "yes" } else { "no" },
        )
    };
    sample.calls.iter().map(arguments).collect()
}

fn borrowed(call: &Arguments) -> (&str, &str, &str, &str, &str, &str, &str) {
    (&call.0, &call.1, &call.2, call.3, &call.4, call.5, call.6)
}
