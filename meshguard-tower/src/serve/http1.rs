//! What answers need over HTTP/1.1 alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use meshguard_core::delivery::field;
use pin_project::pin_project;

use crate::body::{Packed, announce};

/// Packs the trailers of proven answers; and once the connection is `leaving`, has it close with
/// the next answer. A request that is on its way to an idle connection is still answered.
pub(super) struct Http1<S> {
    pub(super) inner: S,
    pub(super) leaving: Arc<AtomicBool>,
}

impl<S, B> Service<Request<Incoming>> for Http1<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<Packed<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let leaving = Arc::clone(&self.leaving);
        Answering { answer: self.inner.call(request), leaving }
    }
}

/// The future of [`Http1`].
#[pin_project]
pub(super) struct Answering<F> {
    #[pin]
    answer: F,
    leaving: Arc<AtomicBool>,
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Packed<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(cx))?;
        let packs = response.headers().contains_key(field::NAME);
        let sized = response.body().size_hint().exact().is_some();
        if packs && !sized {
            announce(response.headers_mut());
        }
        if this.leaving.load(Relaxed) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| Packed { body, packs })))
    }
}
