//! What `check` says of a policy, held against what it decides.

use super::generate::Seeded;
use super::nearby::{Pieces, ask, pair};
use crate::access::OwnedAccess;
use crate::policy::index::Index;
use crate::policy::region::defect::{self, Defect};
use crate::policy::region::{Block, Left, Space, Work, left};
use crate::policy::{Effect, Finding, FindingKind as Kind, Policy, Reason};

fn load(pieces: &Pieces) -> Policy {
    let text = pieces.text();
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn decides(policy: &Policy, rule: &str, access: &OwnedAccess) -> bool {
    let reason = policy.decide(&access.access()).reason();
    reason == Reason::Rule(rule) || reason == Reason::DenyRule(rule)
}

/// No access contradicts a finding.
fn holds(seed: u64, tries: usize, found: &mut Vec<Kind>) -> Result<(), String> {
    let mut random = Seeded(seed);
    let (pieces, _) = pair(&mut random);
    let policy = load(&pieces);
    let asks: Vec<OwnedAccess> = (0..tries).map(|_| ask(&mut random)).collect();
    for finding in policy.check() {
        let wrong = contradiction(&policy, &pieces, &finding, &asks);
        if let Some(wrong) = wrong {
            return Err(format!("seed {seed}: {finding}, but {wrong}\n{}", pieces.text()));
        }
        found.push(finding.kind());
    }
    every_other_rule_decides(&policy, &mut random).map_err(|e| format!("seed {seed}: {e}"))
}

fn contradiction(
    policy: &Policy,
    pieces: &Pieces,
    finding: &Finding,
    asks: &[OwnedAccess],
) -> Option<String> {
    let rule = finding.rule();
    let allowed = |policy: &Policy, ask: &OwnedAccess| policy.decide(&ask.access()).is_allowed();
    let without = |name: &str| load(&pieces.without(name));
    let wrong = match finding.kind() {
        Kind::Unreachable | Kind::Shadowed | Kind::Unsatisfiable => {
            asks.iter().find(|ask| decides(policy, rule, ask))
        }
        Kind::Redundant => {
            let less = without(rule);
            asks.iter().find(|ask| allowed(policy, ask) != allowed(&less, ask))
        }
        Kind::ExpectationDenied => {
            let expects: Vec<_> = policy.expectations().filter(|e| e.name() == rule).collect();
            let expects = |ask: &OwnedAccess| expects.iter().any(|e| e.counts(&ask.access()));
            asks.iter().find(|ask| expects(ask) && allowed(policy, ask))
        }
        Kind::UnusedHop => {
            let text = format!("mesh='m'\nversion=1\nhops=['h']\n[peers]\nh='{rule}'\n");
            let hop: Policy = text.parse().unwrap();
            let through = |ask: &OwnedAccess| ask.via.as_ref().is_some_and(|via| hop.is_hop(via));
            asks.iter().find(|ask| through(ask) && allowed(policy, ask))
        }
        Kind::Overlap => {
            let witness = finding.witness()?;
            let mut only = pieces.clone();
            for name in policy.rules().filter(|name| *name != finding.others()[0]) {
                only = only.without(name);
            }
            let denied = !allowed(policy, witness) && allowed(&load(&only), witness);
            (!denied).then_some(witness)
        }
        Kind::DeadEntry => {
            let less = without_entry(pieces, rule, finding.entry().unwrap_or_default());
            let told = |policy: &Policy, ask: &OwnedAccess| {
                policy.rules().find(|rule| decides(policy, rule, ask)).map(str::to_owned)
            };
            asks.iter().find(|ask| told(policy, ask) != told(&less, ask))
        }
        Kind::DeadDelivery => return dead_delivery(policy, pieces, rule, asks),
        Kind::Open => return finding.why().map(|why| why.to_string()),
    };
    wrong.map(ToString::to_string)
}

/// The policy without one entry of one of a rule's lists.
fn without_entry(pieces: &Pieces, rule: &str, entry: &str) -> Policy {
    let mut policy = load(pieces);
    let loaded = policy.loaded.as_mut().unwrap();
    let document = &mut loaded.document;
    let rule = document.rules.iter_mut().find(|r| *r.name == *rule).unwrap();
    let operation = |id: &u32| document.templates[*id as usize].text();
    let peer = |key: &str, id: &u32| format!("{key} {}", document.patterns[*id as usize].text);
    let less = |list: &mut Option<Box<[u32]>>, text: &dyn Fn(&u32) -> String| {
        if let Some(ids) = list {
            *ids = ids.iter().copied().filter(|id| text(id) != entry).collect();
        }
    };
    less(&mut rule.templates, &operation);
    less(&mut rule.from, &|id| peer("from", id));
    less(&mut rule.to, &|id| peer("to", id));
    less(&mut rule.via, &|id| peer("via", id));
    loaded.index = Index::build(document).ok().unwrap();
    policy
}

fn dead_delivery(
    policy: &Policy,
    pieces: &Pieces,
    rule: &str,
    asks: &[OwnedAccess],
) -> Option<String> {
    let nth: usize = rule.strip_prefix("delivery ")?.parse().ok()?;
    let mut less = pieces.clone();
    let mut deliveries = 0;
    less.tables.retain(|table| {
        deliveries += usize::from(table[0] == "[[delivery]]");
        table[0] != "[[delivery]]" || deliveries != nth
    });
    let less = load(&less);
    let same = |ask: &&OwnedAccess| match (&ask.from, &ask.to) {
        (Some(from), Some(to)) => {
            policy.delivery(Some(from), Some(to)) == less.delivery(Some(from), Some(to))
        }
        _ => true,
    };
    asks.iter().find(|ask| !same(ask)).map(ToString::to_string)
}

/// Each rule of which nothing was found decides some access: the algebra names one.
fn every_other_rule_decides(policy: &Policy, _: &mut Seeded) -> Result<(), String> {
    let document = &policy.loaded.as_ref().ok_or("no policy")?.document;
    let space = Space::new(&[document]).map_err(|e| e.to_string())?;
    let findings = policy.check();
    let dead = [Kind::Unsatisfiable, Kind::Unreachable, Kind::Shadowed];
    let blocks: Vec<(usize, Option<Block>)> =
        document.rules.iter().map(|rule| space.rule(document, rule)).enumerate().collect();
    for (at, rule) in document.rules.iter().enumerate().filter(|(_, rule)| !rule.shadow) {
        let is_dead = findings.iter().any(|f| dead.contains(&f.kind()) && f.rule() == &*rule.name);
        let Some(block) = blocks[at].1.as_ref().filter(|_| !is_dead) else { continue };
        let first = |(other, _): &&(usize, Option<Block>)| {
            let known = &document.rules[*other];
            let beats = known.effect == Effect::Deny && rule.effect == Effect::Allow;
            !known.shadow && (beats || (known.effect == rule.effect && *other < at))
        };
        let before: Vec<&Block> =
            blocks.iter().filter(first).filter_map(|(_, block)| block.as_ref()).collect();
        let Ok(Left::Some(piece)) =
            left(&space, block, &before, &mut Work::new(1_000_000, 1_000_000))
        else {
            return Err(format!("{} is dead, and nothing was found", rule.name));
        };
        let witness = space.witness(&piece).ok_or("no witness")?;
        if !decides(policy, &rule.name, &witness) {
            return Err(format!("{} does not decide {witness}", rule.name));
        }
    }
    Ok(())
}

#[test]
fn no_access_contradicts_a_finding() {
    let mut found = Vec::new();
    for seed in 0..100 {
        holds(seed, 300, &mut found).unwrap();
    }
    for kind in [
        Kind::Unreachable,
        Kind::Shadowed,
        Kind::Redundant,
        Kind::ExpectationDenied,
        Kind::UnusedHop,
        Kind::DeadEntry,
        Kind::DeadDelivery,
        Kind::Overlap,
    ] {
        assert!(found.contains(&kind), "{kind:?} of {found:?}");
    }
}

#[test]
#[ignore = "long"]
fn no_access_contradicts_a_finding_in_many_policies() {
    let mut found = Vec::new();
    for seed in 1_000_000..1_001_500 {
        holds(seed, 1_000, &mut found).unwrap();
    }
    println!("{} findings", found.len());
}

/// A narrower copy of a rule at the end of the document, or an allow rule for what a deny rule
/// matches. Its name is `planted`.
fn plant(random: &mut Seeded, pieces: &mut Pieces) -> bool {
    let rules = pieces.rules();
    if rules.is_empty() {
        return false;
    }
    let mut copy = pieces.tables[rules[random.below(rules.len())]].clone();
    if copy.iter().any(|line| line.starts_with("shadow")) {
        return false;
    }
    copy[1] = "name='planted'".to_owned();
    if copy[0] == "[[deny]]" && random.chance(50) {
        copy[0] = "[[allow]]".to_owned();
        copy.retain(|line| !line.contains("direct=false"));
        if copy.iter().any(|line| line.starts_with("via")) || copy.len() == pieces.tables.len() {
            return false;
        }
    }
    for (key, value) in [("from", "x"), ("to", "z")] {
        if random.chance(50) && !copy.iter().any(|line| line.starts_with(key)) {
            copy.push(format!("{key}=[\"{value}\"]"));
        }
    }
    pieces.tables.push(copy);
    pieces.text().parse::<Policy>().is_ok()
}

fn planted_is_found(seed: u64) -> Result<bool, String> {
    let mut random = Seeded(seed);
    let (mut pieces, _) = pair(&mut random);
    let had_direct = pieces.clone();
    if !plant(&mut random, &mut pieces) {
        return Ok(false);
    }
    // A deny rule that spares direct calls does not cover an allow rule for all calls.
    if had_direct.text().contains("direct=false") {
        return Ok(false);
    }
    let findings = load(&pieces).check();
    let dead = [Kind::Unreachable, Kind::Shadowed, Kind::Unsatisfiable];
    match findings.iter().any(|f| f.rule() == "planted" && dead.contains(&f.kind())) {
        true => Ok(true),
        false => Err(format!("seed {seed}: {findings:?}\n{}", pieces.text())),
    }
}

#[test]
fn every_planted_rule_is_found() {
    let planted = (0..300).filter(|seed| planted_is_found(*seed).unwrap()).count();
    assert!(planted > 80, "{planted}");
}

/// That the properties above would be red.
#[test]
fn each_defect_of_the_algebra_is_seen_by_a_check() {
    let claims = [Defect::CutsTooMuch, Defect::SparesUnknown];
    for seeded in claims {
        let holds = |seed| holds(seed, 300, &mut Vec::new());
        let found = defect::with(seeded, || (0..3000).find_map(|seed| holds(seed).err()));
        assert!(found.is_some(), "{seeded:?}");
    }
    let missed = |seed| planted_is_found(seed).is_err();
    assert!(defect::with(Defect::CoversNothing, || (0..300).any(missed)));
}
