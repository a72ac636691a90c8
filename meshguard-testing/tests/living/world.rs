//! A callee whose policy changes, and a caller that has something open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use meshguard_axum::rejudge::{Rejudged, Rejudgement, Rejudging};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh, Policy};
use meshguard_testing::FaultHop;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::rig::app::App;
use crate::rig::grpc::{self, Item, Numbers};
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, soon};

/// What the issue asks for.
pub const AT_MOST: Duration = Duration::from_millis(100);

/// The caller may do everything.
pub const ALL: &str = "";
/// All but gRPC.
pub const NO_STREAMS: &str = "http = [\"* /known/{n}\", \"* /take\"]\n";
/// The caller may do nothing, and somebody else something.
pub const NOTHING: &str = "to = [\"elsewhere\"]\n";

/// What the caller may, and what else there is to say.
pub fn policy(version: u64, rule: &str, more: &str) -> Policy {
    let elsewhere = match rule {
        NOTHING => "elsewhere = \"spiffe://faults.example/elsewhere\"\n",
        _ => "",
    };
    let text = format!(
        "mesh = \"faults.example\"\nversion = {version}\nhops = [\"hop\"]\n\
         [peers]\nhop = \"{HOP}\"\ncaller = \"{CALLER}\"\n{elsewhere}\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]\n{rule}{more}"
    );
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub struct World {
    pub callee: Mesh,
    pub caller: Mesh,
    pub told: Told,
    pub app: App,
    pub addr: SocketAddr,
    pub hop: FaultHop,
    pub rejudged: watch::Receiver<Rejudged>,
    more: &'static str,
}

impl World {
    /// A callee of version 1, by which the caller may do everything.
    pub async fn new() -> Self {
        Self::with("", Rejudging::default()).await
    }

    pub async fn with(more: &'static str, rejudging: Rejudging) -> Self {
        let (told, app) = (Told::default(), App::default());
        let builder = Mesh::dev(CALLEE).unwrap().policy(policy(1, ALL, more));
        let callee = builder.sink(told.clone()).rejudging(rejudging).build().unwrap();
        let caller = Mesh::dev(CALLER).unwrap().policy(policy(1, ALL, more)).build().unwrap();
        let addr = rig::serve(&callee, &app).await;
        let hop = FaultHop::builder(addr).tls(&rig::ca(), &HOP).unwrap().start().await.unwrap();
        let rejudged = callee.rejudged();
        Self { callee, caller, told, app, addr, hop, rejudged, more }
    }

    pub fn direct(&self) -> Channel {
        self.caller.channel(&format!("https://{}", self.addr), CALLEE).unwrap()
    }

    pub fn through_hop(&self) -> Channel {
        rig::through(&self.caller, &self.hop, Alpn::H2)
    }

    pub fn swap(&self, version: u64, rule: &str) {
        self.callee.set_policy(policy(version, rule, self.more));
    }

    /// Waits until so many changes are done; what the last one came to.
    pub async fn done(&mut self, changes: u64) -> Rejudgement {
        let done = soon(self.rejudged.wait_for(|all| all.changes >= changes)).await;
        done.unwrap().last.clone().unwrap()
    }
}

/// A stream that is open both ways until its sender is dropped.
pub struct Open {
    items: mpsc::UnboundedSender<Item>,
    back: JoinHandle<(Numbers, Instant)>,
}

impl Open {
    pub async fn new(channel: &Channel, app: &App) -> Self {
        let (items, sent) = mpsc::unbounded_channel();
        let sent = futures_util::stream::unfold(sent, |mut sent| async move {
            sent.recv().await.map(|item| (item, sent))
        });
        let numbers = grpc::bidi(channel.clone(), sent.boxed());
        let back = tokio::spawn(async move { (numbers.await, Instant::now()) });
        items.send(Item { number: 1 }).unwrap();
        soon(app.called()).await;
        Self { items, back }
    }

    /// Waits for its end: what came, how it ended, and when.
    pub async fn ended(self) -> (Numbers, Instant) {
        soon(self.back).await.unwrap()
    }

    /// Sends one more and ends; whether all of it came back.
    pub async fn ends_well(self) -> bool {
        let sent = self.items.send(Item { number: 2 }).is_ok();
        drop(self.items);
        let ((numbers, end), _) = soon(self.back).await.unwrap();
        sent && end.is_ok() && numbers == [1, 2]
    }
}
