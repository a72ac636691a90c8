//! The protocol's own requests: handshakes, and receipts that found nothing to ride on.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use meshguard_core::delivery::field::Rcpt;
use meshguard_core::delivery::{
    Decoder, Fault, MAX_ACKS, PREFIX, RECEIPT_LEN, Receipt, ReceiptStatus, known,
};
use tokio::time::timeout;

use super::admit::{Admitted, admit_own};
use super::claim::BodyPlan;
use super::denied::{Asked, Denied};
use super::early::refuse_early;
use super::exchange::Proven;
use super::refuse::{DECISION, Refused};
use crate::aead::AWS_LC;
use crate::body::{Hold, HoldError, Incoming, stated_length, unmark_records};
use crate::clock::now;
use crate::connection::Connection;
use crate::error::BoxError;
use crate::inbound::RequestHook;
use crate::listener::Standing;
use crate::mesh::Mesh;
use crate::session::{
    AFFINITY, HANDSHAKE, HANDSHAKE_TIME, MAX_HANDSHAKE, MEDIA_TYPE, RECEIPTS, SESSION,
    SessionRefusal, Step, named_sid, sid_value,
};
use crate::sink::Edge;

/// An answer to one of the protocol's own requests. Boxed: none of them is an application's.
pub(super) type Answer = Pin<Box<dyn Future<Output = (Response<()>, Bytes)> + Send>>;

const MAX_RECEIPTS: usize = MAX_ACKS * (8 + RECEIPT_LEN);

pub(super) fn control<B>(mesh: &Mesh, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mesh = mesh.clone();
    let (parts, body) = request.into_parts();
    let name = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    Box::pin(async move {
        if parts.method != Method::POST {
            return refuse(&mesh, &parts, StatusCode::METHOD_NOT_ALLOWED, "POST only");
        }
        match name.as_str() {
            HANDSHAKE => handshake(&mesh, &parts, body).await,
            RECEIPTS => receipts(&mesh, parts, body).await,
            _ => refuse(&mesh, &parts, StatusCode::NOT_FOUND, "no such endpoint"),
        }
    })
}

fn refuse(
    mesh: &Mesh,
    parts: &Parts,
    status: StatusCode,
    text: &'static str,
) -> (Response<()>, Bytes) {
    let policy = mesh.policy();
    let denied = Denied::new(status, text, "own-request");
    let refused = match parts.extensions.get::<Connection>() {
        Some(connection) => refuse_early(mesh, &policy, connection, parts, denied),
        None => Asked::unproven(mesh, &policy, None, parts).refuse(denied),
    };
    refused.head(parts.method == Method::HEAD).into_response()
}

async fn handshake<B>(mesh: &Mesh, parts: &Parts, body: B) -> (Response<()>, Bytes)
where
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: Into<BoxError>,
{
    let Some(connection) = parts.extensions.get::<Connection>() else {
        return refuse(mesh, parts, StatusCode::FORBIDDEN, "no identity");
    };
    let outer = connection.peer();
    // Before a byte of the body is read. Who comes through a hop says so, for balancers.
    if Standing::of(outer.id(), mesh.id(), &mesh.policy()) == Standing::Nothing {
        let hop = parts.headers.contains_key(AFFINITY);
        let refusal = if hop { SessionRefusal::HopNotNamed } else { SessionRefusal::Denied };
        return not_opened(mesh, parts, connection, &refusal, Vec::new());
    }
    match step(mesh, parts, connection, body).await {
        Ok(Step { sid, answer, opened }) => {
            if let Some(session) = &opened {
                mesh.pins().add(session.peer.id());
            }
            let mut response = of_handshake();
            response.headers_mut().insert(SESSION, sid_value(&sid));
            (response, answer.into())
        }
        Err((refusal, alert)) => not_opened(mesh, parts, connection, &refusal, alert),
    }
}

/// One step of a handshake, which is counted before a byte of its body is read.
async fn step<B>(
    mesh: &Mesh,
    parts: &Parts,
    connection: &Connection,
    body: B,
) -> Result<Step, (SessionRefusal, Vec<u8>)>
where
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: Into<BoxError>,
{
    let (outer, sessions) = (connection.peer(), mesh.sessions());
    let said_nothing = |refusal| (refusal, Vec::new());
    let named = named_sid(&parts.headers);
    let begun = sessions.begin(named, || mesh.fresh_sid(), outer, &mesh.policy(), now());
    let begun = begun.map_err(said_nothing)?;
    let read = timeout(HANDSHAKE_TIME, read(body, MAX_HANDSHAKE)).await;
    let refusal = match read {
        Ok(Some(body)) => return sessions.go_on(begun, outer, &mesh.policy(), &body, now()),
        Ok(None) => SessionRefusal::TooLarge,
        Err(_) => SessionRefusal::Protocol("the body did not come in time"),
    };
    sessions.stays(named, begun, now());
    Err(said_nothing(refusal))
}

fn of_handshake() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    response
}

fn not_opened(
    mesh: &Mesh,
    parts: &Parts,
    connection: &Connection,
    refusal: &SessionRefusal,
    alert: Vec<u8>,
) -> (Response<()>, Bytes) {
    let policy = mesh.policy();
    let asked = Asked::unproven(mesh, &policy, Some(connection), parts);
    let asked = match refusal {
        // It carries somebody else's, and policy does not say that it may.
        SessionRefusal::HopNotNamed => {
            let via = Some(connection.peer().id());
            asked.with(Edge { from: None, to: mesh.id(), via })
        }
        _ => asked,
    };
    let denied = Denied::new(refusal.status(), "", refusal.as_str()).because(refusal);
    let mut response = of_handshake();
    if let Some(id) = asked.refuse(denied).decision() {
        response.headers_mut().insert(DECISION, id.header());
    }
    *response.status_mut() = refusal.status();
    response.headers_mut().insert(SESSION, refusal.header());
    (response, alert.into())
}

async fn receipts<B>(mesh: &Mesh, mut parts: Parts, body: B) -> (Response<()>, Bytes)
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    let admitted = match admit_own(mesh, &parts) {
        Ok(admitted) => admitted,
        Err(refused) => return refused.into_response(),
    };
    let length = stated_length(&parts.headers);
    unmark_records(&mut parts.headers, false, None);
    let exchange = Arc::clone(&admitted.exchange);
    let Some(proven) = &exchange.proven else {
        return refuse(mesh, &parts, StatusCode::UNAUTHORIZED, "receipts need proof");
    };
    let taken = match take(&admitted, proven, body, length).await {
        Some(body) => proven.session.receiver().receipts(&body).is_ok(),
        None => false,
    };
    mesh.notice(&proven.session, exchange.edge());
    let rcpt = proven.rcpt_now().unwrap_or(Rcpt::short(ReceiptStatus::Bad, 0, 0));
    let answer = if taken {
        Refused::taken()
    } else if exchange.failure.get().is_some_and(|e| e.kind().verdict().fault == Fault::Path) {
        Refused::cut()
    } else {
        let denied = Denied::new(StatusCode::BAD_REQUEST, "", "own-request");
        let denied = denied.because(&"receipts that are not understood");
        Asked::of(&exchange, &mesh.policy(), &parts).refuse(denied)
    };
    answer.stating(Arc::clone(&exchange), rcpt, false).into_response()
}

/// The whole verified body of one of our own requests, if it is one.
async fn take<B>(
    admitted: &Admitted,
    proven: &Proven,
    body: B,
    length: Option<u64>,
) -> Option<Bytes>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    match admitted.body {
        BodyPlan::Known(digest) => {
            let share = admitted.exchange.mesh.hold_for(proven.session.peer.id());
            let mut hold = Hold::new(body, digest, length).counted(share);
            let (body, _) = std::future::poll_fn(|cx| hold.poll(cx))
                .await
                .map_err(|e| match e {
                    HoldError::Body(error) => {
                        admitted.exchange.fail(&error);
                        admitted.exchange.is_short(error.kind().receipt(), error.got());
                    }
                    HoldError::Full | HoldError::Long => {}
                })
                .ok()?;
            let consumed = ReceiptStatus::Consumed;
            proven.set_receipt(Receipt::known(consumed, 0, body.len() as u64, digest));
            Some(body)
        }
        BodyPlan::Records(context, _) => {
            let keys = &proven.session.keys;
            let suite = keys.suite();
            let decoder = Decoder::new(suite, &keys.request_body, &context, &AWS_LC, MAX_RECEIPTS);
            let hook = RequestHook::new(&admitted.exchange);
            read(Incoming::records(body, decoder, false, hook), MAX_RECEIPTS).await
        }
        // No receipts: its caller asks whether the session lives, or its head alone says
        // something: what its caller has given up.
        BodyPlan::None => {
            proven.set_receipt(Receipt::known(ReceiptStatus::Consumed, 0, 0, known::empty()));
            Some(Bytes::new())
        }
        BodyPlan::Plain => None,
    }
}

/// Reads a body of at most so many bytes; `None` where it is longer or fails.
async fn read<B>(mut body: B, most: usize) -> Option<Bytes>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut all = BytesMut::new();
    loop {
        match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return Some(all.freeze()),
            Some(Err(_)) => return None,
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if all.len() + data.len() > most {
                    return None;
                }
                all.extend_from_slice(&data);
            }
        }
    }
}
