//! `content` of a rule: held against a body before the application is called.

use std::fmt;

use http::{HeaderMap, StatusCode, header};
use meshguard_core::policy::{Content, Pointer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::denied::Denied;
use crate::body::stated_length;

/// Why a body is not what a rule asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// It is longer than this.
    Long(u64),
    /// It is of a kind that is not checked: gRPC, encoded, or not JSON by its head.
    Kind(&'static str),
    /// It is not JSON.
    NotJson(String),
    /// It does not have this value.
    Missing(String),
}

impl Violation {
    /// The refusal of a call that is allowed but for its body.
    pub(super) fn denied(&self) -> Denied {
        let (status, text) = self.status();
        Denied::new(status, text, "content").because(self)
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Long(_) => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
            Self::Kind(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not a body that is allowed"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "not a body that is allowed"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long(most) => write!(f, "the body is longer than {most} bytes"),
            Self::Kind(what) => f.write_str(what),
            Self::NotJson(why) => write!(f, "the body is not JSON: {why}"),
            Self::Missing(pointer) => write!(f, "the body has no {pointer}"),
        }
    }
}

/// What the head says already.
pub(super) fn check_head(
    content: &Content,
    headers: &HeaderMap,
    grpc: bool,
) -> Result<(), Violation> {
    if grpc {
        return Err(Violation::Kind("the content of a gRPC call cannot be checked"));
    }
    if stated_length(headers).is_some_and(|length| length > content.max_bytes) {
        return Err(Violation::Long(content.max_bytes));
    }
    if content.json.is_empty() {
        return Ok(());
    }
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    // `mg1` is the delivery's own, which is undone.
    let undone = |coding: &[u8]| {
        let coding = coding.trim_ascii();
        coding.eq_ignore_ascii_case(b"identity") || coding == b"mg1"
    };
    if !codings.all(undone) {
        return Err(Violation::Kind("a body with a content coding cannot be checked"));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(kind), None) if is_json(kind.as_bytes()) => Ok(()),
        _ => Err(Violation::Kind("the content type is not JSON")),
    }
}

/// `application/json`, or a suffix of it (RFC 6839 §3.1), in UTF-8 (RFC 8259 §8.1).
fn is_json(value: &[u8]) -> bool {
    let Ok(value) = std::str::from_utf8(value) else { return false };
    let mut parts = value.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let utf8 = |parameter: &str| {
        let parameter = parameter.trim().to_ascii_lowercase();
        let charset = parameter.strip_prefix("charset=").map(|c| c.trim_matches('"'));
        charset.is_none_or(|charset| charset == "utf-8")
    };
    let json = kind == "application/json" || (kind.contains('/') && kind.ends_with("+json"));
    json && parts.all(utf8)
}

/// What only the whole body says.
pub(super) fn check_body(content: &Content, body: &[u8]) -> Result<(), Violation> {
    if body.len() as u64 > content.max_bytes {
        return Err(Violation::Long(content.max_bytes));
    }
    if content.json.is_empty() {
        return Ok(());
    }
    let not_json = |error: &dyn fmt::Display| Violation::NotJson(error.to_string());
    let text = std::str::from_utf8(body).map_err(|e| not_json(&e))?;
    let mut found = vec![false; content.json.len()];
    let wanted = content.json.iter().map(Pointer::as_str).enumerate().collect();
    let mut json = serde_json::Deserializer::from_str(text);
    let walk = Walk { wanted, found: &mut found };
    walk.deserialize(&mut json).and_then(|()| json.end()).map_err(|e| not_json(&e))?;
    match found.iter().position(|found| !found) {
        Some(at) => Err(Violation::Missing(content.json[at].to_string())),
        None => Ok(()),
    }
}

/// Goes through a document along the pointers alone. Nothing of the document is kept, so what it
/// costs does not depend on what its sender has made of it.
struct Walk<'a> {
    /// Which pointers lead here, and what is left of each.
    wanted: Vec<(usize, &'a str)>,
    found: &'a mut [bool],
}

impl<'a> Walk<'a> {
    fn arrived(&mut self) {
        for (at, rest) in &self.wanted {
            self.found[*at] |= rest.is_empty();
        }
    }

    /// The pointers that lead on to what `is` names.
    fn through(&self, is: impl Fn(&str) -> bool) -> Vec<(usize, &'a str)> {
        let steps = self.wanted.iter().filter_map(|(at, rest)| {
            let rest = rest.strip_prefix('/')?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (token, rest) = rest.split_at(end);
            is(token).then_some((*at, rest))
        });
        steps.collect()
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, json: D) -> Result<(), D::Error> {
        self.arrived();
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<usize> = Vec::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let wanted = self.through(|token| is_token(token, &key));
            let Some((first, _)) = wanted.first() else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            // Of two members with one name, readers take the one or the other (RFC 8259 §4).
            if seen.contains(first) {
                return Err(A::Error::custom("a member stands twice"));
            }
            seen.push(*first);
            map.next_value_seed(Walk { wanted, found: &mut *self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0_usize.. {
            let wanted = self.through(|token| is_index(token, index));
            let more = if wanted.is_empty() {
                seq.next_element::<IgnoredAny>()?.is_some()
            } else {
                seq.next_element_seed(Walk { wanted, found: &mut *self.found })?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Whether a pointer's token names this member (RFC 6901 §4).
fn is_token(token: &str, key: &str) -> bool {
    if !token.contains('~') {
        return token == key;
    }
    token.replace("~1", "/").replace("~0", "~") == key
}

/// Whether a pointer's token is this index: without leading zeros.
fn is_index(token: &str, index: usize) -> bool {
    let plain = token == "0" || !token.starts_with('0');
    plain && token.bytes().all(|b| b.is_ascii_digit()) && token.parse() == Ok(index)
}

#[cfg(test)]
mod tests;
