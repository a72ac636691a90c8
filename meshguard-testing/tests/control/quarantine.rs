//! Who is cut off, and who is not.

use axum::http::StatusCode;
use futures_util::StreamExt as _;
use meshguard_axum::core::baseline::EdgeKey;
use meshguard_axum::{CallErrorKind, Channel, Mesh, SessionError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::mall::{HONEST, Mall, OUTSIDE_INTENT, WICKED};
use crate::rig::grpc::{self, Item, Numbers};
use crate::rig::{http, soon};

/// A stream that is open both ways until its sender is dropped.
struct Open {
    items: mpsc::UnboundedSender<Item>,
    back: JoinHandle<Numbers>,
}

impl Open {
    async fn new(channel: &Channel, mall: &Mall) -> Self {
        let (items, sent) = mpsc::unbounded_channel();
        let sent = futures_util::stream::unfold(sent, |mut sent| async move {
            sent.recv().await.map(|item| (item, sent))
        });
        let back = tokio::spawn(grpc::bidi(channel.clone(), sent.boxed()));
        items.send(Item { number: 1 }).unwrap();
        soon(mall.app.called()).await;
        Self { items, back }
    }

    /// Sends one more and ends; whether all of it came back.
    async fn end(self) -> bool {
        let sent = self.items.send(Item { number: 2 }).is_ok();
        drop(self.items);
        let (numbers, end) = soon(self.back).await.unwrap();
        sent && end.is_ok() && numbers == [1, 2]
    }
}

/// Whether one caller behind a hop is cut off with all that it has open, and another one behind
/// the same hop with nothing.
async fn only_the_wicked_one_is_cut_off(
    mall: &Mall,
    tampering: impl Fn(&Mall),
) -> Result<(), &'static str> {
    let (honest, wicked) = (mall.caller(HONEST), mall.caller(WICKED));
    let (through, wicked_through) = (mall.through_hop(&honest), mall.through_hop(&wicked));
    mall.make_known(&HONEST, &through).await;
    mall.make_known(&WICKED, &wicked_through).await;
    let stays = Open::new(&through, mall).await;
    let goes = Open::new(&wicked_through, mall).await;
    mall.misbehave(&WICKED, &mall.through_hop(&wicked)).await;
    // Without another word from its caller: the stream is ended, and not only refused further.
    let (_, end) = soon(goes.back).await.unwrap();
    if end.is_ok() {
        return Err("the wicked one's stream was not ended");
    }
    tampering(mall);
    if is_answered(&wicked, &mall.through_hop(&wicked)).await {
        return Err("the wicked one is still answered");
    }
    if !stays.end().await {
        return Err("the honest one's stream was ended");
    }
    match http::call(&through, http::get("/known/10")).await {
        http::Got::Answer(StatusCode::OK, _) => Ok(()),
        _ => Err("the honest one is not answered"),
    }
}

async fn is_answered(_: &Mesh, channel: &Channel) -> bool {
    match http::call(channel, http::get("/known/10")).await {
        http::Got::Answer(status, _) => status == StatusCode::OK,
        _ => false,
    }
}

#[tokio::test]
async fn a_quarantine_behind_a_hop_leaves_the_hops_other_callers_untouched() {
    let mall = Mall::new(OUTSIDE_INTENT).await;
    only_the_wicked_one_is_cut_off(&mall, |_| ()).await.unwrap();
    let restricted: Vec<_> =
        mall.callee.edges().into_iter().filter(|e| e.restriction.is_some()).collect();
    assert!(matches!(&*restricted, [e] if e.edge == EdgeKey::Caller(WICKED)), "{restricted:?}");
}

/// The seeded fault of the test above: the hop's connections are ended with the caller's
/// sessions.
#[tokio::test]
async fn ending_the_hops_connections_would_be_noticed() {
    let mall = Mall::new(OUTSIDE_INTENT).await;
    let end_connections = |mall: &Mall| mall.app.close_connections();
    let found = only_the_wicked_one_is_cut_off(&mall, end_connections).await;
    assert_eq!(found, Err("the honest one's stream was ended"));
}

#[tokio::test]
async fn a_caller_that_is_cut_off_loses_its_own_connection_and_learns_why() {
    let mall = Mall::new(OUTSIDE_INTENT).await;
    let (honest, wicked) = (mall.caller(HONEST), mall.caller(WICKED));
    let (direct, wicked_direct) = (mall.direct(&honest), mall.direct(&wicked));
    mall.make_known(&HONEST, &direct).await;
    mall.make_known(&WICKED, &wicked_direct).await;
    let goes = Open::new(&wicked_direct, &mall).await;
    mall.misbehave(&WICKED, &wicked_direct).await;
    let (_, end) = soon(goes.back).await.unwrap();
    assert!(end.is_err());
    // It may connect again, to be told.
    let number = soon(async {
        loop {
            match http::call(&wicked_direct, http::get("/known/10")).await {
                http::Got::Failed(error) => match error.kind() {
                    CallErrorKind::Session(SessionError::Denied(Some(number))) => break *number,
                    kind => {
                        let kinds = [CallErrorKind::NoAnswer, CallErrorKind::Connect];
                        assert!(kinds.contains(kind), "{error}");
                    }
                },
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let found = mall.at_callee.wait("quarantined").await;
    assert!(found.detail.contains("it is cut off (i-"), "{found:?}");
    let explained = mall.callee.explain(number).unwrap().to_string();
    assert!(explained.contains("it is cut off (i-"), "{explained}");
    http::call(&direct, http::get("/known/10")).await.answer();
    assert!(mall.callee.accepted().balances());
}
