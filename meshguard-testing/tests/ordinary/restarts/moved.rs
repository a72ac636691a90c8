//! A call whose connections end before anything was taken of it is made over others.

use meshguard_axum::CallErrorKind;
use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::tls::Alpn;

use super::shapes::Shape;
use crate::rig::app::App;
use crate::rig::net::Balancer;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, stock};

/// Calls once, and again once the connection is gone and so many in a row say goodbye to it.
async fn call_past(leaving: usize, shape: Shape) -> (Result<(), super::shapes::Failed>, usize) {
    let (policy, app, told) = (rig::policy(""), App::default(), Told::default());
    let callee = rig::mesh(CALLEE, &policy, &told);
    let mut to = vec![rig::serve(&callee, &app).await];
    to.extend(vec![stock::leaving().await; leaving]);
    let place = Balancer::new(to).await;
    let caller = rig::mesh(CALLER, &policy, &Told::default());
    let channel = caller.channel(&format!("https://{}", place.addr), CALLEE).unwrap();
    let channel = channel.protocols(Alpn::H2);
    Shape::Get.call(&channel).await.unwrap();
    place.cut();
    place.deserted().await;
    let got = shape.call(&channel).await;
    let counts = caller.counts();
    assert!(counts.balances() && counts.open == 0, "{counts:?}");
    assert_eq!(callee.sessions_open(), 1);
    assert!(told.all().is_empty(), "{:?}", told.all());
    (got, app.calls() - 1)
}

#[tokio::test]
async fn a_call_whose_connections_end_twice_in_a_row_is_made_once() {
    for shape in [Shape::Get, Shape::Post, Shape::Unary] {
        let (got, calls) = call_past(2, shape).await;
        assert!(got.is_ok(), "{shape:?}: {got:?}");
        assert_eq!(calls, 1, "{shape:?}");
    }
}

/// A callee that is always going away is not asked without end.
#[tokio::test]
async fn a_call_whose_connections_always_end_is_not_delivered() {
    let (got, calls) = call_past(8, Shape::Get).await;
    let error = got.unwrap_err().error.unwrap();
    assert_eq!((error.kind(), error.outcome()), (&CallErrorKind::Connect, Outcome::NotDelivered));
    assert_eq!(calls, 0);
}
