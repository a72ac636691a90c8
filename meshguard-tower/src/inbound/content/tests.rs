use http::HeaderValue;

use super::*;

fn content(pointers: &[&str], max_bytes: u64) -> Content {
    let json = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
    Content { json, max_bytes }
}

fn body(pointers: &[&str], text: &str) -> Result<(), Violation> {
    check_body(&content(pointers, 1000), text.as_bytes())
}

fn head(pointers: &[&str], headers: &[(header::HeaderName, &'static str)]) -> Option<StatusCode> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.clone(), HeaderValue::from_static(value));
    }
    let checked = check_head(&content(pointers, 1000), &map, false);
    checked.err().map(|violation| violation.status().0)
}

#[test]
fn every_pointer_must_lead_to_a_value() {
    let text = r#"{"id": null, "items": [{"sku": 1}, {}], "a/b": {"m~n": []}, "": {"0": 1}}"#;
    for pointer in ["", "/id", "/items", "/items/0/sku", "/items/1", "/a~1b/m~0n", "/", "//0"] {
        assert_eq!(body(&[pointer], text), Ok(()), "{pointer}");
    }
    for pointer in ["/ID", "/id/x", "/items/2", "/items/00", "/items/-", "/items/0/sku/0", "/a/b"] {
        let missing = Violation::Missing(pointer.to_owned());
        assert_eq!(body(&["/id", pointer], text), Err(missing), "{pointer}");
    }
    assert_eq!(body(&["/id", "/items/0/sku", "/items/0", ""], text), Ok(()));
}

#[test]
fn what_is_not_one_json_document_is_refused() {
    for text in ["", "{", "{\"id\": 1", "{\"id\": 1} {}", "{\"id\": 1}x", "{id: 1}", "{\"id\": 01}"]
    {
        assert!(matches!(body(&["/id"], text), Err(Violation::NotJson(_))), "{text}");
    }
    let latin1 = check_body(&content(&["/id"], 1000), b"{\"id\": 1, \"x\": \"\xe4\"}");
    assert!(matches!(latin1, Err(Violation::NotJson(_))));
    for text in ["1", "\"id\"", "null", "[1]", "1.5", "true", "-3"] {
        assert_eq!(body(&[""], text), Ok(()), "{text}");
        assert!(matches!(body(&["/id"], text), Err(Violation::Missing(_))), "{text}");
    }
}

/// One reader takes the first, another the last: what was checked need not be what is read.
#[test]
fn a_member_that_stands_twice_is_refused_where_a_pointer_leads_through_it() {
    for text in [
        r#"{"id": 1, "id": 2}"#,
        r#"{"id": 1, "\u0069d": 2}"#,
        r#"{"a": {"id": 1}, "id": 1, "id": 1}"#,
    ] {
        assert!(matches!(body(&["/id"], text), Err(Violation::NotJson(_))), "{text}");
    }
    let inside = r#"{"items": [{"sku": 1}], "items": []}"#;
    assert!(matches!(body(&["/items/0/sku"], inside), Err(Violation::NotJson(_))));
    assert_eq!(body(&["/id"], r#"{"id": {"x": 1, "x": 2}, "y": 1, "y": 2}"#), Ok(()));
}

#[test]
fn a_document_of_any_depth_is_walked_without_a_deep_stack() {
    let deep = format!("{{\"id\": {}{}}}", "[".repeat(400), "]".repeat(400));
    // Deeper than a parser of the application's may go; nothing of it is needed here.
    assert_eq!(body(&["/id"], &deep).is_ok(), body(&["/none"], &deep) != Ok(()));
    let huge = "[".repeat(1 << 20);
    let refused = check_body(&content(&["/0"], 1 << 20), huge.as_bytes());
    assert!(matches!(refused, Err(Violation::NotJson(_))));
}

#[test]
fn a_body_at_its_longest_passes_and_beyond_it_does_not() {
    let at = |bytes: usize| check_body(&content(&[], 10), &vec![b'x'; bytes]);
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(10), Ok(()));
    assert_eq!(at(11), Err(Violation::Long(10)));
}

#[test]
fn a_head_tells_what_cannot_be_checked() {
    use header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
    let json = (CONTENT_TYPE, "application/json");
    for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/x+json;v=1"] {
        assert_eq!(head(&["/id"], &[(CONTENT_TYPE, kind)]), None, "{kind}");
    }
    let unsupported = Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for kind in ["text/plain", "application/jsonx", "+json", "application/json; charset=utf-16"] {
        assert_eq!(head(&["/id"], &[(CONTENT_TYPE, kind)]), unsupported, "{kind}");
    }
    assert_eq!(head(&["/id"], &[]), unsupported);
    assert_eq!(head(&["/id"], &[json.clone(), json.clone()]), unsupported);
    assert_eq!(head(&["/id"], &[json.clone(), (CONTENT_ENCODING, "gzip")]), unsupported);
    assert_eq!(head(&["/id"], &[json.clone(), (CONTENT_ENCODING, "identity")]), None);
    // Without pointers it may be anything that is not too long.
    assert_eq!(head(&[], &[(CONTENT_ENCODING, "gzip"), (CONTENT_LENGTH, "1000")]), None);
    let long = head(&[], &[(CONTENT_LENGTH, "1001")]);
    assert_eq!(long, Some(StatusCode::PAYLOAD_TOO_LARGE));
    let grpc = check_head(&content(&[], 1000), &HeaderMap::new(), true);
    assert!(matches!(grpc, Err(Violation::Kind(_))));
}

/// Numbers that look random; the seed is in the test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn token(&mut self) -> &'static str {
        ["a", "b", "0", "1", "01", "", "a/b", "m~n", "~1", "é"][self.roll(10)]
    }

    fn document(&mut self, depth: usize) -> serde_json::Value {
        use serde_json::{Value, json};
        let kinds = if depth == 0 { 4 } else { 7 };
        match self.roll(kinds) {
            0 => json!(null),
            1 => json!(-3.5),
            2 => json!("text"),
            3 => json!(true),
            4 => (0..self.roll(3)).map(|_| self.document(depth - 1)).collect(),
            _ => {
                let members = self.roll(5);
                let member = |_| (self.token().to_owned(), self.document(depth - 1));
                Value::Object((0..members).map(member).collect())
            }
        }
    }

    fn pointer(&mut self) -> String {
        let tokens = self.roll(4);
        let token = |_| format!("/{}", self.token().replace('~', "~0").replace('/', "~1"));
        (0..tokens).map(token).collect()
    }
}

#[test]
fn the_walk_finds_what_reading_the_whole_document_finds() {
    let (mut dice, mut there) = (Dice(20_261_128), 0);
    for round in 0..20_000 {
        let document = dice.document(4);
        let pointers: Vec<String> = (0..=dice.roll(3)).map(|_| dice.pointer()).collect();
        let texts: Vec<&str> = pointers.iter().map(String::as_str).collect();
        let all = pointers.iter().all(|pointer| document.pointer(pointer).is_some());
        let asks = content(&texts, 1 << 20);
        let walked = check_body(&asks, document.to_string().as_bytes());
        assert_eq!(walked.is_ok(), all, "round {round}: {pointers:?} in {document}: {walked:?}");
        there += usize::from(all);
    }
    assert!((2000..18_000).contains(&there), "both come often: {there}");
}
