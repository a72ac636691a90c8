//! The inbound layer: who calls, whether they may, and all of what they send.

mod admit;
mod again;
mod answer;
mod claim;
mod content;
mod control;
mod denied;
mod early;
mod ending;
mod exchange;
mod facts;
mod finish;
mod future;
mod hook;
mod observed;
mod refuse;
mod route;
mod scratch;
mod strip;
mod tokens;

#[cfg(test)]
mod tests;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

pub(crate) use answer::AnswerHook;
#[cfg(test)]
pub(crate) use answer::SETTLE_TIME;
pub use exchange::Delivery;
pub(crate) use exchange::Exchange;
pub use future::InboundFuture;
pub(crate) use hook::RequestHook;
#[cfg(test)]
pub(crate) use hook::{DRAIN_BYTES, DRAIN_TIME};
pub(crate) use refuse::DECISION;
#[cfg(test)]
pub(crate) use refuse::grpc_code;
pub(crate) use scratch::with_scratch;
pub(crate) use strip::{strip, strip_answer};

use crate::body::{Incoming, Outgoing};
use crate::error::BoxError;
use crate::mesh::Mesh;

/// A request's body as the application gets it: nothing of it unverified.
pub type RequestBody<B> = Incoming<B, RequestHook>;
/// An answer's body as it goes out.
pub type ResponseBody<B> = Outgoing<B, AnswerHook>;

/// Makes of a service one that takes part in the mesh. From [`Mesh::inbound`].
///
/// One layer serves axum and tonic. Applied twice, the inner one does nothing.
#[derive(Clone, Debug)]
pub struct InboundLayer {
    mesh: Mesh,
}

impl InboundLayer {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh }
    }
}

impl<S> Layer<S> for InboundLayer {
    type Service = Inbound<S>;

    fn layer(&self, inner: S) -> Inbound<S> {
        Inbound { mesh: self.mesh.clone(), inner }
    }
}

/// A service behind the mesh: see [`InboundLayer`].
#[derive(Clone, Debug)]
pub struct Inbound<S> {
    mesh: Mesh,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Inbound<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = InboundFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        InboundFuture::new(&self.mesh, &mut self.inner, request)
    }
}
