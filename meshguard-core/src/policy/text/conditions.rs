//! `when` of a rule.

use http::HeaderName;
use ipnet::IpNet;

use super::amounts::share;
use super::fields::{Fields, Text, text, texts};
use super::peers::empty_list;
use crate::access::Evidence;
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::policy::model::{
    ClaimCondition, Content, Effect, HeaderCondition, Peers, Pointer, ProofNeed, When,
};
use crate::policy::pattern::Glob;

pub(super) const EVIDENCE: [(&str, Evidence); 4] = [
    ("none", Evidence::None),
    ("length", Evidence::Length),
    ("digest", Evidence::Digest),
    ("verified", Evidence::Verified),
];

/// The most JSON Pointers of one `content`.
const MAX_POINTERS: usize = 64;

pub(super) fn when(effect: Effect, via: &Peers, fields: &Fields<'_>) -> Result<When, Fault> {
    fields.known(&[
        "evidence", "direct", "trust", "proof", "headers", "claims", "source", "content",
    ])?;
    let when = When {
        evidence: fields.word("evidence", &EVIDENCE)?,
        direct: direct(effect, via, fields)?,
        trust: share(fields, "trust")?,
        proof: fields.word("proof", ProofNeed::WORDS)?,
        headers: fields.table("headers")?.map(|f| headers(&f)).transpose()?.unwrap_or_default(),
        claims: fields.table("claims")?.map(|f| claims(&f)).transpose()?.unwrap_or_default(),
        source: source(fields)?,
        content: fields.table("content")?.map(|f| content(&f)).transpose()?,
        terms: Box::default(),
    };
    if effect == Effect::Deny && when.asks_for_more() {
        let message = "a deny rule that a caller evades by proving less";
        return Err(Fault::new(Kind::UnsoundWhen, fields.at, message).hint(
            "let the allow rule ask for it: what it does not allow is denied. A deny rule's `when` has `direct = false` and `source`",
        ));
    }
    Ok(when)
}

fn direct(effect: Effect, via: &Peers, fields: &Fields<'_>) -> Result<Option<bool>, Fault> {
    let Some(direct) = fields.bool("direct")? else { return Ok(None) };
    let fault = |kind, message: &str| Err(Fault::new(kind, direct.at, message));
    let refused: Result<(), Fault> = match (effect, direct.value) {
        (Effect::Allow, true) if via.is_some() => fault(
            Kind::ImpossibleWhen,
            "`direct = true` never holds for a call that comes `via` a hop",
        )
        .map_err(|e| e.hint("remove one of the two")),
        (Effect::Allow, false) => fault(
            Kind::UnsoundWhen,
            "`direct = false` would allow a call because less is known of it",
        )
        .map_err(|e| e.hint("name the hops in `via`")),
        (Effect::Deny, true) => fault(
            Kind::UnsoundWhen,
            "`direct = true` would spare a call because less is known of it",
        )
        .map_err(|e| e.hint("a deny rule may have `direct = false`")),
        _ => Ok(()),
    };
    refused.map(|()| Some(direct.value))
}

fn headers(fields: &Fields<'_>) -> Result<Box<[HeaderCondition]>, Fault> {
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

fn claims(fields: &Fields<'_>) -> Result<Box<[ClaimCondition]>, Fault> {
    let mut conditions: Vec<ClaimCondition> = Vec::new();
    for (key, value) in fields.entries() {
        let pointer = !key.value.starts_with('/') || Pointer::parse(key.value).is_some();
        if key.value.is_empty() || key.value.chars().any(char::is_control) || !pointer {
            let message = format!("`{}` is no claim", key.value.escape_debug());
            return Err(Fault::new(Kind::BadClaim, key.at, message)
                .hint("write a claim's name, as `scope`, or a JSON Pointer, as `/realm/roles`"));
        }
        let values = texts(key.value, value)?;
        if values.value.is_empty() {
            return Err(empty_list(key.value, values.at));
        }
        let mut any: Vec<Glob> = values.value.iter().map(|v| Glob::new(v.value)).collect();
        any.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        any.dedup();
        conditions.push(ClaimCondition { name: key.value.into(), any: any.into() });
    }
    conditions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(conditions.into())
}

fn source(fields: &Fields<'_>) -> Result<Option<Box<[IpNet]>>, Fault> {
    let Some(texts) = fields.texts("source")? else { return Ok(None) };
    if texts.value.is_empty() {
        return Err(empty_list("source", texts.at));
    }
    let mut nets = texts.value.iter().map(network).collect::<Result<Vec<_>, _>>()?;
    nets.sort();
    nets.dedup();
    Ok(Some(nets.into()))
}

/// `10.0.0.0/8`, or one address. Bits beyond the prefix must be 0: else it is a slip.
fn network(text: &Text<'_>) -> Result<IpNet, Fault> {
    let bad = |why: &str| {
        let message = format!("`{}` is no network: {why}", text.value.escape_debug());
        Fault::new(Kind::BadNetwork, text.at, message)
    };
    if let Ok(address) = text.value.parse::<std::net::IpAddr>() {
        return Ok(address.into());
    }
    let net: IpNet = text
        .value
        .parse()
        .map_err(|_| bad("neither an address nor a CIDR").hint("write it as `10.0.0.0/8`"))?;
    if net.trunc() != net {
        return Err(bad("it has bits beyond its prefix").hint(format!("write `{}`", net.trunc())));
    }
    Ok(net)
}

fn content(fields: &Fields<'_>) -> Result<Content, Fault> {
    fields.known(&["json", "max_bytes"])?;
    let texts = fields.texts("json")?;
    let mut json = Vec::new();
    if let Some(texts) = &texts {
        if texts.value.is_empty() || texts.value.len() > MAX_POINTERS {
            return Err(Fault::new(
                Kind::EmptyList,
                texts.at,
                "`json` has no pointer, or too many",
            )
            .hint(format!("give 1 to {MAX_POINTERS}, or remove `json`; `\"\"` is any JSON")));
        }
        for text in &texts.value {
            json.push(Pointer::parse(text.value).ok_or_else(|| {
                let message = format!("`{}` is no JSON Pointer", text.value.escape_debug());
                Fault::new(Kind::BadPointer, text.at, message).hint("write it as `/items/0/sku`")
            })?);
        }
    }
    json.sort();
    json.dedup();
    let max_bytes = match fields.u64("max_bytes")? {
        Some(most) if !(1..=Content::MAX_BYTES).contains(&most.value) => {
            return Err(Fault::new(Kind::OutOfRange, most.at, "`max_bytes` is out of range")
                .hint(format!("it is from 1 to {}", Content::MAX_BYTES)));
        }
        Some(most) => most.value,
        None if json.is_empty() => {
            return Err(Fault::new(Kind::MissingKey, fields.at, "`content` asks for nothing")
                .hint("give it `json` or `max_bytes`"));
        }
        None => Content::MAX_BYTES,
    };
    Ok(Content { json: json.into(), max_bytes })
}
