//! What a service does, decided beforehand.

use crate::access::head::HeadError;
use crate::access::{Access, OwnedAccess};
use crate::identity::SpiffeId;
use crate::policy::{Policy, Reason};

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://a/caller");

fn native(more: &str) -> Policy {
    let head = "mesh='a'\nversion=1\n[[delivery]]\nmode='off'\n";
    format!("{head}{more}").parse().unwrap_or_else(|e| panic!("{e}\n{more}"))
}

fn imported(more: &str) -> Policy {
    let head = "mesh='a'\nversion=1\nsemantics='istio'\nnormalization='base'\n";
    format!("{head}{more}").parse().unwrap_or_else(|e| panic!("{e}\n{more}"))
}

/// A policy that allows all, native and imported.
fn open() -> [Policy; 2] {
    let all = "[[allow]]\nname='all'\n";
    [native(all), imported(all)]
}

fn access(method: &'static str, path: &'static str) -> Access<'static> {
    Access::http(method, path).by(CALLER)
}

#[test]
fn a_head_that_no_server_takes_is_denied_whatever_the_rules_say() {
    for policy in open() {
        let get = || access("GET", "/r");
        assert_eq!(policy.decide_hardened(&get()).reason(), Reason::Rule("all"));
        for (asked, want) in [
            (get().host("a, b"), HeadError::MalformedHost),
            (get().host("u@a"), HeadError::MalformedHost),
            (get().host(""), HeadError::MalformedHost),
            (get().host("a").header("host", "b"), HeadError::HostDiffers),
            (get().header("host", "a").header("host", "a"), HeadError::Hosts),
            (access("DEL ETE", "/r"), HeadError::MalformedMethod),
            (access("delete", "/r"), HeadError::MethodCase),
            (get().scheme("gopher"), HeadError::Scheme),
            (get().header("x y", "1"), HeadError::MalformedName),
            (get().header("x-y", "a\u{7f}"), HeadError::MalformedValue),
            (access("GET", "/r s"), HeadError::Target),
        ] {
            assert!(policy.decide(&asked).is_allowed(), "{asked:?}: upstream's one reading");
            for decision in [policy.decide_hardened(&asked), policy.decide_served(&asked)] {
                assert_eq!(decision.reason(), Reason::Head(want), "{asked:?}");
            }
        }
    }
}

#[test]
fn a_deny_rule_speaks_of_its_path_with_a_slash_behind_it() {
    let rules = "[[allow]]\nname='all'\n[[deny]]\nname='d'\n";
    let term = "when={where=[{key='request.path', values=['/admin']}]}\n";
    let native = native(&format!("{rules}http=['* /admin', '* /files/{{id}}']\n"));
    for policy in [&native, &imported(&format!("{rules}{term}"))] {
        assert!(policy.decide(&access("GET", "/admin/")).is_allowed());
        for decided in [Policy::decide_hardened, Policy::decide_served] {
            let reason = |path| decided(policy, &access("GET", path)).reason();
            assert_eq!(reason("/admin/"), Reason::DenyRule("d"));
            for path in ["/", "/administrator/", "/x/admin/", "/admin/x/"] {
                assert_eq!(reason(path), Reason::Rule("all"), "{path}");
            }
        }
    }
    let served = |path| native.decide_served(&access("GET", path)).is_allowed();
    assert!(!served("/files/7/") && served("/files/") && served("/files/7/8/"));
    let grpc = Access::grpc("/admin/").by(CALLER);
    assert_eq!(native.decide_served(&grpc).reason(), Reason::DenyRule("d"));
}

#[test]
fn what_an_allow_rule_excepts_is_excepted_with_a_slash_behind_it() {
    let policy = imported(
        "[[allow]]\nname='r'\nwhen={where=[{key='request.path', not_values=['/admin']}]}\n",
    );
    assert!(policy.decide(&access("GET", "/admin/")).is_allowed());
    assert!(!policy.decide_hardened(&access("GET", "/admin/")).is_allowed());
    // An allow rule still knows one from the other.
    let policy =
        imported("[[allow]]\nname='r'\nwhen={where=[{key='request.path', values=['/files/']}]}\n");
    let passes = |path| policy.decide_hardened(&access("GET", path)).is_allowed();
    assert!(passes("/files/") && !passes("/files"));
}

fn on_role(effect: &str, values: &str) -> Policy {
    let default = if effect == "deny" { "[[allow]]\nname='all'\n" } else { "" };
    imported(&format!(
        "{default}[[{effect}]]\nname='r'\nwhen={{where=[{{key='request.headers[x-role]', {values}}}]}}\n"
    ))
}

fn with_roles(policy: &Policy, roles: &[(&str, &str)]) -> [bool; 2] {
    let asked = roles.iter().fold(access("GET", "/"), |a, (name, value)| a.header(name, value));
    [policy.decide(&asked), policy.decide_hardened(&asked)].map(|d| d.is_allowed())
}

#[test]
fn a_list_is_denied_for_each_of_its_elements_and_lines() {
    let denied = on_role("deny", "values=['admin', 'a, b']");
    for roles in [
        &[("x-role", "user, admin")][..],
        &[("x-role", "admin,user")],
        &[("x-role", "\"admin\"")],
        &[("X_Role", "admin")],
        &[("x-role", "a"), ("x-role", "b")],
    ] {
        assert_eq!(with_roles(&denied, roles), [true, false], "{roles:?}");
    }
    let admin = [("x-role", "user"), ("x-role", "admin")];
    assert_eq!(with_roles(&denied, &admin), [false, false]);
    for roles in [&[("x-role", "administrator, user")][..], &[("x-roles", "admin")], &[]] {
        assert_eq!(with_roles(&denied, roles), [true, true], "{roles:?}");
    }
    // A rule for all but one value is not met by naming that one, too.
    let but_one = on_role("deny", "not_values=['user']");
    let both = [("x-role", "user"), ("x-role", "admin")];
    assert_eq!(with_roles(&but_one, &both), [true, false]);
    assert_eq!(with_roles(&but_one, &both[..1]), [true, true]);
}

#[test]
fn a_list_is_allowed_for_all_of_its_elements_and_lines() {
    let user = on_role("allow", "values=['user*']");
    for roles in [
        &[("x-role", "user, admin")][..],
        &[("x-role", "user"), ("x-role", "admin")],
        &[("x-role", "user"), ("x_role", "admin")],
    ] {
        assert_eq!(with_roles(&user, roles), [true, false], "{roles:?}");
    }
    for roles in [&[("x-role", "user-1, user-2")][..], &[("x-role", "user"), ("x-role", "users")]] {
        assert_eq!(with_roles(&user, roles), [true, true], "{roles:?}");
    }
    let but_admin = on_role("allow", "not_values=['admin']");
    assert_eq!(with_roles(&but_admin, &[("x-role", "user, admin")]), [true, false]);
    assert_eq!(with_roles(&but_admin, &[]), [true, true]);
    // Whoever writes a list into a rule means the line.
    let list = on_role("allow", "values=['a, b']");
    assert_eq!(with_roles(&list, &[("x-role", "a, b")]), [true, true]);
}

#[test]
fn a_field_that_is_no_list_may_have_commas() {
    let policy = imported(
        "[[allow]]\nname='r'\nwhen={where=[{key='request.headers[user-agent]', values=['Mozilla/*']}]}\n",
    );
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
    let asked = access("GET", "/").header("User-Agent", agent);
    assert!(policy.decide_served(&asked).is_allowed());
}

#[test]
fn a_native_condition_holds_for_each_element_of_a_list() {
    let policy = native("[[allow]]\nname='r'\nwhen={headers={x-tenant='acme-*', accept='a, *'}}\n");
    let decide = |tenant: &'static str| {
        let asked = access("GET", "/").header("x-tenant", tenant).header("accept", "a, b");
        [policy.decide(&asked), policy.decide_served(&asked)].map(|d| d.is_allowed())
    };
    assert_eq!(decide("acme-eu, globex"), [true, false]);
    assert_eq!(decide("acme-eu, acme-us"), [true, true]);
    assert_eq!(decide("acme-eu"), [true, true]);
}

/// A hop may split a covered value at a comma, or join two: that changes no decision.
#[test]
fn a_list_and_its_lines_are_decided_alike() {
    let policies = [
        native("[[allow]]\nname='r'\nwhen={headers={x-role='user*'}}\n"),
        on_role("allow", "values=['user*']"),
        on_role("deny", "values=['admin']"),
        on_role("deny", "values=['user, admin']"),
        on_role("allow", "not_values=['admin']"),
    ];
    for (one, two) in [("user", "admin"), ("admin", "user"), ("user", "users"), ("x", "y")] {
        let joined = format!("{one}, {two}");
        for (at, policy) in policies.iter().enumerate() {
            let list = access("GET", "/").header("x-role", &joined);
            let lines = access("GET", "/").header("x-role", one).header("x-role", two);
            let decide = |asked: &Access<'_>| policy.decide_served(asked).is_allowed();
            assert_eq!(decide(&list), decide(&lines), "{at}: {joined}");
        }
    }
}

#[test]
fn a_second_method_and_another_protocol_need_a_route_that_permits_them() {
    let rules = "[[allow]]\nname='post'\nhttp=['POST /r', 'GET /r']\n[[allow]]\nname='put'\nhttp=['PUT /r']\nlimit={rate='1/s'}\n";
    let route = "[[route]]\nhttp=['POST /r', 'GET /r']\nmethod_override=true\nupgrade=true\n";
    let (closed, open) = (native(rules), native(&format!("{rules}{route}")));
    let post = |method: &'static str| access("POST", "/r").header("X-HTTP-Method", method);
    let upgrade = || access("GET", "/r").header("Upgrade", "websocket");
    for (asked, want, permitted) in [
        (post("get"), HeadError::MethodOverride, Ok("post")),
        (post("DELETE"), HeadError::MethodOverride, Err(Reason::NoRule)),
        (post("PUT"), HeadError::MethodOverride, Err(Reason::Head(HeadError::MethodOwes))),
        (post("G T"), HeadError::MethodOverride, Err(Reason::Head(HeadError::MethodOverride))),
        (upgrade(), HeadError::Upgrade, Ok("post")),
    ] {
        assert_eq!(closed.decide_served(&asked).reason(), Reason::Head(want), "{asked:?}");
        let reason = open.decide_served(&asked).reason();
        assert_eq!(reason, permitted.map_or_else(|reason| reason, Reason::Rule), "{asked:?}");
    }
    let twice = post("GET").header("x-method-override", "GET");
    assert_eq!(open.decide_served(&twice).reason(), Reason::Head(HeadError::MethodOverride));
    let required: Policy = format!("mesh='a'\nversion=1\n{rules}{route}").parse().unwrap();
    let unproved = required.decide_served(&upgrade()).reason();
    assert_eq!(unproved, Reason::Head(HeadError::UpgradeUnproved));
}

/// `policy decide --hardened` keeps upstream's way with a header that names another method: both
/// are asked. The listener takes none.
#[test]
fn an_imported_document_is_asked_about_both_methods_and_its_service_takes_one() {
    let policy = imported(
        "[[allow]]\nname='all'\n[[deny]]\nname='d'\nwhen={where=[{key='request.method',values=['DELETE']}]}\n",
    );
    let patch = access("POST", "/r").header("x-http-method-override", "PATCH");
    assert!(policy.decide_hardened(&patch).is_allowed());
    let refused = policy.decide_served(&patch).reason();
    assert_eq!(refused, Reason::Head(HeadError::MethodOverride));
}

#[test]
fn a_target_that_names_its_host_is_read_as_a_listener_reads_it() {
    for policy in open() {
        for (target, want) in [
            ("https://a/r", None),
            ("http://a:80/r?x#y", None),
            ("ftp://a/r", Some(HeadError::Scheme)),
            ("http://u@a/r", Some(HeadError::MalformedHost)),
            ("http:///r", Some(HeadError::MalformedHost)),
        ] {
            let mut asked = OwnedAccess::request("GET", target);
            asked.from = Some(CALLER.clone());
            let reason = policy.decide_served(&asked.access()).reason();
            assert_eq!(reason, want.map_or(Reason::Rule("all"), Reason::Head), "{target}");
        }
    }
}

#[test]
fn a_shadow_rule_tells_of_a_slash_as_it_would_deny_it() {
    let policy =
        native("[[allow]]\nname='all'\n[[deny]]\nname='d'\nshadow=true\nhttp=['* /admin']\n");
    let told = |path| policy.shadows(&access("GET", path)).len();
    assert_eq!((told("/admin"), told("/admin/"), told("/admin/x"), told("/")), (1, 1, 0, 0));
}
