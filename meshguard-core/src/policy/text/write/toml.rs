//! A tree as TOML 1.0: plain values first, then tables, and below those everything in a line.

use std::fmt::Write as _;

use super::super::tree::{Node, Table, Value};

pub(super) fn print(table: &Table) -> String {
    let mut out = String::new();
    for (key, node) in table.0.iter().filter(|(_, node)| !is_table(node)) {
        pair(&key.text, node, &mut out);
    }
    for (key, node) in table.0.iter().filter(|(_, node)| is_table(node)) {
        let key = name(&key.text);
        match &node.value {
            Value::Table(fields) => section(&format!("[{key}]"), fields, &mut out),
            Value::List(tables) => {
                for fields in tables.iter().filter_map(|node| fields(&node.value)) {
                    section(&format!("[[{key}]]"), fields, &mut out);
                }
            }
            _ => {}
        }
    }
    out
}

fn section(head: &str, table: &Table, out: &mut String) {
    let _ = write!(out, "\n{head}\n"); // writing to a text cannot fail
    for (key, node) in &table.0 {
        pair(&key.text, node, out);
    }
}

fn pair(key: &str, node: &Node, out: &mut String) {
    let _ = write!(out, "{} = ", name(key));
    value(&node.value, out);
    out.push('\n');
}

fn value(of: &Value, out: &mut String) {
    match of {
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::Integer { value, .. } => _ = write!(out, "{value}"),
        Value::Float(value) => _ = write!(out, "{value:?}"),
        Value::Bool(value) => _ = write!(out, "{value}"),
        Value::List(list) if list.iter().any(is_table) => {
            out.push_str("[\n");
            for node in list {
                out.push_str("    ");
                value(&node.value, out);
                out.push_str(",\n");
            }
            out.push(']');
        }
        Value::List(list) => {
            out.push('[');
            for (at, node) in list.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                value(&node.value, out);
            }
            out.push(']');
        }
        Value::Table(table) => {
            out.push('{');
            for (at, (key, node)) in table.0.iter().enumerate() {
                out.push_str(if at == 0 { " " } else { ", " });
                let _ = write!(out, "{} = ", name(&key.text));
                value(&node.value, out);
            }
            out.push_str(" }");
        }
        Value::Other(_) => out.push_str("\"\""), // no document has one
    }
}

fn fields(value: &Value) -> Option<&Table> {
    match value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Whether it is a table, or a list of tables alone.
fn is_table(node: &Node) -> bool {
    match &node.value {
        Value::Table(_) => true,
        Value::List(list) => {
            !list.is_empty() && list.iter().all(|node| matches!(node.value, Value::Table(_)))
        }
        _ => false,
    }
}

/// A key, bare where it may be.
pub(in crate::policy) fn name(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quoted(key) }
}

/// A basic string.
pub(in crate::policy) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => _ = write!(quoted, "\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
