//! Why a policy document was refused, and where.

use std::fmt;

/// Why a policy document was refused: the first fault found, with its place in the text.
///
/// ```
/// use meshguard_core::policy::{Policy, PolicyErrorKind};
/// let text = "mesh = \"shop.example\"\nversion = 1\nhop = []\n";
/// let error = text.parse::<Policy>().unwrap_err();
/// assert_eq!(error.kind(), PolicyErrorKind::UnknownKey);
/// assert_eq!(error.to_string(), "line 3, column 1: unknown key `hop`; did you mean `hops`?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyError {
    kind: PolicyErrorKind,
    line: usize,
    column: usize,
    offset: usize,
    excerpt: Box<str>,
    message: Box<str>,
    hint: Option<Box<str>>,
}

impl PolicyError {
    /// Which rule of the document's form is broken.
    #[must_use]
    pub fn kind(&self) -> PolicyErrorKind {
        self.kind
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// The byte of the text, from 0.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The line of the text, at most 160 bytes of it.
    #[must_use]
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }

    /// What is wrong, without its place and its hint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PolicyError {}

/// The longest excerpt, in bytes.
const MAX_EXCERPT: usize = 160;

/// The faults a policy document can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PolicyErrorKind {
    /// Longer than [`MAX_DOCUMENT`](super::MAX_DOCUMENT) bytes.
    TooLarge,
    /// More than [`MAX_RULES`](super::MAX_RULES) rules.
    TooManyRules,
    /// The rules' lists multiply to more than [`MAX_ENTRIES`](super::MAX_ENTRIES) combinations.
    TooManyCombinations,
    /// The first line announces a digest in a form that is not understood, or a later one announces it.
    BadAnnouncement,
    /// The document is not the one whose digest its first line announces: half written, or changed.
    DigestDiffers,
    /// Not TOML, or not YAML.
    Syntax,
    /// A key that has no meaning there.
    UnknownKey,
    /// A value of another type than the key wants, or a number out of range.
    WrongType,
    /// A word that the key does not know, as `mode = "maybe"`.
    UnknownValue,
    /// A key that must be there is not.
    MissingKey,
    /// An empty list where a list limits what a rule matches: the rule could never match.
    EmptyList,
    /// A rule's or peer's name is empty, too long or has control characters.
    BadName,
    /// Two rules of one name.
    DuplicateRule,
    /// `mesh` is not the name of a trust domain.
    BadTrustDomain,
    /// A peer's pattern is malformed.
    BadPeer,
    /// A peer's pattern is of another trust domain than `mesh`.
    ForeignPeer,
    /// A name that `[peers]` does not have.
    UnknownPeer,
    /// A peer that nothing refers to.
    UnusedPeer,
    /// A rule's `via` names a peer that no entry of `hops` covers: it could never match.
    ViaNotAHop,
    /// The method is not an HTTP token, or a standard method in the wrong case.
    BadMethod,
    /// A malformed template.
    BadTemplate,
    /// A well-formed template that no accepted path can match.
    ImpossibleTemplate,
    /// gRPC syntax in `http`, or HTTP syntax in `grpc`.
    WrongProtocol,
    /// A header condition's name is not a field name (RFC 9110 §5.1), or stands twice.
    BadHeader,
    /// Neither a claim's name nor a JSON Pointer.
    BadClaim,
    /// A term of `where` that is not understood.
    BadTerm,
    /// A key that documents of these `semantics` do not have.
    WrongSemantics,
    /// Not a JSON Pointer (RFC 6901).
    BadPointer,
    /// Not an IP address, nor a network as `10.0.0.0/8`.
    BadNetwork,
    /// A number that is not from 0 to 1, or not in the bounds of its key.
    OutOfRange,
    /// Not a duration as `250ms`, `2s`, `5m`, `1h` or `30 days`, or one out of bounds.
    BadDuration,
    /// Not a rate as `10/s`, `6/min` or `100/h`, or one out of bounds.
    BadRate,
    /// Two reflexes of one name.
    DuplicateReflex,
    /// More than [`MAX_REFLEXES`](super::MAX_REFLEXES) reflexes.
    TooManyReflexes,
    /// A reflex of more than [`MAX_STEPS`](super::MAX_STEPS) steps.
    TooManySteps,
    /// A step that takes one kind of action twice.
    DuplicateAction,
    /// A `tighten` that asks for nothing.
    EmptyTighten,
    /// `false_alarms` or `for` on a hard signal, which is no matter of chance.
    HardSignal,
    /// A `then` that comes after the reflex's `ttl` is over.
    LateStep,
    /// A `when` that can never hold.
    ImpossibleWhen,
    /// A condition that would hold, or stop denying, because something is *not* known.
    UnsoundWhen,
}

/// A fault at a byte of the document, before its line is known.
#[derive(Debug)]
pub(super) struct Fault {
    kind: PolicyErrorKind,
    at: usize,
    message: String,
    hint: Option<String>,
}

impl Fault {
    pub(super) fn new(kind: PolicyErrorKind, at: usize, message: impl Into<String>) -> Self {
        Self { kind, at, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Suggests the candidate nearest to `word`, if one is near; else `otherwise`.
    pub(super) fn suggest<'c>(
        self,
        word: &str,
        candidates: impl Iterator<Item = &'c str>,
        otherwise: &str,
    ) -> Self {
        match nearest(word, candidates) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self.hint(otherwise),
        }
    }

    pub(super) fn locate(self, text: &str) -> PolicyError {
        let before = &text.as_bytes()[..self.at.min(text.len())];
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        // Continuation bytes are not characters.
        let column = before[start..].iter().filter(|b| (**b & 0xC0) != 0x80).count() + 1;
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let rest = text.get(start..).unwrap_or_default();
        let excerpt = rest.lines().next().unwrap_or_default();
        let excerpt = excerpt.char_indices().take_while(|(at, c)| at + c.len_utf8() <= MAX_EXCERPT);
        let excerpt = excerpt.map(|(_, c)| c).collect();
        let (offset, kind, message) = (before.len(), self.kind, self.message.into());
        let hint = self.hint.map(Into::into);
        PolicyError { kind, line, column, offset, excerpt, message, hint }
    }
}

/// The candidate with the smallest edit distance, if that is at most a third of the word.
fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .filter(|c| c.len().abs_diff(word.len()) <= limit * 4)
        .map(|c| (distance(word, c), c))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Edit distance in which swapping two neighbours is one step.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_recognised() {
        let known = ["headers", "evidence", "direct"];
        assert_eq!(nearest("hedaers", known.into_iter()), Some("headers"));
        assert_eq!(nearest("evidenc", known.into_iter()), Some("evidence"));
        assert_eq!(nearest("claims", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(100_000), known.into_iter()), None);
    }

    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        let error = Fault::new(PolicyErrorKind::Syntax, 6, "x").locate("a\né=b");
        assert_eq!((error.line(), error.column()), (2, 4));
        let error = Fault::new(PolicyErrorKind::Syntax, 0, "x").locate("");
        assert_eq!((error.line(), error.column()), (1, 1));
        let error = Fault::new(PolicyErrorKind::Syntax, 99, "x").locate("a\n");
        assert_eq!((error.line(), error.column()), (2, 1));
    }
}
