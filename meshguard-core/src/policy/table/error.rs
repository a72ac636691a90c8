//! Why a table was refused, and where.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::form::Fault;

/// Why a table, or an access, was refused: the first fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableError {
    place: Option<(usize, usize)>,
    message: String,
}

impl TableError {
    /// The line and the column, each from 1, where they are known.
    #[must_use]
    pub fn place(&self) -> Option<(usize, usize)> {
        self.place
    }

    /// What is wrong, without its place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        // Continuation bytes are not characters.
        let column = before[start..].iter().filter(|b| (**b & 0xC0) != 0x80).count() + 1;
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        Self { place: Some((line, column)), message: message.into() }
    }

    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        Self::at(text, error.span().map_or(text.len(), |span| span.start), error.message())
    }

    pub(super) fn json(error: &serde_json::Error) -> Self {
        let place = (error.line() > 0).then(|| (error.line(), error.column().max(1)));
        let message = error.to_string();
        let end = message.rfind(" at line ").unwrap_or(message.len());
        Self { place, message: message[..end].to_owned() }
    }

    /// In the table's `[peers]`.
    pub(super) fn of_peer(text: &str, name: &str, message: String) -> Self {
        let offset = DeTable::parse(text).ok().and_then(|table| match entry(&table, "peers")? {
            DeValue::Table(peers) => Some(peers.get(name)?.span().start),
            _ => None,
        });
        Self::at(text, offset.unwrap_or(0), message)
    }

    /// In one of the table's cases.
    pub(super) fn of_case(text: &str, at: usize, fault: Fault) -> Self {
        let offset = DeTable::parse(text).ok().and_then(|table| match entry(&table, "case")? {
            DeValue::Array(cases) => match cases.get(at)?.get_ref() {
                DeValue::Table(case) => match case.get(fault.key) {
                    Some(value) => Some(value.span().start),
                    None => Some(cases.get(at)?.span().start),
                },
                _ => None,
            },
            _ => None,
        });
        Self::at(text, offset.unwrap_or(0), fault.message)
    }

    /// In an access. Of JSON, which has no `text` here, the place is not known.
    pub(super) fn of_access(text: &str, fault: Fault) -> Self {
        if text.is_empty() {
            return Self { place: None, message: fault.message };
        }
        let offset = DeTable::parse(text)
            .ok()
            .and_then(|table| table.get_ref().get(fault.key).map(|value| value.span().start));
        Self::at(text, offset.unwrap_or(0), fault.message)
    }
}

fn entry<'t, 'i>(table: &'t Spanned<DeTable<'i>>, key: &str) -> Option<&'t DeValue<'i>> {
    table.get_ref().get(key).map(Spanned::get_ref)
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TableError {}
