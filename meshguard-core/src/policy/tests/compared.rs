//! What `diff` says of two policies, held against what they decide.

use super::generate::Seeded;
use super::nearby::{Pieces, ask, near, pair};
use crate::access::OwnedAccess;
use crate::policy::region::defect::{self, Defect};
use crate::policy::{Diff, Effect, Policy, Region, TooComplex};

/// What was seen of some pairs.
#[derive(Debug, Default)]
struct Seen {
    regions: usize,
    /// Accesses on which a pair differs.
    differ: usize,
    /// Pairs on which none was found.
    alike: usize,
    /// The fewest of a pair on which there are some.
    fewest: Option<usize>,
}

fn load(pieces: &Pieces) -> Policy {
    let text = pieces.text();
    text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// What the second policy decides where the first decides otherwise.
fn becomes(old: &Policy, new: &Policy, access: &OwnedAccess) -> Option<Effect> {
    let [old, new] = [old, new].map(|policy| policy.decide(&access.access()).effect());
    (old != new).then_some(new)
}

/// Every witness really differs; and of `want` accesses that differ, or as many as `tries` find,
/// all lie in a region, and of those that do not differ, none.
fn holds(seed: u64, want: usize, tries: usize, seen: &mut Seen) -> Result<(), String> {
    let mut random = Seeded(seed);
    let (old, new) = pair(&mut random);
    let policies = [load(&old), load(&new)];
    agrees(&mut random, &policies, want, tries, seen).map_err(|e| format!("seed {seed}: {e}"))
}

fn agrees(
    random: &mut Seeded,
    [old, new]: &[Policy; 2],
    want: usize,
    tries: usize,
    seen: &mut Seen,
) -> Result<(), String> {
    let diff = old.diff(new);
    if !diff.is_complete() {
        return Err(format!("{:?}", diff.open()));
    }
    for region in diff.regions() {
        let witness = region.witness();
        if becomes(old, new, witness) != Some(region.becomes()) {
            return Err(format!("{region} as {witness} does not differ"));
        }
        if !diff.regions_of(&witness.access()).any(|other| std::ptr::eq(region, other)) {
            return Err(format!("{region} has not its witness {witness}"));
        }
    }
    changes_are_real(&diff, old, new)?;
    let mut known: Vec<OwnedAccess> = diff.regions().iter().map(|r| r.witness().clone()).collect();
    let mut found = 0;
    for _ in 0..if known.is_empty() { tries.min(3_000) } else { tries } {
        let tried = match known.is_empty() || random.chance(30) {
            true => ask(random),
            false => {
                let at = random.below(known.len());
                near(random, &known[at])
            }
        };
        let effect = becomes(old, new, &tried);
        let told: Vec<Effect> = diff.regions_of(&tried.access()).map(Region::becomes).collect();
        if told.iter().any(|told| Some(*told) != effect) || (effect.is_some() && told.is_empty()) {
            return Err(format!("{tried} becomes {effect:?}, and lies in {told:?}"));
        }
        if effect.is_some() {
            found += 1;
            if known.len() < 200 {
                known.push(tried);
            }
        }
        if found == want {
            break;
        }
    }
    seen.regions += diff.regions().len();
    seen.differ += found;
    if found == 0 {
        seen.alike += 1;
    } else {
        seen.fewest = Some(seen.fewest.unwrap_or(found).min(found));
    }
    Ok(())
}

fn changes_are_real(diff: &Diff<'_>, old: &Policy, new: &Policy) -> Result<(), String> {
    for change in diff.edges() {
        let rules = [old, new].map(|p| p.delivery(Some(&change.from), Some(&change.to)));
        if rules != [change.old, change.new] || change.old == change.new {
            return Err(format!("{change}: {rules:?}"));
        }
    }
    for change in diff.obligations() {
        let access = change.witness.access();
        let rules = [old, new].map(|policy| format!("{}", policy.decide(&access).reason()));
        if rules != [change.old, change.new].map(|rule| format!("{rule} allows it")) {
            return Err(format!("{change}: {rules:?}"));
        }
    }
    Ok(())
}

#[test]
fn every_witness_differs_and_all_that_differs_lies_in_a_region() {
    let mut seen = Seen::default();
    for seed in 0..80 {
        holds(seed, 200, 2_000, &mut seen).unwrap();
    }
    assert!(seen.regions > 60 && seen.alike < 60, "{seen:?}");
}

/// With a release build: half a minute.
#[test]
#[ignore = "long"]
fn every_witness_of_a_thousand_pairs_differs_and_all_that_differs_lies_in_a_region() {
    let (mut seen, mut pairs) = (Seen::default(), 0);
    for seed in 1_000_000.. {
        let alike = seen.alike;
        holds(seed, 1_000, 40_000, &mut seen).unwrap();
        pairs += usize::from(alike == seen.alike);
        if pairs == 1_000 {
            break;
        }
    }
    println!("{pairs} pairs that differ: {seen:?}");
    assert!(seen.fewest >= Some(1_000), "{seen:?}");
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    for seed in 0..40 {
        let (old, _) = pair(&mut Seeded(seed));
        let (old, same) = (load(&old), load(&old));
        let diff = old.diff(&same);
        assert!(diff.is_empty(), "seed {seed}: {diff:?}");
    }
}

/// That the properties above would be red.
#[test]
fn each_defect_of_the_algebra_is_seen() {
    let defects = [
        Defect::CutsTooMuch,
        Defect::CoversNothing,
        Defect::KnowsNoOther,
        Defect::SparesUnknown,
        Defect::ForgetsHead,
        Defect::TrustAbove,
    ];
    for seeded in defects {
        let holds = |seed| holds(seed, 50, 500, &mut Seen::default());
        let found = defect::with(seeded, || (0..400).find_map(|seed| holds(seed).err()));
        assert!(found.is_some(), "{seeded:?}");
    }
}

/// What `*a*` and `*b*` match, but neither `*a*b*` nor `*b*a*`, is two values, never one.
#[test]
fn several_values_of_a_header_are_told_from_one() {
    let rules = |globs: &[&str]| {
        let rule = |(at, glob)| format!("[[allow]]\nname='r{at}'\nwhen={{headers.x-v='{glob}'}}\n");
        let rules: String = globs.iter().enumerate().map(rule).collect();
        format!("mesh='m'\nversion=1\n{rules}").parse::<Policy>().unwrap()
    };
    let old = rules(&["*a*b*", "*b*a*"]);
    let policies = [old, rules(&["*a*b*", "*b*a*", "*a*", "*b*"])];
    let holds = || agrees(&mut Seeded(1), &policies, 200, 4_000, &mut Seen::default());
    holds().unwrap();
    assert!(defect::with(Defect::OneValue, holds).is_err());
}

#[test]
fn without_a_policy_everything_that_is_allowed_differs() {
    let policy = super::policy("[[allow]]\nname='r'\nfrom=['checkout']\nhttp=['GET /a']");
    let none = Policy::deny_all();
    let diff = none.diff(&policy);
    let [region] = diff.regions() else { panic!("{diff:?}") };
    assert_eq!((region.becomes(), region.allow(), region.deny()), (Effect::Allow, "r", None));
    assert!(none.diff(&none).is_empty());
}

#[test]
fn a_region_is_told_in_the_words_of_the_documents() {
    let rules = |from: &str, deny: &str| {
        let allow =
            format!("[[allow]]\nname='read'\nfrom={from}\nto=['orders']\nhttp=['GET /o/{{**}}']\n");
        super::policy(&(allow + deny))
    };
    let old = rules("['checkout', 'batch']", "[[deny]]\nname='secret'\nhttp=['* /o/secret']\n");
    let new = rules("['prod']", "");
    let diff = old.diff(&new);
    let told: Vec<String> = diff.regions().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "allowed, by read: from spiffe://shop.example/ns/prod/** but \
             spiffe://shop.example/ns/prod/sa/checkout \
             to spiffe://shop.example/ns/prod/sa/orders: GET /o/{**}",
            "allowed, by read, as secret denies it no more: from spiffe://shop.example/ns/prod/** \
             to spiffe://shop.example/ns/prod/sa/orders: * /o/secret and GET /o/{**}",
            "denied, as read allows it no more: from spiffe://shop.example/ns/batch/sa/* \
             to spiffe://shop.example/ns/prod/sa/orders: GET /o/{**} but * /o/secret",
        ]
    );
}

#[test]
fn what_routes_and_deliveries_say_otherwise_is_told() {
    let load = |route: &str, mode: &str| {
        super::policy(&format!(
            "[[allow]]\nname='r'\n[[route]]\nhttp=['GET /o/{{id}}']\n{route}\n\
             [[delivery]]\nto=['orders']\nmode='{mode}'\n"
        ))
    };
    let (old, new) = (load("upgrade=true", "off"), load("upgrade=true\nidempotent=true", "prefer"));
    assert!(old.diff(&load("upgrade=true", "off")).is_empty());
    let diff = old.diff(&new);
    assert!(diff.regions().is_empty() && !diff.is_empty());
    let [route] = diff.routes() else { panic!("{diff:?}") };
    assert_eq!(route.to_string(), "GET /o/{id}: idempotent no becomes yes");
    let options = |policy: &Policy| policy.route_options(&route.witness.access());
    assert_eq!((options(&old), options(&new)), (route.old, route.new));
    let [edge] = diff.edges() else { panic!("{diff:?}") };
    let told = edge.to_string();
    assert!(told.ends_with("sa/orders: delivery off, sha256 becomes prefer, sha256"), "{told}");
}

#[test]
fn of_imported_documents_what_stands_in_both_does_not_differ_and_the_rest_is_open() {
    let rule = |effect: &str, name: &str, path: &str| {
        let term = format!("{{key='request.path', values=['{path}']}}");
        format!("[[{effect}]]\nname='{name}'\nwhen={{where=[{term}]}}\n")
    };
    let load = |rules: &[String]| -> Policy {
        let head = "mesh='m'\nversion=1\nsemantics='istio'\nnormalization='base'\n";
        (head.to_owned() + &rules.concat()).parse().unwrap_or_else(|e| panic!("{e}"))
    };
    let (a, b) = (rule("allow", "a", "/a*"), rule("deny", "b", "/b"));
    let old = load(&[a.clone(), b.clone()]);
    assert!(old.diff(&load(&[b.clone(), a.clone()])).is_empty());
    let new = load(&[a, rule("allow", "c", "/c")]);
    let told: Vec<String> = old.diff(&new).open().iter().map(ToString::to_string).collect();
    let why = TooComplex::Imported;
    assert_eq!(told, [format!("b was not compared: {why}"), format!("c was not compared: {why}")]);
    let native = super::policy("");
    assert!(!native.diff(&new).is_complete() && !new.diff(&native).is_complete());
    assert!(new.check().iter().any(|finding| finding.why() == Some(why)));
}

/// Rules of a fleet: most name two services and some operations, few are broad. The first
/// `changed` ones depend on the seed.
fn fleet(seed: u64, count: usize, changed: usize) -> Policy {
    let mut text =
        "mesh='m'\nversion=1\nhops=['edge']\n[peers]\nedge='spiffe://m/edge'\n".to_owned();
    for at in 0..300 {
        text.push_str(&format!("s{at}='spiffe://m/ns/n{}/sa/s{at}'\n", at % 20));
    }
    for at in 0..20 {
        text.push_str(&format!("n{at}='spiffe://m/ns/n{at}/**'\n"));
    }
    // A delivery rule uses all of them.
    let all = |prefix: &str, count: usize| -> String {
        (0..count).map(|at| format!("'{prefix}{at}',")).collect()
    };
    let peers = all("s", 300) + &all("n", 20) + "'edge'";
    text.push_str(&format!("[[delivery]]\nfrom=[{peers}]\n"));
    for at in 0..count {
        let mut random = Seeded(if at < changed { seed } else { 0 } + 1_000 * at as u64);
        let (from, to) = (random.below(300), random.below(300));
        let path = random.below(40);
        match random.below(20) {
            0 => text.push_str(&format!(
                "[[deny]]\nname='r{at}'\nfrom=['n{}']\nhttp=['* /s{to}/admin/{{**}}']\n",
                from % 20
            )),
            1 => text.push_str(&format!(
                "[[allow]]\nname='r{at}'\nfrom=['n{}']\nto=['s{to}']\nhttp=['GET /s{to}/{{**}}']\n",
                from % 20
            )),
            _ => text.push_str(&format!(
                "[[allow]]\nname='r{at}'\nfrom=['s{from}', 's{}']\nto=['s{to}']\n\
                 http=['GET /s{to}/r{path}/{{id}}', 'POST /s{to}/r{path}']\n\
                 when={{trust=0.{}, claims={{scope=['s{to}:write']}}, headers={{x-t='t{}-*'}}}}\n",
                random.below(300),
                random.below(10),
                random.below(50),
            )),
        }
    }
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
#[ignore = "long"]
fn a_thousand_rules_a_side_are_compared() {
    let old = fleet(1, 1_000, 0);
    for changed in [10, 1_000] {
        let new = fleet(7, 1_000, changed);
        let diff = old.diff(&new);
        println!("{changed} changed: {} regions, {} open", diff.regions().len(), diff.open().len());
        assert!(diff.is_complete() && diff.regions().len() > 5, "{:?}", diff.open());
        for region in diff.regions() {
            assert_eq!(becomes(&old, &new, region.witness()), Some(region.becomes()), "{region}");
        }
    }
    let broad: Policy = "mesh='m'\nversion=1\n[[allow]]\nname='all'\n".parse().unwrap();
    let diff = old.diff(&broad);
    println!("all: {} regions, {} open", diff.regions().len(), diff.open().len());
    assert!(diff.is_complete());
    println!("{} findings", old.check().len());
}

#[test]
#[ignore = "long"]
fn ten_thousand_rules_a_side_are_compared() {
    let (old, new) = (fleet(1, 10_000, 0), fleet(7, 10_000, 100));
    let diff = old.diff(&new);
    println!("100 changed: {} regions, {} open", diff.regions().len(), diff.open().len());
    assert!(diff.is_complete() && diff.regions().len() > 50, "{:?}", diff.open().first());
}

#[test]
#[ignore = "long"]
fn ten_thousand_rules_are_checked() {
    let findings = fleet(1, 10_000, 0).check();
    let open = findings.iter().filter(|finding| finding.why().is_some()).count();
    println!("{} findings, {open} open", findings.len());
    assert!(findings.len() > open);
}
