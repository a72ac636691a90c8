//! What a replay says for sure is what the candidate decides.

use super::generate::{Ask, Seeded, document};
use crate::identity::SpiffeId;
use crate::policy::replay::{Replay, ReplayError};
use crate::policy::{Flow, Flows, Policy, Reason, Was};
use crate::{Access, Evidence};

/// A call as a ledger has it, and more or less of it.
struct Recorded {
    words: String,
    allowed: bool,
    route: Option<String>,
    method: Option<String>,
    evidence: Option<Evidence>,
}

impl Recorded {
    fn of(policy: &Policy, access: &Access<'_>, random: &mut Seeded) -> Self {
        let decision = policy.decide(access);
        let words = match decision.reason() {
            Reason::Rule(rule) => rule.to_owned(),
            reason => reason.to_string(),
        };
        let allowed = decision.is_allowed();
        // Of a refusal, ledgers have less.
        let route = decision.route().filter(|_| allowed || random.below(2) == 0);
        let evidence = (allowed || random.below(2) == 0).then(|| access.proved());
        let method = access.method().filter(|_| random.below(2) == 0);
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self { words, allowed, route: owned(route), method: owned(method), evidence }
    }

    fn flow<'a>(&'a self, access: &'a Access<'_>) -> Flow<'a> {
        Flow {
            from: access.principal().map(SpiffeId::as_str),
            via: access.hop().map(SpiffeId::as_str),
            to: access.callee().map(SpiffeId::as_str),
            method: self.method.as_deref(),
            route: self.route.as_deref(),
            evidence: self.evidence,
            policy_version: 1,
            was: match self.allowed {
                true => Was::Allowed(&self.words),
                false => Was::Refused(&self.words),
            },
        }
    }
}

fn replay(candidate: &Policy, flow: &Flow<'_>, recorded: Option<&Policy>) -> Replay {
    let mut flows = Flows::default();
    flows.add(flow).unwrap();
    candidate.replay(&flows, recorded).unwrap()
}

/// Whether the call is allowed; `None`: it depends.
fn says(replay: &Replay) -> Option<bool> {
    match (&replay.newly_allowed[..], &replay.newly_denied[..], &replay.depends[..]) {
        ([], [], []) => Some(replay.allowed == 1),
        ([_], [], []) => Some(true),
        ([], [_], []) => Some(false),
        _ => None,
    }
}

/// What is wrong with a replay of what was recorded, where the candidate really decides on
/// `access`.
fn wrong(candidate: &Policy, access: &Access<'_>, replay: &Replay) -> Option<String> {
    let decision = candidate.decide(access);
    if says(replay).is_some_and(|says| says != decision.is_allowed()) {
        return Some(format!("{decision:?}\n{replay:?}"));
    }
    let (Reason::Rule(rule) | Reason::DenyRule(rule)) = decision.reason() else { return None };
    let never = replay.unused.iter().any(|unused| unused.rule == rule && !unused.perhaps);
    never.then(|| format!("{rule} decides it\n{replay:?}"))
}

struct Tried {
    wrong: Option<String>,
    sure: bool,
    allowed: bool,
}

/// Two documents, calls decided by the first, and what the second is said to decide. `other`
/// records another call than was made.
fn try_pair(seed: u64, other: bool, mut each: impl FnMut(bool, Tried)) {
    let mut random = Seeded(seed);
    let recorded: Policy = document(&mut random).parse().unwrap();
    let same = random.below(3) == 0;
    let candidate: Policy = match same {
        true => document(&mut Seeded(seed)).parse().unwrap(),
        false => document(&mut random).parse().unwrap(),
    };
    for _ in 0..30 {
        let (ask, second) = (Ask::random(&mut random), Ask::random(&mut random));
        let made = as_received(&ask);
        let shown = if other { as_received(&second) } else { as_received(&ask) };
        let record = Recorded::of(&recorded, &shown, &mut random);
        for known in [None, Some(&recorded)] {
            let replay = replay(&candidate, &record.flow(&shown), known);
            let wrong = wrong(&candidate, &made, &replay);
            let sure = says(&replay).is_some();
            each(known.is_some(), Tried { wrong, sure, allowed: record.allowed });
        }
    }
}

/// As a transport asks: without a hop, the caller itself is connected.
fn as_received(ask: &Ask) -> Access<'_> {
    let access = ask.access();
    if access.hop().is_none() { access.direct() } else { access }
}

#[test]
fn a_replay_is_never_wrong_and_seldom_in_doubt() {
    let (mut sure, mut all) = ([0_usize; 2], [0_usize; 2]);
    for seed in 0..600 {
        try_pair(seed, false, |known, tried| {
            assert_eq!(tried.wrong, None, "seed {seed}");
            if tried.allowed {
                all[usize::from(known)] += 1;
                sure[usize::from(known)] += usize::from(tried.sure);
            }
        });
    }
    let share = |known: usize| sure[known] * 100 / all[known];
    println!("of {} calls allowed, sure: {} %, {} %", all[0], share(0), share(1));
    assert!(all[0] > 1_000, "{all:?}");
    assert!(share(0) >= 40 && share(1) > share(0), "{} {}", share(0), share(1));
}

/// The seeded defect of the claim above: a ledger that recorded another call.
#[test]
fn a_replay_of_another_call_is_found_out() {
    let mut found = 0;
    for seed in 0..100 {
        try_pair(seed, true, |_, tried| found += usize::from(tried.wrong.is_some()));
    }
    assert!(found > 100, "{found}");
}

#[test]
fn a_policy_that_no_record_can_answer_is_refused() {
    let flows = Flows::default();
    assert_eq!(Policy::deny_all().replay(&flows, None), Err(ReplayError::NoPolicy));
    let imported = "mesh='m'\nversion=1\nsemantics='istio'\n".parse::<Policy>().unwrap();
    assert_eq!(imported.replay(&flows, None), Err(ReplayError::Imported));
}

const HEAD: &str = "mesh='m'\nversion=1\n[peers]\nx='spiffe://m/x'\ny='spiffe://m/y'\n";

fn policy(rules: &str) -> Policy {
    format!("{HEAD}{rules}").parse().unwrap_or_else(|e| panic!("{e}"))
}

fn allowed<'a>(from: &'a str, route: &'a str, rule: &'a str) -> Flow<'a> {
    Flow {
        from: Some(from),
        via: None,
        to: Some("spiffe://m/y"),
        method: None,
        route: Some(route),
        evidence: Some(Evidence::Verified),
        policy_version: 1,
        was: Was::Allowed(rule),
    }
}

#[test]
fn what_no_record_has_is_named_and_what_a_rule_held_is_known() {
    let recorded = policy(
        "[[allow]]\nname='r'\nfrom=['x']\nto=['y']\nhttp=['GET /a/{id}', 'POST /a']\n\
         when={trust=0.5, headers={x-t='acme-1', x-u='a*'}}\n",
    );
    let flow = allowed("spiffe://m/x", "/a/{id}", "r");
    for (rules, on) in [
        ("http=['GET /a/{id}']", &[][..]),
        ("http=['GET /a/{id}']\nwhen={trust=0.4, headers={x-t='acme-*'}}", &[]),
        ("http=['GET /a/{id}']\nwhen={trust=0.6}", &["trust"]),
        ("http=['GET /a/b']", &["the path"]),
        ("when={headers={x-u='ab'}, proof='dpop'}", &["the header x-u", "the proof of a token"]),
        (
            "when={claims={scope=['a']}, source=['10.0.0.0/8']}",
            &["the claim scope", "the source address"],
        ),
    ] {
        let text = format!("[[allow]]\nname='c'\nfrom=['x']\nto=['y']\n{rules}\n");
        let replay = replay(&policy(&text), &flow, Some(&recorded));
        let found = replay.depends.first().map_or(&[][..], |change| &change.on);
        assert_eq!(found, on, "{rules}");
        assert_eq!(replay.is_unchanged(), on.is_empty(), "{rules}");
        assert!(replay.newly_denied.is_empty(), "{rules}");
    }
}

#[test]
fn a_caller_that_was_seen_once_is_told_beside_one_that_calls_all_the_time() {
    let candidate = policy(
        "[[allow]]\nname='c'\nfrom=['x']\nto=['y']\nhttp=['* /a']\n[[deny]]\nname='d'\nhttp=['* /z']\n",
    );
    let mut flows = Flows::default();
    for _ in 0..1_000 {
        flows.add(&allowed("spiffe://m/x", "/a", "r")).unwrap();
        flows.add(&allowed("spiffe://m/x", "/b", "r")).unwrap();
    }
    flows.add(&allowed("spiffe://m/rare", "/a", "r")).unwrap();
    let replay = candidate.replay(&flows, None).unwrap();
    let told: Vec<_> = replay.newly_denied.iter().map(|c| (c.from.as_deref(), c.calls)).collect();
    assert_eq!(told, [(Some("spiffe://m/rare"), 1), (Some("spiffe://m/x"), 1_000)]);
    assert_eq!(replay.unchanged, 1_000);
    assert_eq!(replay.unused.len(), 1);
    assert_eq!((replay.unused[0].rule.as_str(), replay.unused[0].perhaps), ("d", false));
    let shown = replay.to_string();
    assert!(shown.contains("spiffe://m/rare -> spiffe://m/y\n    1 x /a\n"), "{shown}");
    assert!(shown.contains("never exercised: d (deny)"), "{shown}");
}

#[test]
fn a_deny_rule_is_replayed_on_its_path_with_a_slash_behind_it() {
    let candidate = policy(
        "[[allow]]\nname='all'\nfrom=['x']\nto=['y']\n[[deny]]\nname='d'\nhttp=['* /a', '* /b/{id}']\n",
    );
    for (route, denied, depends) in [
        ("/a/", 1, 0),
        ("/a", 1, 0),
        ("/b/{id}/", 1, 0),
        ("/a/{**}", 0, 1),
        ("/c/", 0, 0),
        ("/a/b", 0, 0),
    ] {
        let replay = replay(&candidate, &allowed("spiffe://m/x", route, "all"), None);
        let found = (replay.newly_denied.len(), replay.depends.len());
        assert_eq!(found, (denied, depends), "{route}");
    }
}

/// A head that was refused is refused under every policy, unless a route may permit it.
#[test]
fn a_refused_head_stays_refused() {
    let all = "[[allow]]\nname='all'\nfrom=['x']\nto=['y']\n";
    let route = "[[route]]\nhttp=['POST /a']\nmethod_override=true\n";
    let (closed, open) = (policy(all), policy(&format!("{all}{route}")));
    for (words, under_open) in [
        ("more than one host", 0),
        ("a method in another case", 0),
        ("a header that overrides the method", 1),
        ("no upgrade here", 0),
    ] {
        let flow = Flow { was: Was::Refused(words), ..allowed("spiffe://m/x", "/a", "") };
        for (candidate, depends) in [(&closed, 0), (&open, under_open)] {
            let replay = replay(candidate, &flow, None);
            assert_eq!(replay.newly_allowed.len(), 0, "{words}");
            assert_eq!(replay.depends.len(), depends, "{words}");
        }
    }
}

/// A ledger that somebody else has written may count as many as numbers go.
#[test]
fn sums_of_a_replay_that_no_number_holds_are_the_largest_one() {
    let policy: Policy = "mesh = \"a\"\nversion = 1\n".parse().unwrap();
    let none = Reason::NoRule.to_string();
    let mut flows = Flows::default();
    for from in ["spiffe://a/x", "spiffe://a/y"] {
        let flow = Flow {
            from: Some(from),
            via: None,
            to: Some("spiffe://a/z"),
            method: Some("GET"),
            route: Some("/"),
            evidence: None,
            policy_version: 1,
            was: Was::Refused(&none),
        };
        flows.add_many(&flow, u64::MAX - 1).unwrap();
    }
    let replay = policy.replay(&flows, None).unwrap();
    assert_eq!(replay.refused, u64::MAX);
    assert!(replay.to_string().contains(&u64::MAX.to_string()));
}
