//! meshguard.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;

use meshguard_core::Access;
use meshguard_core::policy::Policy;

use crate::workload::{PREFIX, TENANT};
use crate::{Effect, Engine, Error, From, Sample, Workload, in_turn};

/// [`Policy::decide`] over [`Access`]es that are there.
#[derive(Debug)]
pub struct Mesh<'w> {
    policy: Policy,
    calls: Vec<Access<'w>>,
}

impl<'w> Mesh<'w> {
    /// Loads the rules and prepares the calls.
    ///
    /// # Errors
    /// Where the document is refused.
    pub fn new(load: &'w Workload, sample: &'w Sample) -> Result<Self, Error> {
        let policy: Policy = document(load)?.parse()?;
        let calls = sample.calls.iter().map(|call| {
            Access::http(call.method, &call.path)
                .by(&call.caller)
                .to(&call.callee)
                .direct()
                .evidence(call.evidence())
                .headers(&call.headers, load.covered())
        });
        Ok(Self { policy, calls: calls.collect() })
    }
}

impl Engine for Mesh<'_> {
    fn name(&self) -> &'static str {
        "meshguard"
    }

    fn decide(&mut self, from: usize, count: usize) -> usize {
        in_turn(&self.calls, from, count, |access| {
            black_box(self.policy.decide(black_box(access)).ruling()).is_allowed()
        })
    }
}

/// The rules as a policy document.
fn document(load: &Workload) -> Result<String, Error> {
    let mut peers = BTreeMap::new();
    let mut rules = String::new();
    for rule in &load.rules {
        let (from, pattern) = match rule.from {
            From::Service(service) => (format!("svc-{service}"), load.id(service)),
            From::Team(team) => (format!("team-{team}"), load.pattern(team)),
        };
        let to = format!("svc-{}", rule.to);
        let kind = if rule.effect == Effect::Allow { "allow" } else { "deny" };
        writeln!(
            rules,
            "[[{kind}]]\nname = \"{}\"\nfrom = [\"{from}\"]\nto = [\"{to}\"]",
            rule.name
        )?;
        writeln!(rules, "http = [\"{} {}\"]", rule.method, rule.template("{id}"))?;
        if rule.tenant {
            writeln!(rules, "when = {{ headers = {{ {TENANT} = \"{PREFIX}*\" }} }}")?;
        }
        if rule.verified {
            writeln!(rules, "when = {{ evidence = \"verified\" }}")?;
        }
        peers.insert(from, pattern);
        peers.insert(to, load.id(rule.to));
    }
    let mut text = String::from("mesh = \"bench.example\"\nversion = 1\n[peers]\n");
    for (name, pattern) in peers {
        writeln!(text, "{name} = \"{pattern}\"")?;
    }
    text.push_str(&rules);
    Ok(text)
}
