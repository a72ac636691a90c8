//! What a route permits beyond a plain call: another protocol, or a method named a second time.

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use meshguard_core::access::Operation;
use meshguard_core::policy::{Decision, METHOD_OVERRIDE_HEADERS};
use meshguard_core::{Access, Policy};

use super::denied::Denied;

pub(super) const OVERRIDE: &str = "a header that overrides the method";
const UPGRADE: &str = "no upgrade here";

/// Whether a head asks for another protocol than HTTP's own.
pub(super) fn upgrades(parts: &Parts) -> bool {
    parts.method == Method::CONNECT
        || parts.headers.contains_key(header::UPGRADE)
        || parts.extensions.get::<hyper::ext::Protocol>().is_some()
}

/// Whether a head names its method a second time.
pub(super) fn overrides(headers: &HeaderMap) -> bool {
    METHOD_OVERRIDE_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Whether any route permits that.
pub(super) fn permits_override(policy: &Policy) -> bool {
    policy.routes().any(|(_, options)| options.method_override)
}

/// Holds a request that policy allows against what its route permits. Where it names its method a
/// second time, policy must be asked about that one, too: some readers take the one, some the
/// other.
pub(super) fn check(
    policy: &Policy,
    access: &Access<'_>,
    parts: &Parts,
) -> Result<Option<Method>, Denied> {
    let (upgrades, overrides) = (upgrades(parts), overrides(&parts.headers));
    if !upgrades && !overrides {
        return Ok(None);
    }
    let permits = policy.route_options(access);
    let refused = |text, name| Err(Denied::new(StatusCode::BAD_REQUEST, text, name));
    if upgrades && !permits.upgrade {
        return refused(UPGRADE, "upgrade");
    }
    if !overrides {
        return Ok(None);
    }
    let http = matches!(access.operation(), Operation::Http { .. });
    match second_method(&parts.headers).filter(|_| http && permits.method_override) {
        Some(method) => Ok(Some(method)),
        None => refused(OVERRIDE, "ambiguous-head"),
    }
}

/// The method that the headers name, if it is one, and they name it once. Frameworks read it in
/// any case.
fn second_method(headers: &HeaderMap) -> Option<Method> {
    let mut values = METHOD_OVERRIDE_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let (value, None) = (values.next()?, values.next()) else { return None };
    Method::from_bytes(&value.as_bytes().to_ascii_uppercase()).ok()
}

/// Either method may be the one that runs, but only one rule's obligations are discharged.
pub(super) fn owes_the_same(one: &Decision<'_>, two: &Decision<'_>) -> Result<(), Denied> {
    let owed = two.obligations();
    if one.reason() == two.reason() || (owed.limit.is_none() && owed.content.is_none()) {
        return Ok(());
    }
    let reason = format!("{} has a limit or a content, and allows the other method", owed.rule);
    Err(Denied::new(StatusCode::BAD_REQUEST, OVERRIDE, "ambiguous-head").because(&reason))
}
