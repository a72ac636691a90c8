//! The canonical text of a document. Read again, it is the same document.

mod amounts;
mod plan;
mod toml;

use self::amounts::{duration, float, rate};
pub(in crate::policy) use self::toml::{name as key, quoted};
use super::tree::{Key, Node, Table, Value};
use crate::policy::model::{
    Content, Document, EdgeRule, Effect, Expect, Limit, Normalization, PatternId, Peers, RouteRule,
    Rule, Semantics, TemplateId, When,
};
use crate::policy::template::Protocol;
use crate::policy::term::Term;

/// A document in TOML.
pub(in crate::policy) fn write(document: &Document) -> String {
    toml::print(&Writer { document }.table())
}

struct Writer<'d> {
    document: &'d Document,
}

impl Writer<'_> {
    fn table(&self) -> Table {
        let document = self.document;
        let mut top = Entries::default();
        top.put("mesh", text(document.mesh.as_str()));
        let federates = document.federates.iter().map(|domain| text(domain.as_str()));
        top.list("federates", federates.collect());
        top.put("version", integer(document.version));
        if let Semantics::Istio(normalization) = document.semantics {
            top.put("semantics", text("istio"));
            if normalization != Normalization::default() {
                top.put("normalization", text(normalization.as_str()));
            }
        }
        top.maybe("hops", self.peers(&document.hops));
        let mut peers = Entries::default();
        for (name, pattern) in document.names.iter().zip(&document.patterns) {
            peers.put(name, text(&pattern.text));
        }
        top.table("peers", peers);
        // In the order of the document, in which each table says of which kind it is.
        for rule in &document.rules {
            let key = if rule.effect == Effect::Allow { "allow" } else { "deny" };
            top.put(key, Value::List(vec![node(self.rule(rule))]));
        }
        top.tables("expect", document.expects.iter().map(|e| self.expect(e)).collect());
        top.tables("delivery", document.deliveries.iter().map(|d| self.delivery(d)).collect());
        top.tables("route", document.routes.iter().map(|r| self.route(r)).collect());
        plan::put(&document.plan, &mut top);
        Table(top.0)
    }

    fn rule(&self, rule: &Rule) -> Value {
        let mut fields = Entries::default();
        fields.put("name", text(&rule.name));
        fields.flag("shadow", rule.shadow);
        fields.maybe("from", self.peers(&rule.from));
        fields.maybe("to", self.peers(&rule.to));
        fields.maybe("via", self.peers(&rule.via));
        self.operations(rule.templates.as_deref().unwrap_or_default(), &mut fields);
        fields.table("when", when(&rule.when));
        fields.maybe("limit", rule.limit.as_ref().map(limit));
        fields.into()
    }

    fn expect(&self, expect: &Expect) -> Value {
        let mut fields = Entries::default();
        fields.put("name", text(&expect.name));
        fields.maybe("from", self.peers(&expect.from));
        fields.maybe("to", self.peers(&expect.to));
        self.operations(expect.templates.as_deref().unwrap_or_default(), &mut fields);
        let at_least = format!("{} in {}", expect.at_least, duration(expect.within));
        fields.put("at_least", text(&at_least));
        fields.into()
    }

    fn delivery(&self, edge: &EdgeRule) -> Value {
        let mut fields = Entries::default();
        fields.maybe("from", self.peers(&edge.from));
        fields.maybe("to", self.peers(&edge.to));
        fields.put("mode", text(edge.rule.mode.as_str()));
        fields.maybe("seal", edge.rule.seal.map(Value::Bool));
        if edge.rule.transcript != Default::default() {
            fields.put("transcript", text(edge.rule.transcript.as_str()));
        }
        fields.into()
    }

    fn route(&self, route: &RouteRule) -> Value {
        let mut fields = Entries::default();
        self.operations(&route.templates, &mut fields);
        fields.maybe("durability", route.durability.map(|kind| text(kind.as_str())));
        fields.maybe("keep_answers", route.keep_answers.map(|keep| text(&duration(keep))));
        fields.maybe("idempotent", route.idempotent.map(Value::Bool));
        fields.maybe("upgrade", route.upgrade.map(Value::Bool));
        fields.maybe("method_override", route.method_override.map(Value::Bool));
        fields.into()
    }

    fn peers(&self, peers: &Peers) -> Option<Value> {
        let name = |id: &PatternId| text(&self.document.names[*id as usize]);
        peers.as_ref().map(|peers| list(peers.iter().map(name).collect()))
    }

    fn operations(&self, templates: &[TemplateId], fields: &mut Entries) {
        let (mut http, mut grpc) = (Vec::new(), Vec::new());
        for template in templates.iter().map(|id| &self.document.templates[*id as usize]) {
            match template.protocol {
                Protocol::Http(_) => http.push(text(&template.text())),
                Protocol::Grpc => grpc.push(text(&template.text())),
            }
        }
        fields.list("http", http);
        fields.list("grpc", grpc);
    }
}

fn when(when: &When) -> Entries {
    let mut fields = Entries::default();
    fields.maybe("evidence", when.evidence.map(|evidence| text(evidence.as_str())));
    fields.maybe("direct", when.direct.map(Value::Bool));
    fields.maybe("trust", when.trust.map(float));
    fields.maybe("proof", when.proof.map(|proof| text(proof.as_str())));
    let mut headers = Entries::default();
    for condition in &when.headers {
        headers.put(condition.name.as_str(), text(condition.glob.as_str()));
    }
    fields.table("headers", headers);
    let mut claims = Entries::default();
    for condition in &when.claims {
        let any = condition.any.iter().map(|glob| text(glob.as_str()));
        claims.put(&condition.name, list(any.collect()));
    }
    fields.table("claims", claims);
    let nets = when.source.iter().flatten().map(|net| text(&net.to_string()));
    fields.list("source", nets.collect());
    fields.maybe("content", when.content.as_ref().map(content));
    fields.tables("where", when.terms.iter().map(term).collect());
    fields
}

fn content(content: &Content) -> Value {
    let mut fields = Entries::default();
    fields.list("json", content.json.iter().map(|p| text(p.as_str())).collect());
    fields.put("max_bytes", integer(content.max_bytes));
    fields.into()
}

fn limit(limit: &Limit) -> Value {
    let mut fields = Entries::default();
    fields.put("rate", text(&rate(limit.rate)));
    fields.put("burst", integer(limit.burst.into()));
    fields.put("per", text(limit.per.as_str()));
    fields.into()
}

fn term(term: &Term) -> Value {
    let mut fields = Entries::default();
    fields.put("key", text(&term.key().to_string()));
    fields.list("values", term.values().map(text).collect());
    fields.list("not_values", term.not_values().map(text).collect());
    fields.into()
}

/// A table as it grows. What is empty is left out.
#[derive(Default)]
struct Entries(Vec<(Key, Node)>);

impl Entries {
    fn put(&mut self, key: &str, value: Value) {
        self.0.push((Key { at: 0, text: key.into() }, node(value)));
    }

    fn maybe(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn flag(&mut self, key: &str, on: bool) {
        self.maybe(key, on.then_some(Value::Bool(true)));
    }

    fn list(&mut self, key: &str, values: Vec<Value>) {
        self.maybe(key, (!values.is_empty()).then(|| list(values)));
    }

    fn table(&mut self, key: &str, fields: Self) {
        self.maybe(key, (!fields.0.is_empty()).then(|| fields.into()));
    }

    /// A list of tables.
    fn tables(&mut self, key: &str, tables: Vec<Value>) {
        self.list(key, tables);
    }
}

impl From<Entries> for Value {
    fn from(entries: Entries) -> Self {
        Self::Table(Table(entries.0))
    }
}

fn node(value: Value) -> Node {
    Node { at: 0, value }
}

fn list(values: Vec<Value>) -> Value {
    Value::List(values.into_iter().map(node).collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn integer(value: u64) -> Value {
    Value::Integer { value: value.into(), decimal: true }
}
