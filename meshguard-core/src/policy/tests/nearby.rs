//! Pairs of documents that differ in a few places, and accesses to try on both.

use std::fmt::Write as _;

use serde_json::json;

use super::generate::{self, EVIDENCE, METHODS, PEERS, Seeded, TRUST};
use crate::access::{OwnedAccess, Proofs};
use crate::identity::SpiffeId;

/// A document in pieces: its tables, each with its lines.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    hops: String,
    federates: bool,
    pub(super) tables: Vec<Vec<String>>,
}

const PARTNER: (&str, &str) = ("partner", "spiffe://p/sa/*");

impl Pieces {
    /// With conditions of every kind.
    pub(super) fn random(random: &mut Seeded) -> Self {
        let text = generate::document(random);
        let hops = text.lines().find(|line| line.starts_with("hops")).unwrap_or_default();
        let mut pieces =
            Self { hops: hops.to_owned(), federates: random.chance(20), tables: Vec::new() };
        for line in text.lines().skip_while(|line| !line.starts_with("[[")) {
            if line.starts_with("[[") {
                pieces.tables.push(Vec::new());
            }
            pieces.tables.last_mut().unwrap().push(line.to_owned());
        }
        for table in &mut pieces.tables {
            more_conditions(random, pieces.federates, table);
        }
        if random.chance(40) {
            pieces.tables.push(expectation(random));
        }
        pieces
    }

    pub(super) fn text(&self) -> String {
        let body: String = self.tables.iter().flatten().map(|line| format!("{line}\n")).collect();
        let mut text = format!("mesh='m'\nversion=1\n{}\n", self.hops);
        if self.federates {
            text.push_str("federates=['p']\n");
        }
        text.push_str("[peers]\n");
        for (name, pattern) in PEERS.into_iter().chain(self.federates.then_some(PARTNER)) {
            let quoted = format!("{name:?}");
            if self.hops.contains(&quoted) || body.contains(&quoted) {
                let _ = writeln!(text, "{name}='{pattern}'");
            }
        }
        text + &body
    }

    /// The tables of rules.
    pub(super) fn rules(&self) -> Vec<usize> {
        let is_rule = |at: &usize| ["[[allow]]", "[[deny]]"].contains(&&*self.tables[*at][0]);
        (0..self.tables.len()).filter(is_rule).collect()
    }

    /// Without the rule of a name.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut less = self.clone();
        less.tables.retain(|table| table[1] != format!("name='{name}'"));
        less
    }

    /// One change.
    fn change(&mut self, random: &mut Seeded) {
        let rules = self.rules();
        if rules.is_empty() || random.chance(5) {
            let other = Self::random(random);
            self.hops = other.hops;
            self.federates = other.federates;
            return;
        }
        let at = rules[random.below(rules.len())];
        match random.below(7) {
            0 => {
                self.tables.remove(at);
            }
            1 => self.tables[at][0] = random.pick(&["[[allow]]", "[[deny]]"]).to_owned(),
            2 if self.tables[at].len() > 2 => {
                let line = 2 + random.below(self.tables[at].len() - 2);
                self.tables[at].remove(line);
            }
            3 => {
                let to = rules[random.below(rules.len())];
                self.tables.swap(at, to);
            }
            4 => {
                let mut copy = self.tables[at].clone();
                copy[1] = format!("name='n{}'", random.below(1000));
                self.tables.push(copy);
            }
            _ => self.replace(random, at),
        }
    }

    /// A line of another document in the place of the rule's own one.
    fn replace(&mut self, random: &mut Seeded, at: usize) {
        let other = Self::random(random);
        let Some(from) = other.rules().first().map(|at| &other.tables[*at]) else { return };
        for line in from.iter().skip(2).filter(|_| random.chance(50)) {
            let key = line.split_once('=').map_or("", |(key, _)| key);
            self.tables[at].retain(|own| own.split_once('=').is_none_or(|(own, _)| own != key));
            self.tables[at].push(line.clone());
        }
    }
}

/// Two documents that load, the second one near the first.
pub(super) fn pair(random: &mut Seeded) -> (Pieces, Pieces) {
    let loads = |pieces: &Pieces| pieces.text().parse::<crate::policy::Policy>().is_ok();
    loop {
        let old = Pieces::random(random);
        let mut new = old.clone();
        for _ in 0..1 + random.below(5) {
            new.change(random);
        }
        if loads(&old) && loads(&new) {
            return (old, new);
        }
    }
}

/// Further conditions for what a rule has.
fn more_conditions(random: &mut Seeded, federates: bool, table: &mut Vec<String>) {
    if federates && random.chance(25) {
        table.retain(|line| !line.starts_with("from="));
        let from = random.some(&["partner", "x", "all"]);
        table.push(format!("from={from:?}"));
    }
    let deny = table[0] == "[[deny]]";
    if (!deny && table[0] != "[[allow]]") || !random.chance(40) {
        return;
    }
    let when = table.iter().position(|line| line.starts_with("when={"));
    let own = when.map(|at| table.remove(at)).unwrap_or_else(|| "when={}".to_owned());
    let own = own.trim_start_matches("when={").trim_end_matches('}');
    let mut when: Vec<String> = own.split(", ").map(str::to_owned).collect();
    when.retain(|condition| !condition.is_empty());
    if random.chance(50) && !own.contains("source") {
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "fd00::/8", "::/0", "0.0.0.0/0"];
        when.push(format!("source={:?}", random.some(&nets)));
    }
    if !deny && random.chance(30) && !own.contains("proof") {
        when.push(format!("proof={:?}", random.pick(&["dpop", "certificate", "any"])));
    }
    for claim in ["scope", "\"/realm/roles\""] {
        if !deny && random.chance(35) && !own.contains(claim) {
            let values = ["read", "write", "re*", "*", "*e*", "admin"];
            when.push(format!("claims.{claim}={:?}", random.some(&values)));
        }
    }
    if !deny && random.chance(30) {
        // Two values together match what no single one does.
        when.push(format!("headers.x-v={:?}", random.pick(&["*a*", "*b*", "*a*b*", "*b*a*"])));
    }
    table.push(format!("when={{{}}}", when.join(", ")));
    if random.chance(5) {
        table.push("shadow=true".to_owned());
    }
    if !deny && random.chance(20) {
        let limit = random.pick(&["{rate='1/s'}", "{rate='2/s'}", "{rate='1/s', per='rule'}"]);
        table.push(format!("limit={limit}"));
    }
}

fn expectation(random: &mut Seeded) -> Vec<String> {
    let from = random.some(&["x", "y", "z", "all"]);
    let http = random.some(&["GET /a", "POST /a/b", "PURGE /{**}", "GET /{id}"]);
    let table = ["[[expect]]", "name='e'", "at_least='1 in 24h'"];
    let mut table: Vec<String> = table.into_iter().map(str::to_owned).collect();
    table.push(format!("from={from:?}"));
    table.push(format!("http={http:?}"));
    table
}

/// Any access.
pub(super) fn ask(random: &mut Seeded) -> OwnedAccess {
    let mut ask = OwnedAccess::http("GET", "/");
    for part in 0..PARTS {
        set(random, part, &mut ask);
    }
    ask
}

/// The same with something else in one place or two.
pub(super) fn near(random: &mut Seeded, ask: &OwnedAccess) -> OwnedAccess {
    let mut near = ask.clone();
    for _ in 0..1 + random.below(2) {
        let part = random.below(PARTS);
        set(random, part, &mut near);
    }
    near
}

const PARTS: usize = 9;

fn set(random: &mut Seeded, part: usize, ask: &mut OwnedAccess) {
    match part {
        0 => {
            let path = generate::path(random);
            let like = match random.chance(70) {
                true => OwnedAccess::http(random.pick(&METHODS), path),
                false => OwnedAccess::grpc(path),
            };
            ask.operation = like.operation;
        }
        1 => ask.from = random.chance(97).then(|| id(random)),
        2 => {
            ask.via = random.chance(20).then(|| id(random));
            ask.direct = ask.via.is_none() && random.chance(60);
        }
        3 => ask.to = random.chance(80).then(|| id(random)),
        4 => ask.evidence = random.pick(&EVIDENCE),
        5 => ask.trust = random.chance(80).then(|| random.pick(&TRUST)),
        6 => {
            let value = |random: &mut Seeded| {
                let value = random.pick(&["acme-1", "acme-2", "acme", "other", "x-y1", ""]);
                (random.pick(&["x-t", "X-T", "x-u"]).to_owned(), value.to_owned())
            };
            ask.headers = (0..random.below(4)).map(|_| value(random)).collect();
            let both = |random: &mut Seeded| random.pick(&["ab", "ba", "a", "b", "z"]).to_owned();
            let values = (0..random.below(3)).map(|_| ("x-v".to_owned(), both(random)));
            ask.headers.extend(values);
        }
        7 => {
            let values = ["read", "write", "ready", "admin", "e", "q", ""];
            ask.claims = random.chance(70).then(|| {
                let scope = random.some(&values);
                let scope = if random.chance(50) { json!(scope) } else { json!(scope.join(" ")) };
                json!({"scope": scope, "realm": {"roles": random.some(&values)}})
            });
        }
        _ => {
            let (dpop, certificate) = (random.chance(40), random.chance(40));
            ask.proofs = Proofs { dpop, certificate };
            let source = ["10.1.2.3", "10.1.2.4", "10.2.0.1", "11.0.0.1", "fd00::1", "fe80::1"];
            ask.source = random.chance(80).then(|| random.pick(&source).parse().ok()).flatten();
        }
    }
}

fn id(random: &mut Seeded) -> SpiffeId {
    const PARTNERS: [SpiffeId; 2] =
        [SpiffeId::from_static("spiffe://p/sa/x"), SpiffeId::from_static("spiffe://p/other/x")];
    const KNOWN: &[SpiffeId; 8] = &generate::IDS;
    match random.chance(10) {
        true => PARTNERS[random.below(2)].clone(),
        false => KNOWN[random.below(8)].clone(),
    }
}
