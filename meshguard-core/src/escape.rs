//! Text of somebody else's, made fit to be shown: the one place where that is done.
//!
//! A path, an instance's name or an error may hold what moves a terminal's cursor, ends a line of
//! a log, or turns the reading direction around, so that a reader sees something else than was
//! said. [`Escaped`] shows such characters by their names, as Rust's literals do. All that reaches
//! a log, a ledger or an explanation goes through it.
//!
//! ```
//! use meshguard_core::escape::{Escaped, escape};
//!
//! assert_eq!(escape("/a\r\n/b\u{202e}"), r"/a\r\n/b\u{202e}");
//! assert_eq!(Escaped(format_args!("asked {}", "\x1b[2J")).to_string(), r"asked \u{1b}[2J");
//! assert_eq!(escape("/käse"), "/käse");
//! ```
//!
//! A backslash stays as it is. So escaping twice is escaping once, and what a text held before
//! cannot be read back from it: it is for people.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Shows what `T` shows, escaped.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// The text, escaped. Borrows where there is nothing to escape.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    // Writing to a string does not fail.
    let _ = Escaping(&mut escaped).write_str(text);
    Cow::Owned(escaped)
}

/// Whether a text holds nothing that is escaped.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) || !text.contains(is_hidden)
}

/// Writes one character, escaped where it has to be.
pub(crate) fn put(c: char, to: &mut impl Write) -> fmt::Result {
    match c {
        '\n' => to.write_str("\\n"),
        '\r' => to.write_str("\\r"),
        '\t' => to.write_str("\\t"),
        c if is_hidden(c) => write!(to, "\\u{{{:x}}}", u32::from(c)),
        c => to.write_char(c),
    }
}

/// Escapes what is written through it.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_hidden) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = from.chars();
            chars.next().map_or(Ok(()), |c| put(c, &mut self.0))?;
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// A control character (C0, delete, C1), a line or paragraph separator, or a format character
/// (Unicode's category Cf), the marks of bidirectional text among them.
fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        c if c.is_control() => true,
        '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_or_steer_a_terminal_is_shown_by_its_name() {
        assert_eq!(escape("a\nb\rc\td"), r"a\nb\rc\td");
        assert_eq!(escape("\0\x1b\x7f"), r"\u{0}\u{1b}\u{7f}");
        // C1: the control sequence introducer, and the next line.
        assert_eq!(escape("\u{9b}2J\u{85}"), r"\u{9b}2J\u{85}");
        assert_eq!(escape("\u{2028}\u{2029}"), r"\u{2028}\u{2029}");
    }

    #[test]
    fn what_turns_the_reading_direction_or_is_not_seen_is_shown_by_its_name() {
        let bidi = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}'];
        let unseen = ['\u{ad}', '\u{200b}', '\u{200d}', '\u{feff}', '\u{e0041}'];
        for c in bidi.into_iter().chain(['\u{2069}']).chain(unseen) {
            let text = format!("a{c}b");
            assert_eq!(escape(&text), format!("a\\u{{{:x}}}b", u32::from(c)));
            assert!(!is_plain(&text));
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in ["", "/orders/7?a=b", "Grüße, 世界 🦀", "مرحبا", "a\\nb", "…"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
            assert_eq!(Escaped(text).to_string(), text);
        }
    }

    #[test]
    fn escaping_twice_is_escaping_once() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let once = escape(c.encode_utf8(&mut [0; 4])).into_owned();
            assert_eq!(escape(&once), once, "{:x}", u32::from(c));
        }
    }
}
