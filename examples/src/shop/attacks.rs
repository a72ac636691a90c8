//! What is done to the shop, and what its loop is to do about it.

mod intruder;
mod outside;
mod sick;
mod slow;
mod stolen;
mod storm;
mod truncating;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshguard_axum::SpiffeId;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::reflex::Signal;
use meshguard_testing::FaultHop;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::journal::{Kind, Step};
use super::town::Town;
use super::truth::{Lane, Truth};

/// What an attacker has begun may take so long to end.
const ENDING: Duration = Duration::from_secs(6);

/// An attack on the shop, or an accident of it.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// In one line.
    pub(super) about: &'static str,
    /// Whose loop is to see it.
    pub(super) service: &'static str,
    /// On which edge.
    pub(super) target: Target,
    /// By one of which signals.
    pub(super) signals: &'static [Signal],
    pub(super) cure: Cure,
    /// Whose calls may be refused: those of the attacker's own identity.
    pub(super) suspects: &'static [Lane],
    /// Where calls may fail, which is not the loop's doing.
    pub(super) disturbs: &'static [Lane],
    pub(super) begin: fn(&Scene<'_>) -> Result<Attack, CannotRun>,
}

/// What an attack can reach.
pub(super) struct Scene<'a> {
    pub(super) town: &'a Town,
    pub(super) hops: &'a [(Lane, Arc<FaultHop>)],
    pub(super) truth: &'a Arc<Truth>,
    pub(super) seed: u64,
}

/// Of whom the edge is that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Caller(SpiffeId),
    Address(IpAddr),
    /// Any instance of this callee; which one it was, is seen by what is called.
    Instance(SpiffeId),
    /// Any hop, in or out.
    Hop,
}

/// How the loop is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// It cuts the edge off in the end.
    Quarantine,
    /// It cuts the edge off, or grants it little enough.
    Restricted,
    /// It tells, and restricts nobody.
    Told,
}

/// An attack under way.
pub(super) struct Attack {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    tries: Arc<Tries>,
    /// Undoes what no task does.
    after: Option<Box<dyn FnOnce() + Send>>,
}

/// What an attacker tried, and when it got through.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<(u64, Vec<Instant>)>);

/// Why an attack was not run.
#[derive(Clone, Debug)]
pub(super) struct CannotRun(pub(super) String);

/// All of them, in the order in which they are run.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        truncating::scenario(),
        storm::scenario(),
        outside::scenario(),
        slow::scenario(),
        stolen::scenario(),
        sick::scenario(),
    ]
}

impl Scenario {
    /// Whether this step is about the attacker.
    pub(super) fn concerns(&self, step: &Step) -> bool {
        match (&self.target, &step.edge) {
            (Target::Hop, edge) => matches!(edge, EdgeKey::HopIn(_) | EdgeKey::HopOut(_)),
            (Target::Caller(id), EdgeKey::Caller(of))
            | (Target::Instance(id), EdgeKey::Callee { id: of, .. }) => {
                id == of && step.service == self.service
            }
            (Target::Address(addr), EdgeKey::Address(of)) => {
                addr == of && step.service == self.service
            }
            _ => false,
        }
    }
}

impl Cure {
    /// Whether an action of this kind is what is wanted.
    pub(super) fn is(self, kind: Kind) -> bool {
        match self {
            Self::Quarantine => kind == Kind::Quarantine,
            Self::Restricted => kind.restricts(),
            Self::Told => true,
        }
    }
}

impl Attack {
    fn new() -> Self {
        let (tasks, stop) = (JoinSet::new(), watch::Sender::new(false));
        Self { tasks, stop, tries: Arc::default(), after: None }
    }

    /// What each task of it needs: where it counts, and when it has to end.
    fn task(&self) -> (Arc<Tries>, watch::Receiver<bool>) {
        (Arc::clone(&self.tries), self.stop.subscribe())
    }

    /// Ends it. How often it was tried, and when it got through.
    pub(super) async fn stop(mut self) -> (u64, Vec<Instant>) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(ENDING, ended).await;
        self.tasks.shutdown().await;
        if let Some(after) = self.after.take() {
            after();
        }
        self.tries.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tries {
    fn tried(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    fn got_through(&self) {
        self.got_through_at(Instant::now());
    }

    fn got_through_at(&self, at: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push(at);
    }
}

/// A loopback address that nobody else uses.
const fn loopback(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}
