//! All that a server may take one request for.
//!
//! Upstream decides on one normalised path, and leaves it to the operator that a server reads
//! it the same way. [`Policy::decide_hardened`] asks the policy about every reading instead: a
//! request passes if it passes whichever way it is read.

mod paths;
#[cfg(test)]
mod properties;

use self::paths::Reading;
use super::model::{Effect, Normalization, Semantics};
use super::reason::{Finding, Ruling};
use super::{Decision, Loaded, METHOD_OVERRIDE_HEADERS, Policy, path};
use crate::access::{Access, Operation};

/// The most methods that a request may be read with. A request that names more by its headers
/// is no honest one.
const MAX_METHODS: usize = 8;
/// The most hosts that headers may name, and targets.
const MAX_HOSTS: usize = 8;
/// Headers from which some servers take the host.
const HOST_HEADERS: [&str; 2] = ["x-forwarded-host", "x-host"];
/// Headers from which some servers take the target.
const TARGET_HEADERS: [&str; 3] = ["x-original-url", "x-rewrite-url", "x-envoy-original-path"];

impl Policy {
    /// Decides on all that a server may take the access for: its path decoded, merged and
    /// resolved in every order; its method as written, in upper case, and as headers override
    /// it; its host without port and trailing dot. Denied if one of them is, or if the path
    /// stays ambiguous: a NUL or another control character, an escape of an escaped separator,
    /// a dot segment with parameters, what is not UTF-8.
    ///
    /// The documents that this is for are imported ones. A native document reads an access
    /// strictly anyway; there it is [`decide`](Self::decide).
    #[must_use]
    pub fn decide_hardened(&self, access: &Access<'_>) -> Decision<'_> {
        Decision { policy: self, ruling: self.judge_hardened(access) }
    }

    /// As whoever routes the request itself must decide: [hardened](Self::decide_hardened), and
    /// with a path that has one reading, whatever the document permits. A router goes by the raw
    /// path; a native document refuses such a path by itself.
    #[must_use]
    pub fn decide_served(&self, access: &Access<'_>) -> Decision<'_> {
        let imported = |l: &Loaded| l.document.semantics != Semantics::Native;
        if self.loaded.as_ref().is_some_and(imported)
            && access.operation() != Operation::Tcp
            && let Err(error) = path::normalize(access.path())
        {
            return Decision { policy: self, ruling: self.refuse(Finding::Path(error)) };
        }
        self.decide_hardened(access)
    }

    fn judge_hardened(&self, access: &Access<'_>) -> Ruling {
        let base = self.judge(access);
        let (Some(loaded), Some(method)) = (&self.loaded, access.method()) else { return base };
        let Semantics::Istio(normalization) = loaded.document.semantics else { return base };
        if !base.is_allowed() {
            return base;
        }
        let Some(methods) = methods(access, method) else { return self.refuse(Finding::NoRule) };
        let paths = match paths::readings(access.path(), normalization) {
            Ok(paths) => paths,
            Err(error) => return self.refuse(Finding::Path(error)),
        };
        let paths = with_targets(access, paths, normalization);
        let hosts = hosts(access);
        for method in &methods {
            let read = |path| access.clone().operating(Operation::Http { method, path });
            // What upstream matches comes first.
            let plain = paths.first().map_or("", |first| &*first.path);
            let meant = (&read(plain), plain);
            for Reading { path, strict } in &paths {
                let ruling = match strict {
                    true => self.judge_read(loaded, &read(path), Some(path)),
                    false => self.judge_spelling(loaded, meant, (&read(path), path)),
                };
                if !ruling.is_allowed() {
                    return ruling;
                }
                for host in &hosts {
                    let other = read(path).host(host);
                    let ruling = self.judge_spelling(loaded, meant, (&other, path));
                    if !ruling.is_allowed() {
                        return ruling;
                    }
                }
            }
        }
        base
    }

    /// Decides on another spelling of what is meant: it must not meet a deny rule, nor what an
    /// allow rule excepts. That an allow rule knows the spelling is not asked.
    fn judge_spelling(
        &self,
        loaded: &Loaded,
        (meant, path): (&Access<'_>, &str),
        (other, spelt): (&Access<'_>, &str),
    ) -> Ruling {
        let ruling = self.judge_read(loaded, other, Some(spelt));
        if matches!(ruling.finding, Finding::DenyRule(_)) {
            return ruling;
        }
        let mut rules = loaded.document.rules.iter();
        let borne = rules.any(|rule| {
            let counts = rule.effect == Effect::Allow && !rule.shadow;
            counts && rule.bears((meant, Some(path)), (other, Some(spelt)))
        });
        if borne {
            self.judge_read(loaded, meant, Some(path))
        } else {
            self.refuse(Finding::NoRule)
        }
    }
}

/// As written, as a lenient server reads it, and as headers override it; `None`: too many.
fn methods(access: &Access<'_>, method: &str) -> Option<Vec<String>> {
    let mut methods = vec![method.to_owned()];
    let mut add = |method: String| {
        if methods.len() <= MAX_METHODS && !methods.contains(&method) {
            methods.push(method);
        }
    };
    add(method.trim().to_ascii_uppercase());
    for name in METHOD_OVERRIDE_HEADERS {
        access.any_raw_header(name, |value| {
            add(String::from_utf8_lossy(value).to_ascii_uppercase());
            false
        });
    }
    (methods.len() <= MAX_METHODS).then_some(methods)
}

/// With the readings of the targets that headers name; upstream does not look at them.
fn with_targets(
    access: &Access<'_>,
    mut paths: Vec<Reading>,
    normalization: Normalization,
) -> Vec<Reading> {
    let mut left = MAX_HOSTS;
    for name in TARGET_HEADERS {
        access.any_raw_header(name, |value| {
            let target = String::from_utf8_lossy(value);
            let read = paths::readings(&target, normalization).unwrap_or_default();
            if left > 0 {
                left -= 1;
                paths.extend(read.into_iter().map(|r| Reading { strict: false, ..r }));
            }
            false
        });
    }
    paths
}

/// Other spellings of the host, and other hosts that a server may take from a header: without
/// port, without a trailing dot, in lower case.
fn hosts(access: &Access<'_>) -> Vec<String> {
    let mut named: Vec<String> = access.asked_host().map(ToOwned::to_owned).into_iter().collect();
    for name in HOST_HEADERS {
        access.any_raw_header(name, |value| {
            if named.len() <= MAX_HOSTS {
                named.push(String::from_utf8_lossy(value).into_owned());
            }
            false
        });
    }
    let mut hosts = Vec::new();
    for host in &named {
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
            _ => host,
        };
        let undotted = bare.strip_suffix('.').unwrap_or(bare);
        for other in [host, bare, undotted] {
            for host in [other.to_owned(), other.to_ascii_lowercase()] {
                if !hosts.contains(&host) && Some(&*host) != access.asked_host() {
                    hosts.push(host);
                }
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PathError, Reason};

    /// `ALLOW` with an exception is a way to deny: no spelling of the exception passes either.
    #[test]
    fn what_an_allow_rule_excepts_passes_in_no_spelling() {
        let except = |key: &str, values: &str, not: &str| {
            policy(&format!(
                "[[allow]]\nname='r'\nwhen={{where=[{{key='{key}'{values},not_values=[{not}]}}]}}\n"
            ))
        };
        let admin = except("request.path", "", "'/admin','/admin/*'");
        for path in
            ["/%2561dmin", "/admin;a=b", "/admin%3b", "/admin/.", "/admin/x/..", "/admin;x=1/y"]
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
        assert!(
            !ask("internal.example:80") && !ask("internal.example.") && !ask("INTERNAL.example")
        );
    }

    #[test]
    fn a_target_or_host_that_a_header_names_must_not_be_denied() {
        let admin = deny("request.path", "/admin");
        let host = deny("request.host", "internal.example");
        for (policy, name, value, twin) in [
            (&admin, "x-original-url", "/admin", "/other"),
            (&admin, "X-Rewrite-URL", "/x/../admin", "/admin2"),
            (&admin, "x-envoy-original-path", "/admin?x=1", "/public"),
            (&host, "x-forwarded-host", "internal.example:443", "public.example"),
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
            !deny("request.method", "DELETE")
                .decide_served(&Access::http("delete", "/"))
                .is_allowed()
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
        policy(&format!(
            "[[allow]]\nname='a'\nwhen={{where=[{{key='{key}',values=['{value}']}}]}}\n"
        ))
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
        for path in ["/", "/administrator", "/x/admin", "/public/a.b/c..d?next=/../admin", "/a%20b"]
        {
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
}
