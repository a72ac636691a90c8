//! The end of all channels: what they owe is sent, and their sessions end.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout_at};

use super::driver::flush_all;
use super::registry::Registry;

/// How often calls under way are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Connections have so long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Waits for the calls under way and sends the receipts that wait, until `deadline`; then ends
/// all sessions. Returns how many receipts were taken, and how many were not.
pub(crate) async fn shut_down(channels: &Registry, deadline: Instant) -> (u64, u64) {
    let mut taken = 0;
    let settling = async {
        loop {
            let all = channels.all();
            let before = waiting(channels);
            let flushing = all.iter().map(|(channel, session)| flush_all(channel, session));
            taken += join_all(flushing).await.iter().sum::<u64>();
            // Where nobody takes them, there is no use in waiting.
            let left = waiting(channels);
            if channels.counts().open == 0 && (left == 0 || left == before) {
                return;
            }
            sleep(if left == 0 { LOOK } else { 20 * LOOK }).await;
        }
    };
    // What is left by then is counted.
    let _ = timeout_at(deadline, settling).await;
    let left = waiting(channels);
    let all = channels.all();
    all.iter().for_each(|(channel, session)| channel.forget(session));
    let closing = join_all(all.iter().map(|(channel, _)| channel.pool.close()));
    // One that has still something to carry is closed by the end of the process.
    let _ = timeout_at(deadline.min(Instant::now() + GOODBYE), closing).await;
    (taken, left)
}

fn waiting(channels: &Registry) -> u64 {
    let all = channels.all();
    all.iter().map(|(_, session)| session.sender().receipts_waiting() as u64).sum()
}
