//! HTTP/1.1 answers that are complete while their request's body is still being sent.

use tokio::sync::oneshot;

use super::*;

/// Reads the whole answer to a request whose body ends when the sender is used or dropped.
async fn answered_early(caller: &Caller) -> oneshot::Sender<()> {
    let (finish, finished) = oneshot::channel::<()>();
    let last = async move {
        drop(finished.await);
        Ok(Frame::data(Bytes::from_static(b"x")))
    };
    let body = StreamBody::new(futures_util::stream::once(last)).boxed_unsync();
    let request = Request::post("https://orders.shop.example/early").body(body).unwrap();
    let response = patiently(caller.pool.send(request)).await.unwrap();
    patiently(response.into_body().collect()).await.unwrap();
    finish
}

#[tokio::test]
async fn a_busy_connection_is_waited_for_but_not_for_long() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let caller = Caller::to(&server, rig, Alpn::Http11);
    let finish = answered_early(&caller).await;
    let finishing = async { finish.send(()).unwrap() };
    futures_util::future::join(caller.get("/"), finishing).await;
    assert_eq!(server.accepts(), 1);
    let _unfinished = answered_early(&caller).await;
    caller.get("/").await;
    assert_eq!(server.accepts(), 2);
    assert_eq!(server.live(), 2);
}

#[tokio::test]
async fn a_busy_connection_gives_its_place_to_a_new_request() {
    let rig = Rig::new();
    let server = Server::start(&rig, Alpn::Http11).await;
    let limits = PoolLimits { max_h1: 1, ..PoolLimits::default() };
    let caller = Caller::with(server.target(Alpn::Http11), rig, limits);
    let _unfinished = answered_early(&caller).await;
    caller.get("/").await;
    assert_eq!(server.accepts(), 2);
    eventually("the busy one is closed", || server.live() == 1).await;
}
