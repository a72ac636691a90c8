//! `[[allow]]` and `[[deny]]`.

use http::HeaderName;

use super::Reader;
use super::amounts;
use super::fields::{Fields, text};
use super::peers::{empty_list, number};
use crate::access::Evidence;
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::policy::model::{Effect, HeaderCondition, Peers, Rule, TemplateId, When};
use crate::policy::pattern::Glob;
use crate::policy::template::Template;

pub(super) const EVIDENCE: [(&str, Evidence); 4] = [
    ("none", Evidence::None),
    ("length", Evidence::Length),
    ("digest", Evidence::Digest),
    ("verified", Evidence::Verified),
];

impl<'d> Reader<'d> {
    pub(super) fn rule(
        &mut self,
        effect: Effect,
        name: &str,
        fields: &Fields<'d, '_>,
    ) -> Result<Rule, Fault> {
        fields.known(&["name", "from", "to", "via", "http", "grpc", "when"])?;
        let from = self.peers.limit(fields, "from")?;
        let to = self.peers.limit(fields, "to")?;
        let via = self.peers.limit(fields, "via")?;
        self.check_via(fields, &via)?;
        let mut templates = Vec::new();
        self.templates(fields, "http", Template::http, &mut templates)?;
        self.templates(fields, "grpc", Template::grpc, &mut templates)?;
        let when = match fields.table("when")? {
            Some(table) => when(effect, &via, &table)?,
            None => When::default(),
        };
        templates.sort_unstable();
        templates.dedup();
        let templates = (!templates.is_empty()).then(|| templates.into());
        Ok(Rule { name: name.into(), effect, from, to, via, templates, when })
    }

    /// Each peer of `via` must share an ID with one of `hops`.
    fn check_via(&self, fields: &Fields<'d, '_>, via: &Peers) -> Result<(), Fault> {
        let pattern = |id: &u32| &self.peers.patterns[*id as usize];
        let is_hop = |id: &u32| {
            self.hops.binary_search(id).is_ok()
                || self.hops.iter().any(|hop| pattern(hop).overlaps(pattern(id)))
        };
        let Some(id) = via.iter().flatten().find(|id| !is_hop(id)) else { return Ok(()) };
        let at = fields.texts("via")?.map_or(fields.at, |names| names.at);
        let message = format!("no hop is `{}`", pattern(id).text);
        Err(Fault::new(Kind::ViaNotAHop, at, message)
            .hint("a call through it is denied before any rule: add the peer to `hops`"))
    }

    fn templates(
        &mut self,
        fields: &Fields<'d, '_>,
        key: &str,
        read: impl Fn(&str, usize) -> Result<Template, Fault>,
        ids: &mut Vec<TemplateId>,
    ) -> Result<(), Fault> {
        let Some(texts) = fields.texts(key)? else { return Ok(()) };
        if texts.value.is_empty() {
            return Err(empty_list(key, texts.at));
        }
        for text in texts.value {
            // HTTP entries have a space and gRPC ones have none, so the text is the identity.
            let id = match self.template_ids.get(text.value) {
                Some(id) if (key == "http") == text.value.contains(' ') => *id,
                _ => {
                    let id = number(self.templates.len(), text.at)?;
                    self.templates.push(read(text.value, text.at)?);
                    self.template_ids.insert(text.value, id);
                    id
                }
            };
            ids.push(id);
        }
        Ok(())
    }
}

fn when(effect: Effect, via: &Peers, fields: &Fields<'_, '_>) -> Result<When, Fault> {
    fields.known(&["evidence", "direct", "trust", "headers"])?;
    let evidence = fields.word("evidence", &EVIDENCE)?;
    let headers = match fields.table("headers")? {
        Some(table) => headers(&table)?,
        None => Box::default(),
    };
    let direct = match fields.bool("direct")? {
        Some(direct) => {
            check_direct(effect, via, direct.value, direct.at)?;
            Some(direct.value)
        }
        None => None,
    };
    let trust = amounts::share(fields, "trust")?;
    let asks = evidence.is_some() || trust.is_some() || !headers.is_empty();
    if effect == Effect::Deny && asks {
        let message = "a deny rule that a caller evades by proving less";
        return Err(Fault::new(Kind::UnsoundWhen, fields.at, message).hint(
            "let the allow rule ask for `evidence`, `trust` and `headers`: what it does not allow is denied",
        ));
    }
    Ok(When { evidence, direct, trust, headers })
}

fn check_direct(effect: Effect, via: &Peers, direct: bool, at: usize) -> Result<(), Fault> {
    match (effect, direct) {
        (Effect::Allow, true) if via.is_some() => {
            let message = "`direct = true` never holds for a call that comes `via` a hop";
            Err(Fault::new(Kind::ImpossibleWhen, at, message).hint("remove one of the two"))
        }
        (Effect::Allow, false) => {
            let message = "`direct = false` would allow a call because less is known of it";
            Err(Fault::new(Kind::UnsoundWhen, at, message).hint("name the hops in `via`"))
        }
        (Effect::Deny, true) => {
            let message = "`direct = true` would spare a call because less is known of it";
            Err(Fault::new(Kind::UnsoundWhen, at, message)
                .hint("a deny rule may have `direct = false`"))
        }
        _ => Ok(()),
    }
}

fn headers(fields: &Fields<'_, '_>) -> Result<Box<[HeaderCondition]>, Fault> {
    let mut conditions: Vec<HeaderCondition> = Vec::new();
    for (key, value) in fields.entries() {
        let shown = key.value.escape_debug();
        let name = HeaderName::from_bytes(key.value.as_bytes()).map_err(|_| {
            Fault::new(Kind::BadHeader, key.at, format!("`{shown}` is not a header's name"))
                .hint("write it as in `x-tenant`")
        })?;
        if conditions.iter().any(|c| c.name == name) {
            let message = format!("the header `{name}` stands twice");
            return Err(Fault::new(Kind::BadHeader, key.at, message)
                .hint("names of headers ignore case: keep one"));
        }
        let glob = text(key.value, value)?;
        let control = |c: char| c.is_control() && c != '\t';
        if glob.value.trim_matches([' ', '\t']) != glob.value || glob.value.contains(control) {
            let message = format!("no value of `{name}` is `{}`", glob.value.escape_debug());
            return Err(Fault::new(Kind::ImpossibleWhen, glob.at, message)
                .hint("values have no control characters and no space at either end"));
        }
        conditions.push(HeaderCondition { name, glob: Glob::new(glob.value) });
    }
    conditions.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    Ok(conditions.into())
}
