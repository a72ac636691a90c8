//! The hop's way on to the callee: one connection per caller's connection, renewed when it ends.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::sync::Mutex;

use super::body::{Failure, Source};
use super::drive::Control;
use super::sink::{PartBody, Sink};
use super::{Protocol, Shared, h1, h2 as hop_h2};

/// Opens exchanges with the callee.
pub(super) struct Upstream {
    shared: Arc<Shared>,
    protocol: Protocol,
    link: Mutex<Option<Link>>,
}

/// A connection to the callee.
pub(super) enum Link {
    H2(SendRequest<Bytes>, Control),
    H1(http1::SendRequest<PartBody>, Control),
}

/// An answer that is yet to come.
pub(super) enum Pending {
    H2(ResponseFuture),
    H1(Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>),
}

impl Upstream {
    pub(super) fn new(shared: &Arc<Shared>, protocol: Protocol) -> Self {
        Self { shared: Arc::clone(shared), protocol, link: Mutex::new(None) }
    }

    /// Another one, with a connection of its own.
    pub(super) fn apart(&self) -> Self {
        Self::new(&self.shared, self.protocol)
    }

    /// Sends a head; the sink takes the body. With `end` there is none.
    pub(super) async fn open(
        &self,
        head: Request<()>,
        end: bool,
    ) -> Result<(Sink, Pending), Failure> {
        let mut slot = self.link.lock().await;
        let mut link = match slot.take() {
            Some(link) if link.is_usable().await => link,
            _ => self.connect().await?,
        };
        let opened = link.open(head, end).await;
        *slot = Some(link);
        opened
    }

    async fn connect(&self) -> Result<Link, Failure> {
        let io = self.shared.connect(self.protocol).await.map_err(|_| Failure::Broken)?;
        match self.protocol {
            Protocol::Http1 => h1::connect(&self.shared, io).await,
            Protocol::Http2 => hop_h2::connect(&self.shared, io).await,
        }
    }
}

impl Link {
    async fn is_usable(&self) -> bool {
        match self {
            Self::H2(sender, _) => sender.clone().ready().await.is_ok(),
            Self::H1(sender, _) => sender.is_ready(),
        }
    }

    async fn open(&mut self, head: Request<()>, end: bool) -> Result<(Sink, Pending), Failure> {
        match self {
            Self::H2(sender, control) => {
                let mut sender = sender.clone().ready().await?;
                let (answer, stream) = sender.send_request(head, end)?;
                Ok((Sink::H2(stream, control.clone()), Pending::H2(answer)))
            }
            Self::H1(sender, control) => {
                let (parts, channel) = PartBody::channel();
                let body = if end { PartBody::empty() } else { channel };
                sender.ready().await.map_err(|_| Failure::Broken)?;
                let answer = sender.send_request(h1::outbound(head).map(|()| body));
                Ok((Sink::H1(parts, control.clone()), Pending::H1(Box::pin(answer))))
            }
        }
    }
}

/// What an answer begins with.
pub(super) enum Begun {
    /// An informational head, 1xx: the answer is yet to come.
    Informational(Response<()>),
    Final(Response<()>, Source),
}

impl Pending {
    /// The next head. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Begun, Failure> {
        match self {
            Self::H2(answer) => {
                poll_fn(|cx| {
                    if let Poll::Ready(Some(Ok(head))) = answer.poll_informational(cx) {
                        return Poll::Ready(Ok(Begun::Informational(head)));
                    }
                    Pin::new(&mut *answer).poll(cx).map(|answer| {
                        let (head, body) = answer?.into_parts();
                        Ok(Begun::Final(Response::from_parts(head, ()), Source::H2(body)))
                    })
                })
                .await
            }
            Self::H1(answer) => {
                let (head, body) = answer.await.map_err(|_| Failure::Broken)?.into_parts();
                Ok(Begun::Final(Response::from_parts(head, ()), Source::H1(body)))
            }
        }
    }
}
