//! A draft's text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Rule, Seen};
use crate::access::Evidence;
use crate::identity::SpiffeId;
use crate::policy::text::{key, quoted};

pub(super) struct Text {
    pub(super) document: String,
    pub(super) wide: Vec<String>,
}

/// `None`: nothing was seen.
pub(super) fn write(seen: &Seen, version: u64) -> Option<Text> {
    let mesh = seen.callees.first()?.trust_domain().to_owned();
    let names = names(seen);
    let mut text = format!("mesh = {}\n", quoted(&mesh));
    let domains: BTreeSet<&str> = names.keys().map(|id| id.trust_domain()).collect();
    let others: Vec<String> = domains.into_iter().filter(|d| *d != mesh).map(quoted).collect();
    if !others.is_empty() {
        put(&mut text, format_args!("federates = [{}]\n", others.join(", ")));
    }
    put(&mut text, format_args!("version = {version}\n"));
    let hops: BTreeSet<&SpiffeId> =
        seen.rules.keys().filter_map(|(.., via)| via.as_ref()).collect();
    if !hops.is_empty() {
        let hops: Vec<String> = hops.iter().map(|hop| quoted(name(&names, hop))).collect();
        put(&mut text, format_args!("hops = [{}]\n", hops.join(", ")));
    }
    text.push_str("\n[peers]\n");
    // As the rules name them: by name.
    let peers: BTreeMap<&str, &SpiffeId> = names.iter().map(|(id, name)| (&**name, *id)).collect();
    for (name, id) in peers {
        put(&mut text, format_args!("{} = {}\n", key(name), quoted(id.as_str())));
    }
    let mut wide = Vec::new();
    let mut taken = BTreeSet::new();
    for ((from, to, via), rule) in &seen.rules {
        let ends = [Some(from), Some(to), via.as_ref()].map(|id| id.map(|id| name(&names, id)));
        put_rule(&mut text, ends, rule, &mut taken, &mut wide);
    }
    Some(Text { document: text, wide })
}

fn put_rule(
    text: &mut String,
    [from, to, via]: [Option<&str>; 3],
    rule: &Rule,
    taken: &mut BTreeSet<String>,
    wide: &mut Vec<String>,
) {
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    let through = via.map(|via| format!("-via-{via}")).unwrap_or_default();
    let called = unique(&format!("{from}-{to}{through}"), taken);
    put(text, format_args!("\n# {}\n", calls(rule.calls)));
    if rule.unknown > 0 {
        put(text, format_args!("# of {} nothing tells the operation: ", rule.unknown));
        text.push_str("name it in a `[[route]]`, and learn again\n");
    } else if rule.any_method {
        text.push_str("# nothing tells the methods: narrow each `*`\n");
    }
    if rule.unknown > 0 || rule.any_method {
        wide.push(called.clone());
    }
    put(text, format_args!("[[allow]]\nname = {}\n", quoted(&called)));
    put(text, format_args!("from = [{}]\nto = [{}]\n", quoted(from), quoted(to)));
    if let Some(via) = via {
        put(text, format_args!("via = [{}]\n", quoted(via)));
    }
    if rule.unknown == 0 {
        put_operations(text, "http", &rule.http);
        put_operations(text, "grpc", &rule.grpc);
    }
    let evidence = rule.evidence.filter(|evidence| *evidence != Evidence::None);
    let evidence = evidence.map(|evidence| format!("evidence = {}", quoted(evidence.as_str())));
    let direct = via.is_none().then(|| "direct = true".to_owned());
    let when: Vec<String> = evidence.into_iter().chain(direct).collect();
    if !when.is_empty() {
        put(text, format_args!("when = {{ {} }}\n", when.join(", ")));
    }
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

fn put_operations(text: &mut String, key: &str, operations: &BTreeMap<String, u64>) {
    if operations.is_empty() {
        return;
    }
    put(text, format_args!("{key} = [\n"));
    for (operation, calls) in operations {
        put(text, format_args!("    {}, # {calls}\n", quoted(operation)));
    }
    text.push_str("]\n");
}

/// What peers are called: the last segment of their paths; with those before it where that is
/// not enough.
fn names(seen: &Seen) -> BTreeMap<&SpiffeId, String> {
    let ends = seen.rules.keys().flat_map(|(from, to, via)| [Some(from), Some(to), via.as_ref()]);
    let ids: BTreeSet<&SpiffeId> = ends.flatten().collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for id in &ids {
        *count.entry(last(id)).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let called = |id: &SpiffeId| match count.get(last(id)) {
        Some(1) => last(id).to_owned(),
        _ => id.path().trim_start_matches('/').replace('/', "-"),
    };
    ids.into_iter().map(|id| (id, unique(&called(id), &mut taken))).collect()
}

fn last(id: &SpiffeId) -> &str {
    id.path().rsplit('/').next().unwrap_or_default()
}

fn name<'n>(names: &'n BTreeMap<&SpiffeId, String>, id: &SpiffeId) -> &'n str {
    names.get(id).map_or("", String::as_str)
}

/// Long names are cut, so that a number has room.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    const LONGEST: usize = 100;
    // SPIFFE IDs are ASCII.
    let name = name.get(..LONGEST).unwrap_or(name);
    let mut called = name.to_owned();
    let mut number = 2;
    while !taken.insert(called.clone()) {
        called = format!("{name}-{number}");
        number += 1;
    }
    called
}

/// Writing to a string does not fail.
fn put(text: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(args);
}
