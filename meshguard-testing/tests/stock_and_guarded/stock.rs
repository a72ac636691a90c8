//! A fault on hyper, axum and tonic as they are.

use std::net::SocketAddr;

use axum::body::Body as AxumBody;
use axum::http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use meshguard_testing::{FaultHop, Protocol};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;
use tower::ServiceExt as _;

use crate::faults::{Body, Fault};
use crate::rig::app::{App, Saw};
use crate::rig::{grpc, http, soon};

#[derive(Debug)]
pub(crate) struct Stock {
    /// The application that received the body took it for complete.
    pub(crate) silent: bool,
    /// What it saw.
    pub(crate) saw: String,
    /// The caller got an error.
    pub(crate) caller_failed: bool,
}

pub(crate) async fn run(fault: &Fault) -> Stock {
    let app = App::default();
    let protocol = if fault.http1 { Protocol::Http1 } else { Protocol::Http2 };
    let addr = serve(&app, protocol).await;
    let hop = FaultHop::builder(addr).plain(protocol).start().await.unwrap();
    hop.inject_next(fault.plain());
    let stock = match fault.body {
        Body::Answer => answer(fault, &hop, protocol).await,
        Body::Request => {
            let sent = soon(send(hop.addr(), protocol, upload(fault, &app))).await;
            received(&app, sent.map_or(true, |answer| !answer.status().is_success())).await
        }
        Body::Messages => {
            let endpoint = Endpoint::from_shared(format!("http://{}", hop.addr())).unwrap();
            let channel = endpoint.connect().await.unwrap();
            let sent = grpc::client(channel, grpc::gated(10, &app)).await;
            received(&app, sent.is_err()).await
        }
    };
    assert_eq!(soon(hop.injected(1)).await.len(), 1, "{}", fault.name);
    stock
}

fn upload(fault: &Fault, app: &App) -> Request<AxumBody> {
    let mut request = http::post("/take", http::gated(&http::pattern(100), app));
    if fault.sized {
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(100));
    }
    request
}

async fn received(app: &App, caller_failed: bool) -> Stock {
    let (silent, saw) = match app.saw().await {
        Saw::Clean { messages: 0, bytes } => (
            bytes.len() < 100,
            format!("the handler read {} of 100 bytes, then a clean end", bytes.len()),
        ),
        Saw::Clean { messages, .. } => {
            (messages < 10, format!("the handler read {messages} of 10 messages, then Ok(None)"))
        }
        Saw::Failed { error, .. } => (false, format!("the handler got an error: {error}")),
        Saw::Dropped => (false, "the handler was dropped".to_owned()),
    };
    Stock { silent, saw, caller_failed }
}

async fn answer(fault: &Fault, hop: &FaultHop, protocol: Protocol) -> Stock {
    let path = if fault.sized { "/known/100" } else { "/stream/100" };
    let answer = soon(send(hop.addr(), protocol, http::get(path))).await.unwrap();
    match soon(answer.into_body().collect()).await {
        Ok(body) => {
            let got = body.to_bytes().len();
            let saw = format!("the caller read {got} of 100 bytes, then a clean end");
            Stock { silent: got < 100, saw, caller_failed: false }
        }
        Err(error) => {
            let saw = format!("the caller got an error: {error}");
            Stock { silent: false, saw, caller_failed: true }
        }
    }
}

async fn serve(app: &App, protocol: Protocol) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = app.router();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (io, router) = (TokioIo::new(tcp), router.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                router.clone().oneshot(request.map(AxumBody::new))
            });
            // How the connection ends is for the caller to see.
            tokio::spawn(async move {
                let _ = match protocol {
                    Protocol::Http1 => {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await
                    }
                    Protocol::Http2 => {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await
                    }
                };
            });
        }
    });
    addr
}

async fn send(
    to: SocketAddr,
    protocol: Protocol,
    mut request: Request<AxumBody>,
) -> hyper::Result<Response<Incoming>> {
    let io = TokioIo::new(TcpStream::connect(to).await.unwrap());
    match protocol {
        Protocol::Http1 => {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("callee.example"));
            let (mut sender, conn) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(conn);
            sender.send_request(request).await
        }
        Protocol::Http2 => {
            let path = request.uri().path().to_owned();
            *request.uri_mut() = format!("http://callee.example{path}").parse().unwrap();
            let exec = TokioExecutor::new();
            let (mut sender, conn) = hyper::client::conn::http2::handshake(exec, io).await?;
            tokio::spawn(conn);
            sender.send_request(request).await
        }
    }
}
