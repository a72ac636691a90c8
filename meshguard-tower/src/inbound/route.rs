//! What a head asks for beyond a plain call, which only its route permits.

use http::HeaderMap;
use meshguard_core::Policy;
use meshguard_core::policy::METHOD_OVERRIDE_HEADERS;

/// Whether a head names its method a second time.
pub(super) fn overrides(headers: &HeaderMap) -> bool {
    METHOD_OVERRIDE_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Whether any route permits that.
pub(super) fn permits_override(policy: &Policy) -> bool {
    policy.routes().any(|(_, options)| options.method_override)
}
