//! One tree for both syntaxes, with the place of everything.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};
use toml::de::{DeTable, DeValue};

use crate::policy::error::{Fault, PolicyErrorKind as Kind};

/// The deepest nesting that is read. A policy's own is six.
const DEEPEST: usize = 32;

/// A value, and the byte of the document at which it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(Box<str>),
    /// `decimal`: written in base 10.
    Integer {
        value: i128,
        decimal: bool,
    },
    Float(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(Table),
    /// Of a type that no policy has; its name.
    Other(&'static str),
}

/// In the order of the document; keys are unique.
#[derive(Debug, Default)]
pub(super) struct Table(pub(super) Vec<(Key, Node)>);

#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: usize,
    pub(super) text: Box<str>,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(k, _)| *k.text == *key).map(|(_, node)| node)
    }
}

impl Value {
    /// What the type is called in messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer { .. } => "integer",
            Self::Float(_) => "float",
            Self::Bool(_) => "boolean",
            Self::List(_) => "array",
            Self::Table(_) => "table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads TOML 1.0.
pub(super) fn toml(text: &str) -> Result<Table, Fault> {
    let table = DeTable::parse(text).map_err(|e| {
        Fault::new(Kind::Syntax, e.span().map_or(text.len(), |s| s.start), e.message())
    })?;
    Ok(toml_table(table.get_ref()))
}

fn toml_table(table: &DeTable<'_>) -> Table {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let key = Key { at: key.span().start, text: (**key.get_ref()).into() };
            (key, toml_node(value))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.at);
    Table(entries)
}

fn toml_node(value: &toml::Spanned<DeValue<'_>>) -> Node {
    let at = value.span().start;
    let found = value.get_ref();
    let value = match found {
        DeValue::String(text) => Value::Text((**text).into()),
        DeValue::Integer(number) => {
            let decimal = number.radix() == 10;
            match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(value) => Value::Integer { value, decimal },
                Err(_) => Value::Other("integer out of range"),
            }
        }
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other("float out of range"),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Array(list) => Value::List(list.iter().map(toml_node).collect()),
        DeValue::Table(table) => Value::Table(toml_table(table)),
        DeValue::Datetime(_) => Value::Other("datetime"),
    };
    Node { at, value }
}

/// Reads one YAML 1.2 document. Only what TOML can say, too: keys are strings and unique, `yes`
/// is a string, and there are no merge keys.
pub(super) fn yaml(text: &str) -> Result<Table, Fault> {
    let options = yaml_options(text, DEEPEST);
    let read = serde_saphyr::from_str_with_options::<Spanned<Yaml>>(text, options);
    let root = read.map_err(|e| {
        let at = e.location().map_or(text.len(), |place| offset(text, &place));
        let message = e.to_string();
        Fault::new(Kind::Syntax, at, message.lines().next().unwrap_or("it is not YAML"))
    })?;
    match node(text, root) {
        Node { value: Value::Table(table), .. } => Ok(table),
        Node { at, value } => Err(Fault::new(Kind::WrongType, at, "the document is not a table")
            .hint(format!("found: {}", value.kind()))),
    }
}

/// How `text` is read where it is YAML: so that nothing in it has two meanings, and with room for
/// what it can hold. A node that is written is a byte at least; what is more, aliases repeat.
pub(in crate::policy) fn yaml_options(text: &str, depth: usize) -> serde_saphyr::Options {
    let nodes = text.len().max(250_000);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: depth,
            max_documents: nodes,
            max_nodes: nodes,
            max_events: nodes.saturating_mul(4),
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
        reject_unsupported_tags: true,
    }
}

/// A YAML value as it comes.
enum Yaml {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Box<str>),
    List(Vec<Spanned<Yaml>>),
    Table(Vec<(Spanned<String>, Spanned<Yaml>)>),
}

fn node(text: &str, found: Spanned<Yaml>) -> Node {
    let at = offset(text, &found.referenced);
    let value = match found.value {
        Yaml::Null => Value::Other("null"),
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Integer(value) => Value::Integer { value, decimal: true },
        Yaml::Float(value) => Value::Float(value),
        Yaml::Text(value) => Value::Text(value),
        Yaml::List(list) => Value::List(list.into_iter().map(|item| node(text, item)).collect()),
        Yaml::Table(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let at = offset(text, &key.referenced);
                (Key { at, text: key.value.into() }, node(text, value))
            });
            Value::Table(Table(entries.collect()))
        }
    };
    Node { at, value }
}

/// The byte at a place of the text.
fn offset(text: &str, place: &Location) -> usize {
    if let Some(offset) = place.span().byte_offset() {
        return usize::try_from(offset).unwrap_or(text.len()).min(text.len());
    }
    let (line, column) = (place.line().saturating_sub(1), place.column().saturating_sub(1));
    let mut start = 0;
    for _ in 0..line {
        start += text[start..].find('\n').map_or(text.len() - start, |at| at + 1);
    }
    let before = text[start..].char_indices().nth(usize::try_from(column).unwrap_or(0));
    before.map_or(text.len(), |(at, _)| start + at)
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = from.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Yaml::Table(entries))
    }
}
