//! A caller, a hop that misbehaves, and a callee, all in one process; and what they say.

// Each test binary uses some of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod app;
pub mod documented;
pub mod grpc;
pub mod http;
pub mod net;
pub mod restarting;
pub mod revoking;
pub mod stock;
pub mod tell;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh, Policy, SpiffeId};
use meshguard_testing::{DevCa, Fault, FaultHop, Injected};

use self::app::App;
use self::tell::Told;

pub const CALLER: SpiffeId = SpiffeId::from_static("spiffe://faults.example/checkout");
pub const CALLEE: SpiffeId = SpiffeId::from_static("spiffe://faults.example/orders");
pub const HOP: SpiffeId = SpiffeId::from_static("spiffe://faults.example/hop");

pub const MAC: &str = "[[delivery]]\nseal = false\n";
pub const SEALED: &str = "[[delivery]]\nseal = true\n";
/// Both suites over the hop.
pub const SUITES: [&str; 2] = [MAC, SEALED];

const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test instead of hanging it.
pub async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// Waits for what comes about with time.
pub async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The authority that all of this process share.
pub fn ca() -> DevCa {
    meshguard_axum::dev::shared(CALLER.trust_domain()).unwrap()
}

/// All that [`CALLER`] asks is allowed; [`HOP`] is a hop; and what `more` says.
pub fn policy(more: &str) -> String {
    allowing("", more)
}

/// As [`policy`], with conditions on the rule that allows.
pub fn allowing(when: &str, more: &str) -> String {
    format!(
        "mesh = \"faults.example\"\nversion = 1\nhops = [\"hop\"]\n\
         [peers]\nhop = \"{HOP}\"\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]\n{when}{more}"
    )
}

/// A caller, a hop and a callee, with a channel through the hop.
pub struct Rig {
    pub caller: Mesh,
    pub callee: Mesh,
    pub hop: FaultHop,
    /// Through the hop.
    pub channel: Channel,
    /// What the caller's mesh tells.
    pub at_caller: Told,
    /// What the callee's mesh tells.
    pub at_callee: Told,
    /// What the callee's application saw.
    pub app: App,
    pub addr: SocketAddr,
}

impl Rig {
    pub async fn new(more: &str, alpn: Alpn) -> Self {
        Self::with(&policy(more), alpn).await
    }

    pub async fn with(policy: &str, alpn: Alpn) -> Self {
        let (at_caller, at_callee) = (Told::default(), Told::default());
        let caller = mesh(CALLER, policy, &at_caller);
        let callee = mesh(CALLEE, policy, &at_callee);
        let app = App::default();
        let addr = serve(&callee, &app).await;
        let hop = FaultHop::builder(addr).tls(&ca(), &HOP).unwrap().start().await.unwrap();
        let channel = through(&caller, &hop, alpn);
        Self { caller, callee, hop, channel, at_caller, at_callee, app, addr }
    }

    /// Queues a fault for the next exchange.
    pub fn inject(&self, fault: Fault) {
        self.hop.inject_next(fault);
    }

    pub async fn injected(&self, n: usize) -> Vec<Injected> {
        soon(self.hop.injected(n)).await
    }

    /// Every exchange ends in the books, once, when no future of the test's own is left. An
    /// answer that was dropped is read on to its end in a task.
    pub async fn check_books(&self) {
        soon(async {
            while self.caller.counts().open > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let counts = self.caller.counts();
        assert!(counts.balances(), "{counts:?}");
    }
}

/// Serves the application on a port of its own, until the test's runtime ends.
pub async fn serve(callee: &Mesh, app: &App) -> SocketAddr {
    serving(callee, app).await.0
}

/// As [`serve`], until the task is aborted.
pub async fn serving(callee: &Mesh, app: &App) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr();
    let serve = meshguard_axum::serve(listener, app.router());
    let task = tokio::spawn(async move {
        serve.await.unwrap();
    });
    (addr, task)
}

/// A mesh of a workload with credentials of the shared authority.
pub fn mesh(id: SpiffeId, policy: &str, told: &Told) -> Mesh {
    let policy: Policy = policy.parse().unwrap();
    Mesh::dev(id).unwrap().policy(policy).sink(told.clone()).build().unwrap()
}

/// A channel to [`CALLEE`] through a hop.
pub fn through(caller: &Mesh, hop: &FaultHop, alpn: Alpn) -> Channel {
    let channel = caller.channel(&format!("https://{}", hop.addr()), CALLEE).unwrap();
    channel.via(HOP).protocols(alpn)
}
