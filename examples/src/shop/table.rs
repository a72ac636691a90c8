//! The live table: redrawn in place, while the shop runs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::edges;
use super::incidents;
use super::member::{Founder, Member};
use super::report::percentile;
use super::truth::{Anomaly, Lane, Truth, What};

/// Between two drawings.
const EVERY: Duration = Duration::from_secs(1);

/// A table on the terminal.
#[derive(Debug)]
pub(super) struct Table {
    drawing: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// What one edge has come to.
#[derive(Default)]
struct Row {
    sent: u64,
    refused: u64,
    last: String,
}

impl Table {
    pub(super) fn start(truth: &Arc<Truth>, founder: &Founder) -> Self {
        let stop = watch::Sender::new(false);
        let members = founder.members();
        let drawing = tokio::spawn(draw(Arc::clone(truth), members, stop.subscribe()));
        Self { drawing, stop }
    }

    /// Takes the table off the terminal.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        // A table that could not be drawn is no loss.
        let _ = self.drawing.await;
    }
}

async fn draw(truth: Arc<Truth>, members: Vec<Member>, mut stop: watch::Receiver<bool>) {
    let mut rows: [Row; Lane::ALL.len()] = Default::default();
    let (mut seen, mut since, mut lines) = (0, Instant::now(), 0);
    while timeout(EVERY, stop.wait_for(|stop| *stop)).await.is_err() {
        let fresh = truth.anomalies(seen);
        seen += fresh.len();
        fresh.iter().for_each(|anomaly| rows[anomaly.lane.index()].note(anomaly));
        let text = paint(&truth, &mut rows, since.elapsed()) + &measured(&members);
        since = Instant::now();
        show(&format!("{}{text}", up(lines)));
        lines = text.lines().count();
    }
    show(&up(lines));
}

/// To the first of so many lines, and all below is cleared.
fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

fn show(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that takes nothing shows nothing.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn paint(truth: &Truth, rows: &mut [Row], elapsed: Duration) -> String {
    let mut text = format!(
        "  {:<28}{:>8}{:>10}{:>11}{:>9}  last finding\n",
        "edge", "calls/s", "p99", "verified", "refused"
    );
    for (lane, row) in Lane::ALL.into_iter().zip(rows) {
        let mut tally = truth.tally(lane);
        let rate = (tally.sent - row.sent) as f64 / elapsed.as_secs_f64().max(0.001);
        row.sent = tally.sent;
        let p99 = percentile(&mut tally.latencies, 99);
        let verified = 100.0 * tally.verified as f64 / tally.received.max(1) as f64;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {:<28}{rate:>8.0}{:>7.1} ms{verified:>9.1} %{:>9}  {}",
            lane.edge(),
            f64::from(p99) / 1000.0,
            row.refused,
            row.last
        );
    }
    text
}

/// What the loops of the services see, and what they hold to be wrong.
fn measured(members: &[Member]) -> String {
    let mut text = format!("\n  {}\n", edges::HEAD);
    for row in edges::measured(members) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {row}");
    }
    let found = incidents::found(members);
    if !found.is_empty() {
        let _ = writeln!(text, "\n  {}", incidents::HEAD);
    }
    for row in found {
        let _ = writeln!(text, "  {row}");
    }
    text
}

impl Row {
    fn note(&mut self, anomaly: &Anomaly) {
        match &anomaly.what {
            What::Finding(_, name) => {
                self.refused += 1;
                self.last.clone_from(name);
            }
            What::Error(_, sign) => self.last.clone_from(&sign.name),
            What::Fooled(fooled) => self.last = fooled.text().to_owned(),
        }
    }
}
