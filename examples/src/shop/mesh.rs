//! The shop on meshguard: an identity for every service, and a hop between each two.

use std::net::SocketAddr;
use std::sync::Arc;

use meshguard_axum::tls::Alpn;
use meshguard_axum::{Mesh, SpiffeId, dev};
use meshguard_testing::FaultHop;
use tonic::service::Routes;

use super::calls::{Caller, PATIENCE};
use super::clients::{HttpClient, client};
use super::desk::Desk;
use super::error::ShopError;
use super::ids::{DOMAIN, GATEWAY, ORDERS, PAYMENTS, SHOPPER, hop_id};
use super::member::Founder;
use super::servers::Servers;
use super::services::gateway::{self, Gateway};
use super::services::orders::{self, Orders};
use super::services::payments::{self, Health, Payer};
use super::town::Town;
use super::truth::Lane;
use crate::proto::payments_client::PaymentsClient;

/// A running shop.
pub(super) struct Stack {
    /// The shopper's way to the gateway.
    pub(super) shopper: HttpClient,
    /// The bad hop of each lane that has one.
    pub(super) hops: Vec<(Lane, Arc<FaultHop>)>,
    /// Who calls over which lanes; none on the stock stack.
    pub(super) callers: Vec<Callers>,
    /// Where services listen, and whose they are.
    pub(super) doors: Vec<(&'static str, SocketAddr, Mesh)>,
    /// Those around it; none on the stock stack.
    pub(super) town: Option<Town>,
    pub(super) servers: Servers,
}

/// Who calls over some lanes: one process, or several of a kind.
pub(super) struct Callers {
    pub(super) name: &'static str,
    pub(super) lanes: Vec<Lane>,
    pub(super) meshes: Vec<Mesh>,
}

/// The authority that every service of this process trusts.
pub(super) fn authority() -> Result<dev::DevCa, ShopError> {
    Ok(dev::shared(DOMAIN)?)
}

/// Starts two instances of payments, orders and the gateway, a hop before each but the second
/// instance, and those who call orders directly.
pub(super) async fn start(founder: &Founder) -> Result<Stack, ShopError> {
    let truth = founder.truth();
    let mut servers = Servers::new();
    let (till_1, _, first_at) = payments(founder, "payments-1", &mut servers).await?;
    let (till_2, health, second_at) = payments(founder, "payments-2", &mut servers).await?;

    let orders = founder.service("orders", &ORDERS)?;
    let grpc_hop = hop(first_at, Lane::Grpc).await?;
    let first = through(&orders, &grpc_hop, &PAYMENTS, Lane::Grpc, Alpn::H2)?;
    let second = orders.channel(&format!("https://{second_at}"), PAYMENTS)?.protocols(Alpn::H2);
    let tills = [first, second].map(|channel| PaymentsClient::new(client(channel)));
    let payer = Payer::new(tills.into(), truth);
    let listener = orders.listen("127.0.0.1:0").await?;
    let orders_at = listener.local_addr();
    let app = Orders { desk: Desk::new(truth, Lane::of_order), payer };
    servers.serve(meshguard_axum::serve(listener, orders::router(app)));

    let gateway = founder.service("gateway", &GATEWAY)?;
    let (h2_hop, h1_hop) = (hop(orders_at, Lane::H2).await?, hop(orders_at, Lane::H1).await?);
    let gateway_at = open_gateway(founder, &gateway, [&h2_hop, &h1_hop], &mut servers).await?;

    let shopper = founder.service("shopper", &SHOPPER)?;
    let channel = shopper.channel(&format!("https://{gateway_at}"), GATEWAY)?;
    let town = Town::found(founder, orders_at, health)?;
    let mut callers = vec![
        Callers { name: "shopper", lanes: vec![Lane::Front], meshes: vec![shopper] },
        Callers { name: "gateway", lanes: vec![Lane::H2, Lane::H1], meshes: vec![gateway.clone()] },
        Callers { name: "orders", lanes: vec![Lane::Grpc], meshes: vec![orders.clone()] },
    ];
    callers.extend(town.callers());
    Ok(Stack {
        shopper: client(channel),
        hops: [(Lane::H2, h2_hop), (Lane::H1, h1_hop), (Lane::Grpc, grpc_hop)]
            .map(|(lane, hop)| (lane, Arc::new(hop)))
            .into(),
        callers,
        doors: vec![
            ("gateway", gateway_at, gateway),
            ("orders", orders_at, orders),
            ("payments-1", first_at, till_1),
            ("payments-2", second_at, till_2),
        ],
        town: Some(town),
        servers,
    })
}

async fn payments(
    founder: &Founder,
    name: &'static str,
    servers: &mut Servers,
) -> Result<(Mesh, Arc<Health>, SocketAddr), ShopError> {
    let (till, health) = (founder.service(name, &PAYMENTS)?, Arc::default());
    let listener = till.listen("127.0.0.1:0").await?;
    let at = listener.local_addr();
    let routes = Routes::new(payments::service(founder.truth(), &health));
    servers.serve(meshguard_tonic::serve(listener, routes));
    Ok((till, health, at))
}

async fn open_gateway(
    founder: &Founder,
    gateway: &Mesh,
    [h2, h1]: [&FaultHop; 2],
    servers: &mut Servers,
) -> Result<SocketAddr, ShopError> {
    let truth = founder.truth();
    let caller = |hop: &FaultHop, lane, alpn| {
        let client = client(through(gateway, hop, &ORDERS, lane, alpn)?);
        Ok::<_, ShopError>(Caller { lane, client, truth: Arc::clone(truth), patience: PATIENCE })
    };
    let h2 = caller(h2, Lane::H2, Alpn::H2)?;
    let h1 = caller(h1, Lane::H1, Alpn::Http11)?;
    let listener = gateway.listen("127.0.0.1:0").await?;
    let at = listener.local_addr();
    let app = Gateway { desk: Desk::new(truth, |_| Lane::Front), h2, h1 };
    servers.serve(meshguard_axum::serve(listener, gateway::router(app)));
    Ok(at)
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
