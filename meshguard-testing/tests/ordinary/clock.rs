//! A wall clock that is set while a service runs: no honest call is lost by it, and it hides no attack.

mod service;

use std::time::{Duration, Instant};

use service::{HONEST, Service};

/// An attack may go on for so much longer after a step than it does without, on a slow machine.
const SLACK: Duration = Duration::from_secs(3);
/// Where the wall clock is set to, in seconds from the right time: steps of +30 s, −60 s, two hours
/// and four hours back.
const AHEAD: [i64; 4] = [30, -30, 7_200, -7_200];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_clock_loses_no_honest_call_and_hides_no_attack() {
    let service = Service::start(AHEAD.len() + 1).await;
    // By then all have been calling for longer than it takes to learn what is usual.
    service.calls(&HONEST, 100).await;
    service.accuses_no_honest("before");
    let usual = attack(&service, 0).await;
    for (n, ahead) in AHEAD.into_iter().enumerate() {
        service.set_clock(ahead);
        service.calls(&HONEST, 24).await;
        let took = attack(&service, n + 1).await;
        service.accuses_no_honest(&format!("{ahead:+} s"));
        assert!(took <= usual + SLACK, "{took:?} at {ahead:+} s, {usual:?} before");
    }
    for ahead in [30, -60, 7_230, -14_400] {
        let found = format!("clock-stepped: the wall clock was set by {ahead:+} s");
        service.says(&found, |line| line == found).await;
    }
    service.stop().await;
}

/// One who has behaved well so far calls what it may not; how long until it is cut off.
async fn attack(service: &Service, attacker: usize) -> Duration {
    let begin = Instant::now();
    service.misbehave(attacker);
    let whom = service::attacker(attacker);
    let cut_off = |line: &str| line.contains(&format!("caller {whom}: quarantine for"));
    service.says(&format!("the quarantine of {whom}"), cut_off).await;
    begin.elapsed()
}
