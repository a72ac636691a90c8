//! The TOML document: read strictly, refused whole at its first fault.
//!
//! What is unsound is refused here, so that deciding needs no care: an allow rule may only ask
//! for more to be known, a deny rule may only ask for `direct = false`, which *not knowing*
//! fulfils. So whatever an access leaves out, it is denied at least as often.

mod amounts;
mod fields;
mod peers;
mod reflexes;
mod rules;

use std::collections::BTreeMap;

pub use self::reflexes::{MAX_REFLEXES, MAX_STEPS};

use self::fields::{Fields, Text};
use self::peers::PeerNames;
use super::error::{Fault, PolicyErrorKind as Kind};
use super::model::{
    DeliveryMode, DeliveryRule, Document, EdgeRule, Effect, Rule, TemplateId, TranscriptHash,
};

use super::template::Template;
use crate::identity::TrustDomain;

/// The longest document that is read, in bytes: 4 MiB.
pub const MAX_DOCUMENT: usize = 4 << 20;
/// The most rules in one document, `[[delivery]]` included.
pub const MAX_RULES: usize = 100_000;
const MAX_NAME: usize = 128;
const TOP: [&str; 10] = [
    "mesh", "version", "hops", "peers", "allow", "deny", "delivery", "reflex", "governor", "trust",
];

pub(super) fn read(text: &str) -> Result<Document, Fault> {
    if text.len() > MAX_DOCUMENT {
        let message = format!("the document has {} bytes", text.len());
        return Err(Fault::new(Kind::TooLarge, 0, message)
            .hint(format!("the bound is {MAX_DOCUMENT} bytes")));
    }
    let table = toml::de::DeTable::parse(text).map_err(|e| {
        Fault::new(Kind::Syntax, e.span().map_or(text.len(), |s| s.start), e.message())
    })?;
    let top = Fields::new("the document", 0, table.get_ref());
    top.known(&TOP)?;
    let rules = rule_tables(&top)?;
    let plan = reflexes::plan(&top)?;
    let mesh = mesh(&top)?;
    let version = top.require("version", top.u64("version")?)?;
    let mut reader = Reader {
        peers: PeerNames::read(top.table("peers")?, &mesh)?,
        hops: Box::default(),
        templates: Vec::new(),
        template_ids: BTreeMap::new(),
    };
    reader.hops = reader.peers.list(&top, "hops")?.unwrap_or_default();
    let rules = reader.rules(&rules)?;
    let deliveries = top.tables("delivery")?;
    let deliveries = deliveries.iter().map(|d| reader.delivery(d)).collect::<Result<_, _>>()?;
    reader.peers.all_used()?;
    let Reader { peers, hops, templates, .. } = reader;
    let patterns = peers.patterns;
    Ok(Document { mesh, version, patterns, hops, templates, rules, deliveries, plan })
}

fn mesh(top: &Fields<'_, '_>) -> Result<TrustDomain, Fault> {
    let mesh = top.require("mesh", top.text("mesh")?)?;
    mesh.value.parse().map_err(|e| {
        Fault::new(Kind::BadTrustDomain, mesh.at, format!("`{}` is no trust domain", mesh.value))
            .hint(format!("{e}, as in `shop.example`"))
    })
}

type RuleTable<'d, 'i> = (Effect, Fields<'d, 'i>);

/// The rules of both effects in the order of the document.
fn rule_tables<'d, 'i>(top: &Fields<'d, 'i>) -> Result<Vec<RuleTable<'d, 'i>>, Fault> {
    let (allow, deny) = (top.tables("allow")?, top.tables("deny")?);
    let count = allow.len() + deny.len() + top.tables("delivery")?.len();
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
    peers: PeerNames<'d>,
    hops: Box<[u32]>,
    templates: Vec<Template>,
    template_ids: BTreeMap<&'d str, TemplateId>,
}

impl<'d> Reader<'d> {
    fn rules(&mut self, tables: &[RuleTable<'d, '_>]) -> Result<Vec<Rule>, Fault> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rules = Vec::with_capacity(tables.len());
        for (effect, fields) in tables {
            let name = rule_name(fields)?;
            if names.insert(name.value, name.at).is_some() {
                let message = format!("two rules are called `{}`", name.value);
                return Err(Fault::new(Kind::DuplicateRule, name.at, message)
                    .hint("names are unique across allow and deny"));
            }
            rules.push(self.rule(*effect, name.value, fields)?);
        }
        Ok(rules)
    }

    fn delivery(&mut self, fields: &Fields<'d, '_>) -> Result<EdgeRule, Fault> {
        fields.known(&["from", "to", "mode", "seal", "transcript"])?;
        let mut rule = DeliveryRule::default();
        let modes = [
            ("require", DeliveryMode::Require),
            ("prefer", DeliveryMode::Prefer),
            ("off", DeliveryMode::Off),
        ];
        if let Some(mode) = fields.word("mode", &modes)? {
            rule.mode = mode;
        }
        rule.seal = fields.bool("seal")?.map(|seal| seal.value);
        let hashes = [("sha256", TranscriptHash::Sha256), ("blake3", TranscriptHash::Blake3)];
        if let Some(hash) = fields.word("transcript", &hashes)? {
            rule.transcript = hash;
        }
        let from = self.peers.limit(fields, "from")?;
        Ok(EdgeRule { from, to: self.peers.limit(fields, "to")?, rule })
    }
}

fn rule_name<'d>(fields: &Fields<'d, '_>) -> Result<Text<'d>, Fault> {
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
