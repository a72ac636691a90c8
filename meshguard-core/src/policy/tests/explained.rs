//! What an explanation says is what was decided.

use super::generate::{Ask, Seeded, document};
use super::{CHECKOUT, NIGHTLY, ORDERS, policy};
use crate::Access;
use crate::policy::explain::{Considered, Explanation, MAX_EXPLAINED, Part};
use crate::policy::{Effect, Policy, Reason};

/// Whether an explanation gives another account than the decision.
fn contradicts(policy: &Policy, access: &Access<'_>, explained: &Explanation) -> Option<String> {
    let decision = policy.decide_served(access);
    if explained.allowed != decision.is_allowed() || explained.reason != reason(policy, access) {
        return Some("another decision".into());
    }
    let matching = |effect| {
        let rules = explained.rules.iter().filter(|c| !c.shadow && c.matches());
        rules.filter(move |c| c.effect == effect).map(|c| c.rule.as_str())
    };
    let (deny, allow) = (matching(Effect::Deny).next(), matching(Effect::Allow).next());
    let agrees = match decision.reason() {
        Reason::DenyRule(rule) => deny == Some(rule),
        Reason::Rule(rule) => deny.is_none() && allow == Some(rule),
        Reason::Unmet { rule, condition } => {
            let nearest = explained.nearest.as_ref();
            let miss = nearest.and_then(|n| n.misses.first());
            deny.or(allow).is_none()
                && nearest.is_some_and(|n| n.rule == rule)
                && miss.is_some_and(|m| m.part == Part::When && m.text == condition.to_string())
        }
        Reason::NoRule => deny.or(allow).is_none(),
        _ => explained.rules.is_empty() && explained.others == 0,
    };
    (!agrees).then(|| format!("{:?}, but {explained:?}", decision.reason()))
}

fn reason(policy: &Policy, access: &Access<'_>) -> String {
    policy.decide_served(access).reason().to_string()
}

#[test]
fn an_explanation_agrees_with_the_decision() {
    for seed in 0..300 {
        let mut random = Seeded(seed);
        let policy: Policy = document(&mut random).parse().unwrap();
        for _ in 0..40 {
            let ask = Ask::random(&mut random);
            let explained = policy.explain(&ask.access());
            let wrong = contradicts(&policy, &ask.access(), &explained);
            assert_eq!(wrong, None, "seed {seed}: {ask:?}");
        }
    }
}

/// The seeded defect of the claim above: an explanation of a neighbouring access.
#[test]
fn an_explanation_of_another_access_is_found_out() {
    let mut found = 0;
    for seed in 0..50 {
        let mut random = Seeded(seed);
        let policy: Policy = document(&mut random).parse().unwrap();
        for _ in 0..40 {
            let (ask, other) = (Ask::random(&mut random), Ask::random(&mut random));
            let explained = policy.explain(&other.access());
            found += usize::from(contradicts(&policy, &ask.access(), &explained).is_some());
        }
    }
    assert!(found > 200, "{found}");
}

fn rule<'e>(explained: &'e Explanation, name: &str) -> &'e Considered {
    explained.rules.iter().find(|c| c.rule == name).unwrap()
}

#[test]
fn each_part_that_does_not_fit_is_named() {
    let policy = policy(
        "[[allow]]\nname='a'\nfrom=['checkout']\nto=['orders']\nvia=['edge']\nhttp=['GET /a', 'POST /b']\n\
         when={trust=0.6, headers={x-tenant='acme-*'}}\n\
         [[deny]]\nname='d'\nfrom=['batch']\nto=['orders']\nwhen={direct=false}\n",
    );
    let access = Access::http("PUT", "/c").by(NIGHTLY).to(CHECKOUT).direct().trust(0.41);
    let explained = policy.explain(&access);
    let texts: Vec<_> = rule(&explained, "a").misses.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "the caller is not checkout",
            "the callee is not orders",
            "it did not come through edge",
            "the operation is not GET /a or POST /b",
            "trust is 0.41 and it needs 0.6",
            "the caller proved no header x-tenant",
        ],
    );
    let parts: Vec<_> = rule(&explained, "d").misses.iter().map(|m| m.part).collect();
    assert_eq!(parts, [Part::To, Part::When]);
    assert_eq!(explained.nearest, None, "nothing is near");
    assert_eq!(explained.inputs.headers[0].name, "x-tenant");
    assert!(!explained.inputs.headers[0].proved);
}

#[test]
fn a_denied_call_is_told_which_rule_comes_nearest() {
    let rules = "[[allow]]\nname='reads'\nfrom=['checkout']\nhttp=['GET /orders/{id}']\n\
                 [[allow]]\nname='writes'\nfrom=['checkout']\nhttp=['POST /orders']\nwhen={trust=0.6}\n\
                 [[deny]]\nname='never'\nhttp=['* /admin/{**}']\n";
    let policy = policy(rules);
    let near = |method, path| {
        let explained = policy.explain(&Access::http(method, path).by(CHECKOUT).to(ORDERS));
        explained.nearest.map(|n| (n.rule, n.misses.len()))
    };
    assert_eq!(near("POST", "/orders"), Some(("writes".into(), 1)));
    assert_eq!(near("DELETE", "/orders/7"), Some(("reads".into(), 1)));
    assert_eq!(near("GET", "/orders/7"), None, "it is allowed");
    let admin = policy.explain(&Access::http("GET", "/admin/x").by(CHECKOUT).to(ORDERS));
    assert_eq!(admin.rule.as_deref(), Some("never"));
}

#[test]
fn an_explanation_has_a_bound_and_says_what_it_leaves_out() {
    let rules: String = (0..500)
        .map(|n| format!("[[allow]]\nname='r{n}'\nhttp=['GET /{n}']\n"))
        .chain((0..100).map(|n| format!("[[deny]]\nname='d{n}'\nhttp=['GET /x']\n")))
        .collect();
    let policy = policy(&rules);
    let explained = policy.explain(&Access::http("GET", "/499").by(CHECKOUT));
    assert_eq!((explained.rules.len(), explained.others), (MAX_EXPLAINED, 600 - MAX_EXPLAINED));
    assert!(rule(&explained, "r499").matches(), "the rule that decided is never left out");
    let explained = policy.explain(&Access::http("GET", "/x").by(CHECKOUT));
    assert_eq!(explained.rule.as_deref(), Some("d0"));
    assert!(rule(&explained, "d0").matches());
}

#[test]
fn an_explanation_names_headers_and_claims_but_shows_no_value() {
    let policy = policy(
        "[[allow]]\nname='a'\nwhen={headers={authorization='Bearer *'}, claims={sub=['joe']}}\n",
    );
    let claims = serde_json::json!({"sub": "secret-subject", "other": "secret-other"});
    let access = Access::http("GET", "/a").by(CHECKOUT).claims(&claims);
    let access = access.header("authorization", "secret-token").header("cookie", "secret-cookie");
    let explained = policy.explain(&access);
    assert!(explained.inputs.headers[0].proved && explained.inputs.claims[0].proved);
    for shown in [explained.to_string(), serde_json::to_string(&explained).unwrap()] {
        assert!(shown.contains("authorization") && shown.contains("sub"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
    let hostile = policy.explain(&Access::http("GET", "/a\u{1b}[2J").by(CHECKOUT));
    assert!(hostile.to_string().contains("{1b}") && !hostile.to_string().contains('\u{1b}'));
}

#[test]
fn what_is_owed_is_told() {
    let policy = policy(
        "[[allow]]\nname='a'\nwhen={evidence='verified', content={json=['/id'], max_bytes=10}}\n\
         limit={rate='5/min', burst=2, per='rule'}\n",
    );
    let access = Access::http("POST", "/").by(CHECKOUT).evidence(crate::Evidence::Verified);
    let shown = policy.explain(&access).to_string();
    assert!(shown.starts_with("allowed: a allows it\n"), "{shown}");
    let owed = "owed: evidence verified, to the body's end; a body of at most 10 bytes; JSON with /id; \
                at most 5/min, 2 at once, for each rule";
    assert!(shown.contains(owed), "{shown}");
}

#[test]
fn an_imported_rule_is_told_by_its_terms() {
    let text = "mesh='shop.example'\nversion=1\nsemantics='istio'\n\
                [[allow]]\nname='a'\nwhen={where=[{key='request.path', values=['/a*']}, \
                {key='request.method', values=['GET']}]}\n";
    let policy: Policy = text.parse().unwrap();
    let access = Access::http("POST", "/a/b").by(CHECKOUT);
    let explained = policy.explain(&access);
    let miss = &explained.nearest.unwrap().misses;
    assert_eq!(miss.len(), 1, "{miss:?}");
    assert!(miss[0].text.contains("request.method"), "{miss:?}");
    let access = Access::http("GET", "/a/b");
    assert!(rule(&policy.explain(&access), "a").matches(), "nobody need be known");
}
