//! The document's text: read strictly, refused whole at its first fault.
//!
//! What is unsound is refused here, so that deciding needs no care: an allow rule may only ask
//! for more to be known, a deny rule only for what *not knowing* fulfils (`direct = false`,
//! `source`). So whatever an access leaves out, it is denied at least as often.

mod amounts;
mod conditions;
mod delivery;
mod fields;
mod operations;
mod peers;
mod reflexes;
mod rules;
mod schema;
mod terms;
mod tree;
mod write;

use std::collections::BTreeMap;

pub use self::reflexes::{MAX_REFLEXES, MAX_STEPS};
pub(super) use self::schema::schema;
pub(super) use self::tree::yaml_options;
pub(super) use self::write::{key, quoted, write};

use self::fields::{Fields, Text};
use self::peers::PeerNames;
use super::error::{Fault, PolicyErrorKind as Kind};
use super::model::{Document, Effect, Normalization, Peers, Rule, Semantics, TemplateId};
use super::template::Template;
use crate::identity::TrustDomain;

/// The longest document that is read, in bytes: 16 MiB, room for [`MAX_RULES`] of usual length.
pub const MAX_DOCUMENT: usize = 16 << 20;
/// The most rules in one document, `[[expect]]`, `[[delivery]]` and `[[route]]` included.
pub const MAX_RULES: usize = 100_000;
const MAX_NAME: usize = 128;
/// The most trust domains in `federates`.
pub const MAX_DOMAINS: usize = 64;
const TOP: [&str; 15] = [
    "mesh",
    "federates",
    "version",
    "semantics",
    "normalization",
    "hops",
    "peers",
    "allow",
    "deny",
    "expect",
    "delivery",
    "route",
    "reflex",
    "governor",
    "trust",
];

/// In which syntax a document is written. Both say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Syntax {
    /// TOML 1.0.
    #[default]
    Toml,
    /// YAML 1.2.
    Yaml,
}

impl Syntax {
    /// By a file's name: YAML where it ends in `.yaml` or `.yml`, else TOML.
    #[must_use]
    pub fn of_file(name: &str) -> Self {
        match name.rsplit_once('.') {
            Some((_, "yaml" | "yml")) => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// Refuses a text that is too long.
pub(super) fn bound(text: &str) -> Result<(), Fault> {
    if text.len() > MAX_DOCUMENT {
        let message = format!("the document has {} bytes", text.len());
        return Err(Fault::new(Kind::TooLarge, 0, message)
            .hint(format!("the bound is {MAX_DOCUMENT} bytes")));
    }
    Ok(())
}

/// Reads a text that is within its [bound].
pub(super) fn read(text: &str, syntax: Syntax) -> Result<Document, Fault> {
    let table = match syntax {
        Syntax::Toml => tree::toml(text)?,
        Syntax::Yaml => tree::yaml(text)?,
    };
    let top = Fields::new("the document", 0, &table);
    top.known(&TOP)?;
    let rules = rule_tables(&top)?;
    let plan = reflexes::plan(&top)?;
    let mesh = mesh(&top)?;
    let federates = federates(&top, &mesh)?;
    let version = top.require("version", top.u64("version")?)?.value;
    let semantics = semantics(&top)?;
    let domains: Vec<_> = std::iter::once(&mesh).chain(&federates).collect();
    let mut reader = Reader {
        semantics,
        peers: PeerNames::read(top.table("peers")?, &domains)?,
        hops: None,
        templates: Vec::new(),
        template_ids: BTreeMap::new(),
    };
    reader.hops = reader.peers.list(&top, "hops")?;
    let rules = reader.rules(&rules)?;
    let expects = reader.expects(&top)?;
    let deliveries = reader.deliveries(&top)?;
    let routes = reader.routes(&top)?;
    reader.peers.all_used()?;
    let Reader { peers: PeerNames { patterns, called: names, .. }, hops, templates, .. } = reader;
    Ok(Document {
        mesh,
        federates,
        version,
        semantics,
        names,
        patterns,
        hops,
        templates,
        rules,
        expects,
        deliveries,
        routes,
        plan,
    })
}

fn mesh(top: &Fields<'_>) -> Result<TrustDomain, Fault> {
    trust_domain(&top.require("mesh", top.text("mesh")?)?)
}

fn trust_domain(text: &Text<'_>) -> Result<TrustDomain, Fault> {
    text.value.parse().map_err(|e| {
        Fault::new(Kind::BadTrustDomain, text.at, format!("`{}` is no trust domain", text.value))
            .hint(format!("{e}, as in `shop.example`"))
    })
}

fn federates(top: &Fields<'_>, mesh: &TrustDomain) -> Result<Box<[TrustDomain]>, Fault> {
    let Some(names) = top.texts("federates")? else { return Ok(Box::default()) };
    if names.value.len() > MAX_DOMAINS {
        let message = format!("the mesh federates with {} trust domains", names.value.len());
        return Err(Fault::new(Kind::TooLarge, names.at, message)
            .hint(format!("the bound is {MAX_DOMAINS}")));
    }
    let mut domains: Vec<TrustDomain> = Vec::with_capacity(names.value.len());
    for name in &names.value {
        let domain = trust_domain(name)?;
        if domain == *mesh || domains.contains(&domain) {
            let message = format!("the trust domain `{domain}` stands twice");
            return Err(Fault::new(Kind::BadTrustDomain, name.at, message).hint("keep one"));
        }
        domains.push(domain);
    }
    domains.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(domains.into())
}

fn semantics(top: &Fields<'_>) -> Result<Semantics, Fault> {
    let words = [("native", false), ("istio", true)];
    let istio = top.word("semantics", &words)?.unwrap_or_default();
    let normalization = top.word("normalization", Normalization::WORDS)?;
    match (istio, normalization) {
        (true, normalization) => Ok(Semantics::Istio(normalization.unwrap_or_default())),
        (false, None) => Ok(Semantics::Native),
        (false, Some(_)) => {
            let at = top.get("normalization").map_or(0, |node| node.at);
            let message = "a native document reads paths strictly";
            Err(Fault::new(Kind::WrongSemantics, at, message)
                .hint("remove `normalization`: only a document of `semantics = \"istio\"` has it"))
        }
    }
}

type RuleTable<'d> = (Effect, Fields<'d>);

/// The rules of both effects in the order of the document.
fn rule_tables<'d>(top: &Fields<'d>) -> Result<Vec<RuleTable<'d>>, Fault> {
    let (allow, deny) = (top.tables("allow")?, top.tables("deny")?);
    let others = ["expect", "delivery", "route"];
    let others = others.iter().map(|key| Ok(top.tables(key)?.len()));
    let count = allow.len() + deny.len() + others.sum::<Result<usize, Fault>>()?;
    if count > MAX_RULES {
        let message = format!("the document has {count} rules");
        return Err(
            Fault::new(Kind::TooManyRules, 0, message).hint(format!("the bound is {MAX_RULES}"))
        );
    }
    let allow = allow.into_iter().map(|f| (Effect::Allow, f));
    let mut rules: Vec<_> = allow.chain(deny.into_iter().map(|f| (Effect::Deny, f))).collect();
    rules.sort_by_key(|(_, fields)| fields.at);
    Ok(rules)
}

/// What the rules refer to, as it is gathered.
struct Reader<'d> {
    semantics: Semantics,
    peers: PeerNames<'d>,
    hops: Peers,
    templates: Vec<Template>,
    template_ids: BTreeMap<&'d str, TemplateId>,
}

impl<'d> Reader<'d> {
    fn rules(&mut self, tables: &[RuleTable<'d>]) -> Result<Vec<Rule>, Fault> {
        let mut names = Names::default();
        let mut rules = Vec::with_capacity(tables.len());
        for (effect, fields) in tables {
            let name = names.take(fields, "names are unique across allow and deny")?;
            rules.push(self.rule(*effect, name, fields)?);
        }
        Ok(rules)
    }
}

/// Names that were used.
#[derive(Default)]
struct Names<'d>(BTreeMap<&'d str, usize>);

impl<'d> Names<'d> {
    /// The table's `name`, used for the first time.
    fn take(&mut self, fields: &Fields<'d>, unique: &str) -> Result<&'d str, Fault> {
        let name = rule_name(fields)?;
        if self.0.insert(name.value, name.at).is_some() {
            let message = format!("two rules are called `{}`", name.value);
            return Err(Fault::new(Kind::DuplicateRule, name.at, message).hint(unique));
        }
        Ok(name.value)
    }
}

fn rule_name<'d>(fields: &Fields<'d>) -> Result<Text<'d>, Fault> {
    let name = fields.require("name", fields.text("name")?)?;
    check_name(name.value, name.at)?;
    Ok(name)
}

/// Names stand in logs and answers.
fn check_name(name: &str, at: usize) -> Result<(), Fault> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let message = format!("`{}` is no name", name.escape_debug());
        return Err(Fault::new(Kind::BadName, at, message)
            .hint(format!("a name has 1 to {MAX_NAME} bytes and no control characters")));
    }
    Ok(())
}
