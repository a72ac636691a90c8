//! Lists and inline tables.

use toml_edit::{Array, InlineTable, Value};

use super::comments::between;
use super::{set, text};

const INDENT: &str = "    ";

/// Lays out what is in a value, which stands so deep. A list or a table of several lines keeps
/// them: only there can comments be.
pub(super) fn lay(value: &mut Value, depth: usize) {
    match value {
        Value::Array(array) => list(array, depth, has_lines(array)),
        Value::InlineTable(table) => fields(table, depth),
        _ => {}
    }
}

/// Gives each item of a list its own line.
pub(super) fn spread(value: &mut Value) {
    if let Value::Array(array) = value {
        list(array, 0, true);
    }
}

fn list(array: &mut Array, depth: usize, lines: bool) {
    let inner = if lines { depth + 1 } else { depth };
    let indent = INDENT.repeat(inner);
    // A comment behind a value and before its comma goes behind the comma.
    let mut carried = String::new();
    for (at, value) in array.iter_mut().enumerate() {
        let before = carried + text(value.decor().prefix());
        carried = text(value.decor().suffix()).trim_end_matches([' ', '\t']).to_owned();
        lay(value, inner);
        let prefix = match (lines, at) {
            (true, _) => between(&before, &indent),
            (false, 0) => String::new(),
            (false, _) => " ".to_owned(),
        };
        set(value.decor_mut(), &prefix, "");
    }
    let last = carried + array.trailing().as_str().unwrap_or_default();
    array.set_trailing_comma(lines && !array.is_empty());
    array.set_trailing(if lines { between(&last, &INDENT.repeat(depth)) } else { String::new() });
}

fn fields(table: &mut InlineTable, depth: usize) {
    let lines = table_has_lines(table);
    let inner = if lines { depth + 1 } else { depth };
    let mut laying =
        Laying { lines, inner, left: table.get_values().len(), carried: String::new() };
    laying.fields(table);
    let last = laying.carried + table.trailing().as_str().unwrap_or_default();
    table.set_trailing_comma(lines && !table.is_empty());
    table.set_trailing(if lines { between(&last, &INDENT.repeat(depth)) } else { String::new() });
}

/// The fields of an inline table, as they are laid out.
struct Laying {
    lines: bool,
    inner: usize,
    /// So many are still to come.
    left: usize,
    carried: String,
}

impl Laying {
    fn fields(&mut self, table: &mut InlineTable) {
        for (mut key, value) in table.iter_mut() {
            set(key.dotted_decor_mut(), "", "");
            if let Value::InlineTable(dotted) = value
                && dotted.is_dotted()
            {
                self.fields(dotted);
                continue;
            }
            self.left -= 1;
            let before = std::mem::take(&mut self.carried) + text(key.leaf_decor().prefix());
            self.carried = text(value.decor().suffix()).trim_end_matches([' ', '\t']).to_owned();
            let prefix = match self.lines {
                true => between(&before, &INDENT.repeat(self.inner)),
                false => " ".to_owned(),
            };
            set(key.leaf_decor_mut(), &prefix, " ");
            lay(value, self.inner);
            let suffix = if self.left == 0 && !self.lines { " " } else { "" };
            set(value.decor_mut(), " ", suffix);
        }
    }
}

/// Whether line breaks stand between the items themselves.
fn has_lines(array: &Array) -> bool {
    let trailing = array.trailing().as_str().unwrap_or_default();
    let around = array.iter().flat_map(|v| [text(v.decor().prefix()), text(v.decor().suffix())]);
    around.chain([trailing]).any(|text| text.contains('\n'))
}

fn table_has_lines(table: &InlineTable) -> bool {
    let trailing = table.trailing().as_str().unwrap_or_default();
    let values = table.get_values();
    let around = values.iter().flat_map(|(keys, value)| {
        let above = keys.last().map_or("", |key| text(key.leaf_decor().prefix()));
        [above, text(value.decor().suffix())]
    });
    around.chain([trailing]).any(|text| text.contains('\n'))
}
