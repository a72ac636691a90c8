//! cedar-policy: a parsed `PolicySet`, entities and requests that are there, no schema.

use std::fmt::Write as _;
use std::hint::black_box;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use crate::workload::PREFIX;
use crate::{Call, Effect, Engine, Error, From, Sample, Workload, in_turn};

/// `Authorizer::is_authorized`. What a rule fixes stands in the policy's scope, where Cedar's own
/// advice puts it; a team is a parent entity; a template is `like` and the number of segments.
#[derive(Debug)]
pub struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    calls: Vec<Request>,
}

impl Cedar {
    /// Parses the rules and prepares entities and requests.
    ///
    /// # Errors
    /// Where Cedar refuses any of them.
    pub fn new(load: &Workload, sample: &Sample) -> Result<Self, Error> {
        let services = (0..load.services()).map(|service| {
            let parents = [uid("Team", &load.pattern(load.team(service)))?].into();
            Ok(Entity::new_no_attrs(uid("Service", &load.id(service))?, parents))
        });
        let services = services.collect::<Result<Vec<_>, Error>>()?;
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: policies(load)?.parse()?,
            entities: Entities::from_entities(services, None)?,
            calls: sample.calls.iter().map(request).collect::<Result<_, _>>()?,
        })
    }
}

impl Engine for Cedar {
    fn name(&self) -> &'static str {
        "cedar-policy"
    }

    fn decide(&mut self, from: usize, count: usize) -> usize {
        in_turn(&self.calls, from, count, |request| {
            let response =
                self.authorizer.is_authorized(black_box(request), &self.policies, &self.entities);
            black_box(response).decision() == Decision::Allow
        })
    }
}

fn uid(kind: &str, name: &str) -> Result<EntityUid, Error> {
    Ok(EntityUid::from_type_name_and_id(kind.parse()?, cedar_policy::EntityId::new(name)))
}

fn policies(load: &Workload) -> Result<String, Error> {
    let mut text = String::new();
    for rule in &load.rules {
        let kind = if rule.effect == Effect::Allow { "permit" } else { "forbid" };
        let from = match rule.from {
            From::Service(service) => format!("principal == Service::\"{}\"", load.id(service)),
            From::Team(team) => format!("principal in Team::\"{}\"", load.pattern(team)),
        };
        let to = load.id(rule.to);
        writeln!(
            text,
            "{kind}({from}, action == Action::\"{}\", resource == Service::\"{to}\") when {{\n\
             context.depth == {} && context.path like \"{}\"",
            rule.method,
            rule.path.len(),
            rule.template("*"),
        )?;
        if rule.tenant {
            writeln!(text, "&& context has tenant && context.tenant like \"{PREFIX}*\"")?;
        }
        if rule.verified {
            writeln!(text, "&& context.verified")?;
        }
        writeln!(text, "}};")?;
    }
    Ok(text)
}

fn request(call: &Call) -> Result<Request, Error> {
    // Segments that are not empty: so `like` with as many slashes takes no other path.
    let depth = call.segments().filter(|s| !s.is_empty()).count();
    let text = |s: &str| RestrictedExpression::new_string(s.to_owned());
    let mut pairs = vec![
        ("path".to_owned(), text(&call.path)),
        ("depth".to_owned(), RestrictedExpression::new_long(depth as i64)),
        ("verified".to_owned(), RestrictedExpression::new_bool(call.verified)),
    ];
    pairs.extend(call.tenant.map(|tenant| ("tenant".to_owned(), text(tenant))));
    Ok(Request::new(
        uid("Service", call.caller.as_str())?,
        uid("Action", call.method)?,
        uid("Service", call.callee.as_str())?,
        Context::from_pairs(pairs)?,
        None,
    )?)
}
