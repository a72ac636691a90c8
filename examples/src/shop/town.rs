//! Those around the shop who call orders directly: a dozen branch offices, batch, an intern, and
//! a thief who has batch's credential.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meshguard_axum::{Mesh, SpiffeId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::calls::{Ask, Caller};
use super::clients::{HttpClient, client};
use super::error::ShopError;
use super::goods;
use super::ids::{BATCH, BRANCHES, INTERN, ORDERS};
use super::member::Founder;
use super::mesh::Callers;
use super::rng::Rng;
use super::services::payments::Health;
use super::truth::{Lane, Op, Truth};

/// Between two calls of a branch office.
const BRANCH: Duration = Duration::from_millis(150);
/// Between two calls of batch.
const STEADY: Duration = Duration::from_millis(25);
/// Letters in the note of an order of batch.
const NOTE: u64 = 1_000;
/// Callers wait so long for orders.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those who call orders directly.
pub(super) struct Town {
    pub(super) branches: Vec<Resident>,
    pub(super) batch: Resident,
    /// Another process, with batch's credential.
    pub(super) thief: Resident,
    pub(super) intern: Resident,
    pub(super) orders_at: SocketAddr,
    /// Of the second instance of payments.
    pub(super) health: Arc<Health>,
}

/// One process that calls orders.
#[derive(Clone)]
pub(super) struct Resident {
    mesh: Mesh,
    pub(super) client: HttpClient,
    lane: Lane,
}

impl Town {
    pub(super) fn found(
        founder: &Founder,
        orders_at: SocketAddr,
        health: Arc<Health>,
    ) -> Result<Self, ShopError> {
        let resident = |name, id: &SpiffeId, lane| {
            let mesh = founder.mesh(name, id)?;
            let channel = mesh.channel(&format!("https://{orders_at}"), ORDERS)?;
            Ok::<_, ShopError>(Resident { mesh, client: client(channel), lane })
        };
        let branches = BRANCHES.iter().map(|id| resident("branch", id, Lane::Branch));
        Ok(Self {
            branches: branches.collect::<Result<_, _>>()?,
            batch: resident("batch", &BATCH, Lane::Batch)?,
            thief: resident("thief", &BATCH, Lane::Batch)?,
            intern: resident("intern", &INTERN, Lane::Intern)?,
            orders_at,
            health,
        })
    }

    /// Whose books are compared with the lanes.
    pub(super) fn callers(&self) -> [Callers; 3] {
        let callers = |name, lane, residents: &[&Resident]| {
            let meshes = residents.iter().map(|r| r.mesh.clone()).collect();
            Callers { name, lanes: vec![lane], meshes }
        };
        let branches: Vec<&Resident> = self.branches.iter().collect();
        [
            callers("branches", Lane::Branch, &branches),
            callers("batch", Lane::Batch, &[&self.batch, &self.thief]),
            callers("intern", Lane::Intern, &[&self.intern]),
        ]
    }
}

impl Resident {
    /// Its calls, in the books of all applications.
    pub(super) fn caller(&self, truth: &Arc<Truth>) -> Caller {
        let (client, truth) = (self.client.clone(), Arc::clone(truth));
        Caller { lane: self.lane, client, truth, patience: PATIENCE }
    }
}

/// The residents' honest work.
pub(super) struct Work {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Work {
    pub(super) fn start(town: &Town, truth: &Arc<Truth>, seed: u64) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for (n, resident) in (0..).zip(town.branches.iter().chain([&town.intern])) {
            let (caller, rng) = (resident.caller(truth), Rng::new(seed, 0xb_0000 + n));
            tasks.spawn(read(caller, n, rng, stop.subscribe()));
        }
        let rng = Rng::new(seed, 0xc_0000);
        tasks.spawn(order(town.batch.caller(truth), rng, stop.subscribe()));
        Self { tasks, stop }
    }

    /// Lets everybody finish.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Reads one invoice after the other.
async fn read(caller: Caller, reader: u64, mut rng: Rng, stop: watch::Receiver<bool>) {
    for number in 0_u64.. {
        sleep(around(BRANCH, &mut rng)).await;
        if *stop.borrow() {
            return;
        }
        let order = format!("{}-{reader:02}-{number:06}", caller.lane.short());
        let ask = Ask { op: Op::Invoice, order, if_match: None, range: None, body: Vec::new() };
        // The books have it, however it ends.
        drop(caller.call(ask).await);
    }
}

/// Places one small order after the other.
async fn order(caller: Caller, mut rng: Rng, stop: watch::Receiver<bool>) {
    for number in 0_u64.. {
        sleep(around(STEADY, &mut rng)).await;
        if *stop.borrow() {
            return;
        }
        let length = rng.range(NOTE * 9 / 10, NOTE * 11 / 10);
        drop(caller.call(batch_order(&format!("batch-{number:06}"), length)).await);
    }
}

/// An order with a note of so many letters.
pub(super) fn batch_order(name: &str, letters: u64) -> Ask {
    let note = "n".repeat(usize::try_from(letters).unwrap_or(usize::MAX));
    let order = goods::Order { note, ..goods::order(name) };
    let text = serde_json::to_vec(&order).unwrap_or_default();
    let body = vec![text.into()];
    Ask { op: Op::Order, order: name.to_owned(), if_match: None, range: None, body }
}

/// The thief's haul: a call five times as often as batch, with ten times as long a note.
pub(super) const STOLEN: (Duration, u64) = (Duration::from_millis(5), 10 * NOTE);

/// A fifth more or less.
fn around(time: Duration, rng: &mut Rng) -> Duration {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.range(micros * 4 / 5, micros * 6 / 5))
}
