//! What headers name beside the request line: another method, another target, another host.

use http::Method;

use super::paths::{Reading, readings};
use crate::access::Access;
use crate::policy::model::Normalization;
use crate::policy::reason::Finding;
use crate::policy::{METHOD_OVERRIDE_HEADERS, PathError};

/// The most methods that a request may be read with. A request that names more by its headers
/// is no honest one.
const MAX_METHODS: usize = 8;
/// The most hosts that headers may name, and targets. Beyond, a request is denied.
pub(super) const MAX_HOSTS: usize = 16;
/// Headers from which some servers take the host.
const HOST_HEADERS: [&str; 5] =
    ["x-forwarded-host", "x-host", "x-original-host", "x-forwarded-server", "x-http-host-override"];
/// Headers from which some servers take the target.
const TARGET_HEADERS: [&str; 3] = ["x-original-url", "x-rewrite-url", "x-envoy-original-path"];

/// Whether a header names the method a second time.
pub(super) fn overrides(access: &Access<'_>) -> bool {
    METHOD_OVERRIDE_HEADERS.iter().any(|name| access.any_raw_header(name, |_| true))
}

/// The method that the headers name, if it is one, and they name it once. Frameworks read it in
/// any case.
pub(super) fn second_method(access: &Access<'_>) -> Option<String> {
    let mut named = Vec::new();
    for name in METHOD_OVERRIDE_HEADERS {
        access.any_raw_header(name, |value| {
            named.push(value.to_ascii_uppercase());
            false
        });
    }
    let [one] = &*named else { return None };
    Method::from_bytes(one).ok().map(|method| method.as_str().to_owned())
}

/// As written, as a lenient server reads it, and as headers override it; `None`: too many.
pub(super) fn methods(access: &Access<'_>, method: &str) -> Option<Vec<String>> {
    let mut methods = vec![method.to_owned()];
    let mut add = |method: String| {
        if methods.len() <= MAX_METHODS && !methods.contains(&method) {
            methods.push(method);
        }
    };
    add(method.trim().to_ascii_uppercase());
    for name in METHOD_OVERRIDE_HEADERS {
        access.any_raw_header(name, |value| {
            let value = String::from_utf8_lossy(value).to_ascii_uppercase();
            value.split(',').for_each(|method| add(method.trim().to_owned()));
            false
        });
    }
    (methods.len() <= MAX_METHODS).then_some(methods)
}

/// With the readings of the targets that headers name; upstream does not look at them.
pub(super) fn with_targets(
    access: &Access<'_>,
    mut paths: Vec<Reading>,
    normalization: Normalization,
) -> Result<Vec<Reading>, Finding> {
    let mut named = Vec::new();
    for name in TARGET_HEADERS {
        access.any_raw_header(name, |value| {
            named.push(path_of(&String::from_utf8_lossy(value)).to_owned());
            false
        });
    }
    if named.len() > MAX_HOSTS {
        return Err(Finding::NoRule);
    }
    for target in named {
        match readings(&target, normalization) {
            Ok(read) => paths.extend(read.into_iter().map(|r| Reading { strict: false, ..r })),
            // Nobody takes that for a target.
            Err(PathError::NotAbsolute) => {}
            Err(error) => return Err(Finding::Path(error)),
        }
    }
    Ok(paths)
}

/// Of a target, which may be a whole URI.
fn path_of(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

/// The hosts in a header: one, or a list of them, each perhaps with a user.
fn each_host(value: &[u8], mut found: impl FnMut(&str)) {
    for host in String::from_utf8_lossy(value).split(',') {
        let host = host.trim().trim_matches('"');
        found(host.rsplit('@').next().unwrap_or(host));
    }
}

/// The hosts in a `Forwarded` header (RFC 7239 §5.3).
fn each_forwarded(value: &[u8], mut found: impl FnMut(&str)) {
    for pair in String::from_utf8_lossy(value).split([',', ';']) {
        if let Some((name, host)) = pair.split_once('=')
            && name.trim().eq_ignore_ascii_case("host")
        {
            each_host(host.as_bytes(), &mut found);
        }
    }
}

/// Other spellings of the host, and other hosts that a server may take from a header: without
/// port, without a trailing dot, in lower case. `None`: too many.
pub(super) fn hosts(access: &Access<'_>) -> Option<Vec<String>> {
    let mut named: Vec<String> = access.asked_host().map(ToOwned::to_owned).into_iter().collect();
    for name in HOST_HEADERS {
        access.any_raw_header(name, |value| {
            each_host(value, |host| named.push(host.to_owned()));
            named.len() > MAX_HOSTS
        });
    }
    access.any_raw_header("forwarded", |value| {
        each_forwarded(value, |host| named.push(host.to_owned()));
        named.len() > MAX_HOSTS
    });
    if named.len() > MAX_HOSTS {
        return None;
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
    Some(hosts)
}
