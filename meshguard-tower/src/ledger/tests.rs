//! What the ledger promises; and for each promise a seeded defect that breaks it.

mod crash;
mod damage;
mod disk;
mod flows;
mod memory;
mod off;
mod retain;
pub(crate) mod rig;
mod tail;
mod writer;

/// What can be broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A directory that is open elsewhere is opened.
    NoLock,
    /// A torn tail stays in the file.
    KeepTornTail,
    /// What was lost is not recorded.
    ForgetGap,
    /// A flush comes back before the checkpoint is durable.
    AcknowledgeEarly,
    /// A write that failed is tried again.
    TryAgain,
    /// Whatever lies behind the last checkpoint is adopted.
    AdoptAll,
    /// Nobody waits for the writer's end.
    LeaveThread,
}
