//! Which connection a request gets, and where connections wait for the next one.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::Version;
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

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
}

/// A task that connects for all who wait, whoever of them gives up.
struct Connecting<B> {
    generation: u64,
    outcome: Waiting<B>,
    task: AbortHandle,
}

/// What to do for a connection.
enum Step<B> {
    Use(Lease<B>),
    /// It may be ready soon.
    Settle(h1::Conn<B>),
    Join(Waiting<B>),
    Alone(OwnedSemaphorePermit),
}

enum Dialed<B> {
    H1(h1::Conn<B>),
    H2(h2::Handle<B>),
}

impl<B> State<B> {
    pub(crate) fn new() -> Self {
        Self { h2: None, idle: Vec::new(), speaks_h1: false, connecting: None, reaper: None }
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
    /// A connection; not one that waited, where `fresh`.
    pub(super) async fn checkout(&self, fresh: bool) -> Result<Lease<B>, ConnectError> {
        let mut settle = true;
        loop {
            match self.step(fresh, settle)? {
                Step::Use(lease) => return Ok(lease),
                Step::Settle(conn) => {
                    settle = false;
                    match conn.settled().await {
                        Some(conn) if conn.is_ready() => return Ok(Lease::H1(conn)),
                        Some(busy) => self.0.state().idle.insert(0, busy),
                        None => {}
                    }
                }
                Step::Join(outcome) => match joined(outcome).await? {
                    Some(handle) => return Ok(Lease::H2(handle)),
                    None => continue, // parked, and all know now that it speaks HTTP/1.1
                },
                Step::Alone(place) => return self.alone(place).await,
            }
        }
    }

    /// A connection that waits and over which this session was proven, if there is one.
    pub(super) async fn bound_to(&self, session: u64) -> Option<Lease<B>> {
        match self.waiting_of(session)? {
            Lease::H1(conn) => match conn.settled().await {
                Some(conn) if conn.is_ready() => Some(Lease::H1(conn)),
                Some(busy) => {
                    self.0.state().idle.insert(0, busy);
                    None
                }
                None => None,
            },
            shared => Some(shared),
        }
    }

    fn waiting_of(&self, session: u64) -> Option<Lease<B>> {
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

    /// A new connection that nobody shares.
    pub(super) async fn apart(&self) -> Result<Lease<B>, ConnectError> {
        let place = match self.0.dialer.target.alpn {
            Alpn::H2 => None,
            _ => Some(self.0.place(&mut self.0.state())?),
        };
        Ok(match dial(&self.0.dialer, place).await? {
            Dialed::H1(conn) => Lease::H1(conn),
            Dialed::H2(handle) => Lease::H2(handle),
        })
    }

    fn step(&self, fresh: bool, settle: bool) -> Result<Step<B>, ConnectError> {
        let mut state = self.0.state();
        state.prune(&self.0.dialer);
        if let Some(handle) = &state.h2 {
            return Ok(Step::Use(Lease::H2(handle.clone())));
        }
        if !fresh {
            if let Some(i) = state.idle.iter().rposition(h1::Conn::is_ready) {
                return Ok(Step::Use(Lease::H1(state.idle.remove(i))));
            }
            if settle && let Some(conn) = state.idle.pop() {
                return Ok(Step::Settle(conn));
            }
        }
        match self.0.dialer.target.alpn {
            Alpn::Http11 => self.0.place(&mut state).map(Step::Alone),
            Alpn::Both if state.speaks_h1 => self.0.place(&mut state).map(Step::Alone),
            Alpn::Both | Alpn::H2 => self.join(&mut state).map(Step::Join),
        }
    }

    /// The result of the connecting task, which is started unless it runs.
    fn join(&self, state: &mut State<B>) -> Result<Waiting<B>, ConnectError> {
        let dialer = &self.0.dialer;
        let generation = dialer.generation();
        if let Some(running) = &state.connecting
            && running.generation == generation
            && !running.task.is_finished()
        {
            return Ok(running.outcome.clone());
        }
        let place = match dialer.target.alpn {
            Alpn::H2 => None,
            _ => Some(self.0.place(state)?),
        };
        let (sender, outcome) = watch::channel(None);
        let (dialer, home) = (Arc::clone(dialer), Arc::downgrade(&self.0));
        let task = tokio::spawn(async move {
            let dialed = dial(&dialer, place).await;
            let outcome = settle(&home, generation, dialed);
            sender.send_replace(Some(outcome));
        });
        let task = task.abort_handle();
        state.connecting = Some(Connecting { generation, outcome: outcome.clone(), task });
        Ok(outcome)
    }

    /// A connection for the caller alone, unless the callee turns out to speak HTTP/2 now.
    async fn alone(&self, place: OwnedSemaphorePermit) -> Result<Lease<B>, ConnectError> {
        match dial(&self.0.dialer, Some(place)).await? {
            Dialed::H1(conn) => Ok(Lease::H1(conn)),
            Dialed::H2(handle) => {
                self.0.share(handle.clone());
                Ok(Lease::H2(handle))
            }
        }
    }
}

impl<B: Send + 'static> Inner<B> {
    /// Keeps a connection for the next request, unless it is of no more use.
    pub(super) fn park(self: &Arc<Self>, conn: h1::Conn<B>) {
        let mut state = self.state();
        if conn.is_closed() || !self.dialer.is_current(&conn.proof) {
            return;
        }
        if state.reaper.as_ref().is_none_or(AbortHandle::is_finished) {
            let reaping = reap(Arc::downgrade(self), self.dialer.limits.idle);
            state.reaper = Some(conn.runtime.spawn(reaping).abort_handle());
        }
        state.idle.push(conn);
        if state.idle.len() > self.dialer.limits.max_idle_h1 {
            state.idle.remove(0);
        }
    }
}

impl<B> Inner<B> {
    /// A place for one more HTTP/1.1 connection, if need be that of one which only waits.
    fn place(&self, state: &mut State<B>) -> Result<OwnedSemaphorePermit, ConnectError> {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return Ok(place);
            }
            if state.idle.is_empty() {
                return Err(ConnectError::AtCapacity);
            }
            state.idle.remove(0);
        }
    }

    fn share(&self, handle: h2::Handle<B>) {
        let mut state = self.state();
        state.speaks_h1 = false;
        if self.dialer.is_current(&handle.proof) {
            state.h2 = Some(handle);
        }
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

/// A connection of the version that the callee agreed to. `place` is there where that may be
/// HTTP/1.1.
async fn dial<B>(
    dialer: &Dialer,
    place: Option<OwnedSemaphorePermit>,
) -> Result<Dialed<B>, ConnectError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let link = dialer.link().await?;
    let binding = Arc::clone(&link.proof.binding);
    let dialed = match (link.proof.via.version, place) {
        (Version::HTTP_2, _) => h2::Handle::open(dialer, link).await.map(Dialed::H2),
        (_, Some(place)) => h1::Conn::open(dialer, link, place).await.map(Dialed::H1),
        (_, None) => Err(ConnectError::Handshake(HandshakeErrorKind::NoAlpn)),
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
