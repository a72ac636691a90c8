//! Rules and calls from a seed, and what the rules say of the calls.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use meshguard_core::{Evidence, SpiffeId};

/// How many rules the workloads of the tables have.
pub const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

/// The one header that conditions look at.
pub(crate) const TENANT: &str = "x-tenant";
/// What a condition on it asks its value to begin with.
pub(crate) const PREFIX: &str = "acme-";

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const NOUNS: [&str; 16] = [
    "orders",
    "items",
    "users",
    "carts",
    "invoices",
    "payments",
    "refunds",
    "shipments",
    "stock",
    "prices",
    "reviews",
    "sessions",
    "reports",
    "alerts",
    "tags",
    "notes",
];

/// Rules as a mesh of services has them.
///
/// A tenth as many services as rules, at least ten, in teams of about twenty. Each rule lets one
/// service, or a whole team (one rule in four), do one operation on one service. A fifth of the
/// rules asks for a header, a fifth for evidence; one in twenty denies to one service what another
/// allows to its team.
#[derive(Debug)]
pub struct Workload {
    /// In the order of the document.
    pub rules: Vec<Rule>,
    services: usize,
    covered: [HeaderName; 1],
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// Allow or deny.
    pub effect: Effect,
    /// Who may call.
    pub from: From,
    /// Which service is called.
    pub to: usize,
    /// The HTTP method.
    pub method: &'static str,
    /// The path's template.
    pub path: Vec<Segment>,
    /// Whether the header `x-tenant` must begin with `acme-`.
    pub tenant: bool,
    /// Whether the delivery must be verified.
    pub verified: bool,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets a call through, where no rule denies it.
    Allow,
    /// Denies, whatever allows.
    Deny,
}

/// Whom a rule speaks of.
#[derive(Clone, Copy, Debug)]
pub enum From {
    /// One service.
    Service(usize),
    /// All services of a team.
    Team(usize),
}

/// A segment of a template.
#[derive(Clone, Debug)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Any one segment that is not empty.
    Any,
}

/// One call, and what must be answered to it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller's number.
    pub from: usize,
    /// The caller's name.
    pub caller: SpiffeId,
    /// The callee's number.
    pub to: usize,
    /// The callee's name.
    pub callee: SpiffeId,
    /// The HTTP method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The proved header, if any.
    pub tenant: Option<&'static str>,
    /// The same as a request has it.
    pub headers: HeaderMap,
    /// Whether the delivery is verified.
    pub verified: bool,
    /// The answer.
    pub allowed: bool,
}

/// Calls to ask all engines.
#[derive(Debug)]
pub struct Sample {
    /// In turn.
    pub calls: Vec<Call>,
}

impl Workload {
    /// So many rules.
    #[must_use]
    pub fn new(rules: usize, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let services = (rules / 10).max(10);
        let mut load =
            Self { rules: Vec::new(), services, covered: [HeaderName::from_static(TENANT)] };
        for i in 0..rules {
            let rule = load.rule(i, &mut dice);
            load.rules.push(rule);
        }
        load
    }

    fn rule(&self, i: usize, dice: &mut Dice) -> Rule {
        if i % 20 == 19 {
            return self.exception(i, dice);
        }
        let team = i % 4 == 3;
        let from = if team { self.teams() } else { self.services };
        let from = dice.below(from);
        Rule {
            name: format!("r{i}"),
            effect: Effect::Allow,
            from: if team { From::Team(from) } else { From::Service(from) },
            to: dice.below(self.services),
            method: METHODS[dice.below(METHODS.len())],
            path: template(dice),
            tenant: i % 5 == 0,
            verified: i % 5 == 1,
        }
    }

    /// Denies to one service what an earlier rule allows to its team.
    fn exception(&self, i: usize, dice: &mut Dice) -> Rule {
        let rule = &self.rules[i - 8]; // of a team, as 11 is 3 modulo 4
        Rule {
            name: format!("r{i}"),
            effect: Effect::Deny,
            from: From::Service(self.one_of(rule.from, dice)),
            path: rule.path.clone(),
            tenant: false,
            verified: false,
            ..*rule
        }
    }

    fn one_of(&self, from: From, dice: &mut Dice) -> usize {
        match from {
            From::Service(service) => service,
            From::Team(team) => {
                let members = (self.services - team).div_ceil(self.teams());
                team + self.teams() * dice.below(members)
            }
        }
    }

    /// How many services there are.
    #[must_use]
    pub fn services(&self) -> usize {
        self.services
    }

    /// How many teams there are.
    #[must_use]
    pub fn teams(&self) -> usize {
        self.services.div_ceil(20).max(2)
    }

    /// The team of a service.
    #[must_use]
    pub fn team(&self, service: usize) -> usize {
        service % self.teams()
    }

    /// The name of a service.
    #[must_use]
    pub fn id(&self, service: usize) -> String {
        format!("spiffe://bench.example/ns/team-{}/sa/svc-{service}", self.team(service))
    }

    /// The pattern of a team's names.
    #[must_use]
    pub fn pattern(&self, team: usize) -> String {
        format!("spiffe://bench.example/ns/team-{team}/sa/*")
    }

    /// The names of the headers that a caller's proof covers.
    #[must_use]
    pub fn covered(&self) -> &[HeaderName] {
        &self.covered
    }

    /// So many calls that are allowed, each made from a rule picked at random.
    #[must_use]
    pub fn allowed(&self, count: usize, seed: u64) -> Sample {
        let mut dice = Dice(seed);
        let calls = std::iter::repeat_with(|| self.call(&mut dice)).filter(|call| call.allowed);
        Sample { calls: calls.take(count).collect() }
    }

    /// So many calls, about half of which are denied: made as the others, with one thing changed.
    #[must_use]
    pub fn mixed(&self, count: usize, seed: u64) -> Sample {
        let mut dice = Dice(seed);
        let calls = std::iter::repeat_with(|| {
            let mut call = self.call(&mut dice);
            if dice.below(2) == 0 {
                self.spoil(&mut call, &mut dice);
            }
            call
        });
        Sample { calls: calls.take(count).collect() }
    }

    /// What a rule speaks of.
    fn call(&self, dice: &mut Dice) -> Call {
        let rule = &self.rules[dice.below(self.rules.len())];
        let from = self.one_of(rule.from, dice);
        let all = rule.effect == Effect::Deny; // whatever the rule that it overrides asks for
        let mut path = String::new();
        for segment in &rule.path {
            path.push('/');
            match segment {
                Segment::Literal(text) => path.push_str(text),
                Segment::Any => path.push_str(&dice.below(1_000_000).to_string()),
            }
        }
        let mut call = Call {
            from,
            caller: id(self, from),
            to: rule.to,
            callee: id(self, rule.to),
            method: rule.method,
            path,
            tenant: Some(["acme-7", "acme-eu"][dice.below(2)]).filter(|_| all || rule.tenant),
            headers: HeaderMap::new(),
            verified: all || rule.verified,
            allowed: false,
        };
        self.settle(&mut call);
        call
    }

    /// Changes one thing.
    fn spoil(&self, call: &mut Call, dice: &mut Dice) {
        match dice.below(7) {
            0 => call.method = METHODS[dice.below(METHODS.len())],
            1 => call.from = dice.below(self.services),
            2 => call.to = dice.below(self.services),
            3 => call.tenant = [None, Some("other-7"), Some("acme")][dice.below(3)],
            4 => call.verified = false,
            5 => call.path.push_str("/more"),
            _ => call.path.truncate(call.path.rfind('/').unwrap_or(0).max(1)),
        }
        (call.caller, call.callee) = (id(self, call.from), id(self, call.to));
        self.settle(call);
    }

    /// Makes the headers and the answer fit the rest.
    fn settle(&self, call: &mut Call) {
        call.headers.clear();
        if let Some(tenant) = call.tenant {
            call.headers.insert(TENANT, HeaderValue::from_static(tenant));
        }
        let matching =
            |effect| self.rules.iter().any(|r| r.effect == effect && self.matches(r, call));
        call.allowed = !matching(Effect::Deny) && matching(Effect::Allow);
    }

    /// The plain meaning of a rule, against which every engine is held.
    fn matches(&self, rule: &Rule, call: &Call) -> bool {
        let from = match rule.from {
            From::Service(service) => service == call.from,
            From::Team(team) => team == self.team(call.from),
        };
        let mut segments = call.path.split('/').skip(1);
        let mut fits = |segment: &Segment| match (segment, segments.next()) {
            (Segment::Literal(text), Some(s)) => text == s,
            (Segment::Any, Some(s)) => !s.is_empty(),
            (_, None) => false,
        };
        from && rule.to == call.to
            && rule.method == call.method
            && rule.path.iter().all(&mut fits)
            && segments.next().is_none()
            && (!rule.tenant || call.tenant.is_some_and(|t| t.starts_with(PREFIX)))
            && (!rule.verified || call.verified)
    }
}

impl Rule {
    /// The template, with each [`Segment::Any`] written as `any` says.
    #[must_use]
    pub fn template(&self, any: &str) -> String {
        let mut text = String::new();
        for segment in &self.path {
            match segment {
                Segment::Literal(literal) => write!(text, "/{literal}"),
                Segment::Any => write!(text, "/{any}"),
            }
            .unwrap_or_default();
        }
        text
    }
}

impl Call {
    /// How complete the delivery is proved to be.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        if self.verified { Evidence::Verified } else { Evidence::None }
    }

    /// The path's segments.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').skip(1)
    }
}

fn id(load: &Workload, service: usize) -> SpiffeId {
    // INVARIANT: `Workload::id` writes nothing but well-formed names.
    load.id(service).parse().unwrap_or_else(|_| unreachable!())
}

/// `/v1/orders`, `/v1/orders/{id}`, `/v1/orders/{id}/items`.
fn template(dice: &mut Dice) -> Vec<Segment> {
    let noun = |dice: &mut Dice| {
        let number = dice.below(12);
        Segment::Literal(format!("{}{number}", NOUNS[dice.below(NOUNS.len())]))
    };
    let version = Segment::Literal(format!("v{}", 1 + dice.below(2)));
    let mut path = vec![version, noun(dice)];
    match dice.below(4) {
        0 => {}
        1 | 2 => path.push(Segment::Any),
        _ => path.extend([Segment::Any, noun(dice)]),
    }
    path
}

/// SplitMix64: the same numbers for a seed everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
