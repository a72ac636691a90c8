//! One run: workers on every lane, and what happens meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::Args;
use crate::callees::How;
use crate::calls::{Calling, call};
use crate::error::SoakError;
use crate::evidence::Evidence;
use crate::journal::Journal;
use crate::memory::Memory;
use crate::policy::Variant;
use crate::rng::Rng;
use crate::shape::{Callee, Http, Lane, Shape};
use crate::wire::Wire;
use crate::world::World;

/// Workers of each lane.
const WORKERS: u64 = 2;
/// The longest rest of a worker between two calls, in milliseconds.
const REST: u64 = 250;
/// Between two events, in milliseconds.
const EVENTS: std::ops::Range<u64> = 1_500..3_500;
/// Nothing happens so long before the end.
const QUIET: Duration = Duration::from_secs(4);

/// Runs it all, and gives what it has shown.
pub(crate) async fn run(args: Args) -> Result<Evidence, SoakError> {
    let journal = Arc::new(Journal::new(args.length));
    let mut world = World::new(&journal, args.renewal).await?;
    let until = Instant::now() + args.length;
    let memory = Memory::watch(args.length);
    let mut workers = JoinSet::new();
    for (number, (lane, wire)) in world.lanes()?.into_iter().enumerate() {
        for worker in 0..WORKERS {
            // The same on both sides.
            let stream = (number as u64 % 8) * WORKERS + worker;
            let (journal, rng) = (Arc::clone(&journal), Rng::new(args.seed, stream));
            workers.spawn(work(lane, wire.clone(), journal, rng, until));
        }
    }
    events(&mut world, Rng::new(args.seed, u64::MAX), until - QUIET).await?;
    while workers.join_next().await.is_some() {}
    let memory = memory.stop().await;
    let evidence = world.finish().await;
    Ok(Evidence { memory, ..evidence })
}

/// Calls of all shapes, one after the other.
async fn work(lane: Lane, wire: Wire, journal: Arc<Journal>, mut rng: Rng, until: Instant) {
    while Instant::now() < until {
        let shape = pick(lane, &mut rng);
        let begun = journal.begin(lane, shape);
        let calling = Calling { wire: wire.clone(), shape, id: begun.id, rng: &mut rng };
        let ended = call(calling).await;
        journal.end(&begun, ended);
        sleep(Duration::from_millis(rng.within(0, REST))).await;
    }
}

/// Any shape; gRPC over HTTP/2 only.
fn pick(lane: Lane, rng: &mut Rng) -> Shape {
    loop {
        let shape = Shape::ALL[rng.within(0, Shape::COUNT as u64) as usize];
        if lane.http == Http::Two || !shape.is_grpc() {
            return shape;
        }
    }
}

/// Restarts by turns, and between them a change of policy or of certificates.
async fn events(world: &mut World, mut rng: Rng, until: Instant) -> Result<(), SoakError> {
    let mut turn = 0;
    loop {
        let next = Duration::from_millis(rng.within(EVENTS.start, EVENTS.end));
        if Instant::now() + next >= until {
            return world.change(Variant::Plain);
        }
        sleep(next).await;
        if turn % 2 == 0 {
            let callee = Callee::BOTH[turn / 2 % 2];
            let how = if rng.within(0, 2) == 0 { How::AtOnce } else { How::Drained };
            world.restart(callee, how).await?;
        } else {
            world.change(Variant::CHANGES[turn / 2 % Variant::CHANGES.len()])?;
            if turn % 4 == 3 {
                world.rotate()?;
            }
        }
        turn += 1;
    }
}
