//! Payments: the gRPC service, and orders' client of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use meshguard_tonic::core::delivery::Outcome;
use meshguard_tonic::{Evidence, MeshRequest as _};
use prost::Message;
use tokio::time::{sleep, timeout};
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
/// How long a sick instance takes to fail.
const SICKNESS: Duration = Duration::from_millis(100);

/// One instance of the service.
#[derive(Debug)]
pub(in crate::shop) struct Till {
    truth: Arc<Truth>,
    health: Arc<Health>,
}

/// How one instance is.
#[derive(Debug, Default)]
pub(in crate::shop) struct Health {
    sick: AtomicBool,
    taken: AtomicU64,
}

/// An instance as tonic serves it.
pub(in crate::shop) fn service(truth: &Arc<Truth>, health: &Arc<Health>) -> PaymentsServer<Till> {
    PaymentsServer::new(Till { truth: Arc::clone(truth), health: Arc::clone(health) })
}

impl Health {
    pub(in crate::shop) fn set_sick(&self, sick: bool) {
        self.sick.store(sick, Relaxed);
    }

    /// Calls that this instance has taken.
    pub(in crate::shop) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// A sick instance takes its time, and then does nothing.
    async fn serve(&self) -> Result<(), Status> {
        self.taken.fetch_add(1, Relaxed);
        if self.sick.load(Relaxed) {
            sleep(SICKNESS).await;
            return Err(Status::unavailable("this instance is sick"));
        }
        Ok(())
    }
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
        self.truth.received(&key, digest(std::slice::from_ref(&charge)), verified);
        self.health.serve().await?;
        let approval = hash(&[charge.order.as_bytes(), &charge.cents.to_le_bytes()]) | 1;
        let reply = ChargeReply { order: charge.order, approval };
        self.truth.answers(&key, digest(std::slice::from_ref(&reply)));
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
                    self.truth.broke_off(Lane::Grpc, key.as_ref(), Sign::of_status(&status));
                    return Err(status);
                }
            }
        }
        let order = lines.first().map(|l| l.order.clone()).unwrap_or_default();
        let key = key(Op::Settle, &order);
        self.truth.received(&key, digest(&lines), verified);
        self.health.serve().await?;
        let settlement = Settlement { reference: hash(&[order.as_bytes()]) | 1, order };
        self.truth.answers(&key, digest(std::slice::from_ref(&settlement)));
        Ok(Response::new(settlement))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let verified = is_verified(&request);
        let watch = request.into_inner();
        let key = key(Op::Watch, &watch.order);
        self.truth.received(&key, digest(std::slice::from_ref(&watch)), verified);
        self.health.serve().await?;
        let events = goods::events(&watch.order);
        self.truth.answers(&key, digest(&events));
        let events = futures_util::stream::iter(events).then(|event| async move {
            tokio::task::yield_now().await;
            Ok(event)
        });
        Ok(Response::new(Box::pin(events)))
    }
}

/// Orders' way to all instances of payments, with the caller's side of the books.
#[derive(Clone, Debug)]
pub(in crate::shop) struct Payer {
    pub(in crate::shop) tills: Vec<Client>,
    pub(in crate::shop) next: Arc<AtomicUsize>,
    pub(in crate::shop) truth: Arc<Truth>,
    pub(in crate::shop) patience: Duration,
}

type Client = PaymentsClient<GrpcClient>;

impl Payer {
    pub(in crate::shop) fn new(tills: Vec<Client>, truth: &Arc<Truth>) -> Self {
        let (next, truth) = (Arc::default(), Arc::clone(truth));
        Self { tills, next, truth, patience: PATIENCE }
    }

    /// Charges; gives the approval.
    pub(in crate::shop) async fn charge(&self, order: &str, cents: u64) -> Result<u64, Sign> {
        let charge = ChargeRequest { order: order.to_owned(), cents };
        let sent = [charge.clone()];
        let ask = |mut client: Client| {
            let charge = charge.clone();
            async move { Ok(vec![client.charge(charge).await?.into_inner()]) }
        };
        let reply = self.call(&key(Op::Charge, order), &sent, ask).await?;
        Ok(reply.first().map_or(0, |r: &ChargeReply| r.approval))
    }

    /// Sends all lines; gives the reference.
    pub(in crate::shop) async fn settle(&self, order: &str, lines: Vec<Line>) -> Result<u64, Sign> {
        let ask = |mut client: Client| {
            let lines = futures_util::stream::iter(lines.clone()).then(|line| async move {
                tokio::task::yield_now().await;
                line
            });
            async move { Ok(vec![client.settle(Box::pin(lines)).await?.into_inner()]) }
        };
        let reply = self.call(&key(Op::Settle, order), &lines, ask).await?;
        Ok(reply.first().map_or(0, |r: &Settlement| r.reference))
    }

    /// Watches to the end.
    pub(in crate::shop) async fn watch(&self, order: &str) -> Result<Vec<Event>, Sign> {
        let watch = WatchRequest { order: order.to_owned() };
        let sent = [watch.clone()];
        let ask = |mut client: Client| {
            let watch = watch.clone();
            async move {
                let mut stream = client.watch(watch).await?.into_inner();
                let mut events = Vec::new();
                while let Some(event) = stream.message().await? {
                    events.push(event);
                }
                Ok(events)
            }
        };
        self.call(&key(Op::Watch, order), &sent, ask).await
    }

    /// Calls the instance whose turn it is; another one where nothing reached that one.
    async fn call<Q, A, F>(
        &self,
        key: &Key,
        sent: &[Q],
        ask: impl Fn(Client) -> F,
    ) -> Result<Vec<A>, Sign>
    where
        Q: Message,
        A: Message,
        F: Future<Output = Result<Vec<A>, Status>>,
    {
        let first = self.next.fetch_add(1, Relaxed);
        let mut tried = 0;
        loop {
            let till = &self.tills[(first + tried) % self.tills.len()];
            self.truth.sent(key, digest(sent));
            match self.wait(ask(till.clone())).await {
                Ok(messages) => {
                    self.truth.accepted(key, digest(&messages));
                    return Ok(messages);
                }
                Err(sign) => {
                    self.truth.failed(key, sign.clone());
                    tried += 1;
                    let unsent = sign.outcome == Some(Outcome::NotDelivered);
                    if !unsent || tried == self.tills.len() {
                        return Err(sign);
                    }
                }
            }
        }
    }

    async fn wait<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Sign> {
        match timeout(self.patience, call).await {
            Ok(done) => done.map_err(|status| Sign::of_status(&status)),
            Err(_) => Err(Sign::patience()),
        }
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
