//! Looks through what is open after each change.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, Weak};

use meshguard_core::{Policy, SpiffeId};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::docket::Docket;
use super::{Cause, Change, Trigger, Whom};
use crate::connection::Connection;
use crate::inbound::Exchange;
use crate::listener::{Standing, WeakConnections};
use crate::mesh::{Mesh, Shared};

/// Judges again after every change, until the mesh is gone.
pub(crate) async fn drive(mesh: Weak<Shared>) {
    let Some(wake) = mesh.upgrade().map(|mesh| Arc::clone(&mesh.rejudge.wake)) else { return };
    let mut docket = Docket::default();
    let mut next = None;
    loop {
        tokio::select! {
            biased;
            () = wake.notified() => {}
            () = until(next) => {}
        }
        let Some(mesh) = mesh.upgrade().map(Mesh) else { return };
        let waiting = mesh.0.rejudge.take();
        if !waiting.is_empty() {
            let batch = Batch::new(waiting);
            walk(&mesh, &batch, &mut docket).await;
            docket.tidy();
        }
        next = docket.turn(&mesh, mesh.0.rejudge.settings.cap);
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Changes that are dealt with together, by what is in force behind the last of them.
struct Batch {
    /// The first that concerns everybody.
    all: Option<Arc<Change>>,
    /// Those that concern some callers.
    some: Vec<(HashSet<SpiffeId>, Arc<Change>)>,
    /// Further ones, which are done with this walk.
    _rest: Vec<Arc<Change>>,
}

impl Batch {
    fn new(waiting: Vec<Trigger>) -> Self {
        let (mut all, mut some, mut rest) = (None, Vec::new(), Vec::new());
        for Trigger { change, whom } in waiting {
            match whom {
                Whom::Only(callers) => some.push((callers.into_iter().collect(), change)),
                Whom::All if all.is_none() => all = Some(change),
                Whom::All => rest.push(change),
            }
        }
        Self { all, some, _rest: rest }
    }

    /// On whose account a request of `caller` is to be judged, if at all.
    fn change_for(&self, caller: &SpiffeId) -> Option<&Arc<Change>> {
        let some = self.some.iter().find(|(callers, _)| callers.contains(caller));
        some.map(|(_, change)| change).or(self.all.as_ref())
    }
}

async fn walk(mesh: &Mesh, batch: &Batch, docket: &mut Docket) {
    let (mut cursor, mut found) = (Default::default(), Vec::new());
    loop {
        let more = mesh.0.rejudge.streams.next(&mut cursor, &mut found);
        for exchange in found.drain(..) {
            judge(mesh, batch, docket, &exchange);
        }
        if !more {
            break;
        }
        tokio::task::yield_now().await;
    }
    if let Some(change) = &batch.all {
        connections(mesh, change, docket).await;
    }
}

fn judge(mesh: &Mesh, batch: &Batch, docket: &mut Docket, exchange: &Arc<Exchange>) {
    let Some(change) = batch.change_for(exchange.principal.id()) else { return };
    change.has_judged();
    let at_once = change.cause() != Cause::Policy;
    match exchange.judge_again(mesh) {
        Ok(()) => exchange.ending.spare(),
        Err(lost) if at_once || !lost.by_policy => exchange.end(mesh, change, lost),
        Err(_) => docket.add_stream(exchange, change, &mesh.0.rejudge.settings),
    }
}

/// Closes the connections whose peers may do nothing any more.
async fn connections(mesh: &Mesh, change: &Arc<Change>, docket: &mut Docket) {
    let (shared, policy) = (mesh.clone(), mesh.policy());
    // Off the runtime's threads: there may be as many as there are rules, times thousands.
    let judged = spawn_blocking(move || judge_connections(&shared, &policy)).await;
    match judged {
        Ok(doomed) => doomed.into_iter().for_each(|connection| {
            docket.add_connection(connection, change, &mesh.0.rejudge.settings);
        }),
        Err(error) => {
            tracing::error!(target: "meshguard::decision", %error, "connections were not judged");
        }
    }
}

/// Judges each live connection's peer; those whose peers may do nothing.
fn judge_connections(mesh: &Mesh, policy: &Policy) -> Vec<Connection> {
    let live: Vec<_> = {
        let listeners = mesh.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().flat_map(WeakConnections::all).collect()
    };
    let mut known = HashMap::new();
    let mut doomed = Vec::new();
    for connection in live {
        let peer = connection.peer().id().clone();
        let standing = match known.get(&peer) {
            Some(standing) => *standing,
            None => Standing::of(&peer, mesh.id(), policy),
        };
        known.insert(peer, standing);
        connection.stands(standing);
        match standing {
            Standing::Nothing => doomed.push(connection),
            Standing::Caller | Standing::Hop => connection.spare(),
        }
    }
    doomed
}
