//! Hosts, targets and methods that do not agree with themselves.

use crate::wire::{Guarded, Stock, request};

/// A method, a target, headers, and why the head is refused.
type Head = (&'static str, &'static str, &'static [&'static str], &'static str);

const OVERRIDES: &str = "a header that overrides the method";

const AMBIGUOUS: [Head; 14] = [
    ("GET", "/public/x", &["Host: localhost", "Host: admin"], "more than one host"),
    ("GET", "/public/x", &["Host: localhost", "Host: localhost"], "more than one host"),
    ("GET", "/public/x", &["hOST: localhost", "host: admin"], "more than one host"),
    ("GET", "http://admin/public/x", &["Host: localhost"], "host and authority differ"),
    ("GET", "http://localhost:1/public/x", &["Host: localhost"], "host and authority differ"),
    ("GET", "/public/x", &[], "no host"),
    ("GET", "/public/x", &["Host: localhost, admin"], "malformed host"),
    ("GET", "/public/x", &["Host: localhost@admin"], "malformed host"),
    ("GET", "/public/x", &["Host: localhost/admin"], "malformed host"),
    ("POST", "/public/x", &["Host: localhost", "X-HTTP-Method-Override: DELETE"], OVERRIDES),
    ("POST", "/public/x", &["Host: localhost", "X-HTTP-Method: DELETE"], OVERRIDES),
    ("GET", "/public/x", &["Host: localhost", "x-method-override: DELETE"], OVERRIDES),
    ("delete", "/public/x", &["Host: localhost"], "a method in another case"),
    ("Get", "/public/x", &["Host: localhost"], "a method in another case"),
];

const PLAIN: [(&str, &str, &[&str]); 6] = [
    ("GET", "/public/x", &["Host: localhost"]),
    ("GET", "/public/x", &["Host: LOCALHOST:8443"]),
    ("GET", "http://localhost/public/x", &["Host: localhost"]),
    ("GET", "https://localhost/public/x", &["Host: Localhost"]),
    ("DELETE", "/public/x", &["Host: localhost", "X-Method: DELETE"]),
    ("PROPFIND", "/public/x", &["Host: [::1]:80"]),
];

#[tokio::test]
async fn a_head_of_two_readings_is_refused_before_the_application_runs() {
    let guarded = Guarded::new().await;
    for head @ (method, target, headers, why) in AMBIGUOUS {
        let answer = guarded.send(&request(method, target, headers)).await;
        guarded.refused(&answer, 400, why, &format!("{head:?}"));
    }
}

#[tokio::test]
async fn a_head_of_one_reading_reaches_its_handler() {
    let guarded = Guarded::new().await;
    for head @ (method, target, headers) in PLAIN {
        let answer = guarded.send(&request(method, target, headers)).await;
        assert_eq!(answer.status, 200, "{head:?}: {answer:?}");
        assert_eq!(guarded.app.ran().len(), 1, "{head:?}");
    }
}

#[tokio::test]
async fn stock_axum_runs_a_handler_for_each_of_them() {
    let stock = Stock::new().await;
    for head @ (method, target, headers, _) in AMBIGUOUS {
        let answer = stock.send(&request(method, target, headers)).await;
        assert_eq!((answer.status, stock.app.ran().len()), (200, 1), "{head:?}: {answer:?}");
    }
}

/// A space where none may be: hyper refuses such heads itself, before there is a request that
/// could have a number.
#[tokio::test]
async fn a_header_behind_white_space_is_no_header() {
    let guarded = Guarded::new().await;
    for headers in [
        &[" X-Tenant: acme", "Host: localhost"][..],
        &["Host: localhost", " X-Tenant: acme"],
        &["Host: localhost", "X-Tenant: globex", "\tacme"],
        &["Host: localhost", "X-Tenant : acme"],
        &["Host: localhost", "X-Ten\0ant: acme"],
        &["Host: localhost", "X-Tenant: ac\0me"],
    ] {
        let answer = guarded.send(&request("GET", "/public/x", headers)).await;
        assert_eq!((answer.status, guarded.app.ran().len()), (400, 0), "{headers:?}");
    }
    let answer = guarded.send(&request("GET", "/public/x", &["Host: localhost", "X-T:  a"])).await;
    assert_eq!((answer.status, guarded.app.ran().len()), (200, 1));
}
