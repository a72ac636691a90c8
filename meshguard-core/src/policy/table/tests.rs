//! Claims about tables.

use super::{Table, access, run};
use crate::policy::{Effect, Policy};
use crate::{Access, Evidence};

const POLICY: &str = r#"
mesh = "shop.example"
version = 7
[peers]
checkout = "spiffe://shop.example/checkout"
batch = "spiffe://shop.example/batch/*"
[[allow]]
name = "reads"
from = ["checkout"]
http = ["GET /orders/{id}"]
[[allow]]
name = "writes"
from = ["checkout"]
http = ["POST /orders"]
when = { trust = 0.6 }
[[deny]]
name = "batch-never"
from = ["batch"]
http = ["* /admin/{**}"]
[[deny]]
name = "soon"
shadow = true
http = ["GET /orders/{id}"]
"#;

fn policy() -> Policy {
    POLICY.parse().unwrap()
}

fn table(text: &str) -> Table {
    Table::read(text, &policy()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_case_passes_where_policy_says_what_it_expects() {
    let table = table(
        r#"
        [peers]
        nightly = "spiffe://shop.example/batch/nightly"
        [[case]]
        name = "reads"
        from = "checkout"
        http = "GET /orders/7"
        expect = "allow"
        rule = "reads"
        [[case]]
        name = "too little trust"
        from = "checkout"
        http = "POST /orders"
        trust = 0.5
        expect = "deny"
        rule = "writes"
        reason = "writes matched, but trust is 0.50 and it needs 0.6"
        [[case]]
        name = "no admin"
        from = "nightly"
        http = "GET /admin/x"
        expect = "deny"
        rule = "batch-never"
        "#,
    );
    let report = run(&policy(), &table);
    assert!(report.passed(), "{report}");
    let unreached: Vec<_> = report.coverage.unreached.iter().map(|u| &*u.rule).collect();
    assert_eq!(unreached, ["writes"], "a rule that only came near is not reached");
    assert_eq!(report.coverage.percent(), 75);
}

#[test]
fn a_case_fails_where_effect_rule_or_reason_differ() {
    for (expect, failed) in [
        ("expect = \"allow\"", false),
        ("expect = \"deny\"", true),
        ("expect = \"allow\"\nrule = \"writes\"", true),
        ("expect = \"allow\"\nreason = \"reads allows it\"", false),
        ("expect = \"allow\"\nreason = \"something else\"", true),
    ] {
        let text = format!("[[case]]\nname='x'\nfrom='checkout'\nhttp='GET /orders/7'\n{expect}\n");
        let report = run(&policy(), &table(&text));
        assert_eq!(report.passed(), !failed, "{expect}");
        assert_eq!(report.cases[0].explanation.is_some(), failed);
        assert_eq!(report.to_string().contains("FAILED x"), failed);
    }
}

#[test]
fn a_case_says_all_that_an_access_has() {
    let table = table(
        r#"
        [[case]]
        name = "all"
        from = "spiffe://shop.example/a"
        via = "spiffe://shop.example/hop"
        to = "checkout"
        grpc = "shop.v1.Orders/Get"
        evidence = "verified"
        trust = 1
        headers = { x-a = "1", x-b = ["2", "3"] }
        claims = { scope = "a b", aud = ["x"], n = 7 }
        proof = ["dpop", "certificate"]
        source = "10.0.0.1"
        client = "::1"
        destination = "10.0.0.2"
        host = "orders"
        port = 8443
        server_name = "orders"
        expect = "deny"
        "#,
    );
    let case = &table.cases()[0];
    assert_eq!(case.expect, Effect::Deny);
    let shown = "grpc shop.v1.Orders/Get --from spiffe://shop.example/a --via spiffe://shop.example/hop \
         --to spiffe://shop.example/checkout --evidence verified --trust 1 --header x-a=1 --header x-b=2 \
         --header x-b=3 --claim 'aud=[\"x\"]' --claim n=7 --claim 'scope=\"a b\"' --proof dpop \
         --proof certificate --host orders --port 8443 --source 10.0.0.1 --client ::1 \
         --destination 10.0.0.2 --server-name orders";
    assert_eq!(case.access.to_string(), shown);
}

#[test]
fn a_fault_is_told_with_its_place() {
    let case = "[[case]]\nname = 'x'\nexpect = 'deny'\n";
    let two = format!("{case}tcp = true\n{case}tcp = true\n");
    for (text, want) in [
        ("cases = []", "line 1, column 1: unknown field `cases`"),
        (&format!("{case}htp = 'GET /'"), "line 4, column 1: unknown field `htp`"),
        (&format!("{case}http = '/'"), "line 4, column 8: `http` is a method and a path"),
        (case, "line 2, column 8: what is asked is one of"),
        (&format!("{case}http='GET /'\ntcp=true"), "line 2, column 8: what is asked is one of"),
        (&format!("{case}tcp = true\nfrom = 'nobody'"), "line 5, column 8: no peer is called"),
        (&format!("{case}tcp = true\nfrom = 'batch'"), "line 5, column 8: `batch` is the pattern"),
        (&format!("{case}tcp = true\nto = 'spiffe://'"), "line 5, column 6: `spiffe://`: "),
        (&format!("{case}tcp = true\ntrust = 1.5"), "line 5, column 9: `trust` is from 0 to 1"),
        (&format!("{case}tcp = true\nrule = 'none'"), "line 5, column 8: no rule is called `none`"),
        (&two, "line 6, column 8: two cases are called `x`"),
        ("[[case]]\nexpect = 'deny'\ntcp = true", "line 1, column 1: a case needs a `name`"),
        ("[[case]]\nname = 'x'\ntcp = true", "line 1, column 1: a case needs `expect`"),
        ("[peers]\nx = 'y'", "line 2, column 5: `y`: "),
    ] {
        let error = Table::read(text, &policy()).unwrap_err().to_string();
        assert!(error.starts_with(want), "{text}\n{error}");
    }
}

#[test]
fn an_access_is_read_from_toml_and_from_json() {
    let toml = "from = 'checkout'\nhttp = 'GET /orders/7'\nevidence = 'verified'\n";
    let json = r#"{"from": "checkout", "http": "GET /orders/7", "evidence": "verified"}"#;
    let (toml, json) = (access(toml, &policy()), access(json, &policy()));
    assert_eq!(toml, json);
    assert_eq!(toml.unwrap().evidence, Evidence::Verified);
    let error = access("{\n \"form\": 1}", &policy()).unwrap_err();
    assert_eq!(error.place().map(|(line, _)| line), Some(2));
    assert!(access("tcp = true\nexpect = 'deny'", &policy()).is_err());
    assert!(access("tcp = true\nname = 'x'", &policy()).is_err());
}

#[test]
fn an_empty_policy_is_wholly_covered() {
    let policy = Policy::deny_all();
    let table = Table::read("[[case]]\nname='x'\ntcp=true\nexpect='deny'", &policy).unwrap();
    let report = run(&policy, &table);
    assert!(report.passed() && report.coverage.percent() == 100);
    assert!(!policy.decide(&Access::tcp()).is_allowed());
}

/// A case that the service answers with 400 or 403 cannot be expected to be allowed.
#[test]
fn a_test_says_what_the_service_does() {
    let policy: Policy = "mesh='m'\nversion=1\n[peers]\nx='spiffe://m/x'\n[[allow]]\nname='all'\nfrom=['x']\n[[deny]]\nname='d'\nhttp=['* /admin']\n[[delivery]]\nmode='off'\n".parse().unwrap();
    for (case, reason) in [
        ("http='GET /r'\nhost='shop.example'", "all allows it"),
        ("http='GET https://shop.example/r'", "all allows it"),
        ("http='GET /admin/'", "d denies it"),
        ("http='GET /r'\nhost='a, b'", "malformed host"),
        ("http='GET ftp://a/r'", "a scheme other than http and https"),
        ("http='get /r'", "a method in another case"),
        ("http='POST /r'\nheaders={x-http-method='DELETE'}", "a header that overrides the method"),
        ("http='GET /r'\nheaders={upgrade='websocket'}", "no upgrade here"),
        ("http='GET /r'\nheaders={host=['a', 'a']}", "more than one host"),
    ] {
        let expect = if reason.ends_with("allows it") { "allow" } else { "deny" };
        let text =
            format!("[[case]]\nname='c'\nfrom='x'\nexpect='{expect}'\nreason='{reason}'\n{case}\n");
        let table = Table::read(&text, &policy).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let report = run(&policy, &table);
        assert!(report.passed(), "{case}: {report:?}");
    }
}
