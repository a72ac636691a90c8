//! One of the protocol's own requests over a connection, which is kept for what comes next.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::Request;
use http::response::Parts;
use http_body::Body;

use super::h1::{Conn, Home};
use super::reply::Reply;
use super::{BoxError, Failed, Lease, Pool};

/// A whole answer, and the connection that it came over.
pub(crate) struct Asked<B> {
    pub(crate) parts: Parts,
    /// `None`: it broke off, or is longer than was asked for.
    pub(crate) body: Option<Bytes>,
    /// `None`: the connection can carry no other request.
    pub(crate) lease: Option<Lease<B>>,
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Sends `request` over this connection and reads the whole answer, `most` bytes at most.
    pub(crate) async fn ask(
        &self,
        lease: Lease<B>,
        request: Request<B>,
        most: usize,
    ) -> Result<Asked<B>, Failed<B>> {
        let back = Arc::new(Mutex::new(None));
        let shared = lease.share();
        let home = Home::Sender(Arc::clone(&back));
        let response = self.send_from(lease, request, home).await?;
        let (parts, body) = response.into_parts();
        let body = read(body, most).await;
        let lease = match shared {
            Some(lease) => Some(lease),
            None => {
                let conn = back.lock().unwrap_or_else(PoisonError::into_inner).take();
                match conn {
                    Some(conn) => conn.settled().await.filter(Conn::is_ready).map(Lease::H1),
                    None => None,
                }
            }
        };
        Ok(Asked { parts, body, lease })
    }
}

/// Reads a body of `most` bytes at most; `None` where it is longer or breaks off.
pub(crate) async fn read(mut body: Reply, most: usize) -> Option<Bytes> {
    let mut all = BytesMut::new();
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return Some(all.freeze()),
            Some(Err(_)) => return None,
            Some(Ok(frame)) => {
                all.extend_from_slice(&frame.into_data().unwrap_or_default());
                if all.len() > most {
                    return None;
                }
            }
        }
    }
}
