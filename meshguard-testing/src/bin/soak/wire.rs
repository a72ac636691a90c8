//! What a call goes out on, the same for both sides.

use std::error::Error;
use std::fmt;

use axum::body::Body;
use axum::http::{Request, Response};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{BoxError, Channel};
use tower::util::BoxCloneService;
use tower::{ServiceExt as _, service_fn};

use crate::proto::interop_client::InteropClient;
use crate::shape::Http;

/// A channel, or stock's client.
pub(crate) type Wire = BoxCloneService<Request<Body>, Response<Body>, CallFailed>;

/// Why no answer came, on either side.
#[derive(Debug)]
pub(crate) struct CallFailed(BoxError);

impl CallFailed {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for CallFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

type GrpcBody = tonic::body::Body;
type GrpcWire = BoxCloneService<Request<GrpcBody>, Response<GrpcBody>, CallFailed>;

/// A channel of the mesh.
pub(crate) fn channel(channel: Channel, http: Http) -> Wire {
    let alpn = if http == Http::Two { Alpn::H2 } else { Alpn::Http11 };
    let channel = channel.protocols(alpn);
    BoxCloneService::new(service_fn(move |request: Request<Body>| {
        let calling = channel.clone().oneshot(request);
        async { Ok(calling.await.map_err(CallFailed::new)?.map(Body::new)) }
    }))
}

/// The generated client, over a wire.
pub(crate) fn grpc(wire: Wire) -> InteropClient<GrpcWire> {
    InteropClient::new(BoxCloneService::new(service_fn(move |request: Request<GrpcBody>| {
        let calling = wire.clone().oneshot(request.map(Body::new));
        async { Ok::<_, CallFailed>(calling.await?.map(GrpcBody::new)) }
    })))
}

/// An error with all of its causes.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
