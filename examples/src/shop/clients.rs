//! What services call others with: meshguard's channel, or a stock client, behind one type.

use std::error::Error;
use std::fmt;

use axum::body::{Body, HttpBody};
use http::{Request, Response};
use meshguard_axum::BoxError;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

/// Takes a request, gives an answer.
pub(super) type HttpClient = BoxCloneSyncService<Request<Body>, Response<Body>, ClientError>;
/// The same, as tonic's generated clients want it.
pub(super) type GrpcClient =
    BoxCloneSyncService<Request<tonic::body::Body>, Response<Body>, ClientError>;

/// A client of meshguard's channel or of a stock one, for requests of whatever body.
pub(super) fn client<S, Q, A>(
    channel: S,
) -> BoxCloneSyncService<Request<Q>, Response<Body>, ClientError>
where
    S: Service<Request<Q>, Response = Response<A>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    Q: 'static,
    A: HttpBody<Data = bytes::Bytes> + Send + 'static,
    A::Error: Into<BoxError>,
{
    let client = channel.map_response(|r: Response<A>| r.map(Body::new));
    BoxCloneSyncService::new(client.map_err(ClientError::new))
}

/// Why a client has no answer; the cause says it.
#[derive(Debug)]
pub(super) struct ClientError(BoxError);

impl ClientError {
    pub(super) fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
