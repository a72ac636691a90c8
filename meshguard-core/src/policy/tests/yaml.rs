//! The document in YAML.

use crate::Access;
use crate::identity::SpiffeId;
use crate::policy::PolicyErrorKind::{self, *};
use crate::policy::{Policy, Reason, Syntax};

const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");

const DOCUMENT: &str = r#"
# a comment
mesh: shop.example
version: 7
peers:
  checkout: spiffe://shop.example/checkout
allow:
  - name: checkout-reads-orders
    from: [checkout]
    http:
      - GET /orders/{id}
    when: { trust: 0.6, headers: { x-tenant: acme-* } }
  - name: on
    http: ["GET /on"]
deny:
  - name: nobody-deletes
    http: ["DELETE /{**}"]
    shadow: true
"#;

#[test]
fn a_yaml_document_decides() {
    let policy = Policy::from_yaml(DOCUMENT).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(policy.version(), 7);
    let access = Access::http("GET", "/orders/7").by(CHECKOUT).trust(0.6);
    let denied = policy.decide(&access).reason().to_string();
    assert_eq!(denied, "checkout-reads-orders matched, but the caller proved no header x-tenant");
    let access = access.header("x-tenant", "acme-1");
    assert_eq!(policy.decide(&access).reason(), Reason::Rule("checkout-reads-orders"));
    let written: Policy = policy.to_toml().parse().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(written.to_toml(), policy.to_toml());
}

#[test]
fn what_is_wrong_in_yaml_is_said_where_it_stands() {
    let check = |text: &str, kind: PolicyErrorKind, line: usize, column: usize| {
        let error = Policy::from_yaml(text).expect_err(text);
        assert_eq!(error.kind(), kind, "{error}\n{text}");
        assert_eq!((error.line(), error.column()), (line, column), "{error}\n{text}");
    };
    check("mesh: a\nversion: 1\nhop: []\n", UnknownKey, 3, 1);
    check("mesh: a\nversion: one\n", WrongType, 2, 10);
    check("mesh: a\nversion: 1\nallow:\n  - name: r\n    http: [\"GET x\"]\n", BadTemplate, 5, 12);
    check("mesh: a\nversion: 1\nallow:\n  - name: r\n    shadow: yes\n", WrongType, 5, 13);
    check("mesh: a\nversion: 1\nallow:\n  - name: é\n    from: [é]\n", UnknownPeer, 5, 12);
    check("mesh: a\nversion: 1\nversion: 2\n", Syntax, 3, 1);
    check("mesh: a\nversion: 1\nhops:\n", WrongType, 3, 5);
    check("- mesh: a\n", WrongType, 1, 1);
    check("mesh: [a\n", Syntax, 1, 7);
    check("", WrongType, 1, 1);
}

#[test]
fn a_hostile_yaml_document_is_refused() {
    let deep = format!("mesh: a\nversion: 1\nhops: {}{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(Policy::from_yaml(&deep).unwrap_err().kind(), Syntax);
    let mut bomb = "mesh: a\nversion: 1\na0: &a0 [x, x]\n".to_owned();
    for n in 1..40 {
        bomb.push_str(&format!("a{n}: &a{n} [*a{m}, *a{m}]\n", m = n - 1));
    }
    assert_eq!(Policy::from_yaml(&bomb).unwrap_err().kind(), Syntax);
    let merge = "mesh: a\nversion: 1\npeers: { <<: { x: y } }\n";
    assert_eq!(Policy::from_yaml(merge).unwrap_err().kind(), Syntax);
    let two = "mesh: a\nversion: 1\n---\nmesh: b\nversion: 2\n";
    assert_eq!(Policy::from_yaml(two).unwrap_err().kind(), Syntax);
}

/// What bounds the reader's work has room for what the document's own bounds permit.
#[test]
fn a_long_yaml_document_is_read_to_its_end() {
    let mut text = "mesh: shop.example\nversion: 1\nallow:\n".to_owned();
    for n in 0..50_000 {
        text.push_str(&format!("- {{ name: r{n}, http: [GET /r{n}] }}\n"));
    }
    let policy = Policy::from_yaml(&text).unwrap_or_else(|e| panic!("{e}"));
    let last = Access::http("GET", "/r49999").by(CHECKOUT);
    assert_eq!(policy.decide(&last).reason(), Reason::Rule("r49999"));
}

#[test]
fn the_syntax_goes_by_the_name_of_the_file() {
    for (name, syntax) in [
        ("policy.toml", Syntax::Toml),
        ("policy.yaml", Syntax::Yaml),
        ("policy.yml", Syntax::Yaml),
        ("policy", Syntax::Toml),
    ] {
        assert_eq!(Syntax::of_file(name), syntax, "{name}");
    }
}
