//! Calls of every shape, over one wire.

mod grpc;
mod http;

use std::time::Duration;

use crate::journal::Ended;
use crate::rng::Rng;
use crate::shape::Shape;
use crate::wire::Wire;

/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One call, as its caller makes it.
pub(crate) struct Calling<'a> {
    pub(crate) wire: Wire,
    pub(crate) shape: Shape,
    pub(crate) id: u64,
    pub(crate) rng: &'a mut Rng,
}

/// A call that did not end whole: given up by its caller, or failed.
enum Not {
    Wanted,
    Whole(String),
}

type Outcome = Result<(), Not>;

/// Makes a call and follows it to its end.
pub(crate) async fn call(calling: Calling<'_>) -> Ended {
    let calling = async {
        if calling.shape.is_grpc() { grpc::call(calling).await } else { http::call(calling).await }
    };
    match tokio::time::timeout(PATIENCE, calling).await {
        Ok(Ok(())) => Ended::Whole,
        Ok(Err(Not::Wanted)) => Ended::Cancelled,
        Ok(Err(Not::Whole(why))) => Ended::Failed(why),
        Err(_) => Ended::Failed(format!("no end in {} s", PATIENCE.as_secs())),
    }
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Not::Whole(why())) }
}
