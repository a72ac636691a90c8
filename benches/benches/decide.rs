//! What does one decision cost, and how does it grow with the rules? And the loading of a policy?

#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a bench that cannot run panics

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use meshguard_core::policy::{Policy, Reason};
use meshguard_core::{Access, Evidence, SpiffeId};

const RULES: [usize; 4] = [10, 1_000, 10_000, 100_000];
const CALLEE: &SpiffeId = &SpiffeId::from_static("spiffe://bench.example/ns/prod/sa/callee");
const STRANGER: &SpiffeId = &SpiffeId::from_static("spiffe://bench.example/ns/dev/sa/stranger");

/// A tenth as many peers as rules, at least ten; each rule lets one of them at one resource.
fn document(rules: usize) -> String {
    let peers = (rules / 10).max(10);
    let mut text = String::from("mesh = \"bench.example\"\nversion = 1\n[peers]\n");
    text.push_str("callee = \"spiffe://bench.example/ns/prod/sa/callee\"\n");
    for i in 0..peers {
        writeln!(text, "p{i} = \"spiffe://bench.example/ns/prod/sa/p{i}\"").unwrap();
    }
    for i in 0..rules {
        let peer = i % peers;
        write!(
            text,
            "[[allow]]\nname = \"r{i}\"\nfrom = [\"p{peer}\"]\nto = [\"callee\"]\n\
             http = [\"GET /r{i}/items/{{id}}\"]\n"
        )
        .unwrap();
        if i == rules / 2 + 1 {
            text.push_str(
                "when = { evidence = \"verified\", headers = { x-tenant = \"acme-*\" } }\n",
            );
        }
    }
    text
}

fn caller(rules: usize, rule: usize) -> SpiffeId {
    let peer = rule % (rules / 10).max(10);
    format!("spiffe://bench.example/ns/prod/sa/p{peer}").parse().unwrap()
}

fn decide(c: &mut Criterion) {
    for rules in RULES {
        let policy: Policy = document(rules).parse().unwrap();
        let (plain, conditional) = (rules / 2, rules / 2 + 1);
        let paths = [plain, conditional].map(|r| format!("/r{r}/items/7"));
        let callers = [plain, conditional].map(|r| caller(rules, r));
        let covered = policy.covered_headers().to_vec();
        let mut headers = HeaderMap::new();
        headers.insert("x-tenant", HeaderValue::from_static("acme-7"));
        let allowed = Access::http("GET", &paths[0]).by(&callers[0]).to(CALLEE).direct();
        let denied = Access::http("DELETE", &paths[0]).by(&callers[0]).to(CALLEE).direct();
        let stranger = Access::http("GET", &paths[0]).by(STRANGER).to(CALLEE).direct();
        let header = Access::http("GET", &paths[1]).by(&callers[1]).to(CALLEE).direct();
        let header = header.evidence(Evidence::Verified).headers(&headers, &covered);
        assert!(policy.decide(&allowed).is_allowed() && policy.decide(&header).is_allowed());
        assert_eq!(policy.decide(&denied).reason(), Reason::NoRule);
        assert_eq!(policy.decide(&stranger).reason(), Reason::NoRule);
        let mut group = c.benchmark_group(format!("decide/{rules}"));
        for (name, access) in [
            ("allow", allowed),
            ("deny: no rule for the method", denied),
            ("deny: no rule for the caller", stranger),
            ("allow: header condition", header),
        ] {
            group.bench_function(name, |b| b.iter(|| policy.decide(black_box(&access)).ruling()));
        }
        group.finish();
    }
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10);
    for rules in RULES {
        let text = document(rules);
        group.bench_function(rules.to_string(), |b| {
            b.iter(|| black_box(&text).parse::<Policy>().unwrap());
        });
    }
    group.finish();
}

criterion_group!(all, decide, load);
criterion_main!(all);
