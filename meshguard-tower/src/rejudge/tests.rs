use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::channel::{Channel as Piecewise, Sender};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use meshguard_core::Policy;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::inbound::RequestBody;
use crate::rig::{CHECKOUT, ORDERS, PATIENCE};
use crate::{Channel, Mesh};

fn policy(version: u64, paths: &str) -> Policy {
    let text = format!(
        "mesh='shop.example'\nversion={version}\n[[allow]]\nname='a'\nhttp=['* {paths}']\n"
    );
    text.parse().unwrap()
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// A service that sends back what it gets, and one that calls it.
struct Pair {
    callee: Mesh,
    channel: Channel,
}

impl Pair {
    async fn new() -> Self {
        let callee = Mesh::dev(ORDERS.clone()).unwrap().policy(policy(1, "/{**}")).build().unwrap();
        let caller = Mesh::dev(CHECKOUT.clone()).unwrap();
        let caller = caller.policy(policy(1, "/{**}")).build().unwrap();
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let echo = service_fn(|request: Request<RequestBody<Incoming>>| async {
            Ok::<_, Infallible>(Response::new(request.into_body()))
        });
        tokio::spawn(listener.serve(echo).into_future());
        let channel = caller.channel(&format!("https://{addr}"), ORDERS.clone()).unwrap();
        Self { callee, channel }
    }

    /// Asks with a body that stays open; the answer's head.
    async fn open(&self) -> (Sender<Bytes, std::io::Error>, StatusCode) {
        let (mut sender, body) = Piecewise::new(4);
        sender.send_data(Bytes::from_static(b"1")).await.unwrap();
        let request = Request::post("/echo").body(body).unwrap();
        let response = soon(self.channel.clone().oneshot(request)).await.unwrap();
        let (parts, mut body) = response.into_parts();
        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        (sender, parts.status)
    }

    async fn done(&self) -> Rejudged {
        let mut rejudged = self.callee.rejudged();
        soon(rejudged.wait_for(|all| all.changes > 0)).await.unwrap().clone()
    }
}

async fn a_swap_ends_what_is_open(pair: &Pair) -> Result<(), &'static str> {
    let (_sender, status) = pair.open().await;
    assert_eq!(status, StatusCode::OK);
    pair.callee.set_policy(policy(2, "/other"));
    let done = pair.done().await;
    match (done.streams, done.slowest) {
        (1, delay) if delay <= Duration::from_millis(100) => Ok(()),
        (1, _) => Err("it took too long"),
        _ => Err("the stream was not ended"),
    }
}

#[tokio::test]
async fn what_is_open_is_found_and_ended() {
    let pair = Pair::new().await;
    assert_eq!(a_swap_ends_what_is_open(&pair).await, Ok(()));
    assert_eq!(pair.callee.streams_open(), 0);
}

/// The seeded fault of the test above.
#[tokio::test]
async fn a_registry_that_forgets_would_be_noticed() {
    let pair = Pair::new().await;
    pair.callee.0.rejudge.faults.forgets.store(true, Ordering::Relaxed);
    assert_eq!(a_swap_ends_what_is_open(&pair).await, Err("the stream was not ended"));
}

/// Whether a request is refused that was let in by one policy while another one came into force,
/// and which nobody could find among the open ones then.
async fn the_gap_is_closed(pair: &Pair) -> Result<(), &'static str> {
    // So that the request below is the first one.
    let request = Request::get("/hello").body(Empty::<Bytes>::new()).unwrap();
    soon(pair.channel.clone().oneshot(request)).await.unwrap();
    let callee = pair.callee.clone();
    *pair.callee.0.rejudge.faults.meanwhile.lock().unwrap() = Some(Box::new(move || {
        // The walk has to come in between, and on this thread it could not.
        tokio::task::block_in_place(|| {
            callee.set_policy(policy(2, "/other"));
            let since = std::time::Instant::now();
            while callee.rejudged().borrow().changes == 0 && since.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
        });
    }));
    let (_sender, status) = pair.open().await;
    if status == StatusCode::FORBIDDEN { Ok(()) } else { Err("it was let in") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_slips_through_a_swap() {
    let pair = Pair::new().await;
    assert_eq!(the_gap_is_closed(&pair).await, Ok(()));
}

/// The seeded fault of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn looking_once_would_be_noticed() {
    let pair = Pair::new().await;
    pair.callee.0.rejudge.faults.looks_once.store(true, Ordering::Relaxed);
    assert_eq!(the_gap_is_closed(&pair).await, Err("it was let in"));
}

/// Every place is given back, and a shard's room with its last one.
#[tokio::test]
async fn what_was_open_leaves_nothing_behind() {
    let pair = Pair::new().await;
    for _ in 0..50 {
        let request = Request::get("/hello").body(Empty::<Bytes>::new()).unwrap();
        let response = soon(pair.channel.clone().oneshot(request)).await.unwrap();
        soon(response.into_body().collect()).await.unwrap();
    }
    crate::rig::eventually("nothing is open", || pair.callee.streams_open() == 0).await;
}

#[test]
fn of_many_changes_at_once_none_is_lost() {
    let state = State::new(Rejudging::default());
    for _ in 0..3 * MAX_WAITING {
        let whom = Whom::Only(vec![CHECKOUT.clone()]);
        state.push(Trigger { change: Change::of_nobody(), whom });
    }
    let waiting = state.take();
    assert!(waiting.len() <= MAX_WAITING);
    assert!(waiting.iter().any(|trigger| matches!(trigger.whom, Whom::All)), "it is everybody's");
}
