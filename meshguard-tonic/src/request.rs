//! What a request's extensions know.

use meshguard_tower::{Decision, Delivery, Peer};
use tonic::Request;

/// What the mesh knows of a request.
pub trait MeshRequest {
    /// The end-to-end caller; `None` where the request did not come through the mesh.
    fn peer(&self) -> Option<&Peer>;

    /// The decision that let it in.
    fn decision(&self) -> Option<&Decision>;

    /// How it was delivered.
    fn delivery(&self) -> Option<&Delivery>;
}

impl<T> MeshRequest for Request<T> {
    fn peer(&self) -> Option<&Peer> {
        self.extensions().get()
    }

    fn decision(&self) -> Option<&Decision> {
        self.extensions().get()
    }

    fn delivery(&self) -> Option<&Delivery> {
        self.extensions().get()
    }
}
