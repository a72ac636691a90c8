//! Health probes without identity, on a port of their own.
//!
//! Orchestrators ask over plain HTTP/1.1 and have no SVID. Only health is told here, so nothing
//! else is exposed by it.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use meshguard_core::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::reached;
use crate::listener::doors::{Doors, Place};
use crate::listener::first_byte;

/// Probes at once whose request has begun. One more ends the oldest one of the network (IPv6: /48)
/// that has most.
pub const MAX_PROBES: usize = 64;

/// Connections at once whose first byte has not come. One more ends one of them likewise.
pub const MAX_SILENT_PROBES: usize = 1024;

/// Time for one probe, its connection included. Where half of the silent places are taken, a
/// connection has one second for its first byte.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after an accept error.
const PAUSE: Duration = Duration::from_millis(100);

/// A service's health, as probes see it. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: AtomicU8,
    /// When the SVID ends, in Unix nanoseconds; 0: it does not.
    ends: AtomicU64,
    ledger_off: AtomicBool,
}

/// What a service is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Not ready yet: `/readyz` is 503.
    Starting,
    /// Takes calls: `/readyz` is 200.
    Ready,
    /// Would take calls, but its SVID has expired and nobody accepts it: `/readyz` is 503 until
    /// there is another one. [`Health::set`] takes it for `Ready`.
    Expired,
    /// Finishes what it has and takes no more: `/readyz` is 503.
    Draining,
}

impl Health {
    /// Health that begins as [`HealthState::Starting`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`new`](Self::new), of a service whose SVID ends then.
    pub(crate) fn until(ends: Timestamp) -> Self {
        let health = Self::default();
        health.holds_until(ends);
        health
    }

    /// The SVID in use ends then.
    pub(crate) fn holds_until(&self, ends: Timestamp) {
        self.0.ends.store(ends.as_unix_nanos(), Ordering::Release);
    }

    /// When the SVID in use has ended, if it has.
    pub(crate) fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.0.ends.load(Ordering::Acquire);
        (ends != 0 && ends < now.as_unix_nanos()).then(|| Timestamp::from_unix_nanos(ends))
    }

    /// Whether it is draining; unlike [`state`](Self::state) without a look at the clock.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == 2
    }

    /// What it is now.
    #[must_use]
    pub fn state(&self) -> HealthState {
        match self.0.state.load(Ordering::Acquire) {
            0 => HealthState::Starting,
            1 if self.ended(reached()).is_some() => HealthState::Expired,
            1 => HealthState::Ready,
            _ => HealthState::Draining,
        }
    }

    /// Says what it is from now on.
    pub fn set(&self, state: HealthState) {
        let code = match state {
            HealthState::Starting => 0,
            HealthState::Ready | HealthState::Expired => 1,
            HealthState::Draining => 2,
        };
        self.0.state.store(code, Ordering::Release);
    }

    /// Whether nothing is written to the ledger at present. Calls are taken all the same, and
    /// `/readyz` says what it says without: a full disk must not end a service.
    #[must_use]
    pub fn is_ledger_off(&self) -> bool {
        self.0.ledger_off.load(Ordering::Acquire)
    }

    pub(crate) fn set_ledger_off(&self, off: bool) {
        self.0.ledger_off.store(off, Ordering::Release);
    }
}

/// Answers `GET /livez` with 200, `GET /readyz` with 200 or 503 by `health`, anything else with
/// 404; one request a connection. Runs until it is dropped, and its connections with it.
///
/// # Errors
/// None at present: errors of single connections and of accept are passed over.
pub async fn probes(listener: TcpListener, health: Health) -> io::Result<()> {
    let silent = Doors::new(MAX_SILENT_PROBES, MAX_SILENT_PROBES);
    let begun = Doors::new(MAX_PROBES, MAX_PROBES);
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((tcp, remote)) => {
                let (health, begun) = (health.clone(), Arc::clone(&begun));
                let place = silent.enter(remote.ip());
                running.spawn(async move {
                    // A probe that takes too long is told so by the closed connection.
                    let probe = probe(tcp, remote.ip(), health, place, &begun);
                    drop(timeout(PROBE_TIMEOUT, probe).await);
                });
            }
            Err(error) => {
                tracing::warn!(target: "meshguard::probe", %error, "accept failed");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn probe(
    tcp: TcpStream,
    from: IpAddr,
    health: Health,
    silent: Place<IpAddr>,
    begun: &Arc<Doors<IpAddr>>,
) {
    if let Ok(true) = first_byte(&tcp, &silent, PROBE_TIMEOUT).await {
        let place = begun.enter(from);
        drop(silent);
        tokio::select! {
            () = answer(tcp, health) => {}
            () = place.evicted() => {}
        }
    }
}

async fn answer(tcp: TcpStream, health: Health) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = status(request.method(), request.uri().path(), health.state());
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PROBE_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(target: "meshguard::probe", %error, "a probe ended with an error");
    }
}

fn status(method: &Method, path: &str, state: HealthState) -> StatusCode {
    match (method, path, state) {
        (&Method::GET, "/livez", _) | (&Method::GET, "/readyz", HealthState::Ready) => {
            StatusCode::OK
        }
        (&Method::GET, "/readyz", _) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(addr: std::net::SocketAddr, line: &str) -> String {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_ledger_that_is_off_is_told_beside_the_state() {
        let health = Health::new();
        for state in [HealthState::Starting, HealthState::Ready, HealthState::Draining] {
            health.set_ledger_off(true);
            health.set(state);
            assert_eq!((health.state(), health.is_ledger_off()), (state, true));
            assert_eq!(
                status(&Method::GET, "/readyz", health.state()) == StatusCode::OK,
                state == HealthState::Ready
            );
            health.set_ledger_off(false);
            assert_eq!((health.state(), health.is_ledger_off()), (state, false));
        }
    }

    #[tokio::test]
    async fn readiness_follows_health_and_liveness_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let health = Health::new();
        let probing = tokio::spawn(probes(listener, health.clone()));
        let cases = [
            (HealthState::Starting, "503 Service Unavailable"),
            (HealthState::Ready, "200 OK"),
            (HealthState::Draining, "503 Service Unavailable"),
        ];
        for (state, expected) in cases {
            health.set(state);
            assert_eq!(ask(addr, "GET /readyz").await, format!("HTTP/1.1 {expected}"));
            assert_eq!(ask(addr, "GET /livez").await, "HTTP/1.1 200 OK");
        }
        health.set(HealthState::Ready);
        health.holds_until(reached() - Duration::from_secs(2));
        assert_eq!(ask(addr, "GET /readyz").await, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(ask(addr, "GET /livez").await, "HTTP/1.1 200 OK");
        health.holds_until(reached() + Duration::from_secs(3600));
        assert_eq!(ask(addr, "GET /readyz").await, "HTTP/1.1 200 OK");
        assert_eq!(ask(addr, "GET /").await, "HTTP/1.1 404 Not Found");
        assert_eq!(ask(addr, "POST /livez").await, "HTTP/1.1 404 Not Found");
        probing.abort();
    }

    /// A stranger opens as many connections as it can, silent ones or with half a request.
    #[tokio::test]
    async fn a_probe_is_answered_though_others_hold_all_places() {
        for said in [b"".as_slice(), b"GET /readyz HT"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (addr, health) = (listener.local_addr().unwrap(), Health::new());
            health.set(HealthState::Ready);
            let probing = tokio::spawn(probes(listener, health));
            let mut others = Vec::new();
            for _ in 0..2 * MAX_PROBES {
                let mut tcp = TcpStream::connect(addr).await.unwrap();
                tcp.write_all(said).await.unwrap();
                others.push(tcp);
            }
            let start = std::time::Instant::now();
            assert_eq!(ask(addr, "GET /readyz").await, "HTTP/1.1 200 OK");
            assert!(start.elapsed() < PROBE_TIMEOUT, "it had to wait for theirs to end");
            probing.abort();
        }
    }
}
