//! A policy that denies what is open.

use std::time::Instant;

use axum::http::StatusCode;
use meshguard_axum::rejudge::{Cause, Rejudging};
use meshguard_axum::{Channel, DeliveryErrorKind, Mesh};

use crate::rig::app::Saw;
use crate::rig::{CALLEE, http, soon};
use crate::world::{ALL, AT_MOST, NO_STREAMS, NOTHING, Open, World, policy};

/// Opens a stream, denies it, and sees it end with an error at both ends, in time.
async fn a_swap_ends_a_stream(world: &mut World, channel: Channel) {
    let open = Open::new(&channel, &world.app).await;
    assert_eq!(world.callee.streams_open(), 1);
    let swapped = Instant::now();
    world.swap(2, NO_STREAMS);
    let ((_, end), at) = open.ended().await;
    assert!(end.is_err(), "an end that looks whole");
    let done = world.done(1).await;
    assert_eq!((done.cause, done.streams, done.judged), (Cause::Policy, 1, 1));
    assert!(done.delay <= AT_MOST, "{done:?}");
    assert!(at - swapped <= 10 * AT_MOST, "the caller learnt it after {:?}", at - swapped);
    assert_eq!(world.callee.streams_open(), 0);
    match world.app.saw().await {
        Saw::Failed { typed: Some(error), .. } => {
            assert_eq!(error.kind(), DeliveryErrorKind::Withdrawn);
        }
        Saw::Dropped => {}
        other => panic!("{other:?}"),
    }
    let found = world.told.wait("withdrawn").await;
    assert!(found.detail.contains("/faults.Items/Bidi"), "{found:?}");
    assert!(found.detail.contains("policy version 2"), "{found:?}");
    // What is still allowed is answered, over the same connection.
    let (status, _) = http::call(&channel, http::get("/known/10")).await.answer();
    assert_eq!((status, done.connections), (StatusCode::OK, 0));
}

#[tokio::test]
async fn an_open_bidirectional_stream_is_ended_within_100_ms_of_a_swap_that_denies_it() {
    let mut world = World::new().await;
    let channel = world.direct();
    a_swap_ends_a_stream(&mut world, channel).await;
}

#[tokio::test]
async fn so_is_one_behind_a_hop() {
    let mut world = World::new().await;
    let channel = world.through_hop();
    a_swap_ends_a_stream(&mut world, channel).await;
}

#[tokio::test]
async fn so_is_one_whose_delivery_nobody_proves() {
    let off = "[[delivery]]\nmode = \"off\"\n";
    let mut world = World::with(off, Rejudging::default()).await;
    let channel = world.direct();
    a_swap_ends_a_stream(&mut world, channel).await;
    assert_eq!(world.callee.sessions_open(), 0, "it was plain");
}

#[tokio::test]
async fn a_stream_that_remains_allowed_survives_a_swap_and_loses_nothing() {
    let mut world = World::new().await;
    let (direct, through) = (world.direct(), world.through_hop());
    let open = [Open::new(&direct, &world.app).await, Open::new(&through, &world.app).await];
    for version in 2..7 {
        world.swap(version, "http = [\"* /known/{n}\"]\ngrpc = [\"faults.Items/*\"]\n");
    }
    let done = world.done(5).await;
    assert_eq!((done.streams, done.connections), (0, 0));
    assert_eq!(world.callee.streams_open(), 2);
    for open in open {
        assert!(open.ends_well().await);
    }
}

/// A new policy may ask for a header that no stream's proof has covered: an allow rule that asks
/// for it holds no more, and one that does not goes on as before.
#[tokio::test]
async fn a_condition_on_a_header_that_was_not_kept_is_false_and_nothing_else() {
    let mut world = World::new().await;
    let open = Open::new(&world.direct(), &world.app).await;
    let also = "[[allow]]\nname = \"b\"\nwhen = { headers = { x-tenant = \"a\" } }\n";
    world.callee.set_policy(policy(2, ALL, also));
    assert_eq!(world.done(1).await.streams, 0);
    assert!(open.ends_well().await);
    let open = Open::new(&world.direct(), &world.app).await;
    let only = "when = { headers = { x-tenant = \"a\" } }\n";
    world.callee.set_policy(policy(3, only, ""));
    assert_eq!(world.done(2).await.streams, 1);
    assert!(open.ended().await.0.1.is_err());
}

/// A plain stream where proof is asked for now.
#[tokio::test]
async fn a_stream_that_is_to_be_proved_now_and_is_not_is_ended() {
    let off = "[[delivery]]\nmode = \"off\"\n";
    let mut world = World::with(off, Rejudging::default()).await;
    let open = Open::new(&world.direct(), &world.app).await;
    world.callee.set_policy(policy(2, ALL, ""));
    assert_eq!(world.done(1).await.streams, 1);
    assert!(open.ended().await.0.1.is_err());
}

#[tokio::test]
async fn a_hop_that_policy_no_longer_names_carries_nothing_on() {
    let mut world = World::new().await;
    let (direct, through) = (world.direct(), world.through_hop());
    let stays = Open::new(&direct, &world.app).await;
    let goes = Open::new(&through, &world.app).await;
    let text = "mesh = \"faults.example\"\nversion = 2\n[[allow]]\nname = \"all\"\n";
    world.callee.set_policy(text.parse().unwrap());
    assert_eq!(world.done(1).await.streams, 1);
    assert!(goes.ended().await.0.1.is_err());
    assert!(stays.ends_well().await);
}

/// The application is still at work, and has not answered.
#[tokio::test]
async fn a_call_that_waits_for_its_answer_is_refused_and_its_number_explained() {
    let mut world = World::new().await;
    let channel = world.direct();
    let (_hold, held) = tokio::sync::oneshot::channel::<()>();
    let body = futures_util::stream::once(async move {
        let _ = held.await;
        Ok::<_, std::io::Error>(axum::body::Bytes::new())
    });
    let upload = http::post("/take", axum::body::Body::from_stream(Box::pin(body)));
    let call = tokio::spawn(async move { http::call(&channel, upload).await });
    soon(world.app.called()).await;
    world.swap(2, "http = [\"GET /known/{n}\"]\n");
    assert_eq!(world.done(1).await.streams, 1);
    assert!(matches!(world.app.saw().await, Saw::Dropped | Saw::Failed { .. }));
    match soon(call).await.unwrap() {
        http::Got::Answer(status, _) => assert_eq!(status, StatusCode::FORBIDDEN),
        http::Got::Failed(error) => panic!("{error}"),
        broken @ http::Got::Broken(..) => panic!("{broken:?}"),
    }
    let counts = world.caller.counts();
    assert!(counts.balances() && counts.delivered == 0, "{counts:?}");
}

#[tokio::test]
async fn where_no_policy_is_loaded_any_more_nothing_goes_on() {
    let mut world = World::new().await;
    let open = Open::new(&world.direct(), &world.app).await;
    world.callee.set_policy(meshguard_axum::Policy::deny_all());
    let done = world.done(1).await;
    assert_eq!((done.streams, done.connections), (1, 1));
    assert!(open.ended().await.0.1.is_err());
}

/// Nobody listens: there is nothing to judge, and the change is done.
#[tokio::test]
async fn a_swap_of_a_service_that_only_calls_is_done_at_once() {
    let mesh = Mesh::dev(CALLEE).unwrap().policy(policy(1, ALL, "")).build().unwrap();
    mesh.set_policy(policy(2, NOTHING, ""));
    let done = mesh.rejudged().borrow().clone();
    assert_eq!((done.changes, done.judged, done.streams), (1, 0, 0));
}
