//! The ways over which each case is tried: this mesh, direct and through a hop, in clear and
//! sealed; and stock tonic as the control.

use std::future::Future;

use futures_util::FutureExt as _;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{BoxError, Mesh};
use meshguard_testing::FaultHop;
use tonic::body::Body;
use tower::util::BoxCloneService;
use tower::{ServiceExt as _, service_fn};

use super::proto::interop_client::InteropClient;
use super::server::Server;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, MAC, SEALED, soon, stock};

/// Any channel, for a generated client.
pub(super) type Wire = BoxCloneService<http::Request<Body>, http::Response<Body>, BoxError>;

/// Findings that no call of these cases may cause: each blames a peer or the path.
const BLAME: [&str; 18] = [
    "bad-proof",
    "bad-tag",
    "bytes-after-fin",
    "digest",
    "divergence",
    "duplicate",
    "field",
    "long",
    "malformed-fin",
    "message",
    "message-too-large",
    "not-a-record",
    "not-admitted",
    "record-length",
    "session-ended",
    "too-long",
    "unproven",
    "wrong-totals",
];

/// A client over one way, and the service that it calls.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) wire: Wire,
    pub(super) server: Server,
    pub(super) is_stock: bool,
}

impl Way {
    pub(super) fn client(&self) -> InteropClient<Wire> {
        InteropClient::new(self.wire.clone())
    }
}

/// Tries a case over every way; fails with the name of each way that it failed over.
pub(super) async fn each<F>(case: impl Fn(Way) -> F)
where
    F: Future<Output = ()>,
{
    let mut failed = Vec::new();
    if let Err(why) = attempt(case(stock_way().await)).await {
        failed.push(format!("over stock: {why}"));
    }
    for (suite, more) in [("mac", MAC), ("seal", SEALED)] {
        for hop in [false, true] {
            let name = if hop { ".via" } else { "direct" };
            if let Err(why) = over_mesh(more, hop, &case).await {
                failed.push(format!("over {name}, {suite}: {why}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn stock_way() -> Way {
    let server = Server::default();
    let addr = stock::serve(server.router()).await;
    let channel = stock::channel(addr);
    let wire = service_fn(move |request| {
        let calling = channel.clone().oneshot(request);
        async { Ok::<_, BoxError>(calling.await?) }
    });
    Way { wire: BoxCloneService::new(wire), server, is_stock: true }
}

async fn over_mesh<F: Future<Output = ()>>(
    more: &str,
    through: bool,
    case: impl Fn(Way) -> F,
) -> Result<(), String> {
    let (policy, server) = (rig::policy(more), Server::default());
    let (at_caller, at_callee) = (Told::default(), Told::default());
    let caller = rig::mesh(CALLER, &policy, &at_caller);
    let callee = rig::mesh(CALLEE, &policy, &at_callee);
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr();
    let serve = meshguard_axum::serve(listener, server.router());
    let serving = tokio::spawn(async move { serve.await.unwrap() });
    let hop = FaultHop::builder(addr).tls(&rig::ca(), &HOP).unwrap().start().await.unwrap();
    let near = if through { hop.addr() } else { addr };
    let channel = caller.channel(&format!("https://{near}"), CALLEE).unwrap();
    let channel = if through { channel.via(HOP) } else { channel };
    let channel = channel.protocols(Alpn::H2);
    let wire = service_fn(move |request: http::Request<Body>| {
        let calling = channel.clone().oneshot(request);
        async { Ok::<_, BoxError>(calling.await?.map(Body::new)) }
    });
    let way = Way { wire: BoxCloneService::new(wire), server, is_stock: false };
    let ended = match attempt(case(way)).await {
        Ok(()) => attempt(settled(&caller, [&at_caller, &at_callee])).await,
        failed => failed,
    };
    serving.abort();
    ended
}

/// The books balance, and nobody is blamed.
async fn settled(caller: &Mesh, told: [&Told; 2]) {
    soon(async {
        while caller.counts().open > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    let counts = caller.counts();
    assert!(counts.balances(), "{counts:?}");
    let findings = told.iter().flat_map(|told| told.all());
    let blame: Vec<_> = findings.filter(|f| BLAME.contains(&f.name.as_str())).collect();
    assert!(blame.is_empty(), "{blame:?}");
}

/// What a panic says, as an error.
async fn attempt(what: impl Future<Output = ()>) -> Result<(), String> {
    let caught = std::panic::AssertUnwindSafe(what).catch_unwind().await;
    caught.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast_ref::<&str>().map_or("a panic".into(), ToString::to_string),
    })
}
