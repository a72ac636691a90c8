//! Jobs that live for a few calls.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use meshguard_axum::core::control::{Cadence, Event};
use meshguard_axum::ledger::{Entry, Ledger};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Answers, Channel, EdgeKey, EdgeStatus, Mesh, Policy};
use meshguard_testing::FaultHop;
use tokio::runtime::{Builder, Runtime};

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, HOP, grpc, http, soon};

const JOBS: u64 = 12;
const CALLS: u64 = 10;

/// Judged at every chance, and told at the least of signs.
const QUICK: Cadence =
    Cadence { busy: Duration::from_millis(20), quiet: Duration::from_millis(200), calls: 10 };
const WATCHFUL: &str = r#"
    [trust]
    start = 1.0
    [[reflex]]
    name = "receipts"
    on = { signal = "missing_receipts", false_alarms = "1 in 1 min" }
    do = "alert"
    [[reflex]]
    name = "any"
    on = { signal = "any", false_alarms = "1 in 1 h" }
    do = "alert"
"#;

/// How a job calls.
#[derive(Clone, Copy, Debug)]
enum Way {
    H2,
    H1,
    Grpc,
}

const WAYS: [Way; 3] = [Way::H2, Way::H1, Way::Grpc];

/// How a job's process ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// After `shutdown`.
    InOrder,
    /// When it has made its calls.
    Returns,
    /// With a call under way.
    InTheMiddle,
    /// Not: it stays connected, and does nothing more.
    Stays,
}

struct Callee {
    mesh: Mesh,
    told: Told,
    app: App,
    addr: SocketAddr,
    hop: FaultHop,
    ledger: Ledger,
}

impl Callee {
    async fn new() -> Self {
        let (told, app, ledger) = (Told::default(), App::default(), Ledger::memory().unwrap());
        let policy: Policy = rig::policy(WATCHFUL).parse().unwrap();
        let builder = Mesh::dev(CALLEE).unwrap().policy(policy).sink(told.clone());
        let mesh = builder.ledger(ledger.clone()).cadence(QUICK).build().unwrap();
        let addr = rig::serve(&mesh, &app).await;
        let hop = FaultHop::builder(addr).tls(&rig::ca(), &HOP).unwrap().start().await.unwrap();
        Self { mesh, told, app, addr, hop, ledger }
    }

    /// Runs a job to its end in a thread of its own, as a process would. One that stays is
    /// given back.
    async fn job(&self, way: Way, ends: Ends, via: bool) -> Option<(Runtime, Mesh, Channel)> {
        let (app, addr) = (self.app.clone(), if via { self.hop.addr() } else { self.addr });
        let job = move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let (mesh, channel) = runtime.block_on(calls(way, addr, via));
            match ends {
                Ends::InOrder => {
                    let left = runtime.block_on(mesh.shutdown());
                    assert!(left.is_complete() && left.receipts_taken > 0, "{left:?}");
                    let again = runtime.block_on(mesh.shutdown());
                    assert!(again.is_complete() && again.receipts_taken == 0, "{again:?}");
                }
                // As at the end of an async `main`.
                Ends::Returns => runtime.block_on(async move { drop((mesh, channel)) }),
                Ends::InTheMiddle => runtime.block_on(begin(&channel, &app)),
                Ends::Stays => return Some((runtime, mesh, channel)),
            }
            None
        };
        // Not a thread of the test's own runtime, on which things could go on.
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || tell.send(job()).ok());
        soon(told).await.unwrap()
    }

    /// Waits until it is known of each answer what became of it, and that is judged.
    async fn judged(&self) -> Answers {
        let judged = async {
            while self.mesh.answers().awaited > 0 {
                let overdue = self.told.named("receipt-overdue");
                assert!(overdue.is_empty(), "{overdue:?}, trust {}", self.caller().trust);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let since = self.caller().window.end;
            while self.caller().window.end < since + 2 * QUICK.quiet {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), judged).await.expect("in time");
        self.mesh.answers()
    }

    fn caller(&self) -> EdgeStatus {
        let key = EdgeKey::Caller(CALLER);
        self.mesh.edges().into_iter().find(|edge| edge.edge == key).unwrap()
    }

    fn opened(&self) -> Vec<Event> {
        self.told.events().into_iter().filter(|e| matches!(e, Event::Opened(_))).collect()
    }

    /// Nothing was held against anybody.
    fn check_calm(&self) {
        assert!(self.told.all().is_empty(), "{:?}", self.told.all());
        assert!(self.opened().is_empty(), "{:#?}", self.opened());
        for edge in self.mesh.edges() {
            let address = matches!(edge.edge, EdgeKey::Address(_));
            assert!(address || edge.trust == 1.0, "{edge:?}");
        }
    }

    /// How many answers the ledger has as unconfirmed.
    async fn written(&self) -> u64 {
        self.ledger.flush().await.unwrap();
        let of = |entry: &Entry<'_>| match entry {
            Entry::Unconfirmed(u) => {
                assert_eq!(u.from, CALLER.as_str());
                u.last - u.first + 1
            }
            _ => 0,
        };
        self.ledger.entries().unwrap().map(|entry| of(&entry.unwrap().entry())).sum()
    }
}

/// Ten calls of one caller.
async fn calls(way: Way, addr: SocketAddr, via: bool) -> (Mesh, Channel) {
    let mesh = rig::mesh(CALLER, &rig::policy(""), &Told::default());
    let channel = mesh.channel(&format!("https://{addr}"), CALLEE).unwrap();
    let alpn = if let Way::H1 = way { Alpn::Http11 } else { Alpn::H2 };
    let channel = channel.protocols(alpn);
    let channel = if via { channel.via(HOP) } else { channel };
    for n in 0..CALLS {
        match way {
            Way::Grpc if n % 2 == 0 => {
                assert_eq!(grpc::client(channel.clone(), grpc::ready(3)).await.unwrap(), 3);
            }
            Way::Grpc => assert_eq!(grpc::server(channel.clone(), 3).await.0, [1, 2, 3]),
            _ => {
                let path = if n % 2 == 0 { "/known/100" } else { "/stream/100" };
                assert_eq!(http::call(&channel, http::get(path)).await.answer().1.len(), 100);
            }
        }
    }
    (mesh, channel)
}

/// Begins a call that does not end.
async fn begin(channel: &Channel, app: &App) {
    let first = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("a")) });
    let body = Body::from_stream(Box::pin(first.chain(futures_util::stream::pending())));
    let app = app.clone();
    tokio::select! {
        got = http::call(channel, http::post("/take", body)) => panic!("{got:?}"),
        () = soon(app.called()) => {}
    }
}

#[tokio::test]
async fn jobs_that_shut_down_leave_no_answer_unconfirmed() {
    let callee = Callee::new().await;
    for way in WAYS {
        for _ in 0..JOBS / 3 {
            callee.job(way, Ends::InOrder, false).await;
        }
    }
    callee.job(Way::H2, Ends::InOrder, true).await;
    let answers = callee.judged().await;
    assert!(answers.balances(), "{answers:?}");
    let sent = (JOBS + 1) * CALLS;
    assert_eq!((answers.sent, answers.confirmed, answers.unconfirmed), (sent, sent, 0));
    assert_eq!(callee.written().await, 0);
    callee.check_calm();
}

/// Twelve jobs of each way.
async fn end_without_shutdown(ends: Ends, via: bool) {
    let callee = Callee::new().await;
    for way in WAYS {
        for _ in 0..JOBS {
            callee.job(way, ends, via).await;
        }
    }
    let answers = callee.judged().await;
    assert!(answers.balances(), "{answers:?}");
    // That of the call in the middle is among them, where there was one.
    assert!(answers.sent >= 3 * JOBS * CALLS, "{answers:?}");
    assert!(answers.unconfirmed >= JOBS, "{answers:?}");
    assert_eq!(callee.written().await, answers.unconfirmed);
    let refused = |found: &rig::tell::Found| found.name == "receipt-overdue";
    assert!(!callee.told.all().iter().any(refused));
    assert!(callee.opened().is_empty(), "{:#?}", callee.opened());
    assert_eq!(callee.caller().trust, 1.0);
}

#[tokio::test]
async fn jobs_that_return_without_shutdown_are_no_attackers() {
    end_without_shutdown(Ends::Returns, false).await;
}

#[tokio::test]
async fn jobs_that_exit_in_the_middle_are_no_attackers() {
    end_without_shutdown(Ends::InTheMiddle, false).await;
}

#[tokio::test]
async fn jobs_behind_a_hop_that_return_without_shutdown_are_no_attackers() {
    end_without_shutdown(Ends::Returns, true).await;
}

/// What would show in the tests above.
#[tokio::test]
async fn a_caller_that_stays_connected_and_withholds_receipts_is_found() {
    let callee = Callee::new().await;
    let mut staying = Vec::new();
    for _ in 0..JOBS {
        staying.push(callee.job(Way::H2, Ends::Stays, false).await);
    }
    let opened = |event: &Event| matches!(event, Event::Opened(_));
    callee.told.wait_event(opened).await;
    assert!(!callee.told.named("receipt-overdue").is_empty());
    assert!(callee.caller().trust < 1.0);
    assert_eq!((callee.mesh.answers().unconfirmed, callee.written().await), (0, 0));
    std::thread::spawn(move || drop(staying));
}
