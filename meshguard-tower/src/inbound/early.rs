//! What is refused before anybody has proved whose it is.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use meshguard_core::{Evidence, Policy, SpiffeId};

use super::denied::{Asked, Denied};
use super::observed::Fate;
use super::refuse::Refused;
use crate::connection::Connection;
use crate::control::Cause;
use crate::mesh::Mesh;

/// Refuses a head that no honest peer sends. A peer that is no hop has made it itself: the loop's
/// own limits for that peer are asked first, and what they let pass counts as refused. What a hop
/// has brought counts against nobody.
pub(super) fn refuse_early(
    mesh: &Mesh,
    policy: &Arc<Policy>,
    connection: &Connection,
    parts: &Parts,
    denied: Denied,
) -> Refused {
    let peer = connection.peer().id();
    let denied = match policy.is_hop(peer) {
        true => denied,
        false => match restrict(mesh, peer, Evidence::None, true) {
            Ok(()) => {
                connection.caller(&mesh.0.gate.edges).refused();
                denied
            }
            Err(restricted) => restricted,
        },
    };
    Asked::unproven(mesh, policy, Some(connection), parts).refuse(denied)
}

/// What the loop asks of a caller beyond policy.
pub(super) fn restrict(
    mesh: &Mesh,
    caller: &SpiffeId,
    evidence: Evidence,
    direct: bool,
) -> Result<(), Denied> {
    let admitted = mesh.0.gate.overlay().admits_caller(caller, evidence, direct);
    admitted.map_err(|stopped| {
        let (status, text) = match stopped.cause {
            Cause::Rate(_) => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            _ => (StatusCode::FORBIDDEN, "restricted"),
        };
        Denied::new(status, text, "restricted").because(&stopped).fate(Fate::Restricted)
    })
}
