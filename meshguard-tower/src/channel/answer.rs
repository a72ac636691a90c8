//! An answer, held against its request.

use std::sync::Arc;

use http::response::Parts;
use http::{Response, StatusCode};
use meshguard_core::delivery::base::{Cover, ResponseHead};
use meshguard_core::delivery::field::{self, Body, Rcpt, ResponseField};
use meshguard_core::delivery::{
    Decoder, Failure, Outcome, Proof, RECORD, Receipt, ReceiptStatus, Unknown, context, known,
};

use super::call::Failed;
use super::exchange::{Open, unknown};
use super::reply::ReplyHook;
use super::request::{Sent, SentState};
use super::unverified::{denies, drains, renews, unverified};
use super::{AnswerBody, CallError, CallErrorKind, ChannelBody, driver};
use crate::aead::AWS_LC;
use crate::body::{
    Hold, HoldError, Incoming, is_grpc_answer, stated_length, unmark_records, withdraw,
};
use crate::clock::steady;
use crate::decision::DecisionId;
use crate::error::DeliveryError;
use crate::inbound::{DECISION, strip_answer, with_scratch};
use crate::pool::{Binding, Reply};
use crate::session::SessionError;

/// What an answer is held against.
pub(super) struct Verified {
    /// What it came over.
    pub(super) binding: Arc<Binding>,
    pub(super) proof: Proof,
    pub(super) sent: Sent,
    /// The request was a HEAD.
    pub(super) head: bool,
    /// The request was a call of gRPC.
    pub(super) grpc: bool,
}

/// Verifies an answer's head, its receipt, and its body where that is known with the head.
pub(super) async fn take(
    open: Open,
    request: Verified,
    response: Response<Reply>,
) -> Result<Response<ChannelBody>, Failed> {
    let (mut parts, body) = response.into_parts();
    let (field, plan) = match verify(&open, &request.proof, &parts) {
        Ok(verified) => verified,
        Err(why) => return Err(unverified(open, request.binding, &parts, body, why).await),
    };
    let (mut open, outcome) = accept(open, &request, &field, &parts)?;
    if open.shared.config.via.is_some() {
        // A hop can split and join what is covered: this is the value that was proved.
        Cover::default().join_response(&mut parts.headers);
    }
    strip_answer(&mut parts.headers);
    withdraw(&mut parts.headers);
    open.answered(&parts, request.sent.state(), outcome);
    parts.extensions.insert(open.session.peer.clone());
    let grpc = is_grpc_answer(request.grpc, &parts.headers);
    if let Body::Records(size) = field.body
        && !unmark_records(&mut parts.headers, grpc, size)
    {
        let outcome = outcome.unwrap_or(unknown(Unknown::NoReceipt));
        let detail = "records without their content coding";
        let error = CallError::caused(CallErrorKind::BadProof(parts.status), outcome, detail);
        return Err(open.fail(error).into());
    }
    let unsized_ = request.head || field.body == Body::None;
    let length = if unsized_ { None } else { stated_length(&parts.headers) };
    let (session, shared) = (Arc::clone(&open.session), Arc::clone(&open.shared));
    let hook = ReplyHook::proven(open, outcome, request.sent, is_answer(&parts));
    let body = match plan {
        Plan::Whole(digest) => hold(body, digest, length, hook).await?,
        Plan::Records(context, size) => {
            let limit = if grpc { shared.mesh.message_limit() } else { RECORD };
            let keys = &session.keys;
            let decoder = Decoder::new(keys.suite(), &keys.response_body, &context, &AWS_LC, limit);
            let decoder = if grpc { decoder.of_messages() } else { decoder };
            Incoming::records(AnswerBody(body), decoder, grpc, hook).sized(size)
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// What a proven head says of the exchange: the request's outcome, where it is known by now.
#[allow(clippy::result_large_err)] // handed on at once
fn accept(
    mut open: Open,
    request: &Verified,
    field: &ResponseField,
    parts: &Parts,
) -> Result<(Open, Option<Outcome>), Failed> {
    let status = parts.status;
    // The callee has seen nothing that it did not admit.
    if !is_not_admitted(field, status) {
        open.head_proven();
    }
    open.shared.proved(&request.binding, &open.session);
    if drains(parts) {
        open.session.hurry.begin();
    }
    if open.shared.config.via.is_none() && status == StatusCode::FORBIDDEN && denies(parts) {
        let decision = parts.headers.get(DECISION).and_then(|id| id.to_str().ok());
        let denied = SessionError::Denied(decision.and_then(DecisionId::parse));
        open.shared.denied(&open.session, denied);
    }
    if renews(parts) {
        driver::leave_to_others(&open.shared, &open.session);
        if is_refused(field, parts) {
            unread(&open, field);
            return Err(Failed::Refused(open.take_back(), status));
        }
    }
    if field.dup {
        let outcome = unknown(Unknown::Duplicate);
        return Err(open.fail(CallError::new(CallErrorKind::Duplicate, outcome)).into());
    }
    let outcome = match judge_now(&open, field, &request.sent, parts) {
        Ok(outcome) => outcome,
        Err(error) => {
            if *error.kind() != CallErrorKind::NotAdmitted {
                unread(&open, field);
            }
            return Err(open.fail(error).into());
        }
    };
    if let Some(own) = request.sent.own_failure().filter(CallError::is_limit) {
        unread(&open, field);
        return Err(open.fail(own).into());
    }
    Ok((open, outcome))
}

/// The callee awaits a receipt of its answer, of which the caller gets to see nothing.
fn unread(open: &Open, field: &ResponseField) {
    if open.is_own() {
        return;
    }
    let receipt = Receipt::known(ReceiptStatus::Consumed, 0, 0, known::empty());
    let mut sender = open.session.sender();
    if field.body == Body::None {
        sender.consumed(field.seq, receipt, steady());
    } else {
        let receipt = Receipt { status: ReceiptStatus::Partial, ..receipt };
        sender.not_consumed(field.seq, receipt, steady());
    }
    open.session.owes.notify_one();
}

/// What to do with an answer's body.
pub(super) enum Plan {
    /// Held until it is what has this digest.
    Whole([u8; 32]),
    /// Opened with the keys of this context; its length in bytes, where the head proves it.
    Records([u8; 32], Option<u64>),
}

/// The field and the plan of an answer whose proof holds. `Err(None)`: it carries none.
pub(super) fn verify(
    open: &Open,
    request: &Proof,
    parts: &Parts,
) -> Result<(ResponseField, Plan), Option<String>> {
    let mut fields = parts.headers.get_all(field::NAME).iter();
    let value = fields.next().ok_or(None)?;
    if fields.next().is_some() {
        return Err(Some("more than one meshguard field".into()));
    }
    let field = ResponseField::parse(value.as_bytes()).map_err(|e| Some(e.to_string()))?;
    let plain = &value.as_bytes()[..field.covered];
    let head = ResponseHead { status: parts.status, headers: &parts.headers, request };
    let (proof, plan) = with_scratch(|s| {
        head.write(&Cover::default(), plain, &mut s.base);
        let plan = match field.body {
            Body::None => Plan::Whole(known::empty()),
            Body::Known(digest) => Plan::Whole(digest),
            Body::Records(size) => Plan::Records(context(&s.base), size),
        };
        (open.session.keys.response_head.prove(&s.base), plan)
    });
    if proof != field.proof {
        return Err(Some("its head is not what the callee proved".into()));
    }
    if field.seq != open.seq() {
        return Err(Some("it answers another request".into()));
    }
    Ok((field, plan))
}

/// Whether a proven answer is the layer's own refusal, before the application was called.
fn is_refused(field: &ResponseField, parts: &Parts) -> bool {
    let nothing = Rcpt::short(ReceiptStatus::Partial, 0, 0);
    field.body == Body::None && field.rcpt == nothing && parts.headers.contains_key(DECISION)
}

/// Whether a proven answer says that the request was not admitted: out of window, late, with
/// wrong acknowledgements.
fn is_not_admitted(field: &ResponseField, status: StatusCode) -> bool {
    let nothing = Rcpt::short(ReceiptStatus::Partial, 0, 0);
    status == StatusCode::CONFLICT
        && field.body == Body::None
        && !field.dup
        && field.rcpt == nothing
}

/// The request's outcome, where the answer's head tells it; `None`: its FIN will.
fn judge_now(
    open: &Open,
    field: &ResponseField,
    sent: &Sent,
    parts: &Parts,
) -> Result<Option<Outcome>, CallError> {
    let Rcpt::Now { status: stated, got, proof } = &field.rcpt else { return Ok(None) };
    let sent = sent.state();
    let outcome = match proof {
        _ if sent.aborted => Outcome::Failed(Failure::Aborted),
        Some(t) => match sent.whole {
            Some(whole) => {
                let whole = Receipt { status: *stated, ..whole };
                if open.session.keys.receipt.receipt(open.seq(), &whole) == *t {
                    Outcome::Delivered
                } else {
                    Outcome::Failed(Failure::WrongReceipt)
                }
            }
            None => Outcome::Failed(Failure::WrongReceipt),
        },
        None => Outcome::of_receipt(*stated, is_answer(parts)),
    };
    match outcome {
        Outcome::Failed(failure) if failure != Failure::Aborted => {
            Err(not_confirmed(failure, *got, &sent))
        }
        // The callee's own refusal: its window, its clock, its books. An application's answer
        // never says that nothing of its request was taken.
        Outcome::Rejected if is_not_admitted(field, parts.status) => {
            Err(CallError::new(CallErrorKind::NotAdmitted, outcome))
        }
        outcome => Ok(Some(outcome)),
    }
}

pub(super) fn not_confirmed(
    failure: Failure,
    got: Option<(u64, u64)>,
    sent: &SentState,
) -> CallError {
    let kind = CallErrorKind::NotConfirmed { failure, got, of: sent.totals };
    CallError::new(kind, Outcome::Failed(failure))
}

/// Whether an answer may well come before all of its request: a success, or whatever gRPC says,
/// which has a field of its own for that.
fn is_answer(parts: &Parts) -> bool {
    parts.status.is_success() || parts.headers.contains_key("grpc-status")
}

/// The outcome by a receipt that came in FIN.
pub(super) fn judge_later(sent: &SentState, receipt: &Receipt, answered: bool) -> Outcome {
    if sent.aborted {
        return Outcome::Failed(Failure::Aborted);
    }
    match (receipt.status.is_whole(), sent.whole) {
        (true, Some(whole)) if *receipt == (Receipt { status: receipt.status, ..whole }) => {
            Outcome::Delivered
        }
        (true, _) => Outcome::Failed(Failure::WrongReceipt),
        (false, _) => Outcome::of_receipt(receipt.status, answered),
    }
}

/// Waits for a body that is known with its head.
async fn hold(
    body: Reply,
    digest: [u8; 32],
    length: Option<u64>,
    mut hook: ReplyHook,
) -> Result<ChannelBody, Failed> {
    let mut hold = Hold::new(AnswerBody(body), digest, length);
    match std::future::poll_fn(|cx| hold.poll(cx)).await {
        Ok((data, trailers)) => {
            let status = ReceiptStatus::Consumed;
            hook.expect(Receipt::known(status, 0, data.len() as u64, digest));
            Ok(Incoming::held(data, trailers, hook))
        }
        Err(HoldError::Body(error)) => Err(hook.answer_failed(&error, steady()).into()),
        // Nothing limits it here.
        Err(HoldError::Full | HoldError::Long) => {
            let error = DeliveryError::new(crate::error::DeliveryErrorKind::Timeout, 0, length);
            Err(hook.answer_failed(&error, steady()).into())
        }
    }
}
