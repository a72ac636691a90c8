//! The gateway: passes on what shoppers ask, over HTTP/2 or HTTP/1.1.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post, put};

use crate::shop::calls::{Caller, Reply};
use crate::shop::desk::{Desk, index};
use crate::shop::truth::{Lane, Op};

/// What the gateway works with.
#[derive(Debug)]
pub(in crate::shop) struct Gateway {
    pub(in crate::shop) desk: Desk,
    pub(in crate::shop) h2: Caller,
    pub(in crate::shop) h1: Caller,
}

type Shared = State<Arc<Gateway>>;

pub(in crate::shop) fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/", get(index))
        .route(
            "/orders/{order}",
            put(|State(g): Shared, Path(o): Path<String>, r: Request| relay(g, Op::Order, o, r)),
        )
        .route(
            "/lines/{order}",
            post(|State(g): Shared, Path(o): Path<String>, r: Request| relay(g, Op::Lines, o, r)),
        )
        .route(
            "/invoice/{order}",
            get(|State(g): Shared, Path(o): Path<String>, r: Request| relay(g, Op::Invoice, o, r)),
        )
        .route(
            "/events/{order}",
            get(|State(g): Shared, Path(o): Path<String>, r: Request| relay(g, Op::Events, o, r)),
        )
        .with_state(Arc::new(gateway))
}

async fn relay(gateway: Arc<Gateway>, op: Op, order: String, request: Request) -> Response {
    let ask = match gateway.desk.take(op, &order, request).await {
        Ok(ask) => ask,
        Err(response) => return *response,
    };
    let orders = match Lane::of_order(&order) {
        Lane::H1 => &gateway.h1,
        _ => &gateway.h2,
    };
    let reply = match orders.call(ask).await {
        Ok(reply) => reply,
        Err(sign) => Reply::failed("orders", &sign),
    };
    gateway.desk.give(op, &order, reply)
}
