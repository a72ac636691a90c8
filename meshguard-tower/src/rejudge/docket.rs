//! What is to be ended, and when.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::{Change, LINGER, Rejudging, TURN};
use crate::connection::Connection;
use crate::inbound::Exchange;
use crate::mesh::Mesh;

/// What a policy has denied, until it is ended; and connections that were told to finish.
#[derive(Default)]
pub(super) struct Docket {
    streams: VecDeque<Due<Weak<Exchange>>>,
    connections: VecDeque<Due<Connection>>,
    leaving: VecDeque<(Instant, Connection)>,
    /// A turn that ended all that it may is not followed at once by another one.
    rests: Option<Instant>,
}

/// In the order of their times: every change has the same grace.
struct Due<T> {
    at: Instant,
    what: T,
    change: Arc<Change>,
}

impl Docket {
    /// Denied by a change of policy.
    pub(super) fn add_stream(
        &mut self,
        exchange: &Arc<Exchange>,
        change: &Arc<Change>,
        grace: &Rejudging,
    ) {
        if exchange.ending.doom(change.number()) {
            let (at, change) = (change.since() + grace.grace, Arc::clone(change));
            self.streams.push_back(Due { at, what: Arc::downgrade(exchange), change });
        }
    }

    /// Its peer may do nothing any more.
    pub(super) fn add_connection(
        &mut self,
        connection: Connection,
        change: &Arc<Change>,
        grace: &Rejudging,
    ) {
        if connection.doom(change.number()) {
            let (at, change) = (change.since() + grace.grace, Arc::clone(change));
            self.connections.push_back(Due { at, what: connection, change });
        }
    }

    /// Forgets those that were spared, or are over.
    pub(super) fn tidy(&mut self) {
        self.streams.retain(|due| {
            let exchange = due.what.upgrade();
            exchange.is_some_and(|e| e.ending.is_doomed_by(due.change.number()))
        });
        self.connections.retain(|due| due.what.is_doomed_by(due.change.number()));
    }

    /// When there is something to do next.
    pub(super) fn next(&self) -> Option<Instant> {
        let streams = self.streams.front().map(|due| due.at);
        let connections = self.connections.front().map(|due| due.at);
        let leaving = self.leaving.front().map(|(at, _)| *at);
        [streams, connections, leaving].into_iter().flatten().min()
    }

    /// Ends what is due, as much as one turn may; when the next turn is, if something is left.
    pub(super) fn turn(&mut self, mesh: &Mesh, cap: usize) -> Option<Instant> {
        let now = Instant::now();
        if let Some(rests) = self.rests.filter(|rests| *rests > now) {
            return Some(rests);
        }
        self.rests = None;
        self.end_streams(mesh, cap, now);
        self.retire_connections(cap, now);
        while self.leaving.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, connection)) = self.leaving.pop_front() {
                connection.close();
            }
        }
        self.rests.or(self.next())
    }

    fn end_streams(&mut self, mesh: &Mesh, cap: usize, now: Instant) {
        let mut left = cap;
        while let Some(due) = due(&mut self.streams, &mut left, now) {
            let Some(exchange) = due.what.upgrade() else { continue };
            if exchange.ending.is_doomed_by(due.change.number()) {
                exchange.ending.spare();
                exchange.end_if_denied(mesh, &due.change);
            }
        }
        self.rest_if(left == 0, now);
    }

    fn retire_connections(&mut self, cap: usize, now: Instant) {
        let mut left = cap;
        while let Some(due) = due(&mut self.connections, &mut left, now) {
            if due.what.is_doomed_by(due.change.number()) && due.what.retire(&due.change) {
                due.change.has_ended_connection();
                self.leaving.push_back((now + LINGER, due.what));
            }
        }
        self.rest_if(left == 0, now);
    }

    fn rest_if(&mut self, full: bool, now: Instant) {
        if full {
            self.rests = Some(now + TURN);
        }
    }
}

fn due<T>(all: &mut VecDeque<Due<T>>, left: &mut usize, now: Instant) -> Option<Due<T>> {
    if *left == 0 || all.front().is_none_or(|due| due.at > now) {
        return None;
    }
    *left -= 1;
    all.pop_front()
}
