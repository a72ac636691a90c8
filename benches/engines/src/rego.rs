//! regorus: one small program, compiled for its virtual machine, over rules that are data.

use std::hint::black_box;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{PolicyModule, Value};
use serde_json::{Map, json};

use crate::workload::PREFIX;
use crate::{Effect, Engine, Error, From, Rule, Sample, Segment, Workload, in_turn};

const ALLOW: &str = "data.mesh.allow";
const PROGRAM: &str = r#"
package mesh

default allow := false

allow if {
    not denied
    some who in input.callers
    some rule in data.rules.allow[who][input.callee][input.method][input.depth]
    matches(rule)
}

denied if {
    some who in input.callers
    some rule in data.rules.deny[who][input.callee][input.method][input.depth]
    matches(rule)
}

matches(rule) if {
    every at, segment in rule.literals { input.path[at] == segment }
    tenant(rule)
    evidence(rule)
}

tenant(rule) if not rule.tenant
tenant(rule) if startswith(input.tenant, rule.tenant)

evidence(rule) if not rule.verified
evidence(rule) if input.verified
"#;

/// A `RegoVM` with the program and the data loaded; a decision sets the input and executes.
///
/// The rules are filed under caller, callee, method and number of segments, as OPA's advice on
/// performance has it: lookups in objects, and no rule per policy line.
pub struct Rego {
    machine: RegoVM,
    calls: Vec<Value>,
}

impl Rego {
    /// Compiles the program, files the rules and prepares the inputs.
    ///
    /// # Errors
    /// Where regorus refuses any of them.
    pub fn new(load: &Workload, sample: &Sample) -> Result<Self, Error> {
        let data: Value = serde_json::from_value(data(load))?;
        let module = PolicyModule { id: "mesh.rego".into(), content: PROGRAM.into() };
        let compiled =
            regorus::compile_policy_with_entrypoint(data.clone(), &[module], ALLOW.into())?;
        let program =
            Compiler::compile_from_policy(&compiled, &[ALLOW]).map_err(|e| format!("{e:?}"))?;
        let mut machine = RegoVM::new();
        machine.load_program(program);
        machine.set_data(data).map_err(|e| e.to_string())?;
        machine.set_max_instructions(usize::MAX);
        let calls = sample.calls.iter().map(|call| {
            let segments = call.segments().filter(|s| !s.is_empty()).enumerate();
            let path: Map<_, _> = segments.map(|(at, s)| (at.to_string(), s.into())).collect();
            let mut input = json!({
                "callers": [call.caller.as_str(), load.pattern(load.team(call.from))],
                "callee": call.callee.as_str(),
                "method": call.method,
                "depth": path.len().to_string(),
                "path": path,
                "verified": call.verified,
            });
            if let Some(tenant) = call.tenant {
                input["tenant"] = tenant.into();
            }
            serde_json::from_value(input)
        });
        Ok(Self { machine, calls: calls.collect::<Result<_, _>>()? })
    }
}

impl Engine for Rego {
    fn name(&self) -> &'static str {
        "regorus"
    }

    fn decide(&mut self, from: usize, count: usize) -> usize {
        let machine = &mut self.machine;
        in_turn(&self.calls, from, count, |input| {
            machine.set_input(black_box(input).clone());
            black_box(machine.execute()).is_ok_and(|answer| answer == Value::from(true))
        })
    }
}

fn data(load: &Workload) -> serde_json::Value {
    let mut data = json!({});
    for rule in &load.rules {
        let from = match rule.from {
            From::Service(service) => load.id(service),
            From::Team(team) => load.pattern(team),
        };
        let effect = if rule.effect == Effect::Allow { "allow" } else { "deny" };
        let depth = rule.path.len().to_string();
        let place = &mut data["rules"][effect][from][load.id(rule.to)][rule.method][depth];
        if place.is_null() {
            *place = json!([]);
        }
        if let Some(list) = place.as_array_mut() {
            list.push(entry(rule));
        }
    }
    data
}

/// What a rule asks beyond its place.
fn entry(rule: &Rule) -> serde_json::Value {
    let literals = rule.path.iter().enumerate().filter_map(|(at, segment)| match segment {
        Segment::Literal(text) => Some((at.to_string(), text.as_str().into())),
        Segment::Any => None,
    });
    let mut entry = json!({ "literals": literals.collect::<Map<_, _>>() });
    if rule.tenant {
        entry["tenant"] = PREFIX.into();
    }
    if rule.verified {
        entry["verified"] = true.into();
    }
    entry
}
