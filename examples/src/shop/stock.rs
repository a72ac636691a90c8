//! The same shop on the stock stack: axum's and tonic's own servers, hyper's and tonic's clients.
//!
//! In the clear, which changes nothing here: the hop would end TLS just the same.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::serve::ListenerExt as _;
use http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use meshguard_testing::{FaultHop, Protocol};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tower::ServiceExt as _;

use super::calls::{Caller, PATIENCE};
use super::clients::{HttpClient, client};
use super::desk::Desk;
use super::error::ShopError;
use super::mesh::Stack;
use super::servers::Servers;
use super::services::gateway::{self, Gateway};
use super::services::orders::{self, Orders};
use super::services::payments::{self, Payer};
use super::truth::{Lane, Truth};
use crate::proto::payments_client::PaymentsClient;

/// Starts the shop, with a hop at the same places.
pub(super) async fn start(truth: &Arc<Truth>) -> Result<Stack, ShopError> {
    let mut servers = Servers::new();
    let till = TcpListener::bind("127.0.0.1:0").await?;
    let grpc_hop = hop(till.local_addr()?, Protocol::Http2).await?;
    let serving = Server::builder()
        .add_service(payments::service(truth, &Arc::default()))
        .serve_with_incoming(TcpListenerStream::new(till));
    servers.tasks.spawn(async move { drop(serving.await) });

    let endpoint = Endpoint::from_shared(format!("http://{}", grpc_hop.addr()))?;
    let payer = Payer::new(vec![PaymentsClient::new(client(endpoint.connect_lazy()))], truth);
    let app = Orders { desk: Desk::new(truth, Lane::of_order), payer };
    let orders_at = serve(&mut servers, orders::router(app)).await?;

    let h2_hop = hop(orders_at, Protocol::Http2).await?;
    let h1_hop = hop(orders_at, Protocol::Http1).await?;
    let caller = |hop: &FaultHop, lane| {
        let client = hyper_client(hop.addr(), lane == Lane::H2);
        Caller { lane, client, truth: Arc::clone(truth), patience: PATIENCE }
    };
    let (h2, h1) = (caller(&h2_hop, Lane::H2), caller(&h1_hop, Lane::H1));
    let app = Gateway { desk: Desk::new(truth, |_| Lane::Front), h2, h1 };
    let gateway_at = serve(&mut servers, gateway::router(app)).await?;
    Ok(Stack {
        shopper: hyper_client(gateway_at, true),
        hops: [(Lane::H2, h2_hop), (Lane::H1, h1_hop), (Lane::Grpc, grpc_hop)]
            .map(|(lane, hop)| (lane, Arc::new(hop)))
            .into(),
        callers: Vec::new(),
        doors: Vec::new(),
        town: None,
        servers,
    })
}

async fn serve(servers: &mut Servers, app: axum::Router) -> Result<SocketAddr, ShopError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    // Slow at worst, where the system refuses.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    servers.tasks.spawn(async move { drop(axum::serve(listener, app).await) });
    Ok(addr)
}

async fn hop(upstream: SocketAddr, protocol: Protocol) -> Result<FaultHop, ShopError> {
    Ok(FaultHop::builder(upstream).plain(protocol).start().await?)
}

/// hyper's pooled client, of requests that name their path only.
fn hyper_client(to: SocketAddr, h2: bool) -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool = Client::builder(TokioExecutor::new()).http2_only(h2).build::<_, Body>(connector);
    client(pool.map_request(move |mut request: Request<Body>| {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        // An address and a path that was one already make a URI.
        *request.uri_mut() = format!("http://{to}{path}").parse().unwrap_or_default();
        request
    }))
}
