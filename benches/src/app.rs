//! What all variants serve.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};

use crate::grpc;

/// `/echo` reads a body to its end and answers with it; `/stream` passes it through.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/stream", post(|body: Body| async move { body }))
        .route(grpc::PATH, post(grpc::serve))
        .route(grpc::UP, post(grpc::serve_up))
        .route(grpc::DOWN, post(grpc::serve_down))
}
