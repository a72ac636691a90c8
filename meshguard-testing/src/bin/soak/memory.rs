//! The process's resident memory, as it goes.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Looks every second.
pub(crate) struct Memory {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<(Duration, u64)>>,
}

impl Memory {
    pub(crate) fn watch(length: Duration) -> Self {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let begun = Instant::now();
        let mut seen = Vec::with_capacity(2 * length.as_secs() as usize);
        let task = tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            loop {
                tokio::select! {
                    _ = ticks.tick() => seen.extend(resident().map(|n| (begun.elapsed(), n))),
                    _ = &mut stopped => return seen,
                }
            }
        });
        Self { stop, task }
    }

    /// What was seen: when, and how many bytes.
    pub(crate) async fn stop(self) -> Vec<(Duration, u64)> {
        drop(self.stop);
        self.task.await.unwrap_or_default()
    }
}

/// `None` where the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_seen() {
        let before = resident().unwrap();
        let used = std::hint::black_box(vec![1_u8; 64 << 20]);
        let grown = resident().unwrap() - before;
        assert!(grown > 48 << 20, "{grown}");
        drop(used);
    }
}
