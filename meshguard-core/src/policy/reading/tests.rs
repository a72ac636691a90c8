use super::named::MAX_HOSTS;
use crate::access::Access;
use crate::policy::{PathError, Policy, Reason};

/// `ALLOW` with an exception is a way to deny: no spelling of the exception passes either.
#[test]
fn what_an_allow_rule_excepts_passes_in_no_spelling() {
    let except = |key: &str, values: &str, not: &str| {
        policy(&format!(
            "[[allow]]\nname='r'\nwhen={{where=[{{key='{key}'{values},not_values=[{not}]}}]}}\n"
        ))
    };
    let admin = except("request.path", "", "'/admin','/admin/*'");
    for path in ["/%2561dmin", "/admin;a=b", "/admin%3b", "/admin/.", "/admin/x/..", "/admin;x=1/y"]
    {
        let access = Access::http("GET", path);
        assert!(!admin.decide_hardened(&access).is_allowed(), "{path}");
    }
    let below = except("request.path", ",values=['/*']", "'/admin*'");
    assert!(!below.decide_hardened(&Access::http("GET", "/%2561dmin/x")).is_allowed());
    for path in ["/", "/public", "/a%20b", "/administrator", "/x;v=1"] {
        let access = Access::http("GET", path);
        assert!(admin.decide_hardened(&access).is_allowed(), "{path}");
    }
    let host = except("request.host", "", "'internal.example'");
    let ask =
        |host_: &str| host.decide_hardened(&Access::http("GET", "/").host(host_)).is_allowed();
    assert!(ask("public.example") && ask("public.example:80"));
    assert!(!ask("internal.example:80") && !ask("internal.example.") && !ask("INTERNAL.example"));
}

#[test]
fn a_target_or_host_that_a_header_names_must_not_be_denied() {
    let admin = deny("request.path", "/admin");
    let host = deny("request.host", "internal.example");
    for (policy, name, value, twin) in [
        (&admin, "x-original-url", "/admin", "/other"),
        (&admin, "X-Rewrite-URL", "/x/../admin", "/admin2"),
        (&admin, "x-envoy-original-path", "/admin?x=1", "/public"),
        (&admin, "x-original-url", "https://a.example/admin?x", "https://a.example/x"),
        (&admin, "x-original-url", "/admin%00", "on"),
        (&host, "x-forwarded-host", "internal.example:443", "public.example"),
        (&host, "x-forwarded-host", "public.example, internal.example", "a, b"),
        (&host, "x-original-host", "public.example@internal.example", "a"),
        (&host, "Forwarded", "for=1;host=\"internal.example:80\"", "for=1;host=a"),
    ] {
        let access = Access::http("GET", "/public").host("public.example");
        assert!(
            !policy.decide_hardened(&access.clone().header(name, value)).is_allowed(),
            "{name}"
        );
        assert!(policy.decide_hardened(&access.header(name, twin)).is_allowed(), "{name}");
    }
}

#[test]
fn who_routes_by_the_raw_path_takes_none_with_two_readings() {
    let open = policy("[[allow]]\nname='all'\n");
    for (path, want) in [
        ("/a/b", Reason::Rule("all")),
        ("/a/../b", Reason::Path(PathError::DotSegment)),
        ("/a//b", Reason::Path(PathError::EmptySegment)),
        ("/a%2fb", Reason::Path(PathError::EncodedSeparator)),
    ] {
        let access = Access::http("GET", path);
        assert_eq!(open.decide_served(&access).reason(), want, "{path}");
        assert!(open.decide(&access).is_allowed(), "{path}");
    }
    assert!(open.decide_served(&Access::tcp()).is_allowed());
    assert!(
        !deny("request.method", "DELETE").decide_served(&Access::http("delete", "/")).is_allowed()
    );
}

fn policy(rules: &str) -> Policy {
    let head = "mesh='a'\nversion=1\nsemantics='istio'\nnormalization='base'\n";
    format!("{head}{rules}").parse().unwrap_or_else(|e| panic!("{e}\n{rules}"))
}

fn deny(key: &str, value: &str) -> Policy {
    policy(&format!(
        "[[allow]]\nname='all'\n[[deny]]\nname='d'\nwhen={{where=[{{key='{key}',values=['{value}']}}]}}\n"
    ))
}

fn allow(key: &str, value: &str) -> Policy {
    policy(&format!("[[allow]]\nname='a'\nwhen={{where=[{{key='{key}',values=['{value}']}}]}}\n"))
}

fn passes(policy: &Policy, path: &str) -> bool {
    policy.decide_hardened(&Access::http("GET", path)).is_allowed()
}

#[test]
fn no_spelling_of_a_denied_path_passes() {
    let policy = deny("request.path", "/admin");
    for path in [
        "//admin",
        "/%2Fadmin",
        "/%5cadmin",
        "/\\admin",
        "/./admin",
        "/x/%2E%2e/admin",
        "/x%2f..%2fadmin",
        "/x/..//admin",
        "/x//../admin",
        "/%61dmin",
        "/%2561dmin",
        "/%252561dmin",
        "/x/%252e%252e/admin",
        "/admin/.",
        "/admin/x/..",
        "/%2561dmin/.",
        "/admin;v=1",
        "/x/..;/admin",
        "/admin%00",
        "/admin%ff",
        "/admin%252F.%/..",
        "/admin?x=/public",
        "/admin#x",
    ] {
        assert!(!passes(&policy, path), "{path}");
    }
    // The check that cannot fail is none: upstream's one reading lets spellings through.
    let upstream = |path: &&str| policy.decide(&Access::http("GET", path)).is_allowed();
    assert!(["//admin", "/%2fadmin", "/x/%252e%252e/admin"].iter().all(upstream));
    for path in ["/", "/administrator", "/x/admin", "/public/a.b/c..d?next=/../admin", "/a%20b"] {
        assert!(passes(&policy, path), "{path}");
    }
}

#[test]
fn a_path_that_leads_out_of_what_is_allowed_is_denied() {
    let policy = allow("request.path", "/public*");
    for path in [
        "/public/../admin",
        "/x/../public",
        "/public%2f..%2fadmin",
        "/public/..;/admin",
        "/public/..%3b/admin",
        "/public/%252e%252e/admin",
        "/public\\..\\admin",
    ] {
        assert!(!passes(&policy, path), "{path}");
    }
    for path in ["/public", "/public/a%20b", "/public/%61", "/public//x", "/public/a;v=1"] {
        assert!(passes(&policy, path), "{path}");
    }
}

#[test]
fn an_allowed_path_may_be_spelt_with_escapes() {
    assert!(passes(&allow("request.path", "/admin"), "/%61dmin"));
    assert!(passes(&allow("request.path", "/files/{*}"), "/files/a%20b"));
    assert!(passes(&allow("request.path", "/100%25"), "/100%25"));
}

#[test]
fn a_method_is_also_what_headers_make_of_it() {
    let policy = deny("request.method", "DELETE");
    let get = |method, header, value| {
        let access = Access::http(method, "/r").header(header, value);
        policy.decide_hardened(&access).is_allowed()
    };
    assert!(!get("delete", "x", "y"));
    for header in ["X-HTTP-Method-Override", "x-http-method", "x-method-override"] {
        assert!(!get("POST", header, " delete "));
        assert!(get("POST", header, "PATCH"));
    }
    let allowed = allow("request.method", "POST");
    let access = Access::http("POST", "/r").header("x-http-method", "DELETE");
    assert!(!allowed.decide_hardened(&access).is_allowed());
}

#[test]
fn a_request_with_a_crowd_of_methods_is_denied() {
    let values: Vec<String> = (0..20).map(|n| format!("M{n}")).collect();
    let access = Access::http("GET", "/");
    let access = values.iter().fold(access, |a, v| a.header("x-http-method", v));
    assert!(!deny("request.path", "/x").decide_hardened(&access).is_allowed());
}

#[test]
fn a_request_with_a_crowd_of_hosts_or_targets_is_denied() {
    for (name, list) in
        [("x-forwarded-host", "a.example"), ("x-original-url", "/a"), ("forwarded", "host=a")]
    {
        let crowd = |count| {
            let access = Access::http("GET", "/");
            (0..count).fold(access, |access, _| access.header(name, list))
        };
        let policy = deny("request.host", "internal.example");
        assert!(policy.decide_hardened(&crowd(MAX_HOSTS)).is_allowed(), "{name}");
        assert!(!policy.decide_hardened(&crowd(MAX_HOSTS + 1)).is_allowed(), "{name}");
    }
}

#[test]
fn a_host_is_also_what_is_left_without_port_and_dot() {
    let policy = deny("request.host", "admin.example");
    let host = |policy: &Policy, host| {
        policy.decide_hardened(&Access::http("GET", "/").host(host)).is_allowed()
    };
    for denied in ["admin.example", "ADMIN.example:80", "admin.example.", "admin.example.:80"] {
        assert!(!host(&policy, denied), "{denied}");
    }
    assert!(host(&policy, "public.example:80"));
    assert!(host(&allow("request.host", "a.example:80"), "a.example:80"));
}

#[test]
fn what_upstream_denies_is_denied_with_its_reason() {
    let policy = deny("request.path", "/admin");
    let decision = policy.decide_hardened(&Access::http("GET", "/admin"));
    assert_eq!(decision.reason(), Reason::DenyRule("d"));
    let ambiguous = policy.decide_hardened(&Access::http("GET", "/a/..;/b"));
    assert!(matches!(ambiguous.reason(), Reason::Path(_)));
}
