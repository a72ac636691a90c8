//! Grace, and how many are ended at once.

use std::time::Duration;

use meshguard_axum::rejudge::Rejudging;

use crate::rig::soon;
use crate::world::{ALL, NO_STREAMS, NOTHING, Open, World};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_has_grace_goes_on_and_is_spared_if_it_is_allowed_again() {
    let mut world = World::with("", Rejudging::default().with_grace(HOUR)).await;
    let open = Open::new(&world.direct(), &world.app).await;
    world.swap(2, NO_STREAMS);
    world.swap(3, ALL);
    // Both are done, since nothing is left to be ended.
    assert_eq!(world.done(2).await.streams, 0);
    assert!(open.ends_well().await);
}

#[tokio::test]
async fn a_stream_may_come_to_its_own_end_within_its_grace() {
    let mut world = World::with("", Rejudging::default().with_grace(HOUR)).await;
    let open = Open::new(&world.direct(), &world.app).await;
    world.swap(2, NO_STREAMS);
    assert!(open.ends_well().await);
    // And is no longer waited for, as the next change finds.
    world.swap(3, NO_STREAMS);
    assert_eq!(world.done(2).await.streams, 0);
}

#[tokio::test]
async fn when_its_grace_is_over_a_stream_is_ended() {
    let grace = Duration::from_millis(150);
    let mut world = World::with("", Rejudging::default().with_grace(grace)).await;
    let open = Open::new(&world.direct(), &world.app).await;
    world.swap(2, NOTHING);
    let done = world.done(1).await;
    assert_eq!((done.streams, done.connections), (1, 1));
    assert!(done.delay >= grace && done.delay < grace + 10 * grace, "{done:?}");
    assert!(open.ended().await.0.1.is_err());
}

/// A new request has no grace: nobody has begun with it.
#[tokio::test]
async fn grace_is_for_what_was_open_before() {
    let world = World::with("", Rejudging::default().with_grace(HOUR)).await;
    let open = Open::new(&world.direct(), &world.app).await;
    world.swap(2, NO_STREAMS);
    let (numbers, end) =
        soon(crate::rig::grpc::bidi(world.direct(), crate::rig::grpc::ready(1))).await;
    assert!(numbers.is_empty() && end.is_err());
    assert!(open.ends_well().await);
}

#[tokio::test]
async fn no_more_are_ended_in_a_turn_than_the_cap() {
    let mut world = World::with("", Rejudging::default().with_cap(2)).await;
    let channel = world.direct();
    let mut open = Vec::new();
    for _ in 0..7 {
        open.push(Open::new(&channel, &world.app).await);
    }
    world.swap(2, NO_STREAMS);
    let done = world.done(1).await;
    assert_eq!((done.judged, done.streams), (7, 7));
    // Four turns, and so three rests of 10 ms.
    assert!(done.delay >= Duration::from_millis(30), "{done:?}");
    for open in open {
        assert!(open.ended().await.0.1.is_err());
    }
}
