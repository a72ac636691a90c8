//! The application that is called: one router for HTTP and gRPC, stock or guarded. It tells what
//! it saw of each request's body.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{any, post};
use futures_util::StreamExt as _;
use meshguard_axum::{Connection, Delivery, DeliveryError};
use tokio::sync::{Notify, mpsc};

use super::http::{halves, pattern, pieces};
use super::{grpc, soon};

/// How a request's body looked to the application.
#[derive(Clone, Debug)]
pub enum Saw {
    /// It came to a clean end after so many gRPC messages, and bytes.
    Clean { messages: usize, bytes: Bytes },
    /// It failed after so many.
    Failed { messages: usize, bytes: Bytes, error: String, typed: Option<DeliveryError> },
    /// The server gave the handler up while it read.
    Dropped,
}

/// The application. Clones are one.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    /// A handler that reads its request's body has been called.
    called: Notify,
    calls: std::sync::atomic::AtomicUsize,
    headers: std::sync::Mutex<Vec<HeaderMap>>,
    connections: std::sync::Mutex<Vec<Connection>>,
    tell: mpsc::UnboundedSender<Saw>,
    told: tokio::sync::Mutex<mpsc::UnboundedReceiver<Saw>>,
}

impl Default for App {
    fn default() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let told = tokio::sync::Mutex::new(told);
        let (called, calls, headers, connections) = Default::default();
        Self(Arc::new(Inner { called, calls, headers, connections, tell, told }))
    }
}

impl App {
    pub fn router(&self) -> Router {
        Router::new()
            .route("/take", post(take))
            .route("/echo", any(echo))
            .route("/known/{bytes}", any(known))
            .route("/stream/{bytes}", any(stream))
            .route("/pieces/{count}", any(many))
            .route("/empty", any(|| async {}))
            .route(grpc::CLIENT, post(grpc::serve_client))
            .route(grpc::SERVER, post(grpc::serve_server))
            .route(grpc::BIDI, post(grpc::serve_bidi))
            .layer(axum::middleware::from_fn_with_state(self.clone(), count))
            .with_state(self.clone())
    }

    /// The next body that a handler saw.
    pub async fn saw(&self) -> Saw {
        soon(async { self.0.told.lock().await.recv().await }).await.unwrap()
    }

    /// What a handler has seen by now.
    pub fn saw_now(&self) -> Option<Saw> {
        self.0.told.try_lock().ok().and_then(|mut told| told.try_recv().ok())
    }

    /// Waits until a handler that reads its request's body is called.
    pub async fn called(&self) {
        self.0.called.notified().await;
    }

    /// How often the application was called.
    pub fn calls(&self) -> usize {
        self.0.calls.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// The headers of all calls.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.0.headers.lock().unwrap().clone()
    }

    /// Ends all connections over which the application was called.
    pub fn close_connections(&self) {
        self.0.connections.lock().unwrap().iter().for_each(Connection::close);
    }

    /// A handler begins to read; it must tell how that ended.
    pub fn reading(&self) -> Reading {
        self.0.called.notify_one();
        Reading(Some(self.0.tell.clone()))
    }
}

/// Tells how reading ended, even if nobody says so.
pub struct Reading(Option<mpsc::UnboundedSender<Saw>>);

impl Reading {
    pub fn end(mut self, saw: Saw) {
        let _ = self.0.take().unwrap().send(saw);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            let _ = tell.send(Saw::Dropped);
        }
    }
}

async fn count(State(app): State<App>, request: Request, next: axum::middleware::Next) -> Response {
    app.0.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    app.0.headers.lock().unwrap().push(request.headers().clone());
    app.0.connections.lock().unwrap().extend(request.extensions().get::<Connection>().cloned());
    next.run(request).await
}

/// Reads all of a body.
async fn read(app: &App, request: Request) -> Result<Bytes, ()> {
    let reading = app.reading();
    let delivery = request.extensions().get::<Delivery>().cloned();
    let mut frames = request.into_body().into_data_stream();
    let mut all = Vec::new();
    loop {
        match frames.next().await {
            Some(Ok(data)) => all.extend_from_slice(&data),
            None => {
                let bytes = Bytes::from(all);
                reading.end(Saw::Clean { messages: 0, bytes: bytes.clone() });
                return Ok(bytes);
            }
            Some(Err(error)) => {
                let (error, typed) = (error.to_string(), delivery.and_then(|d| d.failure()));
                reading.end(Saw::Failed { messages: 0, bytes: all.into(), error, typed });
                return Err(());
            }
        }
    }
}

async fn take(State(app): State<App>, request: Request) -> Result<String, StatusCode> {
    let bytes = read(&app, request).await.map_err(|()| StatusCode::BAD_REQUEST)?;
    Ok(bytes.len().to_string())
}

async fn echo(State(app): State<App>, request: Request) -> Result<Bytes, StatusCode> {
    read(&app, request).await.map_err(|()| StatusCode::BAD_REQUEST)
}

/// All of it with its length.
async fn known(Path(bytes): Path<usize>) -> Bytes {
    pattern(bytes)
}

/// In two pieces, the length not stated.
async fn stream(Path(bytes): Path<usize>) -> Body {
    halves(&pattern(bytes))
}

/// In pieces of ten bytes.
async fn many(Path(count): Path<usize>) -> Body {
    let whole = pattern(10 * count);
    pieces((0..count).map(|i| whole.slice(10 * i..10 * (i + 1))).collect())
}
