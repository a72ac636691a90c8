//! What a command cannot do, and why: shown with the place in the document, where there is one.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use meshguard_core::PolicyError;
use meshguard_core::policy::istio::ImportError;
use meshguard_core::policy::table::TableError;
use miette::{Diagnostic, LabeledSpan, NamedSource, Report, SourceCode, SourceOffset};
use serde_json::json;

use crate::output::{Format, print_json};

/// Why a command cannot do what was asked.
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
    hint: Option<String>,
    place: Option<Box<Place>>,
    /// Nobody reads the output any more.
    unread: bool,
}

/// Where in which document.
struct Place {
    source: NamedSource<String>,
    line: usize,
    column: usize,
    offset: SourceOffset,
    /// The line is not worth showing.
    long: bool,
}

/// The longest message that is shown, and the longest line, in bytes.
const LONGEST: usize = 1000;

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        // A document's own text may stand in it: nothing that disturbs a terminal.
        let plain = |c: char| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c };
        let mut message: String = message.into().chars().map(plain).collect();
        if message.len() > LONGEST {
            let (end, start) = (LONGEST / 2, message.len() - LONGEST / 2);
            let end = (0..=end).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            let start = (start..message.len())
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or(message.len());
            message.replace_range(end..start, " … ");
        }
        Self { kind, message, hint: None, place: None, unread: false }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A file could not be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::new("file", format!("{}: {error}", path.display()))
    }

    pub(crate) fn output(error: &io::Error) -> Self {
        let mut failure = Self::new("output", format!("the output: {error}"));
        failure.unread = error.kind() == io::ErrorKind::BrokenPipe;
        failure
    }

    /// A policy document was refused.
    pub(crate) fn policy(path: &Path, text: &str, error: &PolicyError) -> Self {
        let mut failure = Self::new("policy", error.message());
        failure.hint = error.hint().map(ToOwned::to_owned);
        failure.at(path, text, (error.line(), error.column()))
    }

    /// A table, or an access, was refused.
    pub(crate) fn table(path: &Path, text: &str, error: &TableError) -> Self {
        match error.place() {
            Some(place) => Self::new("table", error.message()).at(path, text, place),
            None => Self::new("table", format!("{}: {}", path.display(), error.message())),
        }
    }

    /// A document of another mesh was refused, of several files one of this one.
    pub(crate) fn import(file: Option<&Path>, error: &ImportError) -> Self {
        let message = error.place_and_message();
        let mut failure = match file {
            Some(path) => Self::new("import", format!("{}: {message}", path.display())),
            None => Self::new("import", message),
        };
        failure.hint = error.hint().map(ToOwned::to_owned);
        failure
    }

    /// With a place in a document; `place` is the line and the column, each from 1.
    pub(crate) fn at(mut self, path: &Path, text: &str, (line, column): (usize, usize)) -> Self {
        let long = text.lines().nth(line.saturating_sub(1)).is_some_and(|l| l.len() > LONGEST);
        // What could disturb a terminal, as many bytes of what cannot.
        let plain = |c: char| match c {
            '\n' | '\t' => c.to_string(),
            c if c.is_control() => "?".repeat(c.len_utf8()),
            c => c.to_string(),
        };
        let shown: String = if long { String::new() } else { text.chars().map(plain).collect() };
        self.place = Some(Box::new(Place {
            source: NamedSource::new(path.display().to_string(), shown),
            line,
            column,
            offset: SourceOffset::from_location(text, line, column),
            long,
        }));
        self
    }

    /// Shows it: to people on the standard error, to programs on the standard output.
    pub(crate) fn show(self, format: Format) {
        if self.unread {
            return;
        }
        // Where neither can be written, the exit code still tells.
        match format {
            Format::Json => drop(print_json(&self.json())),
            Format::Text => drop(write!(io::stderr(), "{:?}", Report::new(self))),
        }
    }

    fn json(&self) -> serde_json::Value {
        let place = self.place.as_ref();
        json!({ "error": {
            "kind": self.kind,
            "message": self.message,
            "file": place.map(|p| p.source.name()),
            "line": place.map(|p| p.line),
            "column": place.map(|p| p.column),
            "hint": self.hint,
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_deref().filter(|place| place.long) {
            Some(Place { source, line, column, .. }) => {
                write!(f, "{}:{line}:{column}: {}", source.name(), self.message)
            }
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({}: {})", self.kind, self.message)
    }
}

impl Error for Failure {}

impl Diagnostic for Failure {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        None
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().filter(|place| !place.long).map(|place| &place.source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.place.as_ref().filter(|place| !place.long)?;
        let label = LabeledSpan::at_offset(place.offset.offset(), "here");
        Some(Box::new(std::iter::once(label)))
    }
}
