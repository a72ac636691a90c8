//! Requests made by hand.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, StatusCode};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::{Calling, Not, Outcome, check};
use crate::app::{CALL, streamed};
use crate::shape::Shape;
use crate::wire::{Wire, causes};

const SMALL: usize = 2_000;
const LARGE: usize = 200_000;
const UPLOAD: usize = 150_000;
const DOWNLOAD: usize = 300_000;
/// How long a caller that stops reading keeps its answer.
const KEPT: Duration = Duration::from_secs(1);

pub(super) async fn call(calling: Calling<'_>) -> Outcome {
    let Calling { wire, shape, id, rng } = calling;
    let get = move |path: &str| request(Method::GET, path, id, Body::empty());
    let post = move |path: &str, body: Body| request(Method::POST, path, id, body);
    match shape {
        Shape::Get => whole(send(wire, get("/small")).await?, 14).await,
        Shape::Post => taken(wire, post("/take", known(SMALL)), SMALL).await,
        Shape::PostIdempotent => taken(wire, post("/idempotent", known(SMALL)), SMALL).await,
        Shape::PostStream => taken(wire, post("/take", trickle()), 5_000).await,
        Shape::Upload => taken(wire, post("/take", known(LARGE)), LARGE).await,
        Shape::UploadStream => taken(wire, post("/take", streamed(UPLOAD)), UPLOAD).await,
        Shape::Download => whole(send(wire, get(&format!("/known/{LARGE}"))).await?, LARGE).await,
        Shape::DownloadStream => whole(send(wire, get(&download())).await?, DOWNLOAD).await,
        // "data: N\n\n" ten times.
        Shape::Sse => whole(send(wire, get("/events/10")).await?, 90).await,
        Shape::SlowHandler => {
            let path = format!("/slow/{}", rng.within(100, 600));
            whole(send(wire, get(&path)).await?, 7).await
        }
        Shape::SlowReader => slowly(send(wire, get(&download())).await?).await,
        Shape::StopsReading => {
            let answer = part(send(wire, get(&download())).await?).await?;
            sleep(KEPT).await;
            drop(answer);
            Err(Not::Wanted)
        }
        Shape::CancelBeforeHead => give_up(wire, get("/slow/1000"), rng.within(5, 120)).await,
        Shape::CancelAfterHead => {
            drop(send(wire, get(&download())).await?);
            Err(Not::Wanted)
        }
        Shape::CancelMidBody => {
            drop(part(send(wire, get(&download())).await?).await?);
            Err(Not::Wanted)
        }
        Shape::CancelUpload => give_up(wire, post("/take", stuck()), rng.within(5, 120)).await,
        grpc => Err(Not::Whole(format!("{} goes over gRPC", grpc.name()))),
    }
}

fn download() -> String {
    format!("/stream/{DOWNLOAD}")
}

/// Every call has the header that the policy asks for now and then.
fn request(method: Method, path: &str, id: u64, body: Body) -> Result<Request<Body>, Not> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(CALL, id).header("x-tenant", "acme");
    request.body(body).map_err(|error| Not::Whole(causes(&error)))
}

async fn send(wire: Wire, request: Result<Request<Body>, Not>) -> Result<Response<Body>, Not> {
    let answer = wire.oneshot(request?).await;
    let answer = answer.map_err(|error| Not::Whole(causes(&error)))?;
    check(answer.status() == StatusCode::OK, || {
        format!("{} {:?}", answer.status(), answer.headers().get("meshguard-decision"))
    })?;
    Ok(answer)
}

async fn whole(answer: Response<Body>, length: usize) -> Outcome {
    let body = answer.into_body().collect().await;
    let came = body.map_err(|error| broken(0, error))?.to_bytes().len();
    check(came == length, || format!("{came} bytes came, not {length}"))
}

async fn taken(wire: Wire, request: Result<Request<Body>, Not>, sent: usize) -> Outcome {
    let body = send(wire, request).await?.into_body().collect().await;
    let told = body.map_err(|error| broken(0, error))?.to_bytes();
    check(*told == *sent.to_string().as_bytes(), || format!("{told:?} arrived, not {sent} bytes"))
}

async fn slowly(answer: Response<Body>) -> Outcome {
    let (mut body, mut came) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        came += frame.map_err(|error| broken(came, error))?.data_ref().map_or(0, Bytes::len);
        sleep(Duration::from_millis(20)).await;
    }
    check(came == DOWNLOAD, || format!("{came} bytes came, not {DOWNLOAD}"))
}

/// The first of it.
async fn part(answer: Response<Body>) -> Result<Body, Not> {
    let mut body = answer.into_body();
    match body.frame().await {
        Some(Ok(_)) => Ok(body),
        Some(Err(error)) => Err(broken(0, error)),
        None => Err(Not::Whole("nothing came".into())),
    }
}

async fn give_up(wire: Wire, request: Result<Request<Body>, Not>, millis: u64) -> Outcome {
    match timeout(Duration::from_millis(millis), send(wire, request)).await {
        Err(_) => Err(Not::Wanted),
        Ok(answer) => answer.map(drop),
    }
}

fn broken(came: usize, error: axum::Error) -> Not {
    Not::Whole(format!("the answer's body failed after {came} bytes: {}", causes(&error)))
}

fn known(bytes: usize) -> Body {
    Body::from(vec![7; bytes])
}

/// Five pieces of 1,000 bytes, a moment apart.
fn trickle() -> Body {
    Body::from_stream(stream::iter(0..5).then(|_| async {
        sleep(Duration::from_millis(5)).await;
        Ok::<_, Infallible>(Bytes::from_static(&[7; 1000]))
    }))
}

/// One piece, and then never another.
fn stuck() -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(&[7; 1000]))]);
    Body::from_stream(first.chain(stream::pending()))
}
