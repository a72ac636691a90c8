//! What is no policy.

use crate::policy::PolicyErrorKind::{self, *};
use crate::policy::{MAX_DOCUMENT, MAX_RULES, Policy, PolicyError};

fn refusal(text: &str) -> PolicyError {
    match text.parse::<Policy>() {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

const HEAD: &str = "mesh = \"a\"\nversion = 1\n";

/// The body begins on line 3.
pub(super) fn check(cases: &[(&str, PolicyErrorKind, usize, usize, &str)]) {
    for (body, kind, line, column, hint) in cases {
        let error = refusal(&format!("{HEAD}{body}"));
        assert_eq!(error.kind(), *kind, "{error}\n{body}");
        assert_eq!((error.line(), error.column()), (*line, *column), "{error}\n{body}");
        assert!(error.to_string().contains(hint), "{error}\n{body}");
        assert!(error.hint().is_some() || *kind == Syntax, "{error} has no hint");
    }
}

#[test]
fn the_smallest_document_is_accepted() {
    let policy: Policy = HEAD.parse().unwrap();
    assert_eq!(policy.version(), 1);
    assert_eq!(policy.trust_domain().unwrap().as_str(), "a");
    assert_eq!(policy.rules().count(), 0);
}

#[test]
fn top_level_faults_are_refused_where_they_stand() {
    for (text, kind, line, column) in [
        ("", MissingKey, 1, 1),
        ("version = 1", MissingKey, 1, 1),
        ("mesh = \"a\"", MissingKey, 1, 1),
        ("mesh = 1\nversion = 1", WrongType, 1, 8),
        ("mesh = \"A\"\nversion = 1", BadTrustDomain, 1, 8),
        ("mesh = \"a/b\"\nversion = 1", BadTrustDomain, 1, 8),
        ("mesh = \"a\"\nversion = -1", WrongType, 2, 11),
        ("mesh = \"a\"\nversion = 18446744073709551616", WrongType, 2, 11),
        ("mesh = \"a\"\nversion = 1.5", WrongType, 2, 11),
        ("mesh = \"a\"\nversion = \"1\"", WrongType, 2, 11),
        ("mesh = \"a\"\nmesh = \"a\"", Syntax, 2, 1),
        ("mesh = \"a\"\nversion =", Syntax, 2, 10),
        ("mesh = \"a\nversion = 1", Syntax, 1, 10),
    ] {
        let error = refusal(text);
        assert_eq!(error.kind(), kind, "{error}\n{text}");
        assert_eq!((error.line(), error.column()), (line, column), "{error}\n{text}");
    }
    let largest: Policy = "mesh='a'\nversion=18446744073709551615".parse().unwrap();
    assert_eq!(largest.version(), u64::MAX);
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    check(&[
        ("meshes = 1", UnknownKey, 3, 1, "did you mean `mesh`?"),
        ("rules = []", UnknownKey, 3, 1, "the document has `mesh`, `federates`"),
        ("[[allow]]\nname = \"r\"\nform = []", UnknownKey, 5, 1, "did you mean `from`?"),
        ("[[allow]]\nname = \"r\"\nunless = {}", UnknownKey, 5, 1, "an allow rule has `name`"),
        ("[[deny]]\nname = \"r\"\nlimit = {}", UnknownKey, 5, 1, "a deny rule has `name`"),
        ("[[deny]]\nname = \"r\"\nhtp = []", UnknownKey, 5, 1, "did you mean `http`?"),
        ("[[delivery]]\nname = \"r\"", UnknownKey, 4, 1, "a delivery rule has `from`"),
        ("[[allow]]\nname = \"r\"\nwhen = { hedaers = {} }", UnknownKey, 5, 10, "`headers`?"),
        ("[[allow]]\nname = \"r\"\nwhen.content = {min = 1}", UnknownKey, 5, 17, "`content` has"),
        ("[[expect]]\nname = \"r\"\nat_most = 1", UnknownKey, 5, 1, "an expectation has"),
        ("[[route]]\nname = \"r\"", UnknownKey, 4, 1, "a route has `http`"),
    ]);
    let error = refusal(&format!("{HEAD}[[allow]]\nname = \"r\"\nwhen = {{ hedaers = {{}} }}"));
    assert_eq!(
        error.to_string(),
        "line 5, column 10: unknown key `hedaers`; did you mean `headers`?"
    );
}

#[test]
fn values_of_another_type_are_refused() {
    check(&[
        ("hops = \"edge\"", WrongType, 3, 8, "found: string"),
        ("hops = [1]", WrongType, 3, 9, "found: integer"),
        ("peers = 1", WrongType, 3, 9, "not a table"),
        ("[peers]\nx = 1", WrongType, 4, 5, "not a string"),
        ("[allow]\nname = \"r\"", WrongType, 3, 1, "write `[[allow]]` above each"),
        ("allow = [1]", WrongType, 3, 10, "not a table"),
        ("[[allow]]\nname = 1", WrongType, 4, 8, "not a string"),
        ("[[allow]]\nname = \"r\"\nhttp = \"GET /\"", WrongType, 5, 8, "a list of strings"),
        ("[[allow]]\nname = \"r\"\nwhen = true", WrongType, 5, 8, "not a table"),
        ("[[allow]]\nname = \"r\"\nwhen = { direct = 1 }", WrongType, 5, 19, "`true` or `false`"),
        ("[[allow]]\nname = \"r\"\nwhen = { evidence = 1 }", WrongType, 5, 21, "not a string"),
        ("[[allow]]\nname = \"r\"\nwhen.headers = []", WrongType, 5, 16, "not a table"),
        ("[[allow]]\nname = \"r\"\nwhen.headers.x = 1", WrongType, 5, 18, "not a string"),
        ("[[delivery]]\nseal = \"yes\"", WrongType, 4, 8, "`true` or `false`"),
        ("[[delivery]]\nmode = \"of\"", UnknownValue, 4, 8, "did you mean `off`?"),
        ("[[delivery]]\nmode = \"maybe\"", UnknownValue, 4, 8, "`require`, `prefer`, `off`"),
        ("[[delivery]]\ntranscript = \"sha1\"", UnknownValue, 4, 14, "`sha256`, `blake3`"),
        (
            "[[allow]]\nname = \"r\"\nwhen.evidence = \"verifed\"",
            UnknownValue,
            5,
            17,
            "`verified`?",
        ),
    ]);
}

#[test]
fn names_are_there_unique_and_printable() {
    check(&[
        ("[[allow]]\nhttp = [\"GET /\"]", MissingKey, 3, 1, "add `name = …`"),
        ("[[deny]]\n", MissingKey, 3, 1, "a deny rule has no `name`"),
        ("[[allow]]\nname = \"\"", BadName, 4, 8, "1 to 128 bytes"),
        ("[[allow]]\nname = \"a\\nb\"", BadName, 4, 8, "control characters"),
        ("[[allow]]\nname=\"r\"\n[[allow]]\nname=\"r\"", DuplicateRule, 6, 6, "called `r`"),
        ("[[deny]]\nname=\"r\"\n[[allow]]\nname=\"r\"", DuplicateRule, 6, 6, "allow and deny"),
        ("[peers]\n\"\" = \"spiffe://a/b\"", BadName, 4, 1, "1 to 128 bytes"),
    ]);
}

#[test]
fn peers_are_well_formed_of_the_mesh_known_and_used() {
    let near = "[[allow]]\nname=\"r\"\nfrom=[\"chekout\"]\n[peers]\ncheckout=\"spiffe://a/c\"";
    check(&[
        ("[peers]\nx = \"http://a/b\"", BadPeer, 4, 5, "begins with spiffe://"),
        ("[peers]\nx = \"spiffe://a\"", BadPeer, 4, 5, "`spiffe://a/**` for every workload"),
        ("[peers]\nx = \"spiffe://a/\"", BadPeer, 4, 5, "must not be empty"),
        ("[peers]\nx = \"spiffe://a/b*\"", BadPeer, 4, 5, "a `*` is a whole segment"),
        ("[peers]\nx = \"spiffe://a/***\"", BadPeer, 4, 5, "a `*` is a whole segment"),
        ("[peers]\nx = \"spiffe://a/**/b\"", BadPeer, 4, 5, "`**` is not last"),
        ("[peers]\nx = \"spiffe://a/b c\"", BadPeer, 4, 5, "a path has only"),
        ("[peers]\nx = \"spiffe://*/b\"", ForeignPeer, 4, 5, "the mesh is `a`"),
        ("[peers]\nx = \"spiffe://b/b\"", ForeignPeer, 4, 5, "the mesh is `a`"),
        ("[peers]\nx = \"spiffe://a/b\"", UnusedPeer, 4, 1, "use it in a rule or remove it"),
        ("hops = [\"x\"]", UnknownPeer, 3, 9, "add it to [peers]"),
        (near, UnknownPeer, 5, 7, "did you mean `checkout`?"),
        ("[[deny]]\nname=\"r\"\nto=[\"x\"]", UnknownPeer, 5, 5, "`x`"),
        ("[[deny]]\nname=\"r\"\nvia=[\"x\"]", UnknownPeer, 5, 6, "`x`"),
        ("[[delivery]]\nto=[\"x\"]", UnknownPeer, 4, 5, "`x`"),
        ("[[allow]]\nname=\"r\"\nfrom=[]", EmptyList, 5, 6, "remove `from`"),
        ("[[allow]]\nname=\"r\"\nhttp=[]", EmptyList, 5, 6, "remove `http`"),
        ("[[allow]]\nname=\"r\"\ngrpc=[]", EmptyList, 5, 6, "remove `grpc`"),
        ("[[delivery]]\nfrom=[]", EmptyList, 4, 6, "remove `from`"),
    ]);
    let via = "[[allow]]\nname=\"r\"\nvia=[\"x\"]\n[peers]\nx=\"spiffe://a/x\"";
    check(&[(via, ViaNotAHop, 5, 5, "add the peer to `hops`")]);
    let deep = format!("[peers]\nx = \"spiffe://a{}\"", "/b".repeat(65));
    check(&[(&deep, BadPeer, 4, 5, "the bound is 64")]);
}

#[test]
fn a_via_that_shares_a_workload_with_a_hop_is_accepted() {
    let text = "hops=[\"all\"]\n[[allow]]\nname=\"r\"\nvia=[\"x\"]\n[peers]\nx=\"spiffe://a/x\"\nall=\"spiffe://a/*\"";
    assert!(format!("{HEAD}{text}").parse::<Policy>().is_ok());
}

#[test]
fn http_entries_are_checked() {
    let deep = format!("GET {}", "/a".repeat(65));
    for (entry, kind, hint) in [
        ("GET", BadTemplate, "write `METHOD /path`"),
        ("", BadTemplate, "write `METHOD /path`"),
        ("GET big", BadTemplate, "write it as `/big`"),
        ("/orders", BadMethod, "write `* /orders`"),
        (" /orders", BadMethod, "one space"),
        ("get /orders", BadMethod, "write `GET`"),
        ("G* /orders", BadMethod, "`*` alone"),
        ("GÉT /orders", BadMethod, "is not a method"),
        ("GET,POST /orders", BadMethod, "is not a method"),
        ("shop.v1.Orders/Get", WrongProtocol, "gRPC methods go to `grpc`"),
        ("GET orders", BadTemplate, "begins with `/`"),
        ("GET  /orders", BadTemplate, "begins with `/`"),
        ("GET //orders", BadTemplate, "a segment is empty"),
        ("GET /a//b", BadTemplate, "a segment is empty"),
        ("GET /a?b", BadTemplate, "no query"),
        ("GET /a#b", BadTemplate, "no query"),
        ("GET /a/../b", BadTemplate, "a dot segment"),
        ("GET /./b", BadTemplate, "a dot segment"),
        ("GET /a%20b", BadTemplate, "written decoded"),
        ("GET /a%2Fb", BadTemplate, "written decoded"),
        ("GET /{}", BadTemplate, "`{name}` is one segment"),
        ("GET /{id", BadTemplate, "`{name}` is one segment"),
        ("GET /id}", BadTemplate, "`{name}` is one segment"),
        ("GET /a{id}", BadTemplate, "`{name}` is one segment"),
        ("GET /{a}{b}", BadTemplate, "`{name}` is one segment"),
        ("GET /{*}", BadTemplate, "`{**}` one or more"),
        ("GET /{*rest}", BadTemplate, "`{**}` one or more"),
        ("GET /{***}", BadTemplate, "`{**}` one or more"),
        ("GET /*", BadTemplate, "`{**}` one or more"),
        ("GET /**", BadTemplate, "`{**}` one or more"),
        ("GET /{**}/a/{**}", BadTemplate, "write two entries"),
        (&deep, BadTemplate, "the bound is 64"),
        ("GET /a\\\\b", ImpossibleTemplate, "backslashes"),
        ("GET /a\\u0007", ImpossibleTemplate, "control characters"),
        ("GET /a/..;x/b", ImpossibleTemplate, "refused before any rule"),
        ("GET /;x", ImpossibleTemplate, "refused before any rule"),
    ] {
        let body = format!("[[allow]]\nname=\"r\"\nhttp=[\n  \"{entry}\",\n]");
        check(&[(&body, kind, 6, 3, hint)]);
    }
    for entry in ["GET /", "* /{**}", "GET /a/", "PURGE /a", "GET /100%", "GET /v1/a:b", "GET /é"]
    {
        let text = format!("{HEAD}[[allow]]\nname=\"r\"\nhttp=[\"{entry}\"]");
        assert!(text.parse::<Policy>().is_ok(), "{entry}");
    }
}

#[test]
fn grpc_entries_are_checked() {
    for (entry, kind, hint) in [
        ("GET /orders", WrongProtocol, "paths go to `http`"),
        ("/shop.v1.Orders/Get", WrongProtocol, "package.Service/Method"),
        ("shop.v1.Orders/{m}", WrongProtocol, "package.Service/*"),
        ("shop.v1.Orders", BadTemplate, "it has no `/`"),
        ("", BadTemplate, "it has no `/`"),
        ("*", BadTemplate, "it has no `/`"),
        ("shop..Orders/Get", BadTemplate, "not a dotted name"),
        ("*/Get", BadTemplate, "not a dotted name"),
        ("shop.v1.*/Get", BadTemplate, "not a dotted name"),
        ("shop.v1.Orders/", BadTemplate, "the method is not a name"),
        ("shop.v1.Orders/Get*", BadTemplate, "the method is not a name"),
        ("shop.v1.Orders/Get/x", BadTemplate, "the method is not a name"),
    ] {
        let body = format!("[[allow]]\nname=\"r\"\ngrpc=[\"ok.S/M\", \"{entry}\"]");
        check(&[(&body, kind, 5, 17, hint)]);
    }
}

#[test]
fn an_entry_that_the_other_list_has_is_refused_all_the_same() {
    check(&[
        (
            "[[allow]]\nname=\"r\"\nhttp=[\"GET /a\"]\ngrpc=[\"GET /a\"]",
            WrongProtocol,
            6,
            7,
            "http",
        ),
        (
            "[[allow]]\nname=\"r\"\ngrpc=[\"s.A/B\"]\n[[allow]]\nname=\"q\"\nhttp=[\"s.A/B\"]",
            WrongProtocol,
            8,
            7,
            "grpc",
        ),
    ]);
}

#[test]
fn a_when_that_can_never_hold_is_refused() {
    let via = "hops=[\"x\"]\npeers.x=\"spiffe://a/x\"\n[[allow]]\nname=\"r\"\nvia=[\"x\"]\n\
               when = { direct = true }";
    check(&[
        (via, ImpossibleWhen, 8, 19, "remove one of the two"),
        (
            "[[allow]]\nname=\"r\"\nwhen.headers.x = \"a\\nb\"",
            ImpossibleWhen,
            5,
            18,
            "no control characters",
        ),
        ("[[allow]]\nname=\"r\"\nwhen.headers.x = \" a\"", ImpossibleWhen, 5, 18, "no space"),
        ("[[allow]]\nname=\"r\"\nwhen.headers.\"x y\" = \"a\"", BadHeader, 5, 14, "x-tenant"),
        ("[[allow]]\nname=\"r\"\nwhen.headers={x=\"a\",X=\"b\"}", BadHeader, 5, 21, "twice"),
    ]);
}

#[test]
fn a_condition_that_less_knowledge_fulfils_is_refused() {
    check(&[
        ("[[allow]]\nname=\"r\"\nwhen = { direct = false }", UnsoundWhen, 5, 19, "hops in `via`"),
        ("[[deny]]\nname=\"r\"\nwhen = { direct = true }", UnsoundWhen, 5, 19, "direct = false"),
        ("[[deny]]\nname=\"r\"\nwhen = { evidence = \"none\" }", UnsoundWhen, 5, 8, "proving less"),
        ("[[deny]]\nname=\"r\"\nwhen.headers.x = \"a\"", UnsoundWhen, 5, 1, "proving less"),
        ("[[deny]]\nname=\"r\"\nwhen.trust = 0.5", UnsoundWhen, 5, 1, "proving less"),
    ]);
    let sound = format!("{HEAD}[[deny]]\nname=\"r\"\nwhen = {{ direct = false }}");
    assert!(sound.parse::<Policy>().is_ok());
}

#[test]
fn documents_beyond_the_bounds_are_refused() {
    let large = format!("{HEAD}{}", "#".repeat(MAX_DOCUMENT));
    assert_eq!(refusal(&large).kind(), TooLarge);
    let many = format!("{HEAD}{}", "[[deny]]\n".repeat(MAX_RULES + 1));
    assert_eq!(refusal(&many).kind(), TooManyRules);
    let peers: Vec<String> = (0..2_100).map(|i| format!("p{i}")).collect();
    let mut text = format!("{HEAD}[[allow]]\nname=\"r\"\nfrom={peers:?}\nto={peers:?}\n[peers]\n");
    for peer in &peers {
        text.push_str(&format!("{peer}=\"spiffe://a/{peer}\"\n"));
    }
    assert_eq!(refusal(&text).kind(), TooManyCombinations);
}
