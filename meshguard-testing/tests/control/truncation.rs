//! What a hop does is never held against those behind it.

use axum::http::{HeaderName, HeaderValue};
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::core::control::{Event, GovernorRefusal};
use meshguard_axum::core::reflex::ActionKind;
use meshguard_axum::tls::Alpn;
use meshguard_testing::{Cut, Direction, Fault, FaultHop};

use crate::mall::{HONEST, Mall, WICKED};
use crate::rig::{self, HOP, http};

/// Cuts everybody off for the least of signs.
const TRIGGER_HAPPY: &str = r#"
    [[reflex]]
    name = "errors"
    on = { signal = "errors", false_alarms = "1 in 1 s" }
    do = ["quarantine"]
    ttl = "1h"
    [[reflex]]
    name = "receipts"
    on = { signal = "missing_receipts", false_alarms = "1 in 1 s" }
    do = ["quarantine"]
    ttl = "1h"
    [[reflex]]
    name = "forged"
    on = { signal = "forged" }
    do = ["quarantine"]
    ttl = "1h"
    [governor]
    max_share = 1.0
    min_peers = 1
    min_calls = 1
    max_actions = "1000/s"
"#;

fn restricts_a_caller(event: &Event) -> bool {
    match event {
        Event::Applied(action) => {
            action.kind != ActionKind::Alert && matches!(action.edge, EdgeKey::Caller(_))
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_truncating_hop_never_gets_an_honest_caller_quarantined() {
    let mall = Mall::new(TRIGGER_HAPPY).await;
    let caller = mall.caller(HONEST);
    let channel = mall.through_hop(&caller);
    mall.make_known(&HONEST, &channel).await;
    let whole = http::pattern(300);
    let cut = |n: usize| match n % 3 {
        0 => Fault::CutRequest { after: 100, how: Cut::EndStream },
        1 => Fault::CutResponse { after: 100, how: Cut::EndStream },
        _ => Fault::FlipByte { direction: Direction::Request, offset: 50 },
    };
    // Until the loop has noticed, and wanted to cut the hop off.
    let cutting = async {
        for n in 0.. {
            mall.hop.inject_next(cut(n));
            match n % 3 {
                1 => drop(http::call(&channel, http::get("/stream/300")).await),
                _ => drop(http::call(&channel, http::post("/take", http::halves(&whole))).await),
            }
        }
    };
    let spared = |event: &Event| match event {
        Event::Refused { action, why } => {
            action.edge == EdgeKey::HopIn(HOP) && matches!(why, GovernorRefusal::Hop)
        }
        _ => false,
    };
    tokio::select! {
        () = cutting => {}
        _ = mall.at_callee.wait_event(spared) => {}
    }
    let events = mall.at_callee.events();
    assert!(!events.iter().any(restricts_a_caller), "{events:#?}");
    // Not through the hop, which may have a fault left.
    http::call(&mall.direct(&caller), http::get("/known/10")).await.answer();
}

/// What would show in the test above: the same damage done by the caller itself, on a connection
/// of its own, gets it cut off: its errors are its own.
#[tokio::test]
async fn a_caller_that_forges_on_its_own_connection_is_cut_off() {
    let mall = Mall::new(TRIGGER_HAPPY).await;
    let (honest, wicked) = (mall.caller(HONEST), mall.caller(WICKED));
    let direct = mall.direct(&honest);
    mall.make_known(&HONEST, &direct).await;
    // A hop that shows the caller's own credentials is the caller.
    let itself = FaultHop::builder(mall.addr).tls(&rig::ca(), &WICKED).unwrap();
    let itself = itself.start().await.unwrap();
    let channel = mall.direct(&wicked).connect_to(itself.addr()).protocols(Alpn::H2);
    // It calls a callee that it takes for itself.
    let channel = channel.via(WICKED);
    mall.make_known(&WICKED, &channel).await;
    let (name, value) = (HeaderName::from_static("range"), HeaderValue::from_static("bytes=1-"));
    let forging = async {
        loop {
            let (name, value) = (name.clone(), value.clone());
            itself.inject_next(Fault::AddRequestHeader { name, value });
            let _ = http::call(&channel, http::get("/known/10")).await;
        }
    };
    let cut_off = WICKED;
    tokio::select! {
        () = forging => {}
        _ = mall.quarantined(&cut_off) => {}
    }
    let events = mall.at_callee.events();
    assert!(events.iter().any(restricts_a_caller), "{events:#?}");
    http::call(&direct, http::get("/known/10")).await.answer();
}
