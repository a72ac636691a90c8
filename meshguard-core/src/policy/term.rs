//! Conditions with upstream's semantics: what an imported rule is made of.
//!
//! A term names an attribute of the access, the values that it may have and those that it may
//! not. An attribute that is missing has none of either: `values` are then false and
//! `not_values` true. Rules of this crate's own semantics never hold by what is not known, so
//! terms belong to documents with `semantics = "istio"` alone.

mod key;
mod normal;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::fmt;
use std::net::IpAddr;

use serde_json::Value as Json;

pub(crate) use self::key::Key;
pub(crate) use self::normal::{canonical, decode_slashes, escape, merge, resolve};
use self::value::Value;
use super::model::Effect;
use super::reading::values;
use crate::access::Access;

/// The most values, wanted and unwanted, of one term.
pub(crate) const MAX_VALUES: usize = 4096;

/// One condition: `{ key, values, not_values }`. Both lists must be satisfied; an empty one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    key: Key,
    values: Box<[Value]>,
    not_values: Box<[Value]>,
}

/// What is wrong with a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TermError {
    /// Which of the parts it is.
    pub(crate) part: Part,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

/// A part of a term's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    /// Index of one of `values`.
    Value(usize),
    /// Index of one of `not_values`.
    NotValue(usize),
    /// The term as a whole.
    Whole,
}

impl Term {
    /// Reads a term from the parts of its text.
    pub(crate) fn parse<S: AsRef<str>>(
        key: &str,
        values: &[S],
        not_values: &[S],
    ) -> Result<Self, TermError> {
        let key = Key::parse(key).map_err(|message| TermError {
            part: Part::Key,
            message,
            hint: "keys are as in `source.principal`, `request.headers[x-token]`, `request.path`",
        })?;
        Self::new(key, values, not_values)
    }

    pub(crate) fn new<S: AsRef<str>>(
        key: Key,
        values: &[S],
        not_values: &[S],
    ) -> Result<Self, TermError> {
        let whole = |message: &str, hint| TermError {
            part: Part::Whole,
            message: format!("`{key}` {message}"),
            hint,
        };
        if values.is_empty() && not_values.is_empty() {
            let hint = "write `values`, `not_values`, or leave the whole condition out";
            return Err(whole("has neither `values` nor `not_values`", hint));
        }
        if values.len() + not_values.len() > MAX_VALUES {
            return Err(whole("has more than 4096 values", "write several rules"));
        }
        let read = |list: &[S], part: fn(usize) -> Part| {
            let each = list.iter().enumerate().map(|(at, text)| {
                Value::parse(&key, text.as_ref()).map_err(|(message, hint)| TermError {
                    part: part(at),
                    message: format!("`{}`: {message}", text.as_ref().escape_debug()),
                    hint,
                })
            });
            each.collect::<Result<Box<[Value]>, _>>()
        };
        let values = read(values, Part::Value)?;
        let not_values = read(not_values, Part::NotValue)?;
        Ok(Self { key, values, not_values })
    }

    /// The attribute, as it is written in a document.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The values, as they are written in a document.
    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.values.iter().map(|value| &*value.text)
    }

    /// The values that the attribute may not have, as they are written in a document.
    pub(crate) fn not_values(&self) -> impl ExactSizeIterator<Item = &str> {
        self.not_values.iter().map(|value| &*value.text)
    }

    /// Whether the term holds. `path` is normalised; there is none where there is no request.
    pub(crate) fn holds(&self, access: &Access<'_>, path: Option<&str>) -> bool {
        (self.values.is_empty() || self.any(&self.values, access, path))
            && (self.not_values.is_empty() || !self.any(&self.not_values, access, path))
    }

    /// As [`holds`](Self::holds), of a header as servers may read it: a deny rule's term for one
    /// of the readings, an allow rule's for all of them.
    pub(crate) fn holds_read(
        &self,
        access: &Access<'_>,
        path: Option<&str>,
        effect: Effect,
    ) -> bool {
        let name = match &self.key {
            Key::RequestHeader(name) if !name.starts_with(':') => name,
            _ => return self.holds(access, path),
        };
        let lines = values::lines(access, name);
        let has = |list: &[Value], text: &[u8]| list.iter().any(|value| value.matches(text));
        let whole = |line: &[u8]| {
            let knows = |value: &&Value| values::knows_lists(&value.text);
            self.values.iter().filter(knows).any(|value| value.matches(line))
        };
        let wanted = |line: &[u8]| {
            whole(line) || values::every_part(name, line, |part| has(&self.values, part))
        };
        let unwanted = |part: &[u8]| has(&self.not_values, part);
        let any = |test: &dyn Fn(&[u8]) -> bool| values::any_reading(name, &lines, test);
        match effect {
            Effect::Allow => {
                (self.values.is_empty() || !lines.is_empty() && lines.iter().all(|l| wanted(l)))
                    && !any(&unwanted)
            }
            Effect::Deny => {
                let other = || lines.is_empty() || any(&|part| !unwanted(part));
                (self.values.is_empty() || any(&|part| has(&self.values, part)))
                    && (self.not_values.is_empty() || other())
            }
        }
    }

    /// Whether the attribute has a value that it may not have.
    pub(crate) fn rules_out(&self, access: &Access<'_>, path: Option<&str>) -> bool {
        !self.not_values.is_empty() && self.any(&self.not_values, access, path)
    }

    /// Whether the attribute is there and has one of the values.
    fn any(&self, values: &[Value], access: &Access<'_>, path: Option<&str>) -> bool {
        let text = |found: Option<&str>| {
            found.is_some_and(|found| values.iter().any(|v| v.matches(found.as_bytes())))
        };
        let ip = |found: Option<IpAddr>| {
            found.is_some_and(|ip| values.iter().any(|v| v.contains(ip.to_canonical())))
        };
        match &self.key {
            Key::SourcePrincipal
            | Key::SourceNamespace
            | Key::SourceServiceAccount
            | Key::SourceTrustDomain => text(self.identity(access)),
            Key::SourceIp => ip(access.source_ip()),
            // Where no trusted hop says otherwise, the first client is the connection's end.
            Key::RemoteIp => ip(access.client_ip().or(access.source_ip())),
            Key::DestinationIp => ip(access.destination_ip()),
            Key::DestinationPort => {
                let port = access.asked_port();
                port.is_some_and(|port| values.iter().any(|v| v.is_port(port)))
            }
            Key::ConnectionSni => text(access.asked_server_name()),
            Key::RequestPath => text(path),
            Key::RequestMethod => text(access.method().filter(|method| !method.is_empty())),
            Key::RequestHost => text(access.asked_host()),
            Key::RequestHeader(name) => match &**name {
                ":authority" => text(access.asked_host()),
                ":method" => text(access.method().filter(|method| !method.is_empty())),
                // Covered by a proof or not: a caller must not hide one by leaving its proof out.
                name => {
                    access.any_raw_header(name, |found| values.iter().any(|v| v.matches(found)))
                }
            },
            Key::AuthPrincipal => {
                let claims = access.verified_claims();
                claims.is_some_and(|claims| values.iter().any(|v| v.is_subject(claims)))
            }
            Key::AuthAudiences => self.claim(values, access, &["aud"], false),
            Key::AuthPresenter => self.claim(values, access, &["azp"], false),
            Key::AuthClaims(names) => self.claim(values, access, names, true),
        }
    }

    /// What a key of the caller's identity looks at: the trust domain, or the whole name
    /// without its scheme.
    fn identity<'a>(&self, access: &Access<'a>) -> Option<&'a str> {
        let name = access.caller_name()?;
        match self.key {
            Key::SourceTrustDomain => name.split('/').next(),
            _ => Some(name),
        }
    }

    /// A claim is a string or a list of them; `split` says that a string is also a list with
    /// spaces between, as `scope` is (RFC 8693 §4.2).
    fn claim<S: AsRef<str>>(
        &self,
        values: &[Value],
        access: &Access<'_>,
        names: &[S],
        split: bool,
    ) -> bool {
        let mut found = access.verified_claims();
        for name in names {
            found = found.and_then(|json| json.as_object()?.get(name.as_ref()));
        }
        let is_one = |text: &str| values.iter().any(|v| v.matches(text.as_bytes()));
        match found {
            Some(Json::String(text)) => {
                is_one(text)
                    || split && text.split(' ').any(|part| !part.is_empty() && is_one(part))
            }
            Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).any(is_one),
            _ => false,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        let mut list = |word: &str, values: &[Value]| {
            let texts: Vec<&str> = values.iter().map(|v| &*v.text).collect();
            if texts.is_empty() { Ok(()) } else { write!(f, " {word} {}", texts.join(" or ")) }
        };
        list("is", &self.values)?;
        list("is not", &self.not_values)
    }
}
