//! The service that all implementations are tried with; it knows which of its calls are open.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};

use super::proto::interop_server::{Interop, InteropServer};
use super::proto::{Answer, Ask, End, Nothing, Order, Piece, Sum};
use crate::rig::soon;

/// Text metadata that comes back with the answer's head.
pub(super) const INITIAL: &str = "x-interop-initial";
/// Binary metadata that comes back with the status.
pub(super) const TRAILING: &str = "x-interop-trailing-bin";

/// The service. Clones are one.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Inner>);

#[derive(Default)]
struct Inner {
    begun: AtomicUsize,
    open: AtomicUsize,
}

impl Server {
    pub(super) fn router(&self) -> axum::Router {
        tonic::service::Routes::new(InteropServer::new(self.clone())).into_axum_router()
    }

    /// Waits until so many calls have reached a handler since the service began.
    pub(super) async fn begun(&self, n: usize) {
        self.until(|inner| inner.begun.load(Ordering::SeqCst) >= n).await;
    }

    /// Waits until no handler, and no stream that one has given, is left.
    pub(super) async fn idle(&self) {
        self.until(|inner| inner.open.load(Ordering::SeqCst) == 0).await;
    }

    async fn until(&self, holds: impl Fn(&Inner) -> bool) {
        soon(async {
            while !holds(&self.0) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    fn begin(&self) -> Open {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Open(Arc::clone(&self.0))
    }
}

/// One call that is under way.
struct Open(Arc<Inner>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, Status>> + Send>>;

#[tonic::async_trait]
impl Interop for Server {
    type ProduceStream = Pieces;
    type PingPongStream = Pieces;

    async fn empty(&self, _: Request<Nothing>) -> Result<Response<Nothing>, Status> {
        let _open = self.begin();
        Ok(Response::new(Nothing {}))
    }

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Answer>, Status> {
        let _open = self.begin();
        let (metadata, _, ask) = request.into_parts();
        pause(ask.delay).await;
        if let Some(end) = ask.end {
            return Err(status(end, &metadata));
        }
        let mut answer = Response::new(Answer { body: bytes(ask.size) });
        initial(&metadata, answer.metadata_mut());
        Ok(answer)
    }

    async fn collect(&self, request: Request<Streaming<Piece>>) -> Result<Response<Sum>, Status> {
        let _open = self.begin();
        let mut pieces = request.into_inner();
        let mut sum = Sum::default();
        while let Some(piece) = pieces.message().await? {
            sum.pieces += 1;
            sum.bytes += piece.body.len() as u64;
        }
        Ok(Response::new(sum))
    }

    async fn produce(&self, request: Request<Order>) -> Result<Response<Pieces>, Status> {
        let open = self.begin();
        let (metadata, _, order) = request.into_parts();
        let mut answer = Response::new(());
        initial(&metadata, answer.metadata_mut());
        let pieces = fulfil(order, metadata).map(move |piece| {
            let _ = &open;
            piece
        });
        Ok(answer.map(|()| Box::pin(pieces) as Pieces))
    }

    async fn ping_pong(
        &self,
        request: Request<Streaming<Order>>,
    ) -> Result<Response<Pieces>, Status> {
        let open = self.begin();
        let (metadata, _, orders) = request.into_parts();
        let mut answer = Response::new(());
        initial(&metadata, answer.metadata_mut());
        let pieces = orders.flat_map(move |order| {
            let _ = &open;
            match order {
                Ok(order) => fulfil(order, metadata.clone()),
                Err(status) => Box::pin(futures_util::stream::iter([Err(status)])) as Pieces,
            }
        });
        Ok(answer.map(|()| Box::pin(pieces) as Pieces))
    }
}

/// The pieces of one order, and the status that it ends with.
fn fulfil(order: Order, metadata: MetadataMap) -> Pieces {
    let Order { sizes, delay, end, .. } = order;
    let pieces = futures_util::stream::iter(sizes).then(move |size| async move {
        pause(delay).await;
        Ok(Piece { body: bytes(size) })
    });
    let end = end.map(|end| Err(status(end, &metadata)));
    Box::pin(pieces.chain(futures_util::stream::iter(end)))
}

async fn pause(millis: u32) {
    if millis > 0 {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }
}

/// So many bytes that differ from their neighbours.
pub(super) fn bytes(size: u32) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8).collect()
}

/// The status that is asked for, with the metadata that is to come back with it.
fn status(end: End, request: &MetadataMap) -> Status {
    let mut back = MetadataMap::new();
    if let Some(value) = request.get_bin(TRAILING) {
        back.insert_bin(TRAILING, value.clone());
    }
    Status::with_metadata(Code::from(end.code), end.message, back)
}

fn initial(request: &MetadataMap, answer: &mut MetadataMap) {
    if let Some(value) = request.get(INITIAL) {
        answer.insert(INITIAL, value.clone());
    }
}
