//! The books of both sides: every call that was made has ended, and how; every request that was
//! taken has been settled.

use meshguard_axum::Mesh;
use meshguard_axum::core::delivery::Counts;
use serde::Serialize;

use super::mesh::Callers;
use super::truth::Truth;

/// The calls of one caller, and how they ended.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Books {
    /// Whose; several processes of a kind are counted together.
    pub caller: &'static str,
    /// Calls that the application made, by its own count.
    pub made: u64,
    /// Exchanges that the mesh began.
    pub begun: u64,
    /// All of the request was confirmed.
    pub delivered: u64,
    /// The callee answered before all of the request had come.
    pub answered_early: u64,
    /// The callee stopped early and said so.
    pub rejected: u64,
    /// The callee proved that it got something else.
    pub failed: u64,
    /// Nothing reached the callee's application.
    pub not_delivered: u64,
    /// Nobody can say.
    pub indeterminate: u64,
    /// Not ended.
    pub open: u64,
    /// Whether all this adds up, and agrees with the application's count.
    pub balances: bool,
}

/// The requests that one callee has accepted, and what became of them.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CalleeBooks {
    /// Whose.
    pub callee: &'static str,
    /// Proven requests, each of them once.
    pub accepted: u64,
    /// Answered, refused, or given up.
    pub settled: u64,
    /// Not dealt with.
    pub open: u64,
    /// Whether all this adds up, and nothing is open.
    pub balances: bool,
}

impl CalleeBooks {
    pub(super) fn of(callee: &'static str, mesh: &Mesh) -> Self {
        let books = mesh.accepted();
        let balances = books.balances() && books.open == 0;
        let (accepted, settled, open) = (books.accepted, books.settled, books.open);
        Self { callee, accepted, settled, open, balances }
    }
}

/// The books of these callers, beside what their applications count.
pub(super) fn of_callers(callers: &Callers, truth: &Truth) -> Books {
    let made: u64 = callers.lanes.iter().map(|lane| truth.tally(*lane).sent).sum();
    let each: Vec<Counts> = callers.meshes.iter().map(Mesh::counts).collect();
    let mut sum = Counts::default();
    each.iter().for_each(|counts| sum += *counts);
    Books {
        caller: callers.name,
        made,
        begun: sum.begun,
        delivered: sum.delivered,
        answered_early: sum.answered_early,
        rejected: sum.rejected,
        failed: sum.failed,
        not_delivered: sum.not_delivered,
        indeterminate: sum.indeterminate,
        open: sum.open,
        balances: each.iter().all(Counts::balances) && sum.open == 0 && sum.begun == made,
    }
}
