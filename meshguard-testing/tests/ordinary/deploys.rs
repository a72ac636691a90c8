//! A rolling deploy: three replicas, one after the other, each with seconds of errors, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::Event;
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::{CallErrorKind, Channel, Mesh, Policy};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, http};

/// Each replica fails its calls for so long.
const FAILS: Duration = Duration::from_secs(4);
/// The next one begins so long after that.
const NEXT: Duration = Duration::from_secs(1);
/// How long an instance is not called the first time that it is cut off.
const FIRST_CUT: Duration = Duration::from_secs(10);
/// What a slow machine may add.
const SLACK: Duration = Duration::from_secs(3);

fn policy() -> Policy {
    rig::policy(rig::documented::reflexes()).parse().unwrap()
}

struct Replica {
    mesh: Mesh,
    told: Told,
    fails: Arc<AtomicBool>,
    channel: Channel,
}

impl Replica {
    async fn new(caller: &Mesh) -> Self {
        let fails = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let answer = move || {
            let status = if failing.load(Relaxed) {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::OK
            };
            async move { status }
        };
        let told = Told::default();
        let mesh = Mesh::dev(CALLEE).unwrap().policy(policy()).sink(told.clone()).build().unwrap();
        let listener = mesh.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let app = Router::new().route("/orders", get(answer));
        tokio::spawn(async move { meshguard_axum::serve(listener, app).await.unwrap() });
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        Self { mesh, told, fails, channel }
    }
}

/// When calls of a channel were not let out.
async fn load(channel: Channel, ends: Arc<AtomicBool>) -> (Vec<Instant>, usize) {
    let mut every = interval(Duration::from_millis(25));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut held, mut answered) = (Vec::new(), 0);
    while !ends.load(Relaxed) {
        every.tick().await;
        match http::call(&channel, http::get("/orders")).await {
            http::Got::Answer(..) => answered += 1,
            http::Got::Failed(error) if *error.kind() == CallErrorKind::Restricted => {
                held.push(Instant::now());
            }
            other => panic!("{other:?}"),
        }
    }
    (held, answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_deploy_costs_no_call_of_a_replica_that_answers() {
    let told = Told::default();
    let builder = Mesh::dev(CALLER).unwrap().policy(policy()).sink(told.clone());
    let caller = builder.build().unwrap();
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::new(&caller).await);
    }
    let ends = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = replicas
        .iter()
        .map(|replica| tokio::spawn(load(replica.channel.clone(), Arc::clone(&ends))))
        .collect();
    // By then each has shown more calls than the governor asks for.
    sleep(Duration::from_secs(6)).await;
    let mut failed = Vec::new();
    for replica in &replicas {
        let begin = Instant::now();
        replica.fails.store(true, Relaxed);
        sleep(FAILS).await;
        replica.fails.store(false, Relaxed);
        failed.push(begin..Instant::now());
        sleep(NEXT).await;
    }
    sleep(FIRST_CUT + SLACK).await;
    let over = Instant::now();
    sleep(Duration::from_secs(2)).await;
    ends.store(true, Relaxed);
    for (load, failed) in loads.into_iter().zip(failed) {
        let (held, answered) = load.await.unwrap();
        // Cut off while it fails, and at most as long as one cut lasts.
        let most = failed.end + FIRST_CUT + SLACK;
        let wrong = held.iter().filter(|at| **at < failed.start || **at > most || **at > over);
        assert_eq!(wrong.count(), 0, "{:#?}", told.events());
        assert!(answered > 100, "{answered}");
    }
    let cut = |event: &Event| match event {
        Event::Applied(action) => action.kind == ActionKind::Quarantine,
        _ => false,
    };
    // The last two never at once: half stays.
    let mut in_force = 0;
    for event in told.events() {
        match &event {
            Event::Applied(action) if action.kind == ActionKind::Quarantine => {
                assert!(matches!(action.edge, EdgeKey::Callee { .. }), "{event}");
                in_force += 1;
            }
            Event::Expired(_) | Event::Lifted { .. } | Event::Undone { .. } => in_force -= 1,
            _ => {}
        }
        assert!(in_force <= 1, "{:#?}", told.events());
    }
    assert!(told.events().iter().any(cut), "nothing was seen: the test shows nothing");
    // A replica holds nothing against the caller that it failed.
    for replica in &replicas {
        assert!(!replica.told.events().iter().any(cut), "{:#?}", replica.told.events());
        assert_eq!(replica.mesh.incidents().len(), 0, "{:#?}", replica.mesh.incidents());
    }
}
