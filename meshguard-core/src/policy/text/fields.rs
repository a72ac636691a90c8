//! Typed access to a table, with the place of everything.

use super::tree::{Node, Table, Value};
use crate::policy::error::{Fault, PolicyErrorKind as Kind};

/// A value and the byte of the document at which it stands.
#[derive(Clone, Copy)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

pub(super) type Text<'d> = At<&'d str>;

/// A table that knows what it is called and where it begins.
#[derive(Clone, Copy)]
pub(super) struct Fields<'d> {
    what: &'static str,
    pub(super) at: usize,
    table: &'d Table,
}

impl<'d> Fields<'d> {
    pub(super) fn new(what: &'static str, at: usize, table: &'d Table) -> Self {
        Self { what, at, table }
    }

    /// Refuses the first key that is not one of `keys`.
    pub(super) fn known(&self, keys: &[&'static str]) -> Result<(), Fault> {
        let unknown = self.table.0.iter().find(|(key, _)| !keys.contains(&&*key.text));
        let Some((key, _)) = unknown else { return Ok(()) };
        let fault = format!("unknown key `{}`", key.text.escape_debug());
        let all = format!("{} has {}", self.what, quoted(keys.iter().copied()));
        Err(Fault::new(Kind::UnknownKey, key.at, fault).suggest(
            &key.text,
            keys.iter().copied(),
            &all,
        ))
    }

    /// The value, or the fault that it is missing.
    pub(super) fn require<T>(&self, key: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| {
            Fault::new(Kind::MissingKey, self.at, format!("{} has no `{key}`", self.what))
                .hint(format!("add `{key} = …`"))
        })
    }

    /// Keys and values in the order of the document.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Text<'d>, &'d Node)> + use<'d> {
        self.table.0.iter().map(|(key, node)| (At { at: key.at, value: &*key.text }, node))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<Text<'d>>, Fault> {
        self.get(key).map(|v| text(key, v)).transpose()
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<At<bool>>, Fault> {
        let read = |v: &Node| match v.value {
            Value::Bool(value) => Ok(At { at: v.at, value }),
            _ => Err(wrong_type(key, v, "`true` or `false`")),
        };
        self.get(key).map(read).transpose()
    }

    /// A flag that is off where it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.bool(key)?.is_some_and(|flag| flag.value))
    }

    pub(super) fn u64(&self, key: &str) -> Result<Option<At<u64>>, Fault> {
        const RANGE: &str = "an integer from 0 to 18446744073709551615";
        let read = |v: &Node| match v.value {
            Value::Integer { value, .. } => match u64::try_from(value) {
                Ok(value) => Ok(At { at: v.at, value }),
                Err(_) => Err(wrong_type(key, v, RANGE)),
            },
            Value::Other("integer out of range") => Err(wrong_type(key, v, RANGE)),
            _ => Err(wrong_type(key, v, "an integer")),
        };
        self.get(key).map(read).transpose()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'d Node> {
        self.table.get(key)
    }

    /// One of the words, and what it stands for.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return Ok(Some(*meaning));
        }
        let all = words.iter().map(|(word, _)| *word);
        let message = format!("`{key}` knows no `{}`", text.value.escape_debug());
        let known = format!("it is one of {}", quoted(all.clone()));
        Err(Fault::new(Kind::UnknownValue, text.at, message).suggest(text.value, all, &known))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<At<Vec<Text<'d>>>>, Fault> {
        self.get(key).map(|value| texts(key, value)).transpose()
    }

    pub(super) fn table(&self, key: &'static str) -> Result<Option<Self>, Fault> {
        let Some(node) = self.get(key) else { return Ok(None) };
        table(key, node).map(Some)
    }

    /// A table, or a list of them.
    pub(super) fn one_or_more(&self, key: &'static str) -> Result<Vec<Self>, Fault> {
        match self.get(key).map(|node| &node.value) {
            Some(Value::List(_)) => self.tables(key),
            _ => Ok(self.table(key)?.into_iter().collect()),
        }
    }

    pub(super) fn tables(&self, key: &'static str) -> Result<Vec<Self>, Fault> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let Value::List(list) = &node.value else {
            return Err(wrong_type(key, node, "a list of tables")
                .hint(format!("write `[[{key}]]` above each")));
        };
        list.iter().map(|item| table(key, item)).collect()
    }
}

fn table<'d>(key: &'static str, node: &'d Node) -> Result<Fields<'d>, Fault> {
    match &node.value {
        Value::Table(table) => Ok(Fields::new(named(key), node.at, table)),
        _ => Err(wrong_type(key, node, "a table")),
    }
}

/// What a table is called in messages.
fn named(key: &'static str) -> &'static str {
    match key {
        "allow" => "an allow rule",
        "deny" => "a deny rule",
        "expect" => "an expectation",
        "delivery" => "a delivery rule",
        "route" => "a route",
        "when" => "`when`",
        "where" => "a term of `where`",
        "headers" => "`headers`",
        "claims" => "`claims`",
        "content" => "`content`",
        "limit" => "`limit`",
        "reflex" => "a reflex",
        "on" => "`on`",
        "then" => "`then`",
        "tighten" => "`tighten`",
        "governor" => "`[governor]`",
        "trust" => "`[trust]`",
        other => other,
    }
}

pub(super) fn text<'d>(key: &str, node: &'d Node) -> Result<Text<'d>, Fault> {
    match &node.value {
        Value::Text(value) => Ok(At { at: node.at, value }),
        _ => Err(wrong_type(key, node, "a string")),
    }
}

pub(super) fn texts<'d>(key: &str, node: &'d Node) -> Result<At<Vec<Text<'d>>>, Fault> {
    let Value::List(list) = &node.value else {
        return Err(wrong_type(key, node, "a list of strings"));
    };
    let value = list.iter().map(|item| text(key, item)).collect::<Result<_, _>>()?;
    Ok(At { at: node.at, value })
}

pub(super) fn wrong_type(key: &str, node: &Node, wanted: &str) -> Fault {
    let message = format!("`{}` is not {wanted}", key.escape_debug());
    Fault::new(Kind::WrongType, node.at, message).hint(format!("found: {}", node.value.kind()))
}

fn quoted<'k>(keys: impl Iterator<Item = &'k str>) -> String {
    keys.map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}
