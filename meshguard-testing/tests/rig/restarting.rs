//! A callee that went and came back.

use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh};
use meshguard_testing::FaultHop;
use tokio::task::JoinHandle;

use super::app::App;
use super::net::Balancer;
use super::tell::Told;
use super::{CALLEE, CALLER, HOP};

/// A callee that can restart, in one place as its callers see it.
pub struct Restarting {
    pub policy: String,
    pub callee: Mesh,
    pub app: App,
    /// What its meshes tell, before the restart and after it.
    pub told: Told,
    pub serving: JoinHandle<()>,
    pub place: Balancer,
}

impl Restarting {
    /// `more` is what its policy says beyond [`policy`](super::policy).
    pub async fn new(more: &str) -> Self {
        let (policy, app, told) = (super::policy(more), App::default(), Told::default());
        let callee = super::mesh(CALLEE, &policy, &told);
        let (addr, serving) = super::serving(&callee, &app).await;
        let place = Balancer::new(vec![addr]).await;
        Self { policy, callee, app, told, serving, place }
    }

    /// The next instance takes its place; the former one's connections end.
    pub async fn restart(&mut self) {
        self.callee = super::mesh(CALLEE, &self.policy, &self.told);
        let (addr, serving) = super::serving(&self.callee, &self.app).await;
        let before = std::mem::replace(&mut self.serving, serving);
        self.place.move_to(addr);
        before.abort();
        let _ = before.await;
        self.place.deserted().await;
    }

    pub fn caller(&self) -> Mesh {
        super::mesh(CALLER, &self.policy, &Told::default())
    }

    pub fn direct(&self, caller: &Mesh, alpn: Alpn) -> Channel {
        let channel = caller.channel(&format!("https://{}", self.place.addr), CALLEE);
        channel.unwrap().protocols(alpn)
    }

    pub async fn hop(&self) -> FaultHop {
        let hop = FaultHop::builder(self.place.addr).tls(&super::ca(), &HOP).unwrap();
        hop.start().await.unwrap()
    }
}
