//! A callee that went and came back: calls renew their session, whatever their kind.

mod drain;
mod ends;
mod hinted;
mod probes;
mod refused;
mod restart;
pub(crate) mod shapes;

use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh};
use meshguard_testing::FaultHop;
use tokio::task::JoinHandle;

use crate::rig::app::App;
use crate::rig::net::Balancer;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP};

/// A callee that can restart, in one place as its callers see it.
struct Restarting {
    policy: String,
    callee: Mesh,
    app: App,
    told: Told,
    serving: JoinHandle<()>,
    place: Balancer,
}

impl Restarting {
    async fn new(more: &str) -> Self {
        let (policy, app, told) = (rig::policy(more), App::default(), Told::default());
        let callee = rig::mesh(CALLEE, &policy, &told);
        let (addr, serving) = rig::serving(&callee, &app).await;
        let place = Balancer::new(vec![addr]).await;
        Self { policy, callee, app, told, serving, place }
    }

    async fn restart(&mut self) {
        self.callee = rig::mesh(CALLEE, &self.policy, &self.told);
        let (addr, serving) = rig::serving(&self.callee, &self.app).await;
        let before = std::mem::replace(&mut self.serving, serving);
        self.place.move_to(addr);
        before.abort();
        let _ = before.await;
        self.place.deserted().await;
    }

    fn caller(&self) -> Mesh {
        rig::mesh(CALLER, &self.policy, &Told::default())
    }

    fn direct(&self, caller: &Mesh, alpn: Alpn) -> Channel {
        let channel = caller.channel(&format!("https://{}", self.place.addr), CALLEE);
        channel.unwrap().protocols(alpn)
    }

    async fn hop(&self) -> FaultHop {
        let hop = FaultHop::builder(self.place.addr).tls(&rig::ca(), &HOP).unwrap();
        hop.start().await.unwrap()
    }
}
