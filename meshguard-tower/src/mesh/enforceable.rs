//! Which policies a service takes.

use meshguard_core::Policy;
use meshguard_core::policy::Durability;

use super::ReloadError;
use crate::tls::TlsContext;

/// Refuses a policy that is of another mesh than the service whose identity is `tls`, or that asks
/// for what a service does not do.
pub(super) fn enforceable(policy: &Policy, tls: &TlsContext) -> Result<(), ReloadError> {
    of_mesh(policy, tls)?;
    let unsupported = |route: &str, key| {
        let route = route.to_owned();
        Err(ReloadError::Unsupported { route, key })
    };
    for (route, asks) in policy.routes() {
        if asks.durability != Durability::Async {
            return unsupported(route, "durability");
        }
        if asks.keep_answers.is_some() {
            return unsupported(route, "keep_answers");
        }
    }
    Ok(())
}

/// Refuses a policy in which neither `mesh` nor `federates` is the service's own trust domain, unless
/// its `mesh` is one whose roots the service was given. By rules that were imported no caller is
/// denied for its trust domain, so of another one it is only told.
fn of_mesh(policy: &Policy, tls: &TlsContext) -> Result<(), ReloadError> {
    let service = tls.id();
    let Some(mesh) = policy.trust_domain() else { return Ok(()) };
    if policy.accepts_domain(service.trust_domain())
        || tls.credentials().federated.contains_key(mesh)
    {
        return Ok(());
    }
    let error = ReloadError::OtherMesh { mesh: mesh.as_str().to_owned(), service };
    if policy.is_native() {
        return Err(error);
    }
    tracing::warn!(target: "meshguard::policy", { policy.version = policy.version() }, "{error}");
    Ok(())
}
