//! Calls of the generated client.

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tonic::{Request, Status};

use super::{Calling, Not, Outcome, check};
use crate::app::CALL;
use crate::proto::{Ask, Order, Piece};
use crate::shape::Shape;
use crate::wire::{causes, grpc};

/// Of a caller's stream; each is 20 bytes on the wire.
const MESSAGES: usize = 500;
const ANSWERS: usize = 50;
const ROUNDS: usize = 10;

pub(super) async fn call(calling: Calling<'_>) -> Outcome {
    let Calling { wire, shape, id, rng } = calling;
    let mut client = grpc(wire);
    match shape {
        Shape::Unary => {
            let size = rng.within(0, 20_000) as u32;
            let ask = Ask { size, body: vec![7; 300], ..Ask::default() };
            let answer = client.unary(tagged(ask, id)?).await.map_err(not)?.into_inner();
            check(answer.body.len() == size as usize, || format!("{} bytes", answer.body.len()))
        }
        Shape::ClientStream => {
            let pieces = stream::iter((0..MESSAGES).map(|_| Piece { body: vec![7; 13] }));
            let sum = client.collect(tagged(pieces, id)?).await.map_err(not)?.into_inner();
            check(sum.pieces as usize == MESSAGES, || format!("{} messages", sum.pieces))
        }
        Shape::ServerStream => {
            let sizes = (0..ANSWERS).map(|_| rng.within(0, 2_000) as u32).collect();
            let order = tagged(Order { sizes, ..Order::default() }, id)?;
            let mut pieces = client.produce(order).await.map_err(not)?.into_inner();
            let mut came = 0;
            while pieces.message().await.map_err(not)?.is_some() {
                came += 1;
            }
            check(came == ANSWERS, || format!("{came} messages"))
        }
        _ => {
            let rounds = if shape == Shape::CancelStream { 1 } else { ROUNDS };
            let (orders, wait) = mpsc::unbounded_channel();
            let balls = tagged(receive(wait), id)?;
            let mut pieces = client.ping_pong(balls).await.map_err(not)?.into_inner();
            for _ in 0..rounds {
                let ball = Order { sizes: vec![100], body: vec![7; 100], ..Order::default() };
                let sent = orders.send(ball).is_ok();
                let came = pieces.message().await.map_err(not)?.is_some();
                check(sent && came, || "the stream ended before its caller ended it".into())?;
            }
            if shape == Shape::CancelStream {
                return Err(Not::Wanted);
            }
            drop(orders);
            let more = pieces.message().await.map_err(not)?.is_some();
            check(!more, || "a message that nobody asked for".into())
        }
    }
}

fn tagged<T>(message: T, id: u64) -> Result<Request<T>, Not> {
    let mut request = Request::new(message);
    for (name, value) in [(CALL, id.to_string()), ("x-tenant", "acme".into())] {
        let value = value.parse().map_err(|_| Not::Whole("no metadata".into()))?;
        request.metadata_mut().insert(name, value);
    }
    Ok(request)
}

fn not(status: Status) -> Not {
    Not::Whole(format!("{:?}: {}", status.code(), causes(&status)))
}

fn receive<T: Send + 'static>(items: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send {
    stream::unfold(items, |mut items| async move { items.recv().await.map(|item| (item, items)) })
}
