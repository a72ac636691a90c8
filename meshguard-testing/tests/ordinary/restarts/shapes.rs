//! The kinds of calls that there are.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallError, CallErrorKind, Channel};

use crate::rig::{grpc, http};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Get,
    Post,
    /// All of it known, and more than is kept for sending again.
    Large,
    Upload,
    Unary,
    ClientStream,
    ServerStream,
    Bidi,
}

pub(crate) const HTTP: [Shape; 4] = [Shape::Get, Shape::Post, Shape::Large, Shape::Upload];
pub(crate) const GRPC: [Shape; 4] =
    [Shape::Unary, Shape::ClientStream, Shape::ServerStream, Shape::Bidi];

/// Each kind of call in each version that it is made in.
pub(crate) fn all() -> impl Iterator<Item = (Alpn, Shape)> {
    let h1 = HTTP.into_iter().map(|shape| (Alpn::Http11, shape));
    h1.chain(HTTP.into_iter().chain(GRPC).map(|shape| (Alpn::H2, shape)))
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failed {
    #[expect(dead_code, reason = "shown by `Debug`")]
    pub(crate) text: String,
    pub(crate) error: Option<CallError>,
}

impl Failed {
    /// Whether an answer of this status came, without proof.
    pub(crate) fn is_unproven(&self, status: StatusCode) -> bool {
        let unproven = CallErrorKind::Unproven(status);
        self.error.as_ref().is_some_and(|error| *error.kind() == unproven)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.error.as_ref().map(CallError::outcome)
    }
}

impl Shape {
    pub(crate) async fn call(self, channel: &Channel) -> Result<(), Failed> {
        let large = http::pattern(200_000);
        let right = |numbers: grpc::Numbers, n: u32| match numbers {
            (got, Ok(())) if got == (1..=n).collect::<Vec<_>>() => Ok(()),
            (got, Ok(())) => Err(failed(format!("{got:?}"))),
            (_, Err(status)) => Err(of_status(&status)),
        };
        let counted = |got: Result<u32, tonic::Status>, n| match got {
            Ok(got) if got == n => Ok(()),
            Ok(got) => Err(failed(format!("{got} messages"))),
            Err(status) => Err(of_status(&status)),
        };
        match self {
            Self::Get => sent(channel, http::get("/known/10"), &http::pattern(10)).await,
            Self::Post => sent(channel, http::post("/take", "x"), b"1").await,
            Self::Large => sent(channel, http::post("/take", large), b"200000").await,
            Self::Upload => {
                let halves = http::halves(&http::pattern(100));
                sent(channel, http::post("/take", halves), b"100").await
            }
            Self::Unary => counted(grpc::client(channel.clone(), grpc::ready(1)).await, 1),
            Self::ClientStream => counted(grpc::client(channel.clone(), grpc::paced(5)).await, 5),
            Self::ServerStream => right(grpc::server(channel.clone(), 5).await, 5),
            Self::Bidi => right(grpc::bidi(channel.clone(), grpc::paced(5)).await, 5),
        }
    }
}

async fn sent(
    channel: &Channel,
    request: axum::http::Request<Body>,
    expect: &[u8],
) -> Result<(), Failed> {
    match http::call(channel, request).await {
        http::Got::Answer(StatusCode::OK, body) if body == Bytes::copy_from_slice(expect) => Ok(()),
        http::Got::Failed(error) => Err(Failed { text: error.to_string(), error: Some(error) }),
        got => Err(failed(format!("{got:?}"))),
    }
}

fn failed(text: String) -> Failed {
    Failed { text, error: None }
}

fn of_status(status: &tonic::Status) -> Failed {
    let error = match meshguard_tonic::cause(status) {
        Some(meshguard_tonic::Cause::Call(error)) => Some(error.clone()),
        _ => None,
    };
    Failed { text: format!("{status:?}"), error }
}
