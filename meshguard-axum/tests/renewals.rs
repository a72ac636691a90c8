//! A callee that asks for another session says so in its log: its caller only retries.

#![allow(clippy::unwrap_used)]

use std::fmt;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, StatusCode};
use meshguard_axum::{Mesh, Policy, serve};
use tower::ServiceExt as _;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const CALLEE: &str = "spiffe://renewals.example/callee";
const CALLER: &str = "spiffe://renewals.example/caller";

/// The events of this thread that were logged under `meshguard::session`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "meshguard::session"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn policy(when: &str) -> Policy {
    let text = format!(
        "mesh = \"renewals.example\"\nversion = 1\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]\n{when}"
    );
    text.parse().unwrap()
}

#[tokio::test]
async fn a_callee_that_answers_renew_logs_that_it_did_and_why() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let renewed = || {
        let log = log.0.lock().unwrap();
        log.iter().filter(|text| text.contains("answered renew")).cloned().collect::<Vec<_>>()
    };
    let callee = Mesh::dev(CALLEE).unwrap().policy(policy("")).build().unwrap();
    let caller = Mesh::dev(CALLER).unwrap().policy(policy("")).build().unwrap();
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    let app = Router::new().route("/orders", post(|| async {}));
    tokio::spawn(serve(listener, app).into_future());
    let channel = caller.channel(&uri, CALLEE).unwrap();
    let call = async || {
        let request = Request::post("/orders").header("x-tenant", "acme");
        let request = request.body(Body::empty()).unwrap();
        channel.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(call().await, StatusCode::OK);
    assert_eq!(renewed(), [""; 0]);
    // The session's proofs do not cover what this one reads.
    callee.set_policy(policy("when = { headers = { x-tenant = \"acme\" } }\n"));
    assert_eq!((call().await, callee.renewals_asked()), (StatusCode::OK, 1));
    let renewed = renewed();
    assert_eq!(renewed.len(), 1, "{renewed:?}");
    assert!(renewed[0].contains("/orders") && renewed[0].contains("session.sid="), "{renewed:?}");
}
