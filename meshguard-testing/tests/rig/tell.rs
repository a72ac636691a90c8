//! What a mesh tells its sink.

use std::sync::{Arc, Mutex};

use meshguard_axum::core::control::Event;
use meshguard_axum::{Call, Direction, Finding, Sink};
use tokio::sync::watch;

use super::soon;

/// A finding that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub direction: Direction,
    pub name: String,
    pub detail: String,
    pub from: Option<String>,
    pub via: Option<String>,
}

/// Keeps the findings of one mesh. Clones share them.
#[derive(Clone, Default)]
pub struct Told(Arc<Inner>);

#[derive(Default)]
struct Inner {
    findings: Mutex<Vec<Found>>,
    events: Mutex<Vec<Event>>,
    count: watch::Sender<usize>,
}

impl Told {
    pub fn all(&self) -> Vec<Found> {
        self.0.findings.lock().unwrap().clone()
    }

    pub fn named(&self, name: &str) -> Vec<Found> {
        self.all().into_iter().filter(|f| f.name == name).collect()
    }

    /// Waits for the first finding of that name.
    pub async fn wait(&self, name: &str) -> Found {
        self.wait_any(&[name]).await
    }

    /// Waits for the first finding of one of those names.
    pub async fn wait_any(&self, names: &[&str]) -> Found {
        let mut count = self.0.count.subscribe();
        let waiting = async {
            loop {
                count.borrow_and_update();
                let found = self.all().into_iter().find(|f| names.contains(&f.name.as_str()));
                match found {
                    Some(found) => return found,
                    None => count.changed().await.unwrap(),
                }
            }
        };
        match tokio::time::timeout(super::PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("no finding {names:?} among {:?}", self.all()),
        }
    }

    /// The steps of the loop so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.events.lock().unwrap().clone()
    }

    /// Waits for the first step of the loop that is one of those.
    pub async fn wait_event(&self, which: impl Fn(&Event) -> bool) -> Event {
        let mut count = self.0.count.subscribe();
        let waiting = async {
            loop {
                count.borrow_and_update();
                match self.events().into_iter().find(&which) {
                    Some(event) => return event,
                    None => count.changed().await.unwrap(),
                }
            }
        };
        match tokio::time::timeout(super::PATIENCE, waiting).await {
            Ok(event) => event,
            Err(_) => panic!("not among {:#?}", self.events()),
        }
    }

    /// Waits until so many findings of that name were told.
    pub async fn count(&self, name: &str, n: usize) {
        let mut count = self.0.count.subscribe();
        soon(async {
            while self.named(name).len() < n {
                count.changed().await.unwrap();
            }
        })
        .await;
    }
}

impl Sink for Told {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let found = Found {
            direction: finding.direction,
            name: finding.name.to_owned(),
            detail: finding.detail.to_string(),
            from: finding.edge.from.map(ToString::to_string),
            via: finding.edge.via.map(ToString::to_string),
        };
        self.0.findings.lock().unwrap().push(found);
        self.0.count.send_modify(|n| *n += 1);
    }

    fn event(&self, event: &Event) {
        self.0.events.lock().unwrap().push(event.clone());
        self.0.count.send_modify(|n| *n += 1);
    }
}
