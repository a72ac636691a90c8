//! Documents and accesses from a seed, of a world so small that they meet often.

use std::fmt::Write as _;

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::identity::SpiffeId;
use crate::{Access, Evidence, Proofs};

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(in crate::policy) struct Seeded(pub(in crate::policy) u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(in crate::policy) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(in crate::policy) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        (0..1 + self.below(3)).map(|_| self.pick(from)).collect()
    }
}

pub(super) const PEERS: [(&str, &str); 10] = [
    ("x", "spiffe://m/ns/a/sa/x"),
    ("y", "spiffe://m/ns/a/sa/y"),
    ("z", "spiffe://m/ns/b/sa/z"),
    ("again", "spiffe://m/ns/a/sa/x"),
    ("in_a", "spiffe://m/ns/a/sa/*"),
    ("named_x", "spiffe://m/ns/*/sa/x"),
    ("below_a", "spiffe://m/ns/a/**"),
    ("all", "spiffe://m/**"),
    ("two", "spiffe://m/*/*/**"),
    ("short", "spiffe://m/*"),
];
/// Of a federated trust domain.
const PARTNERS: [(&str, &str); 2] =
    [("partner", "spiffe://f/ns/a/sa/x"), ("partners", "spiffe://f/**")];
pub(super) const IDS: [SpiffeId; 8] = [
    SpiffeId::from_static("spiffe://m/ns/a/sa/x"),
    SpiffeId::from_static("spiffe://m/ns/a/sa/y"),
    SpiffeId::from_static("spiffe://m/ns/b/sa/z"),
    SpiffeId::from_static("spiffe://m/ns/b/sa/x"),
    SpiffeId::from_static("spiffe://m/ns/a/sa/deep/er"),
    SpiffeId::from_static("spiffe://m/short"),
    SpiffeId::from_static("spiffe://m"),
    SpiffeId::from_static("spiffe://foreign/ns/a/sa/x"),
];
const PARTNER: &SpiffeId = &SpiffeId::from_static("spiffe://f/ns/a/sa/x");
pub(super) const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "PURGE", "*"];

/// A document that loads: its rules are random, its peers those that the rules use.
pub(super) fn document(random: &mut Seeded) -> String {
    written(random, false)
}

/// As [`document`], also of a mesh that federates with another.
pub(in crate::policy) fn federated(random: &mut Seeded) -> String {
    let federates = random.chance(40);
    written(random, federates)
}

fn written(random: &mut Seeded, federates: bool) -> String {
    let partners = PARTNERS.iter().filter(|_| federates);
    let names: Vec<&str> = PEERS.iter().chain(partners).map(|(name, _)| *name).collect();
    let hops = random.some(&names);
    let mut text = String::new();
    for i in 0..random.below(12) {
        rule(random, i, &names, &hops, &mut text);
    }
    for i in 0..random.below(3) {
        let _ = writeln!(text, "[[expect]]\nname='e{i}'\nat_least='{} in 24h'", 1 + i);
        limits(random, &names, &mut text);
        operations(random, &mut text);
    }
    for _ in 0..random.below(4) {
        delivery(random, &names, &mut text);
    }
    for _ in 0..random.below(3) {
        route(random, &mut text);
    }
    let mut head = format!("mesh='m'\nversion=1\nhops={hops:?}\n");
    head.push_str(if federates { "federates=['f']\n[peers]\n" } else { "[peers]\n" });
    for (name, pattern) in PEERS.into_iter().chain(PARTNERS) {
        if hops.contains(&name) || text.contains(&format!("{name:?}")) {
            let _ = writeln!(head, "{name}='{pattern}'");
        }
    }
    head + &text
}

fn rule(random: &mut Seeded, i: usize, names: &[&str], hops: &[&str], text: &mut String) {
    let deny = random.chance(30);
    let _ = write!(text, "[[{}]]\nname='r{i}'\n", if deny { "deny" } else { "allow" });
    if random.chance(15) {
        text.push_str("shadow=true\n");
    }
    let via = random.chance(15);
    if via {
        let _ = writeln!(text, "via={:?}", random.some(hops));
    }
    limits(random, names, text);
    operations(random, text);
    if !deny && random.chance(20) {
        let per = random.pick(&["caller", "rule"]);
        let rate = random.pick(&["10/s", "6/min", "1/h"]);
        let _ = writeln!(text, "limit={{rate='{rate}', burst={}, per='{per}'}}", 1 + i);
    }
    conditions(random, deny, via, text);
}

/// `from` and `to`, now and then.
fn limits(random: &mut Seeded, names: &[&str], text: &mut String) {
    for key in ["from", "to"] {
        if random.chance(45) {
            let _ = writeln!(text, "{key}={:?}", random.some(names));
        }
    }
}

fn route(random: &mut Seeded, text: &mut String) {
    let method = random.pick(&METHODS);
    let _ = writeln!(text, "[[route]]\nhttp=['{method} {}']\nupgrade=true", template(random));
    if random.chance(50) {
        let kind = random.pick(&["async", "intent-durable", "strict"]);
        let _ = writeln!(text, "durability='{kind}'\nkeep_answers='90s'");
    }
}

fn operations(random: &mut Seeded, text: &mut String) {
    if random.chance(60) {
        let count = 1 + random.below(3);
        let http: Vec<String> =
            (0..count).map(|_| format!("{} {}", random.pick(&METHODS), template(random))).collect();
        let _ = writeln!(text, "http={http:?}");
    }
    if random.chance(25) {
        let grpc = random.some(&["s.A/Get", "s.A/Put", "s.A/*", "s.B/Get", "s.B/*"]);
        let _ = writeln!(text, "grpc={grpc:?}");
    }
}

fn template(random: &mut Seeded) -> String {
    let mut text = String::new();
    let mut many = false;
    for _ in 0..1 + random.below(4) {
        let mut segment = random.pick(&["a", "b", "{id}", "{id}", "{**}", "s.A", "Get"]);
        if segment == "{**}" && std::mem::replace(&mut many, true) {
            segment = "c";
        }
        text.push('/');
        text.push_str(segment);
    }
    if random.chance(15) { text + "/" } else { text }
}

fn conditions(random: &mut Seeded, deny: bool, via: bool, text: &mut String) {
    if !random.chance(50) {
        return;
    }
    if deny {
        text.push_str(random.pick(&[
            "when={direct=false}\n",
            "when={source=['10.0.0.0/8']}\n",
            "when={direct=false, source=['10.1.0.0/16', '::1']}\n",
        ]));
        return;
    }
    let mut when = Vec::new();
    if random.chance(50) {
        let evidence = random.pick(&["none", "length", "digest", "verified"]);
        when.push(format!("evidence='{evidence}'"));
    }
    if random.chance(40) && !via {
        when.push("direct=true".to_owned());
    }
    if random.chance(50) {
        when.push(format!("trust={}", random.pick(&["0", "0.25", "0.5", "1.0"])));
    }
    for header in ["x-t", "X-U"] {
        if random.chance(25) {
            let glob = random.pick(&["acme-*", "acme-1", "*", "*-*1", ""]);
            when.push(format!("headers.{header}='{glob}'"));
        }
    }
    if random.chance(20) {
        when.push(format!("proof='{}'", random.pick(&["dpop", "certificate", "any"])));
    }
    if random.chance(20) {
        let values = random.pick(&["'read'", "'read', 'wr*'", "'*'"]);
        when.push(format!("claims.scope=[{values}]"));
    }
    if random.chance(15) {
        when.push("claims.'/realm/role'=['admin']".to_owned());
    }
    if random.chance(20) {
        when.push(random.pick(&["source=['10.0.0.0/8']", "source=['10.1.2.3', '::1']"]).to_owned());
    }
    if random.chance(10) {
        when.push("content={json=['/id'], max_bytes=64}".to_owned());
    }
    let _ = writeln!(text, "when={{{}}}", when.join(", "));
}

fn delivery(random: &mut Seeded, names: &[&str], text: &mut String) {
    text.push_str("[[delivery]]\n");
    limits(random, names, text);
    let _ = writeln!(text, "mode='{}'", random.pick(&["require", "prefer", "off"]));
    if random.chance(50) {
        let _ = writeln!(text, "seal={}", random.chance(50));
    }
}

/// An access in pieces, so that one can be left out.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Option<&'static str>,
    path: String,
    pub(super) by: Option<&'static SpiffeId>,
    pub(super) via: Option<&'static SpiffeId>,
    pub(super) to: Option<&'static SpiffeId>,
    evidence: Evidence,
    direct: bool,
    trust: Option<f32>,
    headers: Vec<(&'static str, &'static str)>,
    proofs: Proofs,
    claims: Option<Value>,
    source: Option<IpAddr>,
}

pub(super) const EVIDENCE: [Evidence; 4] =
    [Evidence::None, Evidence::Length, Evidence::Digest, Evidence::Verified];

pub(super) const TRUST: [f32; 5] = [0.0, 0.25, 0.4, 0.5, 1.0];

impl Ask {
    pub(super) fn random(random: &mut Seeded) -> Self {
        const KNOWN: &[SpiffeId; 8] = &IDS;
        let id = |random: &mut Seeded| KNOWN.get(random.below(KNOWN.len() + 1)).unwrap_or(PARTNER);
        let via = random.chance(20).then(|| id(random));
        Self {
            method: random.chance(70).then(|| random.pick(&METHODS)),
            path: path(random),
            by: random.chance(97).then(|| id(random)),
            via,
            to: random.chance(80).then(|| id(random)),
            evidence: random.pick(&EVIDENCE),
            direct: via.is_none() && random.chance(60),
            trust: random.chance(70).then(|| random.pick(&TRUST)),
            headers: (0..random.below(4))
                .map(|_| {
                    let value = random.pick(&["acme-1", "acme-2", "acme", "other", ""]);
                    (random.pick(&["x-t", "X-T", "x-u"]), value)
                })
                .collect(),
            proofs: Proofs { dpop: random.chance(50), certificate: random.chance(50) },
            claims: random.chance(70).then(|| claims(random)),
            source: random.chance(80).then(|| address(random)),
        }
    }

    pub(super) fn access(&self) -> Access<'_> {
        let mut access = match self.method {
            Some(method) => Access::http(method, &self.path),
            None => Access::grpc(&self.path),
        };
        if self.direct {
            access = access.direct();
        }
        if let Some(trust) = self.trust {
            access = access.trust(trust);
        }
        if let Some(id) = self.by {
            access = access.by(id);
        }
        if let Some(id) = self.via {
            access = access.via(id);
        }
        if let Some(id) = self.to {
            access = access.to(id);
        }
        if let Some(claims) = &self.claims {
            access = access.claims(claims);
        }
        if let Some(source) = self.source {
            access = access.source(source);
        }
        access = access.proofs(self.proofs);
        self.headers.iter().fold(access.evidence(self.evidence), |a, (n, v)| a.header(n, v))
    }

    /// The same with one or more things left out that it says. A header is covered or not as a
    /// whole.
    pub(super) fn with_less(&self, random: &mut Seeded) -> Self {
        let mut less = self.clone();
        for _ in 0..1 + random.below(3) {
            match random.below(10) {
                0 if random.chance(20) => less.by = None,
                0 => {}
                1 => less.via = None,
                2 => less.to = None,
                3 => less.evidence = less.evidence.min(random.pick(&EVIDENCE)),
                4 => less.direct = false,
                5 if random.chance(50) => less.trust = None,
                5 => less.trust = less.trust.map(|trust| trust.min(random.pick(&TRUST))),
                6 => less.source = None,
                7 => less.proofs.dpop = false,
                8 if random.chance(50) => less.claims = None,
                8 => {
                    let gone = random.pick(&["scope", "realm"]);
                    less.claims.as_mut().and_then(Value::as_object_mut).map(|c| c.remove(gone));
                }
                _ => {
                    let gone = random.pick(&["x-t", "x-u"]);
                    less.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(gone));
                }
            }
        }
        less
    }
}

fn claims(random: &mut Seeded) -> Value {
    let mut claims = Map::new();
    if random.chance(80) {
        let scope = random.pick(&["read", "write", "read write", "", "other"]);
        claims.insert("scope".into(), scope.into());
    }
    if random.chance(60) {
        let role = match random.pick(&["admin", "user", "list"]) {
            "list" => Value::from(vec!["admin", "user"]),
            role => role.into(),
        };
        claims.insert("realm".into(), Value::from_iter([("role", role)]));
    }
    claims.into()
}

fn address(random: &mut Seeded) -> IpAddr {
    let text = random.pick(&["10.1.2.3", "10.2.0.1", "192.0.2.1", "::1", "::ffff:10.1.2.3"]);
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub(super) fn path(random: &mut Seeded) -> String {
    if random.chance(2) {
        return random.pick(&["", "a", "/a?b", "/a\\b"]).to_owned();
    }
    let mut text = String::new();
    for _ in 0..1 + random.below(4) {
        let odd = random.chance(2);
        text.push('/');
        text.push_str(match odd {
            true => random.pick(&["..", "", "%2e", "%2f", "%252f", "%ff", "..;", "%00", "%"]),
            false => random.pick(&["a", "b", "c", "%61", "s.A", "s.B", "Get", "Put", "é%20"]),
        });
    }
    if random.chance(10) { text + "/" } else { text }
}
