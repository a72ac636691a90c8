//! Policies from the program itself.

use std::sync::{Arc, Mutex, PoisonError};

use meshguard_core::Policy;
use tokio::sync::{Notify, watch};

use super::{News, NextNews, PolicySource};
use crate::error::BoxError;
use crate::mesh::ReloadError;

/// Makes a source of policies and the handle that feeds it.
///
/// ```
/// # fn f(policy: meshguard_tower::Policy) -> Result<(), Box<dyn std::error::Error>> {
/// use meshguard_tower::Mesh;
/// use meshguard_tower::source::policy_channel;
///
/// let (handle, feed) = policy_channel();
/// let mesh = Mesh::builder()
///     .svid_files("svid.pem", "svid.key", "bundle.pem")?
///     .policy_source(feed)
///     .build()?; // denies all until the first policy
/// handle.set(policy);
/// # Ok(()) }
/// ```
#[must_use]
pub fn policy_channel() -> (PolicyHandle, PolicyFeed) {
    let shared = Arc::new(Shared { slot: Mutex::default(), news: Notify::new() });
    let outcome = watch::Sender::new(None);
    let handle =
        PolicyHandle(Arc::new(Open { shared: Arc::clone(&shared), outcome: outcome.subscribe() }));
    (handle, PolicyFeed { shared, outcome, offered: None })
}

/// Feeds policies to a mesh. Cloning is cheap; when the last clone is dropped, there will be no
/// further news.
#[derive(Clone, Debug)]
pub struct PolicyHandle(Arc<Open>);

/// What became of a policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Offered {
    /// Its version; `None` of a failure that was reported.
    pub version: Option<u64>,
    /// Why it is not in force.
    pub refused: Option<Arc<ReloadError>>,
}

/// The mesh's end of a [`policy_channel`].
#[derive(Debug)]
pub struct PolicyFeed {
    shared: Arc<Shared>,
    outcome: watch::Sender<Option<Offered>>,
    offered: Option<u64>,
}

#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    outcome: watch::Receiver<Option<Offered>>,
}

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    news: Notify,
}

/// The latest news: what came before, and was not fetched, is out of date.
#[derive(Debug, Default)]
struct Slot {
    news: Option<News>,
    closed: bool,
}

impl PolicyHandle {
    /// Offers a policy. One that was offered before and not fetched yet is forgotten.
    pub fn set(&self, policy: Policy) {
        self.0.shared.put(News::Policy(Box::new(policy)));
    }

    /// Says that the policy offered last is still the newest.
    pub fn confirm(&self) {
        self.0.shared.put(News::Fresh);
    }

    /// Says that there may be a newer policy, which cannot be used.
    pub fn fail(&self, error: impl Into<BoxError>) {
        self.0.shared.put(News::Failed(ReloadError::Source("the program".into(), error.into())));
    }

    /// What became of the policy that the mesh fetched last; `None` before the first.
    #[must_use]
    pub fn outcome(&self) -> watch::Receiver<Option<Offered>> {
        self.0.outcome.clone()
    }
}

impl Shared {
    fn put(&self, news: News) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        // A confirmation does not take the place of what it confirms.
        if !matches!((&news, &slot.news), (News::Fresh, Some(_))) {
            slot.news = Some(news);
        }
        drop(slot);
        self.news.notify_one();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut slot = self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.closed = true;
        drop(slot);
        self.shared.news.notify_one();
    }
}

impl PolicySource for PolicyFeed {
    fn name(&self) -> &str {
        "the program"
    }

    fn next(&mut self) -> NextNews<'_> {
        Box::pin(async move {
            loop {
                let (news, closed) = {
                    let mut slot = self.shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
                    (slot.news.take(), slot.closed)
                };
                match news {
                    Some(news) => {
                        self.offered = match &news {
                            News::Policy(policy) => Some(policy.version()),
                            _ => None,
                        };
                        return Some(news);
                    }
                    None if closed => return None,
                    None => self.shared.news.notified().await,
                }
            }
        })
    }

    fn told(&mut self, outcome: &Result<u64, Arc<ReloadError>>) {
        let refused = outcome.as_ref().err().cloned();
        self.outcome.send_replace(Some(Offered { version: self.offered, refused }));
    }
}
