//! A callee whose loop is quick, a hop, and several callers behind it.

use std::net::SocketAddr;
use std::time::Duration;

use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::{Cadence, Event};
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::ledger::Ledger;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh, Policy, SpiffeId};
use meshguard_testing::FaultHop;

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, HOP, http};

pub const HONEST: SpiffeId = SpiffeId::from_static("spiffe://faults.example/honest");
pub const WICKED: SpiffeId = SpiffeId::from_static("spiffe://faults.example/wicked");

/// Windows of 20 ms with ten calls in them.
pub const QUICK: Cadence =
    Cadence { busy: Duration::from_millis(20), quiet: Duration::from_millis(200), calls: 10 };

/// One who calls outside of intent is cut off.
pub const OUTSIDE_INTENT: &str = r#"
    [[reflex]]
    name = "outside-intent"
    on = { signal = "refusals", false_alarms = "1 in 1 min", scope = "caller" }
    do = ["quarantine"]
    ttl = "1h"
    [governor]
    max_share = 0.5
    min_peers = 2
    min_calls = 10
"#;

pub struct Mall {
    pub callee: Mesh,
    pub hop: FaultHop,
    pub addr: SocketAddr,
    pub app: App,
    pub at_callee: Told,
    pub ledger: Ledger,
}

/// All but `/forbidden` is allowed.
pub fn policy(more: &str) -> String {
    format!(
        "mesh = \"faults.example\"\nversion = 1\nhops = [\"hop\"]\n\
         [peers]\nhop = \"{HOP}\"\ncallers = \"spiffe://faults.example/*\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"callers\"]\n\
         http = [\"* /take\", \"* /known/{{n}}\", \"* /stream/{{n}}\"]\n\
         grpc = [\"faults.Items/*\"]\n{more}"
    )
}

impl Mall {
    pub async fn new(more: &str) -> Self {
        let (at_callee, app) = (Told::default(), App::default());
        let ledger = Ledger::memory().unwrap();
        let policy: Policy = policy(more).parse().unwrap();
        let builder = Mesh::dev(CALLEE).unwrap().policy(policy).sink(at_callee.clone());
        let callee = builder.ledger(ledger.clone()).cadence(QUICK).build().unwrap();
        let addr = rig::serve(&callee, &app).await;
        let hop = FaultHop::builder(addr).tls(&rig::ca(), &HOP).unwrap().start().await.unwrap();
        Self { callee, hop, addr, app, at_callee, ledger }
    }

    pub fn caller(&self, id: SpiffeId) -> Mesh {
        let policy: Policy = policy("").parse().unwrap();
        Mesh::dev(id).unwrap().policy(policy).build().unwrap()
    }

    pub fn through_hop(&self, caller: &Mesh) -> Channel {
        rig::through(caller, &self.hop, Alpn::H2)
    }

    pub fn direct(&self, caller: &Mesh) -> Channel {
        caller.channel(&format!("https://{}", self.addr), CALLEE).unwrap()
    }

    /// Calls until the callee has measured `caller`.
    pub async fn make_known(&self, caller: &SpiffeId, channel: &Channel) {
        let key = EdgeKey::Caller(caller.clone());
        rig::soon(async {
            while !self.callee.edges().iter().any(|edge| edge.edge == key) {
                http::call(channel, http::get("/known/10")).await.answer();
            }
        })
        .await;
    }

    /// Calls what policy forbids until the loop cuts `caller` off.
    pub async fn misbehave(&self, caller: &SpiffeId, channel: &Channel) {
        let calls = async {
            loop {
                // Once it is cut off, the session is gone, and the call an error.
                let _ = http::call(channel, http::get("/forbidden")).await;
            }
        };
        tokio::select! {
            () = calls => {}
            _ = self.quarantined(caller) => {}
        }
    }

    /// Waits until the loop cuts `caller` off.
    pub async fn quarantined(&self, caller: &SpiffeId) -> Event {
        let key = EdgeKey::Caller(caller.clone());
        let cut_off = move |event: &Event| matches!(event, Event::Applied(a) if a.edge == key && a.kind == ActionKind::Quarantine);
        self.at_callee.wait_event(cut_off).await
    }
}
