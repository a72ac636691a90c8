//! Orders: keeps them, and has payments take the money.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use crate::shop::calls::{Ask, Reply};
use crate::shop::desk::{Desk, index};
use crate::shop::goods;
use crate::shop::services::payments::Payer;
use crate::shop::sign::Sign;
use crate::shop::truth::Op;

/// What orders works with.
#[derive(Debug)]
pub(in crate::shop) struct Orders {
    pub(in crate::shop) desk: Desk,
    pub(in crate::shop) payer: Payer,
}

type Shared = State<Arc<Orders>>;

pub(in crate::shop) fn router(orders: Orders) -> Router {
    Router::new()
        .route("/", get(index))
        .route(
            "/orders/{order}",
            put(|State(s): Shared, Path(o): Path<String>, r: Request| serve(s, Op::Order, o, r)),
        )
        .route(
            "/lines/{order}",
            post(|State(s): Shared, Path(o): Path<String>, r: Request| serve(s, Op::Lines, o, r)),
        )
        .route(
            "/invoice/{order}",
            get(|State(s): Shared, Path(o): Path<String>, r: Request| serve(s, Op::Invoice, o, r)),
        )
        .route(
            "/events/{order}",
            get(|State(s): Shared, Path(o): Path<String>, r: Request| serve(s, Op::Events, o, r)),
        )
        .with_state(Arc::new(orders))
}

/// In a task of its own: what is begun is carried through, though the caller may hang up.
async fn serve(orders: Arc<Orders>, op: Op, order: String, request: Request) -> Response {
    let work = tokio::spawn(async move {
        let ask = match orders.desk.take(op, &order, request).await {
            Ok(ask) => ask,
            Err(response) => return *response,
        };
        let reply = orders.reply(&ask).await;
        orders.desk.give(op, &order, reply)
    });
    work.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

impl Orders {
    async fn reply(&self, ask: &Ask) -> Reply {
        let done = match ask.op {
            Op::Order => self.charge(ask).await,
            Op::Lines => self.settle(ask).await,
            Op::Events => self.events(ask).await,
            _ => Ok(invoice(ask)),
        };
        done.unwrap_or_else(|sign| Reply::failed("payments", &sign))
    }

    async fn charge(&self, ask: &Ask) -> Result<Reply, Sign> {
        let Ok(order) = serde_json::from_slice::<goods::Order>(&ask.body.concat()) else {
            return Ok(Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": "not an order" })));
        };
        let approval = self.payer.charge(&ask.order, order.cents).await?;
        Ok(Reply::tagged(json!({ "order": ask.order, "approval": approval }).to_string()))
    }

    async fn settle(&self, ask: &Ask) -> Result<Reply, Sign> {
        let Some(lines) = goods::parse_lines(&ask.order, &ask.body.concat()) else {
            return Ok(Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": "not lines" })));
        };
        let reference = self.payer.settle(&ask.order, lines).await?;
        Ok(Reply::tagged(json!({ "order": ask.order, "reference": reference }).to_string()))
    }

    async fn events(&self, ask: &Ask) -> Result<Reply, Sign> {
        let events = self.payer.watch(&ask.order).await?;
        let lines = events.iter().map(|e| format!("{} {:016x}\n", e.number, e.stamp));
        Ok(Reply::tagged(lines.collect::<String>()))
    }
}

/// The invoice, or the part of it that was asked for.
fn invoice(ask: &Ask) -> Reply {
    let whole = goods::invoice(&ask.order);
    match ask.range.as_deref().and_then(|range| part(range, &whole)) {
        Some(part) => Reply { status: StatusCode::PARTIAL_CONTENT, ..Reply::tagged(part) },
        None => Reply::tagged(whole),
    }
}

/// `bytes=first-last`, and no other form (RFC 9110, section 14.1.2).
fn part(range: &str, whole: &Bytes) -> Option<Bytes> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < whole.len()).then(|| whole.slice(first..=last))
}
