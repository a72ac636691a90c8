//! `http` and `grpc`, and the tables that speak of operations alone: `[[expect]]`, `[[route]]`.

use super::amounts::{count_in, duration};
use super::fields::Fields;
use super::peers::{empty_list, number};
use super::{Names, Reader};
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::policy::model::{Durability, Expect, RouteRule, TemplateId, Templates};
use crate::policy::template::Template;

impl<'d> Reader<'d> {
    /// What `http` and `grpc` name; `routed`: a template that names the route.
    pub(super) fn operations(
        &mut self,
        fields: &Fields<'d>,
        routed: bool,
    ) -> Result<Templates, Fault> {
        let mut templates = Vec::new();
        self.templates(fields, "http", Template::http, &mut templates)?;
        self.templates(fields, "grpc", Template::grpc, &mut templates)?;
        templates.sort_unstable();
        templates.dedup();
        for id in templates.iter().filter(|_| routed) {
            self.templates[*id as usize].routed = true;
        }
        Ok((!templates.is_empty()).then(|| templates.into()))
    }

    fn templates(
        &mut self,
        fields: &Fields<'d>,
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

    pub(super) fn expects(&mut self, top: &Fields<'d>) -> Result<Vec<Expect>, Fault> {
        let mut names = Names::default();
        let read = |fields: Fields<'d>| {
            fields.known(&["name", "from", "to", "http", "grpc", "at_least"])?;
            let name = names.take(&fields, "names are unique among expectations")?.into();
            let count = fields.require("at_least", count_in(&fields, "at_least")?)?;
            let from = self.peers.limit(&fields, "from")?;
            let to = self.peers.limit(&fields, "to")?;
            let templates = self.operations(&fields, true)?;
            Ok(Expect { name, from, to, templates, at_least: count.0, within: count.1 })
        };
        top.tables("expect")?.into_iter().map(read).collect()
    }

    pub(super) fn routes(&mut self, top: &Fields<'d>) -> Result<Vec<RouteRule>, Fault> {
        top.tables("route")?.iter().map(|fields| self.route(fields)).collect()
    }

    fn route(&mut self, fields: &Fields<'d>) -> Result<RouteRule, Fault> {
        const SAYS: [&str; 5] =
            ["durability", "keep_answers", "idempotent", "upgrade", "method_override"];
        let keys: Vec<_> = ["http", "grpc"].into_iter().chain(SAYS).collect();
        fields.known(&keys)?;
        let durability = fields.word("durability", Durability::WORDS)?;
        let keep_answers = duration(fields, "keep_answers")?.map(|keep| keep.value);
        let flag = |key| Ok::<_, Fault>(fields.bool(key)?.map(|flag| flag.value));
        let (idempotent, upgrade) = (flag("idempotent")?, flag("upgrade")?);
        let method_override = flag("method_override")?;
        let templates = self.operations(fields, true)?;
        let templates = templates.ok_or_else(|| {
            Fault::new(Kind::MissingKey, fields.at, "a route names no operation")
                .hint("add `http = …` or `grpc = …`")
        })?;
        if SAYS.iter().all(|key| fields.get(key).is_none()) {
            return Err(Fault::new(Kind::MissingKey, fields.at, "a route says nothing")
                .hint(format!("give it one of `{}`", SAYS.join("`, `"))));
        }
        Ok(RouteRule { templates, durability, keep_answers, idempotent, upgrade, method_override })
    }
}
