//! Globs as a regular language: which texts some of them tell apart.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::TooComplex;

/// The most states in which a reader of all globs can be, before comparing gives up.
const MAX_STATES: usize = 100_000;
/// The most work: how far each glob is read, in each step.
const MAX_WORK: usize = 30_000_000;

/// Which texts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// Values of a header: no control characters, no blank at either end (RFC 9110 §5.5).
    Header,
    /// All.
    Text,
}

/// Texts that the same globs match.
#[derive(Debug)]
pub(super) struct Class {
    /// The globs' numbers, sorted.
    pub(super) matches: Vec<u32>,
    /// One of the shortest texts.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// Any run of characters. Never beside another one.
    Run,
}

/// How far each glob may have been read, sorted, and what the text looks like so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    at: Vec<(u32, u32)>,
    empty: bool,
    ends_blank: bool,
}

/// Every set of globs for which there is a text that they match and the others do not; the
/// shortest texts first.
///
/// Texts are looked at by characters. Values may also be bytes that are not UTF-8; but what a
/// glob names is whole characters, so a stray byte is as good as a character that none names.
pub(super) fn classes(globs: &[&str], language: Language) -> Result<Vec<Class>, TooComplex> {
    classes_within(globs, language, MAX_WORK)
}

fn classes_within(
    globs: &[&str],
    language: Language,
    most: usize,
) -> Result<Vec<Class>, TooComplex> {
    let globs: Vec<Vec<Token>> = globs.iter().map(|glob| tokens(glob)).collect();
    let other = unnamed(&globs).ok_or(TooComplex::Values)?;
    let start = State {
        at: (0..).zip(&globs).map(|(g, _)| (g, 0)).collect(),
        empty: true,
        ends_blank: false,
    };
    let mut trail: Vec<(usize, char)> = vec![(0, ' ')];
    let (mut known, mut seen) = (HashMap::from([(start.clone(), 0)]), HashSet::new());
    let (mut found, mut work) = (Vec::new(), 0);
    let mut todo = VecDeque::from([(start, 0)]);
    while let Some((state, number)) = todo.pop_front() {
        let matches = accepted(&globs, &state.at);
        if !(state.ends_blank && language == Language::Header) && seen.insert(matches.clone()) {
            found.push(Class { matches, text: spell(&trail, number) });
        }
        for c in alphabet(&globs, &state.at, other) {
            work += 1 + state.at.len();
            let blank = matches!(c, ' ' | '\t');
            let control = c.is_ascii_control() && c != '\t';
            if language == Language::Header && (control || (blank && state.empty)) {
                continue;
            }
            let next = State { at: step(&globs, &state.at, c), empty: false, ends_blank: blank };
            let new = trail.len();
            if *known.entry(next.clone()).or_insert(new) == new {
                trail.push((number, c));
                todo.push_back((next, new));
            }
        }
        if trail.len() > MAX_STATES || work > most {
            return Err(TooComplex::Values);
        }
    }
    Ok(found)
}

fn tokens(glob: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for c in glob.chars() {
        let token = if c == '*' { Token::Run } else { Token::Char(c) };
        if token != Token::Run || tokens.last() != Some(&Token::Run) {
            tokens.push(token);
        }
    }
    tokens
}

/// A character that no glob names.
fn unnamed(globs: &[Vec<Token>]) -> Option<char> {
    let named: BTreeSet<char> = globs
        .iter()
        .flatten()
        .filter_map(|t| if let Token::Char(c) = t { Some(*c) } else { None })
        .collect();
    let plain = ('a'..='z').rev().skip(2).chain('0'..='9').chain('y'..='z');
    plain.chain('\u{c0}'..='\u{ffff}').find(|c| !named.contains(c))
}

fn step(globs: &[Vec<Token>], at: &[(u32, u32)], c: char) -> Vec<(u32, u32)> {
    let mut next = Vec::new();
    for (glob, place) in at {
        let tokens = &globs[*glob as usize][*place as usize..];
        match tokens {
            [Token::Char(own), ..] if *own == c => next.push((*glob, place + 1)),
            [Token::Run, after @ ..] => {
                next.push((*glob, *place));
                if after.first() == Some(&Token::Char(c)) {
                    next.push((*glob, place + 2));
                }
            }
            _ => {}
        }
    }
    next.sort_unstable();
    next.dedup();
    // From a later run, all is matched that would be from any place before it.
    let is_run = |(glob, place): &(u32, u32)| {
        globs[*glob as usize].get(*place as usize) == Some(&Token::Run)
    };
    let last_runs: HashMap<u32, u32> = next.iter().copied().filter(is_run).collect();
    next.retain(|(glob, place)| last_runs.get(glob).is_none_or(|run| place >= run));
    next
}

fn accepted(globs: &[Vec<Token>], at: &[(u32, u32)]) -> Vec<u32> {
    let ends = |(glob, place): &&(u32, u32)| {
        matches!(globs[*glob as usize][*place as usize..], [] | [Token::Run])
    };
    let mut accepted: Vec<u32> = at.iter().filter(ends).map(|(glob, _)| *glob).collect();
    accepted.dedup();
    accepted
}

fn alphabet(globs: &[Vec<Token>], at: &[(u32, u32)], other: char) -> BTreeSet<char> {
    let mut alphabet = BTreeSet::from([other]);
    for (glob, place) in at {
        let (_, rest) = globs[*glob as usize].split_at(*place as usize);
        if let [Token::Char(c), ..] | [Token::Run, Token::Char(c), ..] = rest {
            alphabet.insert(*c);
        }
    }
    alphabet
}

/// The text that led here.
fn spell(trail: &[(usize, char)], mut at: usize) -> String {
    let mut text = Vec::new();
    while at != 0 {
        let (before, c) = trail[at];
        text.push(c);
        at = before;
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::pattern::Glob;

    fn matches(globs: &[&str], text: &str) -> Vec<u32> {
        let numbered = (0..).zip(globs);
        numbered.filter(|(_, g)| Glob::new(g).matches(text.as_bytes())).map(|(n, _)| n).collect()
    }

    #[test]
    fn each_class_is_what_its_text_matches_and_none_is_missing() {
        let globs = ["a*", "*a", "*a*a*", "aa", "", "*", "b*a", "*-*1"];
        for language in [Language::Header, Language::Text] {
            let classes = classes(&globs, language).unwrap();
            for class in &classes {
                assert_eq!(class.matches, matches(&globs, &class.text), "{class:?}");
            }
            let mut texts = vec![String::new()];
            for at in 0.. {
                let Some(text) = texts.get(at).filter(|t| t.len() < 6).cloned() else { break };
                texts.extend(['a', 'b', '-', '1', 'q'].map(|c| format!("{text}{c}")));
            }
            for text in texts {
                let want = matches(&globs, &text);
                assert!(classes.iter().any(|c| c.matches == want), "{text} {language:?}");
            }
        }
    }

    #[test]
    fn a_header_value_has_no_blank_at_its_ends() {
        let classes = classes(&["a *", "* b", "a"], Language::Header).unwrap();
        assert!(classes.iter().all(|c| c.text.trim() == c.text), "{classes:?}");
        assert!(classes.iter().any(|c| c.matches == [0, 1]), "{classes:?}");
    }

    #[test]
    fn globs_that_cannot_be_told_apart_in_bounds_are_refused() {
        let globs: Vec<String> = (0..40).map(|n| format!("*a{}b*", "?".repeat(n))).collect();
        let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
        let few = classes_within(&globs, Language::Text, 100_000);
        assert_eq!(few.unwrap_err(), TooComplex::Values);
    }
}
