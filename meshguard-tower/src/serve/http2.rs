//! What answers need over HTTP/2 alone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project::pin_project;

use super::streams::Sent;

/// Has the bodies of answers tell their streams what they have to send.
pub(super) struct Http2<S>(pub(super) S);

impl<S, B> Service<Request<Incoming>> for Http2<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<Sent<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Answering(self.0.call(request))
    }
}

/// The future of [`Http2`].
#[pin_project]
pub(super) struct Answering<F>(#[pin] F);

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Sent<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().0.poll(cx))?;
        Poll::Ready(Ok(response.map(Sent::new)))
    }
}
