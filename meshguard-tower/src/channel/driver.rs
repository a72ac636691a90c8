//! What a session does by itself: receipts that find no request to ride on get one of their own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use meshguard_core::delivery::{RECEIPT_LEN, Receipt};
use tokio::time::sleep;

use super::Shared;
use super::call::{Failed, attempt};
use super::exchange::Open;
use super::request::Source;
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
        let due = match session.upgrade() {
            None => return,
            Some(session) => session.sender().poll_timeout(),
        };
        let wait = match due {
            Some(due) => due.since(now()),
            None => match wait_for_receipts(&session).await {
                Some(()) => continue,
                None => return,
            },
        };
        sleep(wait).await;
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
    let (receipts, tells) = {
        let mut sender = session.sender();
        (sender.take_receipts(), sender.has_void())
    };
    if receipts.is_empty() && !tells {
        return;
    }
    match post(shared, session, &receipts).await {
        Posted::Taken => {}
        // Whoever would take them has forgotten what they confirm.
        Posted::Unknown if shared.heeds_hint(session) => shared.forget(session),
        Posted::Unknown | Posted::Failed => {
            sleep(BACK_OFF).await;
            if session.is_open(now()) {
                session.sender().receipts_lost(receipts, now());
            }
        }
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
) -> Posted {
    let Ok(uri) = shared.absolute(&path(RECEIPTS)) else { return Posted::Failed };
    let Ok(open) = Open::begin(shared, session, None, None) else { return Posted::Failed };
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let (parts, ()) = request.into_parts();
    let source = Source::Known(body(receipts), None);
    match attempt(open, parts, source, None).await {
        Ok(response) if response.status() == StatusCode::NO_CONTENT => Posted::Taken,
        Err(Failed::Renew(_)) => Posted::Unknown,
        Ok(_) | Err(Failed::Call(_)) => Posted::Failed,
    }
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
