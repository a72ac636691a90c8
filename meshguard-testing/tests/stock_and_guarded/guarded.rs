//! A fault on the same stack inside the mesh.

use std::fmt;

use axum::http::{HeaderValue, header};
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, DeliveryErrorKind};
use meshguard_tonic::{Cause, cause};

use crate::faults::{Body, Fault};
use crate::rig::app::Saw;
use crate::rig::http::Got;
use crate::rig::{MAC, Rig, SEALED, grpc, http};

/// How the body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) sealed: bool,
    /// All of it is ready when the head is made.
    pub(crate) known: bool,
}

pub(crate) const VARIANTS: [Variant; 4] = [
    Variant { sealed: false, known: true },
    Variant { sealed: false, known: false },
    Variant { sealed: true, known: true },
    Variant { sealed: true, known: false },
];

impl Variant {
    pub(crate) fn in_records(self) -> bool {
        self.sealed || !self.known
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suite = if self.sealed { "seal" } else { "mac" };
        let body = if self.known { "known" } else { "streamed" };
        f.pad(&format!("{suite}, {body}"))
    }
}

#[derive(Debug)]
pub(crate) struct Guarded {
    /// The application that received the body took it for complete.
    pub(crate) silent: bool,
    /// The caller got an error, or an answer that is no success.
    pub(crate) caller_failed: bool,
    /// The receiving application got something of the body, or something noticed for it.
    pub(crate) reached: bool,
    /// The receiver's error has the mesh's own type.
    pub(crate) typed: bool,
    /// All that was said.
    pub(crate) text: String,
}

/// What a callee's mesh calls a body that was cut.
const CUTS: [&str; 4] = ["short", "digest", "transport", "truncated"];

pub(crate) async fn run(fault: &Fault, variant: Variant) -> Guarded {
    let alpn = if fault.http1 { Alpn::Http11 } else { Alpn::H2 };
    let rig = Rig::new(if variant.sealed { SEALED } else { MAC }, alpn).await;
    rig.inject(fault.guarded(variant));
    let guarded = match fault.body {
        Body::Answer => answer(&rig, variant).await,
        Body::Request => {
            let got = http::call(&rig.channel, upload(&rig, fault, variant)).await;
            let error = match got {
                Got::Answer(status, _) if status.is_success() => None,
                Got::Answer(status, _) => Some(status.to_string()),
                Got::Broken(_, _, error) => Some(error.to_string()),
                Got::Failed(error) => Some(error.to_string()),
            };
            received(&rig, fault, variant, error).await
        }
        Body::Messages => {
            let channel = rig.channel.clone();
            let sent = match variant.known {
                true => grpc::client(channel, grpc::ready(10)).await,
                false => grpc::client(channel, grpc::gated(10, &rig.app)).await,
            };
            let error = sent.err().map(|status| {
                assert!(cause(&status).is_some(), "{status:?}");
                match cause(&status) {
                    Some(Cause::Call(error)) => error.to_string(),
                    _ => status.to_string(),
                }
            });
            received(&rig, fault, variant, error).await
        }
    };
    assert_eq!(rig.injected(1).await.len(), 1, "{} {variant}", fault.name);
    rig.check_books().await;
    guarded
}

fn upload(rig: &Rig, fault: &Fault, variant: Variant) -> axum::http::Request<axum::body::Body> {
    let whole = http::pattern(100);
    if variant.known {
        return http::post("/take", whole);
    }
    let mut request = http::post("/take", http::gated(&whole, &rig.app));
    if fault.sized {
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(100));
    }
    request
}

/// What the callee and its application make of a request that was cut.
async fn received(rig: &Rig, fault: &Fault, variant: Variant, caller: Option<String>) -> Guarded {
    let caller_failed = caller.is_some();
    let caller = caller.unwrap_or("the caller got an answer".to_owned());
    if !fault.is_noticed_for_sure(variant) {
        let saw = rig.app.saw_now();
        let silent = matches!(saw, Some(Saw::Clean { .. }));
        let text = format!("caller: {caller}");
        return Guarded { silent, caller_failed, reached: false, typed: false, text };
    }
    let found = rig.at_callee.wait_any(&CUTS).await;
    if !variant.in_records() {
        // Held until it is verified, and so never passed on.
        let silent = rig.app.calls() > 0;
        let text = format!("callee: {}: {}; caller: {caller}", found.name, found.detail);
        return Guarded { silent, caller_failed, reached: true, typed: true, text };
    }
    match rig.app.saw().await {
        Saw::Failed { error, typed, .. } => {
            let typed = typed.is_some_and(|e| matches!(e.kind(), DeliveryErrorKind::Records(_)));
            let text = format!("handler: {error}; caller: {caller}");
            Guarded { silent: false, caller_failed, reached: true, typed, text }
        }
        saw => {
            let (silent, text) = (matches!(saw, Saw::Clean { .. }), format!("handler: {saw:?}"));
            Guarded { silent, caller_failed, reached: true, typed: false, text }
        }
    }
}

async fn answer(rig: &Rig, variant: Variant) -> Guarded {
    let path = if variant.known { "/known/100" } else { "/stream/100" };
    let got = http::call(&rig.channel, http::get(path)).await;
    let (typed, text) = match &got {
        Got::Failed(error) => (matches!(error.kind(), CallErrorKind::Answer(_)), error.to_string()),
        Got::Broken(_, _, error) => {
            (matches!(error.kind(), DeliveryErrorKind::Records(_)), error.to_string())
        }
        Got::Answer(..) => (false, format!("{got:?}")),
    };
    let silent = matches!(got, Got::Answer(..));
    let text = format!("caller: {text}");
    Guarded { silent, caller_failed: !silent, reached: true, typed, text }
}
