//! Calls that their caller gives up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::Cadence;
use meshguard_axum::core::delivery::WINDOW;
use meshguard_axum::limits::Limits;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{BoxError, Channel, EdgeStatus, Mesh, Outcome, Policy};
use meshguard_testing::{FaultHop, Protocol};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, MAC, http, soon, stock};

/// Windows of 20 ms with ten calls in them.
const QUICK: Cadence =
    Cadence { busy: Duration::from_millis(20), quiet: Duration::from_millis(200), calls: 10 };

const STREAMS: u32 = 16;

/// Tells of whatever is unusual.
const ALERT: &str = "[[reflex]]\nname = \"unusual\"\ndo = [\"alert\"]\n\
    on = { signal = \"errors\", false_alarms = \"1 in 1 day\" }\n";

/// A callee whose `/slow` answers when it is let.
struct World {
    callee: Mesh,
    caller: Mesh,
    told: Told,
    addr: SocketAddr,
    let_go: Arc<Semaphore>,
}

fn router(let_go: &Arc<Semaphore>) -> Router {
    let let_go = Arc::clone(let_go);
    let slow = move || {
        let let_go = Arc::clone(&let_go);
        async move {
            drop(let_go.acquire().await);
            "at last"
        }
    };
    let take = |body: axum::body::Bytes| async move { body.len().to_string() };
    Router::new()
        .route("/slow", get(slow))
        .route("/known", get(|| async { "known" }))
        .route("/take", post(take))
}

impl World {
    async fn new() -> Self {
        Self::with(MAC).await
    }

    /// What `more` says beside the rule that allows all.
    async fn with(more: &str) -> Self {
        let (told, let_go) = (Told::default(), Arc::new(Semaphore::new(0)));
        let policy: Policy = rig::policy(more).parse().unwrap();
        let callee = Mesh::dev(CALLEE).unwrap().policy(policy).sink(told.clone()).cadence(QUICK);
        let callee = callee.limits(Limits::default().with_concurrent_streams(STREAMS));
        let callee = callee.build().unwrap();
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let serve = meshguard_axum::serve(listener, router(&let_go));
        tokio::spawn(async move { serve.await.unwrap() });
        let caller = rig::mesh(CALLER, &rig::policy(MAC), &Told::default());
        Self { callee, caller, told, addr, let_go }
    }

    fn direct(&self, alpn: Alpn) -> Channel {
        let channel = self.caller.channel(&format!("https://{}", self.addr), CALLEE).unwrap();
        channel.protocols(alpn)
    }

    /// Calls until two windows have closed that began later; whether nobody was blamed.
    async fn check_unblamed(&self, channel: &Channel, trust: f32) {
        self.two_windows(channel).await;
        let found: Vec<_> = self.told.all().into_iter().filter(|f| f.name != "void-seen").collect();
        assert!(found.is_empty(), "{found:?}");
        assert!(self.callee.trust(&CALLER) >= trust, "{} < {trust}", self.callee.trust(&CALLER));
        assert!(self.callee.incidents().is_empty(), "{:?}", self.callee.incidents());
        let counts = self.caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
    }

    async fn two_windows(&self, channel: &Channel) {
        let key = EdgeKey::Caller(CALLER);
        let began = || {
            let edges = self.callee.edges();
            edges.iter().find(|e| e.edge == key).map(|e| e.window.start)
        };
        for _ in 0..2 {
            let before = began();
            soon(async {
                while began() == before {
                    http::call(channel, http::get("/known")).await.answer();
                }
            })
            .await;
        }
    }
}

/// Calls `/slow` as often, and waits until those that can have reached the handler.
fn slow_calls(channel: &Channel, count: usize) -> Vec<JoinHandle<()>> {
    let call = |_| {
        let channel = channel.clone();
        tokio::spawn(async move { drop(channel.oneshot(http::get("/slow")).await) })
    };
    (0..count).map(call).collect()
}

async fn drop_all(calls: Vec<JoinHandle<()>>) {
    calls.iter().for_each(JoinHandle::abort);
    for call in calls {
        let _ = soon(call).await;
    }
}

#[tokio::test]
async fn calls_that_are_given_up_before_they_are_sent_or_answered_cost_nobody_anything() {
    for (alpn, hop) in [(Alpn::H2, false), (Alpn::Http11, false), (Alpn::H2, true)] {
        let world = World::new().await;
        let trust = world.callee.trust(&CALLER);
        let through = FaultHop::builder(world.addr).tls(&rig::ca(), &HOP).unwrap();
        let through = through.start().await.unwrap();
        let channel = match hop {
            true => rig::through(&world.caller, &through, alpn),
            false => world.direct(alpn),
        };
        http::call(&channel, http::get("/known")).await.answer();
        // Twice as many as there are streams; and so often that they are no 256 ranges.
        for _ in 0..3 {
            let calls = slow_calls(&channel, 2 * STREAMS as usize);
            let accepted = world.callee.accepted().accepted;
            soon(async {
                while world.callee.accepted().accepted == accepted {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            drop_all(calls).await;
            http::call(&channel, http::get("/known")).await.answer();
        }
        // At once, not one of them polled twice.
        drop_all(slow_calls(&channel, 200)).await;
        world.check_unblamed(&channel, trust).await;
    }
}

/// Calls hold all streams of a connection; what its caller owes does not wait for them.
#[tokio::test]
async fn a_caller_whose_connection_is_full_still_confirms() {
    let world = World::new().await;
    let trust = world.callee.trust(&CALLER);
    let channel = world.direct(Alpn::H2);
    let slow = slow_calls(&channel, STREAMS as usize - 1);
    soon(async {
        while world.callee.accepted().accepted < u64::from(STREAMS) - 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..10 {
        http::call(&channel, http::get("/known")).await.answer();
    }
    let last = slow_calls(&channel, 2);
    let confirmed = soon(async {
        while world.callee.answers_confirmed() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    confirmed.await;
    world.let_go.add_permits(1_000);
    for call in slow.into_iter().chain(last) {
        soon(call).await.unwrap();
    }
    world.check_unblamed(&channel, trust).await;
}

/// The hop breaks off what its caller gives up: nobody there can tell whose doing it was.
#[tokio::test]
async fn uploads_that_are_given_up_through_a_hop_cost_nobody_anything() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let world = World::with(ALERT).await;
        let through = FaultHop::builder(world.addr).tls(&rig::ca(), &HOP).unwrap();
        let through = through.start().await.unwrap();
        let channel = rig::through(&world.caller, &through, alpn);
        world.two_windows(&channel).await;
        let before = world.callee.edges();
        let trust = |edges: &[EdgeStatus], key: &EdgeKey| {
            edges.iter().find(|e| e.edge == *key).map(|e| e.trust)
        };
        for _ in 0..10 {
            let upload = |_| {
                let channel = channel.clone();
                let first = futures_util::stream::once(async { Ok::<_, BoxError>("the half") });
                let pieces = first.chain(futures_util::stream::pending());
                let request = http::post("/take", axum::body::Body::from_stream(pieces));
                tokio::spawn(async move { drop(channel.oneshot(request).await) })
            };
            let accepted = world.callee.accepted().accepted;
            let uploads: Vec<_> = (0..STREAMS - 1).map(upload).collect();
            soon(async {
                while world.callee.accepted().accepted < accepted + u64::from(STREAMS - 1) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            drop_all(uploads).await;
            soon(async {
                while world.callee.accepted().open > 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        world.two_windows(&channel).await;
        assert!(world.told.all().iter().any(|f| f.name == "truncated"), "{:?}", world.told.all());
        let after = world.callee.edges();
        for edge in &before {
            let (was, is) = (Some(edge.trust), trust(&after, &edge.edge));
            assert!(is >= was, "{:?}: {is:?}, and was {was:?}", edge.edge);
        }
        assert!(before.iter().any(|e| e.edge == EdgeKey::HopIn(HOP)), "{before:?}");
        assert!(world.callee.incidents().is_empty(), "{:?}", world.callee.incidents());
    }
}

/// Calls wait for a stream while others are served, and are given up before they have one.
#[tokio::test]
async fn calls_dropped_while_all_streams_are_busy_cost_nobody_anything() {
    let world = World::new().await;
    let trust = world.callee.trust(&CALLER);
    let channel = world.direct(Alpn::H2);
    http::call(&channel, http::get("/known")).await.answer();
    let served = slow_calls(&channel, STREAMS as usize);
    let all = 1 + u64::from(STREAMS);
    soon(async {
        while world.callee.accepted().accepted < all {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let waiting = slow_calls(&channel, 60);
    soon(async {
        while world.caller.counts().open < 60 + u64::from(STREAMS) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop_all(waiting).await;
    world.let_go.add_permits(1_000);
    for call in served {
        soon(call).await.unwrap();
    }
    world.check_unblamed(&channel, trust).await;
}

#[tokio::test]
async fn calls_under_way_on_a_connection_that_is_cut_cost_nobody_anything() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        let world = World::new().await;
        let trust = world.callee.trust(&CALLER);
        let path = rig::net::Balancer::new(vec![world.addr]).await;
        let channel = world.direct(alpn).connect_to(path.addr);
        http::call(&channel, http::get("/known")).await.answer();
        let calls = slow_calls(&channel, 2 * STREAMS as usize);
        soon(async {
            while world.callee.accepted().accepted < 1 + u64::from(STREAMS) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        path.cut();
        for call in calls {
            soon(call).await.unwrap();
        }
        world.let_go.add_permits(1_000);
        world.check_unblamed(&channel, trust).await;
    }
}

/// One call that is not answered holds up its session's window; the others go on in the next one.
#[tokio::test]
async fn a_call_that_hangs_costs_the_many_behind_it_nothing() {
    let world = World::new().await;
    let (trust, channel) = (world.callee.trust(&CALLER), world.direct(Alpn::H2));
    let hanging = slow_calls(&channel, 1);
    soon(async {
        while world.callee.accepted().accepted == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let at_once = u64::from(STREAMS) - 1;
    for _ in 0..=WINDOW / at_once {
        let calls = (0..at_once).map(|_| http::call(&channel, http::get("/known")));
        for got in futures_util::future::join_all(calls).await {
            got.answer();
        }
    }
    assert_eq!(world.callee.sessions_open(), 2);
    world.let_go.add_permits(1);
    for call in hanging {
        soon(call).await.unwrap();
    }
    world.check_unblamed(&channel, trust).await;
}

/// A head that is too long for the callee's parser, and one that its layer does not take.
fn refused() -> [(Request<axum::body::Body>, StatusCode); 2] {
    let mut long = http::get("/known");
    long.headers_mut().insert("x-long", HeaderValue::from_str(&"x".repeat(40_000)).unwrap());
    let mut second_method = http::post("/known", "x");
    let method = HeaderValue::from_static("DELETE");
    second_method.headers_mut().insert("x-http-method-override", method);
    [(long, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE), (second_method, StatusCode::BAD_REQUEST)]
}

#[tokio::test]
async fn what_the_callee_refuses_before_it_is_a_call_is_told_as_not_acted_on() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        for (request, status) in refused() {
            let world = World::new().await;
            let trust = world.callee.trust(&CALLER);
            let channel = world.direct(alpn);
            http::call(&channel, http::get("/known")).await.answer();
            let error = http::call(&channel, request).await.failed();
            assert_eq!(error.outcome(), Outcome::NotDelivered, "{error}");
            assert_eq!(error.kind().as_str(), "refused", "{error}");
            assert!(error.to_string().contains(status.as_str()), "{error}");
            if status == StatusCode::BAD_REQUEST {
                world.told.wait("ambiguous-head").await;
            } else {
                world.check_unblamed(&channel, trust).await;
            }
        }
    }
}

/// The control of the test above: the stock stack shows the status.
#[tokio::test]
async fn stock_answers_431_to_a_head_that_is_too_long() {
    let addr = stock::serve(router(&Arc::new(Semaphore::new(0)))).await;
    let mut client = stock::Client::connect(addr, Protocol::Http1).await;
    let mut request = http::get("/known");
    // Above what hyper takes by default: 400 kB.
    let long = HeaderValue::from_str(&"x".repeat(2_000_000)).unwrap();
    request.headers_mut().insert("x-long", long);
    let status = soon(client.send(request)).await.unwrap().status();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
