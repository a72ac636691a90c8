//! What a session does by itself: receipts that find no request to ride on get one of their own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use meshguard_core::delivery::{RECEIPT_LEN, Receipt};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::call::{Failed, attempt};
use super::exchange::Open;
use super::request::Source;
use super::{CallError, Shared};
use crate::clock::{now, steady};
use crate::session::{ClientSession, RECEIPTS, path};

/// After receipts were lost, the next try waits so long.
const BACK_OFF: Duration = Duration::from_secs(1);
/// A request with receipts is given up after so long.
const POST_TIME: Duration = Duration::from_secs(5);
/// A request with receipts, or with a session's handshake, that is not answered within so long goes
/// over a connection of its own: bodies that nobody reads may fill the window of the shared one (RFC
/// 9113, section 5.2), or what is proven otherwise.
pub(super) const ROOM_TIME: Duration = Duration::from_secs(1);
/// What a session or a channel owes that is gone is given up after so long.
const LAST_FLUSH: Duration = Duration::from_secs(5);
/// Or after so many requests that failed.
const LAST_TRIES: u32 = 2;

/// Drives a session until its channel or the session itself is gone.
pub(super) fn drive(shared: &Arc<Shared>, session: &Arc<ClientSession>) {
    tokio::spawn(run(Arc::downgrade(shared), Arc::downgrade(session)));
}

async fn run(shared: Weak<Shared>, session: Weak<ClientSession>) {
    loop {
        let (due, hurry) = match session.upgrade() {
            None => return,
            Some(session) => (session.sender().poll_timeout(), Arc::clone(&session.hurry)),
        };
        match due {
            Some(due) => tokio::select! {
                () = sleep(due.since(steady())) => {}
                () = hurry.on() => {}
            },
            None => match wait_for_receipts(&session).await {
                Some(()) => continue,
                None => return,
            },
        }
        let mut flushed = Flushed::Nothing;
        if let (Some(shared), Some(session)) = (shared.upgrade(), session.upgrade()) {
            if session.sender().poll_timeout().is_some_and(|due| hurry.is_on() || due <= steady()) {
                flushed = flush(&shared, &session).await;
            }
        } else {
            return;
        }
        if let Flushed::Failed = flushed {
            sleep(BACK_OFF).await;
        }
    }
}

/// Until receipts wait; `None` where there is no session any more.
async fn wait_for_receipts(session: &Weak<ClientSession>) -> Option<()> {
    let owes = Arc::clone(&session.upgrade()?.owes);
    owes.notified().await;
    session.upgrade().map(|_| ())
}

/// Takes no new exchanges in a session that its receiver wants another one for. What it owes by
/// then, and soon after, is sent as before.
pub(super) fn leave_to_others(shared: &Arc<Shared>, session: &Arc<ClientSession>) {
    if !shared.has(session) {
        return;
    }
    shared.forget(session);
    let Ok(runtime) = Handle::try_current() else { return };
    let (shared, session) = (Arc::clone(shared), Arc::clone(session));
    runtime.spawn(async move {
        sleep(BACK_OFF).await; // meanwhile its driver goes on
        flush_last(&shared, session);
    });
}

/// A session that is of no more use to its channel: what it owes is sent in a task of its own.
pub(super) fn flush_last(shared: &Arc<Shared>, session: Arc<ClientSession>) {
    if session.sender().receipts_waiting() == 0 && !session.sender().has_void() {
        return;
    }
    // Without a runtime nobody could send anything.
    let Ok(runtime) = Handle::try_current() else { return };
    shared.mesh.0.channels.add(shared, &session);
    let shared = Arc::clone(shared);
    runtime.spawn(async move {
        // What is not taken in time stays unconfirmed.
        let _ = timeout(LAST_FLUSH, flush_all(&shared, &session)).await;
    });
}

/// Sends all receipts that wait; returns how many were taken.
pub(super) async fn flush_all(shared: &Arc<Shared>, session: &Arc<ClientSession>) -> u64 {
    let (mut taken, mut failures) = (0, 0);
    loop {
        match flush(shared, session).await {
            Flushed::Taken(count) => taken += count,
            Flushed::Nothing | Flushed::Unknown => return taken,
            Flushed::Failed => {
                failures += 1;
                if failures >= LAST_TRIES {
                    return taken;
                }
            }
        }
    }
}

/// What became of the receipts that waited.
enum Flushed {
    /// There were none.
    Nothing,
    /// So many were taken, with proof.
    Taken(u64),
    /// The session is not known any more.
    Unknown,
    /// They wait again.
    Failed,
}

/// Receipts on their way. They wait again unless they were taken, or have nowhere to go.
struct Receipts<'a> {
    of: &'a ClientSession,
    receipts: Vec<(u64, Receipt)>,
}

impl Drop for Receipts<'_> {
    fn drop(&mut self) {
        if !self.receipts.is_empty() && self.of.is_open(now()) {
            self.of.sender().receipts_lost(std::mem::take(&mut self.receipts), steady());
        }
    }
}

async fn flush(shared: &Arc<Shared>, session: &Arc<ClientSession>) -> Flushed {
    let _posting = session.posting.lock().await;
    let (receipts, tells) = {
        let mut sender = session.sender();
        (sender.take_receipts(), sender.has_void())
    };
    if receipts.is_empty() && !tells {
        return Flushed::Nothing;
    }
    let mut going = Receipts { of: session, receipts };
    let posted = timeout(POST_TIME, deliver(shared, session, &going.receipts)).await;
    match posted.unwrap_or(Posted::Failed) {
        Posted::Taken => Flushed::Taken(std::mem::take(&mut going.receipts).len() as u64),
        // Whoever would take them has forgotten what they confirm.
        Posted::Unknown if !shared.has(session) => {
            going.receipts.clear();
            Flushed::Unknown
        }
        Posted::Unknown | Posted::Failed => Flushed::Failed,
    }
}

/// Which connection a request with receipts goes over.
#[derive(Clone, Copy)]
enum Way {
    /// One where the session was proven, else any.
    Bound,
    /// One where the session was proven, else a new one.
    New,
    /// A new one.
    Apart,
}

enum Posted {
    /// With proof.
    Taken,
    /// The session is not known any more.
    Unknown,
    Failed,
}

/// Over a connection where the session was proven, if there is one. Else it may live at another
/// instance than the one that is met: new connections may meet that.
async fn deliver(
    shared: &Arc<Shared>,
    session: &Arc<ClientSession>,
    receipts: &[(u64, Receipt)],
) -> Posted {
    let had = shared.has(session);
    for way in [Way::Bound, Way::New, Way::New] {
        let posted = match timeout(ROOM_TIME, post(shared, session, receipts, way)).await {
            Ok(posted) => posted,
            // Calls that go over the same connection may hold it up for as long as they like.
            Err(_) => return post(shared, session, receipts, Way::Apart).await,
        };
        match posted {
            Posted::Unknown if shared.config.via.is_none() && had == shared.has(session) => {}
            posted => return posted,
        }
    }
    Posted::Unknown
}

async fn post(
    shared: &Arc<Shared>,
    session: &Arc<ClientSession>,
    receipts: &[(u64, Receipt)],
    way: Way,
) -> Posted {
    let Ok(request) = request(shared) else { return Posted::Failed };
    let lease = match way {
        Way::Bound => shared.pool.lease_for(session.number, false).await,
        Way::New => shared.pool.lease_for(session.number, true).await,
        Way::Apart => shared.pool.apart().await,
    };
    let Ok(lease) = lease else { return Posted::Failed };
    let Ok(open) = Open::begin(shared, session, None, None) else {
        shared.pool.give_back(lease);
        return Posted::Failed;
    };
    let (parts, ()) = request.into_parts();
    let source = Source::Known(body(receipts), None);
    match attempt(lease, open, parts, source, None).await {
        Ok(response) if response.status() == StatusCode::NO_CONTENT => Posted::Taken,
        Err(Failed::Renew(..) | Failed::Refused(..)) => Posted::Unknown,
        Ok(_) | Err(Failed::Call(_) | Failed::Unsent(..)) => Posted::Failed,
    }
}

/// A request that brings receipts, or none: then it asks whether the session lives.
pub(super) fn request(shared: &Shared) -> Result<Request<()>, CallError> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = shared.absolute(&path(RECEIPTS))?;
    Ok(request)
}

/// `u64 seq ‖ receipt`, repeated.
fn body(receipts: &[(u64, Receipt)]) -> Bytes {
    let mut body = Vec::with_capacity(receipts.len() * (8 + RECEIPT_LEN));
    for (seq, receipt) in receipts {
        body.extend_from_slice(&seq.to_be_bytes());
        body.extend_from_slice(&receipt.to_bytes());
    }
    body.into()
}
