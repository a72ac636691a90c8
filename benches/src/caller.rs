//! Who calls. Only its callee is measured, so it may box what it likes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};
use hyper::client::conn::http2::SendRequest;
use meshguard_tower::Channel;
use meshguard_tower::tls::Alpn;
use tower::{Service, ServiceExt as _};

use crate::variant::{CALLEE, CALLER};
use crate::{Error, Server, Variant, plain};

/// A caller of one server over one HTTP/2 connection.
#[derive(Clone, Debug)]
pub enum Caller {
    /// hyper's client.
    Plain(SendRequest<Body>, Authority),
    /// The mesh's channel, which alone speaks the delivery protocol.
    Mesh(Channel),
}

impl Caller {
    /// A caller for a server of this variant. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn connect(variant: Variant, server: &Server) -> Result<Self, Error> {
        let authority: Authority = server.addr.to_string().parse()?;
        if !variant.is_proven() {
            return Ok(Self::Plain(plain::connect(server.addr).await?, authority));
        }
        let channel = variant.mesh(CALLER)?.channel(&format!("https://{authority}"), CALLEE)?;
        Ok(Self::Mesh(channel.protocols(Alpn::H2)))
    }
}

impl<B> Service<Request<B>> for Caller
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Error>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.clone() {
            Self::Mesh(channel) => {
                Box::pin(async move { Ok(channel.oneshot(request).await?.map(Body::new)) })
            }
            Self::Plain(mut sender, authority) => {
                let mut request = request.map(Body::new);
                Box::pin(async move {
                    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
                    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority);
                    *request.uri_mut() = uri.path_and_query(path).build()?;
                    sender.ready().await?;
                    Ok(sender.send_request(request).await?.map(Body::new))
                })
            }
        }
    }
}
