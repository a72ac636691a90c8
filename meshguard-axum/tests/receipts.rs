//! Answers are confirmed too: on later requests, or by a request of their own.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use meshguard_axum::{Call, Channel, Finding, Mesh, Policy, Sink};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

const CALLEE: &str = "spiffe://receipts.example/callee";
const CALLER: &str = "spiffe://receipts.example/caller";

struct Told(mpsc::UnboundedSender<(String, String)>);

impl Sink for Told {
    fn call(&self, _: &Call<'_>) {}

    fn finding(&self, finding: &Finding<'_>) {
        let _ = self.0.send((finding.name.to_owned(), finding.detail.to_string()));
    }
}

fn policy() -> Policy {
    let text = format!(
        "mesh = \"receipts.example\"\nversion = 1\n[peers]\ncaller = \"{CALLER}\"\n\
         [[allow]]\nname = \"all\"\nfrom = [\"caller\"]"
    );
    text.parse().unwrap()
}

fn stream() -> Body {
    let chunks = futures_util::stream::iter(0..10).then(|_| async {
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(Bytes::from(vec![7; 1000]))
    });
    Body::from_stream(Box::pin(chunks))
}

async fn pair() -> (Channel, Mesh, Mesh, mpsc::UnboundedReceiver<(String, String)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let callee = Mesh::dev(CALLEE).unwrap().policy(policy()).sink(Told(tell)).build().unwrap();
    let caller = Mesh::dev(CALLER).unwrap().policy(policy()).build().unwrap();
    let app = Router::new().route("/", get(|| async { stream() }));
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());
    (caller.channel(&uri, CALLEE).unwrap(), caller, callee, told)
}

async fn get_one(channel: &Channel) -> http::Response<meshguard_axum::ChannelBody> {
    channel.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn answers_that_are_read_are_confirmed_without_another_call() {
    let (channel, _caller, callee, _told) = pair().await;
    for _ in 0..3 {
        get_one(&channel).await.into_body().collect().await.unwrap();
    }
    let confirmed = async {
        while callee.answers_confirmed() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), confirmed).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_dropped_half_read_is_named_at_its_sender() {
    let (channel, caller, _callee, mut told) = pair().await;
    let mut body = get_one(&channel).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let told = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
    assert_eq!(told.0, "answer-not-received");
    assert!(told.1.contains("partial"), "{told:?}");
    assert!(caller.counts().balances());
}

#[tokio::test]
async fn a_driver_ends_with_its_channel() {
    let (channel, caller, callee, _told) = pair().await;
    get_one(&channel).await.into_body().collect().await.unwrap();
    drop(channel);
    let watch = Arc::new(caller.clone());
    drop(caller);
    let ended = async {
        while watch.sessions_out() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!((watch.counts().begun, watch.counts().delivered), (1, 1), "kept in the books");
    drop(callee);
}
