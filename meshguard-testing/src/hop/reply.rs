//! The hop's way back to the caller of one exchange.

use std::future::poll_fn;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Response, StatusCode};
use tokio::sync::oneshot;

use super::body::Failure;
use super::drive::Control;
use super::sink::{Gone, PartBody, Sink};

/// Answers one exchange. Dropped unused, it resets the stream or closes the connection.
pub(super) enum Reply {
    H2(SendResponse<Bytes>, Control),
    H1(oneshot::Sender<Response<PartBody>>, Control),
}

impl Reply {
    /// Sends the answer's head; the sink takes the body. With `end` there is none.
    pub(super) fn send(self, head: Response<()>, end: bool) -> Result<Sink, Gone> {
        match self {
            Self::H2(mut reply, control) => {
                let stream = reply.send_response(head, end).map_err(|_| Gone)?;
                Ok(Sink::H2(stream, control))
            }
            Self::H1(reply, control) => {
                let (parts, channel) = PartBody::channel();
                let body = if end { PartBody::empty() } else { channel };
                reply.send(head.map(|()| body)).map_err(|_| Gone)?;
                Ok(Sink::H1(parts, control))
            }
        }
    }

    /// Sends a 1xx head, where the protocol's codec lets it.
    pub(super) fn informational(&mut self, head: Response<()>) {
        if let Self::H2(reply, _) = self {
            let _ = reply.send_informational(head); // an error: the caller is gone
        }
    }

    /// Tells the caller that there is no answer: the callee's reset as it was, otherwise a 502.
    pub(super) fn fail(self, failure: Failure) {
        match (self, failure) {
            (Self::H2(mut reply, _), Failure::Reset(reason)) => reply.send_reset(reason),
            (reply, _) => {
                let mut head = Response::new(());
                *head.status_mut() = StatusCode::BAD_GATEWAY;
                drop(reply.send(head, true)); // an error: the caller is gone
            }
        }
    }

    /// Resolves when the caller gave up.
    pub(super) async fn gone(&mut self) {
        match self {
            Self::H2(reply, _) => drop(poll_fn(|cx| reply.poll_reset(cx)).await),
            Self::H1(reply, _) => reply.closed().await,
        }
    }

    /// The control of an HTTP/1.1 connection, to answer in raw bytes.
    pub(super) fn raw(&self) -> Option<Control> {
        match self {
            Self::H1(_, control) => Some(control.clone()),
            Self::H2(..) => None,
        }
    }
}
