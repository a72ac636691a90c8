//! The same decisions by meshguard, cedar-policy, regorus and casbin.
//!
//! [`Workload`] makes rules and calls from a seed, in no engine's language, and says what each
//! call's answer must be. Each engine has a file that writes the rules in its language and
//! prepares the calls in its form; only the decision itself is measured. `../README.md` says what
//! the numbers mean.

mod casbin;
mod cedar;
mod mesh;
mod rego;
mod rounds;
mod workload;

pub use self::casbin::Casbin;
pub use self::cedar::Cedar;
pub use self::mesh::Mesh;
pub use self::rego::Rego;
pub use self::rounds::{Row, Table};
pub use self::workload::{Call, Effect, From, Rule, SIZES, Sample, Segment, Workload};

/// What an engine's start may fail with.
pub type Error = Box<dyn std::error::Error>;

/// An engine with one workload loaded and the calls of one sample prepared.
pub trait Engine {
    /// What the tables call it.
    fn name(&self) -> &'static str;

    /// Decides the sample's calls `from..from + count`, counted around; returns how many it
    /// allowed.
    fn decide(&mut self, from: usize, count: usize) -> usize;
}

/// Decides `calls` in turn, from one on.
fn in_turn<T>(
    calls: &[T],
    from: usize,
    count: usize,
    mut allowed: impl FnMut(&T) -> bool,
) -> usize {
    let (mut at, mut yes) = (from % calls.len(), 0);
    for _ in 0..count {
        yes += usize::from(allowed(&calls[at]));
        at = if at + 1 == calls.len() { 0 } else { at + 1 };
    }
    yes
}

/// All engines, each loaded with the workload's rules and the sample's calls.
///
/// # Errors
/// Where one does not take its form of the rules.
pub fn engines<'w>(
    load: &'w Workload,
    sample: &'w Sample,
) -> Result<Vec<Box<dyn Engine + 'w>>, Error> {
    Ok(vec![
        Box::new(Mesh::new(load, sample)?),
        Box::new(Cedar::new(load, sample)?),
        Box::new(Rego::new(load, sample)?),
        Box::new(Casbin::new(load, sample)?),
    ])
}

/// Asks every engine every call of a sample.
///
/// # Errors
/// Where an engine's answer is not the one that the workload's own linear scan gave.
pub fn agree(engines: &mut [Box<dyn Engine + '_>], sample: &Sample) -> Result<(), Error> {
    for engine in engines {
        for (at, call) in sample.calls.iter().enumerate() {
            if (engine.decide(at, 1) == 1) != call.allowed {
                return Err(format!("{} answers differently: {call:?}", engine.name()).into());
            }
        }
    }
    Ok(())
}
