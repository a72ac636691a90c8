//! The shop on meshguard: an identity for every service, and a hop between each two.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshguard_axum::tls::Alpn;
use meshguard_axum::{Call, Direction, Finding, Mesh, Policy, Sink, SpiffeId, dev};
use meshguard_testing::FaultHop;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;

use super::calls::{Caller, PATIENCE};
use super::clients::{HttpClient, client};
use super::desk::Desk;
use super::error::ShopError;
use super::services::gateway::{self, Gateway};
use super::services::orders::{self, Orders};
use super::services::payments::{self, Payer};
use super::truth::{End, Lane, Truth};
use crate::proto::payments_client::PaymentsClient;

const POLICY: &str = include_str!("../../shop/policy.toml");
const DOMAIN: &str = "shop.example";
const SHOPPER: SpiffeId = SpiffeId::from_static("spiffe://shop.example/shopper");
const GATEWAY: SpiffeId = SpiffeId::from_static("spiffe://shop.example/gateway");
const ORDERS: SpiffeId = SpiffeId::from_static("spiffe://shop.example/orders");
const PAYMENTS: SpiffeId = SpiffeId::from_static("spiffe://shop.example/payments");
/// How long services may take to finish what they have.
const DRAIN: Duration = Duration::from_secs(5);

/// A running shop.
pub(super) struct Stack {
    /// The shopper's way to the gateway.
    pub(super) shopper: HttpClient,
    /// The bad hop of each lane that has one.
    pub(super) hops: Vec<(Lane, FaultHop)>,
    /// Who calls over which lanes; none on the stock stack.
    pub(super) callers: Vec<(&'static str, Vec<Lane>, Mesh)>,
    /// Where the gateway and orders listen, and whose they are.
    pub(super) doors: Vec<(&'static str, SocketAddr, Mesh)>,
    pub(super) servers: Servers,
}

/// The servers of a shop, and the word to stop them.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) tasks: JoinSet<()>,
    pub(super) stop: watch::Sender<bool>,
}

/// The authority that every service of this process trusts.
pub(super) fn authority() -> Result<dev::DevCa, ShopError> {
    Ok(dev::shared(DOMAIN)?)
}

/// Starts payments, orders and the gateway, and a hop before each of the first two.
pub(super) async fn start(truth: &Arc<Truth>) -> Result<Stack, ShopError> {
    let mut servers = Servers::new();
    let till = mesh(&PAYMENTS, truth)?;
    let listener = till.listen("127.0.0.1:0").await?;
    let grpc_hop = hop(listener.local_addr(), Lane::Grpc).await?;
    servers.serve(meshguard_tonic::serve(listener, Routes::new(payments::service(truth))));

    let orders = mesh(&ORDERS, truth)?;
    let channel = through(&orders, &grpc_hop, &PAYMENTS, Lane::Grpc, Alpn::H2)?;
    let payer = PaymentsClient::new(client(channel));
    let payer = Payer { client: payer, truth: Arc::clone(truth), patience: payments::PATIENCE };
    let listener = orders.listen("127.0.0.1:0").await?;
    let orders_at = listener.local_addr();
    let app = Orders { desk: Desk::new(truth, Lane::of_order), payer };
    servers.serve(meshguard_axum::serve(listener, orders::router(app)));

    let gateway = mesh(&GATEWAY, truth)?;
    let (h2_hop, h1_hop) = (hop(orders_at, Lane::H2).await?, hop(orders_at, Lane::H1).await?);
    let caller = |hop: &FaultHop, lane, alpn| {
        let client = client(through(&gateway, hop, &ORDERS, lane, alpn)?);
        Ok::<_, ShopError>(Caller { lane, client, truth: Arc::clone(truth), patience: PATIENCE })
    };
    let h2 = caller(&h2_hop, Lane::H2, Alpn::H2)?;
    let h1 = caller(&h1_hop, Lane::H1, Alpn::Http11)?;
    let listener = gateway.listen("127.0.0.1:0").await?;
    let gateway_at = listener.local_addr();
    let app = Gateway { desk: Desk::new(truth, |_| Lane::Front), h2, h1 };
    servers.serve(meshguard_axum::serve(listener, gateway::router(app)));

    let shopper = mesh(&SHOPPER, truth)?;
    let channel = shopper.channel(&format!("https://{gateway_at}"), GATEWAY)?;
    Ok(Stack {
        shopper: client(channel),
        hops: vec![(Lane::H2, h2_hop), (Lane::H1, h1_hop), (Lane::Grpc, grpc_hop)],
        doors: vec![
            ("gateway", gateway_at, gateway.clone()),
            ("orders", orders_at, orders.clone()),
        ],
        callers: vec![
            ("shopper", vec![Lane::Front], shopper),
            ("gateway", vec![Lane::H2, Lane::H1], gateway),
            ("orders", vec![Lane::Grpc], orders),
        ],
        servers,
    })
}

fn mesh(id: &SpiffeId, truth: &Arc<Truth>) -> Result<Mesh, ShopError> {
    let policy: Policy = POLICY.parse()?;
    let sink = Findings(Arc::clone(truth));
    Ok(Mesh::dev(id.clone())?.policy(policy).sink(sink).build()?)
}

/// Each lane has a hop of its own, so that what is found names the lane.
fn hop_id(lane: Lane) -> SpiffeId {
    match lane {
        Lane::H1 => SpiffeId::from_static("spiffe://shop.example/hop/h1"),
        Lane::Grpc => SpiffeId::from_static("spiffe://shop.example/hop/grpc"),
        _ => SpiffeId::from_static("spiffe://shop.example/hop/h2"),
    }
}

fn lane_of_hop(id: &SpiffeId) -> Option<Lane> {
    [Lane::H2, Lane::H1, Lane::Grpc].into_iter().find(|lane| hop_id(*lane) == *id)
}

async fn hop(upstream: SocketAddr, lane: Lane) -> Result<FaultHop, ShopError> {
    Ok(FaultHop::builder(upstream).tls(&authority()?, &hop_id(lane))?.start().await?)
}

/// A channel to `callee` through the hop of `lane`.
fn through(
    mesh: &Mesh,
    hop: &FaultHop,
    callee: &SpiffeId,
    lane: Lane,
    alpn: Alpn,
) -> Result<meshguard_axum::Channel, ShopError> {
    let channel = mesh.channel("https://127.0.0.1", callee.clone())?;
    Ok(channel.via(hop_id(lane)).connect_to(hop.addr()).protocols(alpn))
}

/// Writes down what the mesh finds, by the hop it came through.
struct Findings(Arc<Truth>);

impl Sink for Findings {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let (via, from) = (finding.edge.via, finding.edge.from);
        // Where nothing proves another caller, it is the hop that called.
        let lane = via.or(from).and_then(lane_of_hop);
        let end = match finding.direction {
            Direction::Inbound => End::Callee,
            Direction::Outbound => End::Caller,
        };
        self.0.found(lane.unwrap_or(Lane::Front), end, finding.name);
    }
}

impl Servers {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    fn serve<S, B>(&mut self, serve: meshguard_axum::serve::Serve<S>)
    where
        S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<meshguard_axum::BoxError> + Send,
        B: axum::body::HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<meshguard_axum::BoxError>,
    {
        let mut stop = self.stop.subscribe();
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        let serving = serve.with_graceful_shutdown(stopped, DRAIN).into_future();
        // How a server ended is for its callers to notice.
        self.tasks.spawn(async move { drop(serving.await) });
    }

    /// Lets every server finish what it has.
    pub(super) async fn drain(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
