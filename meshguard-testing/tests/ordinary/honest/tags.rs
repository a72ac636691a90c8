//! A wrong tag on a direct connection: a bug more often than an attack.

use std::net::SocketAddr;

use axum::http::{HeaderName, HeaderValue};
use meshguard_axum::core::control::Event;
use meshguard_axum::core::reflex::Signal;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh, Policy};
use meshguard_testing::{Direction, Fault, FaultHop};
use tonic::Code;

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, MAC, grpc, http};

const REFLEX: &str = "[[delivery]]\nseal = false\n\
    [[reflex]]\nname = \"forged\"\non = { signal = \"forged\" }\ndo = [\"quarantine\"]\nttl = \"1h\"\n\
    [governor]\nmax_share = 1.0\nmin_peers = 1\nmin_calls = 1\n";

/// A hop that shows the caller's own credentials is the caller: its connection is direct.
struct World {
    callee: Mesh,
    told: Told,
    itself: FaultHop,
    channel: Channel,
    _caller: Mesh,
    _addr: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let (told, app) = (Told::default(), App::default());
        let policy: Policy = rig::policy(REFLEX).parse().unwrap();
        let callee = Mesh::dev(CALLEE).unwrap().policy(policy).sink(told.clone()).build().unwrap();
        let addr = rig::serve(&callee, &app).await;
        let itself = FaultHop::builder(addr).tls(&rig::ca(), &CALLER).unwrap();
        let itself = itself.start().await.unwrap();
        let caller = rig::mesh(CALLER, &rig::policy(MAC), &Told::default());
        let channel = caller.channel(&format!("https://{}", itself.addr()), CALLEE).unwrap();
        let channel = channel.via(CALLER).protocols(Alpn::H2);
        http::call(&channel, http::get("/known/10")).await.answer();
        Self { callee, told, itself, channel, _caller: caller, _addr: addr }
    }

    /// One that fails because of `fault`, and one in another session.
    async fn suffer(&self, n: usize, fault: Fault) {
        self.itself.inject_next(fault);
        let request = match n % 2 {
            0 => http::get("/known/10"),
            _ => http::post("/take", http::halves(&http::pattern(300))),
        };
        let _ = http::call(&self.channel, request).await;
        rig::soon(self.itself.injected(n + 1)).await;
    }
}

/// A wrong proof of a head, and a wrong tag of a record.
fn fault(n: usize) -> Fault {
    let (name, value) = (HeaderName::from_static("range"), HeaderValue::from_static("bytes=1-"));
    match n % 2 {
        0 => Fault::AddRequestHeader { name, value },
        _ => Fault::FlipByte { direction: Direction::Request, offset: 50 },
    }
}

#[tokio::test]
async fn the_first_wrong_tag_ends_its_session_and_the_third_in_three_sessions_is_forgery() {
    let world = World::new().await;
    for n in 0..2 {
        world.suffer(n, fault(n)).await;
        world.told.wait(["bad-proof", "bad-tag"][n]).await;
        world.told.count("session-ended", n + 1).await;
        // The next call opens another one.
        http::call(&world.channel, http::get("/known/10")).await.answer();
        assert!(world.told.events().is_empty(), "{:?}", world.told.events());
        assert!(world.callee.incidents().is_empty());
    }
    world.suffer(2, fault(2)).await;
    // What the governor allows is another matter.
    let forged = |event: &Event| matches!(event, Event::Opened(i) if i.signal == Signal::Forged);
    world.told.wait_event(forged).await;
}

/// What is too long, and what is no record: another configuration or version may send that.
#[tokio::test]
async fn what_can_be_an_honest_mistake_ends_no_session_however_often() {
    let world = World::new().await;
    let flip = |offset| Fault::FlipByte { direction: Direction::Request, offset };
    for n in 1..=4 {
        // The length of the first message: 16 MiB more.
        world.itself.inject_next(flip(1));
        let status = grpc::client(world.channel.clone(), grpc::paced(5)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        for text in ["16,777,", "4,194,304", "message_limit"] {
            assert!(status.message().contains(text), "{text}: {status:?}");
        }
        world.told.count("message-too-large", 2 * n - 1).await;
        // The length of the first record.
        world.itself.inject_next(flip(1));
        let request = http::post("/take", http::halves(&http::pattern(300)));
        let (status, _) = http::call(&world.channel, request).await.answer();
        assert!(status.is_client_error(), "{status}");
        world.told.count("message-too-large", 2 * n).await;
    }
    assert!(world.told.named("session-ended").is_empty(), "{:?}", world.told.all());
    assert!(world.told.events().is_empty(), "{:?}", world.told.events());
    assert_eq!(world.callee.sessions_open(), 1);
    assert!(world.callee.incidents().is_empty());
    http::call(&world.channel, http::get("/known/10")).await.answer();
}
