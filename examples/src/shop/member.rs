//! How a process of the shop becomes a member of the mesh.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshguard_axum::core::baseline::Settings;
use meshguard_axum::core::control::{Cadence, Event};
use meshguard_axum::ledger::Ledger;
use meshguard_axum::limits::Limits;
use meshguard_axum::{Call, Direction, Finding, Mesh, Policy, Sink, SpiffeId};

use super::error::ShopError;
use super::ids::{PAYMENTS, lane_of};
use super::journal::Journal;
use super::truth::{End, Lane, Truth};

const POLICY: &str = include_str!("../../shop/policy.toml");
/// A window of a busy edge. In a service: 1 s.
pub(super) const BUSY: Duration = Duration::from_millis(200);
/// A window of a quiet edge. In a service: 10 s.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// So much makes an edge busy. In a service: 50.
pub(super) const CALLS: u64 = 10;
/// Windows before an edge is scored. In a service: 300.
pub(super) const WARM_UP: u32 = 8;
/// A handshake may take so long. In a service: 5 s.
pub(super) const HANDSHAKE: Duration = Duration::from_millis(400);

/// Makes the mesh handle of each process of the shop, and keeps them all.
#[derive(Debug)]
pub(super) struct Founder {
    truth: Arc<Truth>,
    journal: Arc<Journal>,
    ledgers: Option<PathBuf>,
    members: Mutex<Vec<Member>>,
}

/// One process of the shop.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) mesh: Mesh,
    /// Where its ledger is, if it keeps one.
    pub(super) ledger: Option<PathBuf>,
}

impl Founder {
    /// Services keep their ledgers in directories of `ledgers`.
    pub(super) fn new(truth: &Arc<Truth>, journal: &Arc<Journal>, ledgers: Option<&Path>) -> Self {
        let (truth, journal) = (Arc::clone(truth), Arc::clone(journal));
        let ledgers = ledgers.map(Path::to_owned);
        Self { truth, journal, ledgers, members: Mutex::default() }
    }

    /// A process with this identity that keeps a ledger.
    pub(super) fn service(&self, name: &'static str, id: &SpiffeId) -> Result<Mesh, ShopError> {
        self.member(name, id, self.ledgers.as_ref().map(|dir| dir.join(name)))
    }

    /// A process with this identity.
    pub(super) fn mesh(&self, name: &'static str, id: &SpiffeId) -> Result<Mesh, ShopError> {
        self.member(name, id, None)
    }

    fn member(
        &self,
        name: &'static str,
        id: &SpiffeId,
        ledger: Option<PathBuf>,
    ) -> Result<Mesh, ShopError> {
        let sink =
            Told { truth: Arc::clone(&self.truth), journal: Arc::clone(&self.journal), name };
        let policy: Policy = POLICY.parse()?;
        let mut builder = Mesh::dev(id.clone())?
            .policy(policy)
            .limits(Limits::default().with_handshake_timeout(HANDSHAKE))
            .cadence(Cadence { busy: BUSY, quiet: QUIET, calls: CALLS })
            .baseline(settings())
            .sink(sink);
        if let Some(dir) = &ledger {
            builder = builder.ledger(Ledger::open(dir)?);
        }
        let mesh = builder.build()?;
        let member = Member { name, mesh: mesh.clone(), ledger };
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push(member);
        Ok(mesh)
    }

    /// All processes so far.
    pub(super) fn members(&self) -> Vec<Member> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn truth(&self) -> &Arc<Truth> {
        &self.truth
    }
}

impl Member {
    /// Whether it is one of the shop's own services, and not somebody who calls them.
    pub(super) fn is_service(&self) -> bool {
        ["gateway", "orders", "payments-1", "payments-2"].contains(&self.name)
    }
}

/// Seconds have to do here for what takes a service minutes to learn.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.warm_up = WARM_UP;
    settings
}

/// Writes down what the mesh of one process tells.
struct Told {
    truth: Arc<Truth>,
    journal: Arc<Journal>,
    name: &'static str,
}

impl Sink for Told {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let (via, from) = (finding.edge.via, finding.edge.from);
        // Where nothing proves another caller, it is the hop that called.
        let lane = via.or(from).and_then(lane_of);
        let to_payments = (*finding.edge.to == PAYMENTS).then_some(Lane::Grpc);
        let end = match finding.direction {
            Direction::Inbound => End::Callee,
            Direction::Outbound => End::Caller,
        };
        self.truth.found(lane.or(to_payments).unwrap_or(Lane::Front), end, finding.name);
    }

    fn event(&self, event: &Event) {
        self.journal.hear(self.name, event);
    }
}
