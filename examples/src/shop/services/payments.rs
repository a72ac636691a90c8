//! Payments: the gRPC service, and orders' client of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use meshguard_tonic::{Evidence, MeshRequest as _};
use prost::Message;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::proto::payments_client::PaymentsClient;
use crate::proto::payments_server::{Payments, PaymentsServer};
use crate::proto::{ChargeReply, ChargeRequest, Event, Line, Settlement, WatchRequest};
use crate::shop::clients::GrpcClient;
use crate::shop::goods;
use crate::shop::rng::hash;
use crate::shop::sign::Sign;
use crate::shop::truth::{Key, Lane, Op, Truth};

/// How long orders waits for payments.
pub(in crate::shop) const PATIENCE: Duration = Duration::from_millis(1000);

/// The service.
#[derive(Debug)]
pub(in crate::shop) struct Till(Arc<Truth>);

/// The service as tonic serves it.
pub(in crate::shop) fn service(truth: &Arc<Truth>) -> PaymentsServer<Till> {
    PaymentsServer::new(Till(Arc::clone(truth)))
}

#[tonic::async_trait]
impl Payments for Till {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeReply>, Status> {
        let verified = is_verified(&request);
        let charge = request.into_inner();
        let key = key(Op::Charge, &charge.order);
        self.0.received(&key, digest(std::slice::from_ref(&charge)), verified);
        let approval = hash(&[charge.order.as_bytes(), &charge.cents.to_le_bytes()]) | 1;
        let reply = ChargeReply { order: charge.order, approval };
        self.0.answers(&key, digest(std::slice::from_ref(&reply)));
        Ok(Response::new(reply))
    }

    async fn settle(
        &self,
        request: Request<Streaming<Line>>,
    ) -> Result<Response<Settlement>, Status> {
        let verified = is_verified(&request);
        let mut stream = request.into_inner();
        let mut lines: Vec<Line> = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(status) => {
                    let key = lines.first().map(|l| key(Op::Settle, &l.order));
                    self.0.broke_off(Lane::Grpc, key.as_ref(), Sign::of_status(&status));
                    return Err(status);
                }
            }
        }
        let order = lines.first().map(|l| l.order.clone()).unwrap_or_default();
        let key = key(Op::Settle, &order);
        self.0.received(&key, digest(&lines), verified);
        let settlement = Settlement { reference: hash(&[order.as_bytes()]) | 1, order };
        self.0.answers(&key, digest(std::slice::from_ref(&settlement)));
        Ok(Response::new(settlement))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let verified = is_verified(&request);
        let watch = request.into_inner();
        let key = key(Op::Watch, &watch.order);
        self.0.received(&key, digest(std::slice::from_ref(&watch)), verified);
        let events = goods::events(&watch.order);
        self.0.answers(&key, digest(&events));
        let events = futures_util::stream::iter(events).then(|event| async move {
            tokio::task::yield_now().await;
            Ok(event)
        });
        Ok(Response::new(Box::pin(events)))
    }
}

/// Orders' way to payments, with the caller's side of the books.
#[derive(Clone, Debug)]
pub(in crate::shop) struct Payer {
    pub(in crate::shop) client: PaymentsClient<GrpcClient>,
    pub(in crate::shop) truth: Arc<Truth>,
    pub(in crate::shop) patience: Duration,
}

impl Payer {
    /// Charges; gives the approval.
    pub(in crate::shop) async fn charge(&self, order: &str, cents: u64) -> Result<u64, Sign> {
        let charge = ChargeRequest { order: order.to_owned(), cents };
        let key = self.sent(Op::Charge, order, std::slice::from_ref(&charge));
        let mut client = self.client.clone();
        let reply = self.wait(async move {
            let reply = client.charge(charge).await?;
            Ok(vec![reply.into_inner()])
        });
        Ok(self.ended(&key, reply.await)?.first().map_or(0, |r: &ChargeReply| r.approval))
    }

    /// Sends all lines; gives the reference.
    pub(in crate::shop) async fn settle(&self, order: &str, lines: Vec<Line>) -> Result<u64, Sign> {
        let key = self.sent(Op::Settle, order, &lines);
        let mut client = self.client.clone();
        let lines = futures_util::stream::iter(lines).then(|line| async move {
            tokio::task::yield_now().await;
            line
        });
        let reply = self.wait(async move {
            let reply = client.settle(Box::pin(lines)).await?;
            Ok(vec![reply.into_inner()])
        });
        Ok(self.ended(&key, reply.await)?.first().map_or(0, |r: &Settlement| r.reference))
    }

    /// Watches to the end.
    pub(in crate::shop) async fn watch(&self, order: &str) -> Result<Vec<Event>, Sign> {
        let watch = WatchRequest { order: order.to_owned() };
        let key = self.sent(Op::Watch, order, std::slice::from_ref(&watch));
        let mut client = self.client.clone();
        let reply = self.wait(async move {
            let mut stream = client.watch(watch).await?.into_inner();
            let mut events = Vec::new();
            while let Some(event) = stream.message().await? {
                events.push(event);
            }
            Ok(events)
        });
        self.ended(&key, reply.await)
    }

    fn sent<M: Message>(&self, op: Op, order: &str, messages: &[M]) -> Key {
        let key = key(op, order);
        self.truth.sent(&key, digest(messages));
        key
    }

    async fn wait<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Sign> {
        match timeout(self.patience, call).await {
            Ok(done) => done.map_err(|status| Sign::of_status(&status)),
            Err(_) => Err(Sign::patience()),
        }
    }

    fn ended<M: Message>(&self, key: &Key, end: Result<Vec<M>, Sign>) -> Result<Vec<M>, Sign> {
        match &end {
            Ok(messages) => self.truth.accepted(key, digest(messages)),
            Err(sign) => self.truth.failed(key, sign.clone()),
        }
        end
    }
}

fn key(op: Op, order: &str) -> Key {
    Key::new(Lane::Grpc, op, order)
}

fn digest<M: Message>(messages: &[M]) -> u64 {
    let bytes: Vec<Vec<u8>> = messages.iter().map(Message::encode_to_vec).collect();
    hash(&bytes.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn is_verified<T>(request: &Request<T>) -> bool {
    request.delivery().is_some_and(|d| d.evidence() == Evidence::Verified)
}
