//! Extractors: who called, and why they were let in.

use std::fmt;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

/// The end-to-end caller: the workload that proved its identity, through whatever hops.
#[derive(Clone, Debug)]
pub struct Peer(pub meshguard_tower::Peer);

/// The decision that let the request in.
#[derive(Clone, Debug)]
pub struct Decision(pub meshguard_tower::Decision);

/// The request did not come through the mesh's inbound layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMeshed;

impl Deref for Peer {
    type Target = meshguard_tower::Peer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Deref for Decision {
    type Target = meshguard_tower::Decision;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = NotMeshed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotMeshed> {
        parts.extensions.get().cloned().map(Self).ok_or(NotMeshed)
    }
}

impl<S: Sync> FromRequestParts<S> for Decision {
    type Rejection = NotMeshed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotMeshed> {
        parts.extensions.get().cloned().map(Self).ok_or(NotMeshed)
    }
}

impl fmt::Display for NotMeshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request did not come through the mesh: serve with meshguard_axum::serve")
    }
}

impl std::error::Error for NotMeshed {}

impl IntoResponse for NotMeshed {
    fn into_response(self) -> Response {
        tracing::error!(target: "meshguard::decision", "{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
