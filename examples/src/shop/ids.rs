//! Who is who in the shop.

use meshguard_axum::SpiffeId;

use super::truth::Lane;

pub(super) const DOMAIN: &str = "shop.example";
pub(super) const SHOPPER: SpiffeId = SpiffeId::from_static("spiffe://shop.example/shopper");
pub(super) const VISITOR: SpiffeId = SpiffeId::from_static("spiffe://shop.example/visitor");
pub(super) const GATEWAY: SpiffeId = SpiffeId::from_static("spiffe://shop.example/gateway");
pub(super) const ORDERS: SpiffeId = SpiffeId::from_static("spiffe://shop.example/orders");
pub(super) const PAYMENTS: SpiffeId = SpiffeId::from_static("spiffe://shop.example/payments");
pub(super) const BATCH: SpiffeId = SpiffeId::from_static("spiffe://shop.example/batch");
pub(super) const INTERN: SpiffeId = SpiffeId::from_static("spiffe://shop.example/intern");

/// The branch offices, each with a name of its own.
pub(super) static BRANCHES: [SpiffeId; 12] = [
    SpiffeId::from_static("spiffe://shop.example/branch/01"),
    SpiffeId::from_static("spiffe://shop.example/branch/02"),
    SpiffeId::from_static("spiffe://shop.example/branch/03"),
    SpiffeId::from_static("spiffe://shop.example/branch/04"),
    SpiffeId::from_static("spiffe://shop.example/branch/05"),
    SpiffeId::from_static("spiffe://shop.example/branch/06"),
    SpiffeId::from_static("spiffe://shop.example/branch/07"),
    SpiffeId::from_static("spiffe://shop.example/branch/08"),
    SpiffeId::from_static("spiffe://shop.example/branch/09"),
    SpiffeId::from_static("spiffe://shop.example/branch/10"),
    SpiffeId::from_static("spiffe://shop.example/branch/11"),
    SpiffeId::from_static("spiffe://shop.example/branch/12"),
];

/// Each lane has a hop of its own, so that what is found names the lane.
pub(super) fn hop_id(lane: Lane) -> SpiffeId {
    match lane {
        Lane::H1 => SpiffeId::from_static("spiffe://shop.example/hop/h1"),
        Lane::Grpc => SpiffeId::from_static("spiffe://shop.example/hop/grpc"),
        _ => SpiffeId::from_static("spiffe://shop.example/hop/h2"),
    }
}

/// The lane that this peer calls over, or carries calls on.
pub(super) fn lane_of(id: &SpiffeId) -> Option<Lane> {
    match id {
        id if *id == BATCH => Some(Lane::Batch),
        id if *id == INTERN => Some(Lane::Intern),
        id if BRANCHES.contains(id) => Some(Lane::Branch),
        id => [Lane::H2, Lane::H1, Lane::Grpc].into_iter().find(|lane| hop_id(*lane) == *id),
    }
}
