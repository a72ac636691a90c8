//! What a session does by itself: receipts that find no request to ride on get one of their own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use meshguard_core::delivery::{RECEIPT_LEN, Receipt};
use tokio::time::sleep;

use super::call::{Failed, attempt};
use super::exchange::Open;
use super::request::Source;
use super::{CallError, Shared};
use crate::session::{ClientSession, RECEIPTS, path};
use crate::tls::now;

/// After receipts were lost, the next try waits so long.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Drives a session until its channel or the session itself is gone.
pub(super) fn drive(shared: &Arc<Shared>, session: &Arc<ClientSession>) {
    tokio::spawn(run(Arc::downgrade(shared), Arc::downgrade(session)));
}

async fn run(shared: Weak<Shared>, session: Weak<ClientSession>) {
    loop {
        let Some(held) = session.upgrade() else { return };
        let due = held.sender().poll_timeout();
        // A session that is forgotten lives on until its receipts were sent once.
        let held = due.map(|_| held);
        let wait = match due {
            Some(due) => due.since(now()),
            None => match wait_for_receipts(&session).await {
                Some(()) => continue,
                None => return,
            },
        };
        sleep(wait).await;
        drop(held);
        let (Some(shared), Some(session)) = (shared.upgrade(), session.upgrade()) else { return };
        if session.sender().poll_timeout().is_some_and(|due| due <= now()) {
            flush(&shared, &session).await;
        }
    }
}

/// Until receipts wait; `None` where there is no session any more.
async fn wait_for_receipts(session: &Weak<ClientSession>) -> Option<()> {
    let owes = Arc::clone(&session.upgrade()?.owes);
    owes.notified().await;
    session.upgrade().map(|_| ())
}

async fn flush(shared: &Arc<Shared>, session: &Arc<ClientSession>) {
    let receipts = session.sender().take_receipts();
    if receipts.is_empty() {
        return;
    }
    for apart in [false, true, true] {
        match post(shared, session, &receipts, apart).await {
            Posted::Taken => return,
            Posted::Unknown if shared.has(session) => {} // it may live at another instance
            // Whoever would take them has forgotten what they confirm.
            Posted::Unknown => return,
            Posted::Failed => break,
        }
    }
    sleep(BACK_OFF).await;
    if session.is_open(now()) && shared.has(session) {
        session.sender().receipts_lost(receipts, now());
    }
}

enum Posted {
    /// With proof.
    Taken,
    /// The session is not known any more.
    Unknown,
    Failed,
}

async fn post(
    shared: &Arc<Shared>,
    session: &Arc<ClientSession>,
    receipts: &[(u64, Receipt)],
    apart: bool,
) -> Posted {
    let Ok(request) = request(shared) else { return Posted::Failed };
    let Ok(lease) = shared.pool.lease_for(session.number, apart).await else {
        return Posted::Failed;
    };
    let Ok(open) = Open::begin(shared, session, None, None) else { return Posted::Failed };
    let (parts, ()) = request.into_parts();
    let source = Source::Known(body(receipts), None);
    match attempt(lease, open, parts, source, None).await {
        Ok(response) if response.status() == StatusCode::NO_CONTENT => Posted::Taken,
        Err(Failed::Renew(..)) => Posted::Unknown,
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
