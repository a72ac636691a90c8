//! Which connection a request gets, and where connections wait for the next one.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::Version;
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::binding::Binding;
use super::connect::Dialer;
use super::{BoxError, ConnectError, Inner, Lease, Pool, h1, h2};
use crate::tls::{Alpn, HandshakeErrorKind};

/// What the shared connecting task came to: a share in the HTTP/2 connection, or `None` where the
/// callee speaks HTTP/1.1 and the connection was parked.
type Outcome<B> = Result<Option<h2::Handle<B>>, ConnectError>;
type Waiting<B> = watch::Receiver<Option<Outcome<B>>>;

pub(crate) struct State<B> {
    h2: Option<h2::Handle<B>>,
    /// The connection used last is at the end.
    idle: Vec<h1::Conn<B>>,
    /// The callee has last agreed to HTTP/1.1.
    speaks_h1: bool,
    connecting: Option<Connecting<B>>,
    reaper: Option<AbortHandle>,
    /// Requests that wait for a place, or for a connection.
    waiting: usize,
}

/// A task that connects for all who wait, whoever of them gives up.
struct Connecting<B> {
    generation: u64,
    outcome: Waiting<B>,
    task: AbortHandle,
}

/// What to do for a connection.
enum Step<B> {
    Use(h2::Handle<B>),
    Join(Waiting<B>),
    /// One of HTTP/1.1.
    Exclusive,
}

enum Dialed<B> {
    H1(h1::Conn<B>),
    H2(h2::Handle<B>),
}

impl<B> State<B> {
    pub(crate) fn new() -> Self {
        let (h2, connecting, reaper) = (None, None, None);
        Self { h2, idle: Vec::new(), speaks_h1: false, connecting, reaper, waiting: 0 }
    }

    /// Takes the shared connection, if it is this one, and those that rest of this session.
    pub(super) fn leave(
        &mut self,
        binding: &Arc<Binding>,
        session: u64,
    ) -> (Option<h2::Handle<B>>, Vec<h1::Conn<B>>) {
        let shared = self.discard(binding);
        let (left, kept) = std::mem::take(&mut self.idle)
            .into_iter()
            .partition(|conn| conn.proof.binding.session() == Some(session));
        self.idle = kept;
        (shared, left)
    }

    /// Takes the shared connection, if it is this one.
    pub(super) fn discard(&mut self, binding: &Arc<Binding>) -> Option<h2::Handle<B>> {
        self.h2.take_if(|h2| Arc::ptr_eq(&h2.proof.binding, binding))
    }

    /// Takes all connections that it keeps.
    pub(super) fn empty(&mut self) -> (Option<h2::Handle<B>>, Vec<h1::Conn<B>>) {
        (self.h2.take(), std::mem::take(&mut self.idle))
    }

    /// Whether no connection is there that could carry a request.
    #[cfg(test)]
    pub(super) fn is_worn(&self) -> bool {
        self.h2.as_ref().is_none_or(h2::Handle::is_closed)
            && self.idle.iter().all(h1::Conn::is_closed)
    }

    /// Drops the connections that can carry no more requests.
    fn prune(&mut self, dialer: &Dialer) {
        let now = Instant::now();
        let idle = dialer.limits.idle;
        self.h2.take_if(|h2| h2.is_closed() || !dialer.is_current(&h2.proof));
        self.idle.retain(|conn| {
            !conn.is_closed()
                && dialer.is_current(&conn.proof)
                && now.saturating_duration_since(conn.since) < idle
        });
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A connection; not one that rested, where `fresh`.
    pub(super) async fn checkout(&self, fresh: bool) -> Result<Lease<B>, ConnectError> {
        loop {
            let step = self.step();
            match step {
                Step::Use(handle) => return Ok(Lease::H2(handle)),
                // Else it was parked, and all know now that it speaks HTTP/1.1.
                Step::Join(outcome) => {
                    if let Some(handle) = joined(outcome).await? {
                        return Ok(Lease::H2(handle));
                    }
                }
                Step::Exclusive => return self.exclusive(fresh).await,
            }
        }
    }

    /// A connection that rests and over which this session was proven, if there is one.
    pub(super) async fn bound_to(&self, session: u64) -> Option<Lease<B>> {
        match self.resting_of(session)? {
            Lease::H1(conn) => match conn.settled().await {
                Some(conn) if conn.is_ready() => {
                    let place = permit(&self.0.places).await.ok()?;
                    Some(Lease::H1(conn.at(Some(place))))
                }
                Some(busy) => {
                    self.0.state().idle.insert(0, busy);
                    None
                }
                None => None,
            },
            shared => Some(shared),
        }
    }

    fn resting_of(&self, session: u64) -> Option<Lease<B>> {
        let mut state = self.0.state();
        state.prune(&self.0.dialer);
        if let Some(h2) = state.h2.as_ref().filter(|h2| h2.proof.binding.session() == Some(session))
        {
            return Some(Lease::H2(h2.clone()));
        }
        let is_bound = |conn: &h1::Conn<B>| conn.proof.binding.session() == Some(session);
        let found = state.idle.iter().rposition(is_bound);
        found.map(|i| Lease::H1(state.idle.remove(i)))
    }

    /// A new connection that nobody shares, for one of the protocol's own requests: it needs no
    /// place, since calls that hold all of them may wait for what it brings.
    pub(crate) async fn apart(&self) -> Result<Lease<B>, ConnectError> {
        let _dial = permit(&self.0.dials).await?;
        Ok(match dial_with(&self.0.dialer, None).await? {
            Dialed::H1(conn) => Lease::H1(conn),
            Dialed::H2(handle) => Lease::H2(handle),
        })
    }

    fn step(&self) -> Step<B> {
        let mut state = self.0.state();
        state.prune(&self.0.dialer);
        if let Some(handle) = &state.h2 {
            return Step::Use(handle.clone());
        }
        match self.0.dialer.target.alpn {
            Alpn::Http11 => Step::Exclusive,
            Alpn::Both if state.speaks_h1 || !state.idle.is_empty() => Step::Exclusive,
            Alpn::Both | Alpn::H2 => Step::Join(self.join(&mut state)),
        }
    }

    /// A connection for one request alone: waits in order for a place, then takes a connection
    /// that rests or makes one, whichever comes first.
    async fn exclusive(&self, fresh: bool) -> Result<Lease<B>, ConnectError> {
        let waiting = Queued::new(&self.0);
        let place = permit(&self.0.places).await?;
        let (mut settle, mut place) = (true, Some(place));
        loop {
            match self.resting(fresh, settle) {
                Resting::Shared(handle) => return Ok(Lease::H2(handle)),
                Resting::Ready(conn) => return Ok(Lease::H1(conn.at(place))),
                Resting::Settling(conn) => {
                    settle = false;
                    match conn.settled().await {
                        Some(conn) if conn.is_ready() => return Ok(Lease::H1(conn.at(place))),
                        Some(busy) => self.0.state().idle.insert(0, busy),
                        None => {}
                    }
                    continue;
                }
                Resting::None => {}
            }
            let dial = tokio::select! {
                biased;
                dial = permit(&self.0.dials) => dial?,
                () = self.0.parked.notified(), if !fresh => continue,
            };
            let dialed = dial_with(&self.0.dialer, place.take()).await;
            drop((dial, waiting));
            return match dialed? {
                Dialed::H1(conn) => Ok(Lease::H1(conn)),
                Dialed::H2(handle) => {
                    self.0.share(handle.clone());
                    Ok(Lease::H2(handle))
                }
            };
        }
    }

    /// Returns what rests, for a request that has a place.
    fn resting(&self, fresh: bool, settle: bool) -> Resting<B> {
        let mut state = self.0.state();
        state.prune(&self.0.dialer);
        if let Some(handle) = &state.h2 {
            return Resting::Shared(handle.clone());
        }
        if fresh {
            return Resting::None;
        }
        if let Some(i) = state.idle.iter().rposition(h1::Conn::is_ready) {
            return Resting::Ready(state.idle.remove(i));
        }
        match settle.then(|| state.idle.pop()).flatten() {
            Some(conn) => Resting::Settling(conn),
            None => Resting::None,
        }
    }

    /// The result of the connecting task, which is started unless it runs.
    fn join(&self, state: &mut State<B>) -> Waiting<B> {
        let dialer = &self.0.dialer;
        let generation = dialer.generation();
        if let Some(running) = &state.connecting
            && running.generation == generation
            && !running.task.is_finished()
        {
            return running.outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        let (dialer, home) = (Arc::clone(dialer), Arc::downgrade(&self.0));
        let task = tokio::spawn(async move {
            let dialed = dial_with(&dialer, None).await;
            let outcome = settle(&home, generation, dialed);
            sender.send_replace(Some(outcome));
        });
        let task = task.abort_handle();
        state.connecting = Some(Connecting { generation, outcome: outcome.clone(), task });
        outcome
    }
}

/// What a request with a place finds.
enum Resting<B> {
    Ready(h1::Conn<B>),
    /// It may be ready soon.
    Settling(h1::Conn<B>),
    /// The callee speaks HTTP/2 after all.
    Shared(h2::Handle<B>),
    None,
}

/// A request that waits; connections that come back meanwhile are kept for it.
struct Queued<'a, B>(&'a Inner<B>);

impl<'a, B> Queued<'a, B> {
    fn new(inner: &'a Inner<B>) -> Self {
        inner.state().waiting += 1;
        Self(inner)
    }
}

impl<B> Drop for Queued<'_, B> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

/// A place, in order. The semaphores are never closed.
async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ConnectError> {
    Arc::clone(of).acquire_owned().await.map_err(|_closed| ConnectError::Interrupted)
}

impl<B: Send + 'static> Inner<B> {
    /// Keeps a connection for all, until it ends.
    fn share(self: &Arc<Self>, handle: h2::Handle<B>) {
        let mut state = self.state();
        state.speaks_h1 = false;
        if !self.dialer.is_current(&handle.proof) {
            return;
        }
        let (home, ended) = (Arc::downgrade(self), handle.ended());
        let binding = Arc::clone(&handle.proof.binding);
        tokio::spawn(async move {
            ended.await;
            if let Some(home) = home.upgrade() {
                let over = home.state().discard(&binding);
                drop(over); // without the lock
            }
        });
        state.h2 = Some(handle);
    }

    /// Keeps a connection for the next request, unless it is of no more use.
    pub(super) fn park(self: &Arc<Self>, mut conn: h1::Conn<B>) {
        let place = conn.place.take(); // free once the connection is there to be found
        let mut state = self.state();
        if conn.is_closed() || !self.dialer.is_current(&conn.proof) {
            return;
        }
        if state.reaper.as_ref().is_none_or(AbortHandle::is_finished) {
            let reaping = reap(Arc::downgrade(self), self.dialer.limits.idle);
            state.reaper = Some(conn.runtime.spawn(reaping).abort_handle());
        }
        state.idle.push(conn);
        if state.idle.len() > self.dialer.limits.max_idle_h1.max(state.waiting) {
            state.idle.remove(0);
        }
        drop((state, place));
        self.parked.notify_one();
    }
}

impl<B> Drop for Inner<B> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        for task in state.connecting.iter().map(|c| &c.task).chain(&state.reaper) {
            task.abort();
        }
    }
}

async fn joined<B>(mut waiting: Waiting<B>) -> Outcome<B> {
    match waiting.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Err(ConnectError::Interrupted)),
        Err(_dropped) => Err(ConnectError::Interrupted),
    }
}

/// A connection of the version that the callee agreed to; of HTTP/1.1, at that place if it is to
/// carry a request now.
async fn dial_with<B>(
    dialer: &Dialer,
    place: Option<OwnedSemaphorePermit>,
) -> Result<Dialed<B>, ConnectError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let link = dialer.link().await?;
    let binding = Arc::clone(&link.proof.binding);
    let dialed = match link.proof.via.version {
        Version::HTTP_2 => h2::Handle::open(dialer, link).await.map(Dialed::H2),
        _ if dialer.target.alpn == Alpn::H2 => {
            Err(ConnectError::Handshake(HandshakeErrorKind::NoAlpn))
        }
        _ => h1::Conn::open(dialer, link, place).await.map(Dialed::H1),
    };
    dialed.map_err(|error| binding.refusal().map_or(error, ConnectError::Handshake))
}

/// Puts what the connecting task made where all find it.
fn settle<B: Send + 'static>(
    home: &Weak<Inner<B>>,
    generation: u64,
    dialed: Result<Dialed<B>, ConnectError>,
) -> Outcome<B> {
    let home = home.upgrade().ok_or(ConnectError::Interrupted)?;
    let outcome = match dialed {
        Ok(Dialed::H1(conn)) => {
            home.state().speaks_h1 = true;
            home.park(conn);
            Ok(None)
        }
        Ok(Dialed::H2(handle)) => {
            home.share(handle.clone());
            Ok(Some(handle))
        }
        Err(error) => Err(error),
    };
    home.state().connecting.take_if(|connecting| connecting.generation == generation);
    outcome
}

/// Drops connections when their time is up; ends with the pool, or when none waits.
async fn reap<B>(home: Weak<Inner<B>>, idle: std::time::Duration) {
    loop {
        let next = {
            let Some(home) = home.upgrade() else { return };
            let mut state = home.state();
            state.prune(&home.dialer);
            match state.idle.iter().map(|conn| conn.since).min() {
                Some(oldest) => oldest + idle,
                None => {
                    state.reaper = None;
                    return;
                }
            }
        };
        sleep_until(next).await;
    }
}
