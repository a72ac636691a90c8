//! A document laid out in one way: its text's tree is edited, so that comments, the order of all
//! things and how values are written stay as they are.

mod comments;
mod values;

#[cfg(test)]
mod tests;

use toml_edit::{DocumentMut, Item, Table, TomlError, Value};

use self::comments::{Above, block, trailing};

/// The widest line of a list that is written in one.
const WIDEST: usize = 100;

/// Lays a TOML document out: an entry a line, `key = value`, an empty line above each table and
/// at most one elsewhere, no white space at the ends of lines. Lists that are too wide for a line
/// have a line for each item. What a comment stands at keeps it. Line ends stay those of the
/// first line; a byte order mark goes.
pub(crate) fn layout(text: &str) -> Result<String, TomlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let ends = text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r'));
    let mut document: DocumentMut = text.replace("\r\n", "\n").parse()?;
    let first = first_header(document.as_table());
    entries(document.as_table_mut(), &mut Above::File, first);
    // The last line need not be ended.
    let last = format!("{}\n", document.trailing().as_str().unwrap_or_default());
    let empty = document.as_table().is_empty();
    let end = block(&last, if empty { Above::File } else { Above::Entry }).trim_end().to_owned();
    document.set_trailing(if end.is_empty() { end } else { end + "\n" });
    let laid = document.to_string();
    Ok(if ends { laid.replace('\n', "\r\n") } else { laid })
}

/// The entries of a table, and the tables in it.
fn entries(table: &mut Table, above: &mut Above, first: Option<isize>) {
    for (mut key, item) in table.iter_mut() {
        set(key.dotted_decor_mut(), "", "");
        match item {
            Item::None => {}
            Item::Value(value) => {
                let prefix = block(text(key.leaf_decor().prefix()), *above);
                set(key.leaf_decor_mut(), &prefix, " ");
                *above = Above::Entry;
                entry(key.display_repr().len(), value);
            }
            // `a.b = 1`: what stands above it is its last key's.
            Item::Table(dotted) if dotted.is_dotted() => entries(dotted, above, first),
            Item::Table(table) => {
                set(key.leaf_decor_mut(), "", "");
                header(table, first);
            }
            Item::ArrayOfTables(tables) => {
                set(key.leaf_decor_mut(), "", "");
                tables.iter_mut().for_each(|table| header(table, first));
            }
        }
    }
}

/// A table with its header.
fn header(table: &mut Table, first: Option<isize>) {
    let is_first = first.is_some() && table.position() == first;
    let above = if is_first { Above::File } else { Above::Header };
    let prefix = block(text(table.decor().prefix()), above);
    let suffix = trailing(text(table.decor().suffix()));
    set(table.decor_mut(), &prefix, &suffix);
    entries(table, &mut Above::First, first);
}

/// A value behind its key, which is so wide.
fn entry(key: usize, value: &mut Value) {
    let suffix = trailing(text(value.decor().suffix()));
    values::lay(value, 0);
    set(value.decor_mut(), "", "");
    let line = value.to_string();
    if key + " = ".len() + line.chars().count() > WIDEST && !line.contains('\n') {
        values::spread(value);
    }
    set(value.decor_mut(), " ", &suffix);
}

/// Where the first header stands, if nothing stands above it.
fn first_header(root: &Table) -> Option<isize> {
    fn least(table: &Table) -> Option<isize> {
        let tables = table.iter().flat_map(|(_, item)| -> Box<dyn Iterator<Item = &Table>> {
            match item {
                Item::Table(table) => Box::new(std::iter::once(table)),
                Item::ArrayOfTables(tables) => Box::new(tables.iter()),
                _ => Box::new(std::iter::empty()),
            }
        });
        let own = |table: &Table| table.position().filter(|_| !table.is_implicit());
        tables.filter_map(|table| own(table).into_iter().chain(least(table)).min()).min()
    }
    if root.get_values().is_empty() { least(root) } else { None }
}

fn text(raw: Option<&toml_edit::RawString>) -> &str {
    raw.and_then(toml_edit::RawString::as_str).unwrap_or_default()
}

fn set(decor: &mut toml_edit::Decor, prefix: &str, suffix: &str) {
    decor.set_prefix(prefix);
    decor.set_suffix(suffix);
}
