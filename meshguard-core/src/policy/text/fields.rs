//! Typed access to a TOML table, with the place of everything.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
pub(super) struct Fields<'d, 'i> {
    what: &'static str,
    pub(super) at: usize,
    table: &'d DeTable<'i>,
}

impl<'d, 'i> Fields<'d, 'i> {
    pub(super) fn new(what: &'static str, at: usize, table: &'d DeTable<'i>) -> Self {
        Self { what, at, table }
    }

    /// Refuses the first key that is not one of `keys`.
    pub(super) fn known(&self, keys: &[&'static str]) -> Result<(), Fault> {
        let unknown = self.table.keys().filter(|k| !keys.contains(&&**k.get_ref()));
        let Some(key) = unknown.min_by_key(|k| k.span().start) else { return Ok(()) };
        let word = &**key.get_ref();
        let fault = format!("unknown key `{}`", word.escape_debug());
        let all = format!("{} has {}", self.what, quoted(keys.iter().copied()));
        Err(Fault::new(Kind::UnknownKey, key.span().start, fault).suggest(
            word,
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
    pub(super) fn entries(&self) -> Vec<(Text<'d>, &'d Spanned<DeValue<'i>>)> {
        let text = |k: &'d Spanned<_>| At { at: k.span().start, value: &**as_cow(k) };
        let mut all: Vec<_> = self.table.iter().map(|(k, v)| (text(k), v)).collect();
        all.sort_by_key(|(key, _)| key.at);
        all
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<Text<'d>>, Fault> {
        self.table.get(key).map(|v| text(key, v)).transpose()
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<At<bool>>, Fault> {
        let read = |v: &Spanned<DeValue<'_>>| match v.get_ref() {
            DeValue::Boolean(b) => Ok(At { at: v.span().start, value: *b }),
            _ => Err(wrong_type(key, v, "`true` or `false`")),
        };
        self.table.get(key).map(read).transpose()
    }

    pub(super) fn u64(&self, key: &str) -> Result<Option<u64>, Fault> {
        let read = |v: &Spanned<DeValue<'_>>| match v.get_ref() {
            DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix())
                .map_err(|_| wrong_type(key, v, "an integer from 0 to 18446744073709551615")),
            _ => Err(wrong_type(key, v, "an integer")),
        };
        self.table.get(key).map(read).transpose()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'d Spanned<DeValue<'i>>> {
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
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(wrong_type(key, value, "a list of strings"));
        };
        let texts = array.iter().map(|v| text(key, v)).collect::<Result<_, _>>()?;
        Ok(Some(At { at: value.span().start, value: texts }))
    }

    pub(super) fn table(&self, key: &'static str) -> Result<Option<Self>, Fault> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(Self::new(named(key), value.span().start, table))),
            _ => Err(wrong_type(key, value, "a table")),
        }
    }

    /// A table, or a list of them.
    pub(super) fn one_or_more(&self, key: &'static str) -> Result<Vec<Self>, Fault> {
        match self.table.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(_)) => self.tables(key),
            _ => Ok(self.table(key)?.into_iter().collect()),
        }
    }

    pub(super) fn tables(&self, key: &'static str) -> Result<Vec<Self>, Fault> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(array) = value.get_ref() else {
            return Err(wrong_type(key, value, "a list of tables")
                .hint(format!("write `[[{key}]]` above each")));
        };
        let read = |v: &'d Spanned<DeValue<'i>>| match v.get_ref() {
            DeValue::Table(table) => Ok(Self::new(named(key), v.span().start, table)),
            _ => Err(wrong_type(key, v, "a table")),
        };
        array.iter().map(read).collect()
    }
}

/// What a table is called in messages.
fn named(key: &'static str) -> &'static str {
    match key {
        "allow" => "an allow rule",
        "deny" => "a deny rule",
        "delivery" => "a delivery rule",
        "when" => "`when`",
        "headers" => "`headers`",
        "reflex" => "a reflex",
        "on" => "`on`",
        "then" => "`then`",
        "tighten" => "`tighten`",
        "governor" => "`[governor]`",
        "trust" => "`[trust]`",
        other => other,
    }
}

pub(super) fn text<'d>(key: &str, value: &'d Spanned<DeValue<'_>>) -> Result<Text<'d>, Fault> {
    match value.get_ref() {
        DeValue::String(s) => Ok(At { at: value.span().start, value: s }),
        _ => Err(wrong_type(key, value, "a string")),
    }
}

fn as_cow<'d, 'i>(key: &'d Spanned<toml::de::DeString<'i>>) -> &'d toml::de::DeString<'i> {
    key.get_ref()
}

pub(super) fn wrong_type(key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Fault {
    let found = value.get_ref().type_str();
    let message = format!("`{}` is not {wanted}", key.escape_debug());
    Fault::new(Kind::WrongType, value.span().start, message).hint(format!("found: {found}"))
}

fn quoted<'k>(keys: impl Iterator<Item = &'k str>) -> String {
    keys.map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}
