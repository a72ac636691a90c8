//! What SECURITY.md and docs/protocol.md say a proof covers is what it covers.

use http::HeaderName;
use meshguard_core::delivery::base::{Cover, REQUEST, RESPONSE, is_of_connection};

use super::rows;

const SECURITY: &str = include_str!("../../../SECURITY.md");
const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

/// The cell that begins so, and whose word it is.
fn part(begins: &str) -> (&'static str, &'static str) {
    let rows = rows(SECURITY, "## What a hop can change");
    let row = rows.into_iter().find(|row| row[0].starts_with(begins));
    let row = row.unwrap_or_else(|| panic!("no row begins with {begins:?}"));
    (row[0], row[1])
}

/// The words in backticks that are names of fields.
fn names(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let field = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    quoted.filter(field).map(ToOwned::to_owned).collect()
}

fn all(list: &[HeaderName]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_said_to_be_proved_is_what_proofs_cover() {
    for (begins, list) in
        [("a request's `content-type`", &REQUEST[..]), ("an answer's `content-type`", &RESPONSE)]
    {
        let (cell, whose) = part(begins);
        assert_eq!(names(cell), all(list));
        assert!(whose.ends_with(": proved"), "{whose}");
    }
}

#[test]
fn what_is_said_to_be_a_hops_word_is_covered_by_no_proof() {
    for (begins, list) in [
        ("all other fields of a request", &REQUEST[..]),
        ("all other fields of an answer", &RESPONSE),
    ] {
        let (cell, whose) = part(begins);
        let names = names(cell);
        assert!(names.len() > 4 && whose == "**the hop's**", "{names:?}: {whose}");
        for name in names {
            assert!(list.iter().all(|covered| covered.as_str() != name), "{name} is covered");
        }
    }
}

#[test]
fn what_is_said_to_be_a_connections_own_is_never_covered() {
    let named = names(part("`connection`").0);
    let of_connection = |name: &String| is_of_connection(name);
    assert!(named.iter().all(of_connection), "{named:?}");
    let asked = named.iter().map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap());
    assert_eq!(Cover::new(asked).names(), &[] as &[HeaderName]);
    // And there is no other.
    let mut known = REQUEST.into_iter().chain(RESPONSE);
    assert!(known.all(|name| !is_of_connection(name.as_str())));
    assert_eq!(named.len(), 9);
}

#[test]
fn the_protocols_page_has_the_same_lists() {
    for (begins, list) in
        [("- Request: `@method", &REQUEST[..]), ("- Response: `@status", &RESPONSE)]
    {
        let at = PROTOCOL.find(begins).unwrap();
        let text = PROTOCOL[at..].split('`').nth(1).unwrap();
        let named: Vec<&str> = text.split_whitespace().filter(|n| !n.starts_with('@')).collect();
        assert_eq!(named, all(list), "{begins}");
    }
}
