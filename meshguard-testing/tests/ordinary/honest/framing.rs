//! What is gRPC, and what only says so.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{Channel, Mesh};
use meshguard_testing::Protocol;

use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, SUITES, http, soon, stock};

/// Gives back what came, under the content type that `x-answer` asks for.
async fn back(request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let whole = body.to_bytes();
    // In two pieces: such an answer is no known body.
    let mut response = Response::new(http::halves(&whole));
    if let Some(kind) = parts.headers.get("x-answer") {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

fn request(method: Method, kind: &str, answer: &str, body: &Bytes) -> Request<Body> {
    let mut request = http::request(method, "/back", http::halves(body));
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    headers.insert("x-answer", HeaderValue::from_str(answer).unwrap());
    request
}

async fn world(more: &str) -> (Mesh, Mesh, Channel, Told) {
    let told = Told::default();
    let callee = rig::mesh(CALLEE, &rig::policy(more), &told);
    let caller = rig::mesh(CALLER, &rig::policy(more), &Told::default());
    let listener = callee.listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr();
    let app = Router::new().route("/back", any(back));
    tokio::spawn(async move { meshguard_axum::serve(listener, app).await.unwrap() });
    let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
    (callee, caller, channel, told)
}

/// Two messages of gRPC.
fn messages() -> Bytes {
    Bytes::from_static(b"\0\0\0\0\x03abc\0\0\0\0\x02de")
}

fn no_messages() -> Bytes {
    Bytes::from_static(b"\x07 is no flag of gRPC's")
}

/// Each arrives as on the stock stack, whatever its head says of it.
#[tokio::test]
async fn what_is_not_grpc_is_not_framed_as_such_whatever_it_calls_itself() {
    let cases = [
        // An answer of another type than its request, either way.
        (Method::POST, "application/grpc", "application/json", messages()),
        (Method::POST, "application/json", "application/grpc", no_messages()),
        (Method::PATCH, "text/plain", "application/grpc+proto", no_messages()),
        // gRPC is POST.
        (Method::PUT, "application/grpc", "application/grpc", messages()),
        (Method::PUT, "application/grpc", "application/grpc", no_messages()),
        // gRPC-Web is framed otherwise.
        (Method::POST, "application/grpc-web+proto", "application/grpc-web", no_messages()),
        (Method::POST, "application/grpc-web-text", "application/grpc-web-text", no_messages()),
        // Media types are compared without regard to case, and may have parameters.
        (Method::POST, "Application/GRPC+proto", "APPLICATION/grpc", messages()),
        (Method::POST, "application/grpc ; charset=utf-8", "application/grpc;a=b", messages()),
        (Method::POST, "application/grpcx", "application/grpcx", no_messages()),
    ];
    let stock = stock::serve(Router::new().route("/back", any(back))).await;
    for (protocol, alpn) in [(Protocol::Http2, Alpn::H2), (Protocol::Http1, Alpn::Http11)] {
        for more in SUITES {
            let (callee, _caller, channel, told) = world(more).await;
            let channel = channel.protocols(alpn);
            for (method, kind, answer, body) in &cases {
                let said = format!("{alpn:?} {method} {kind} {answer}");
                let mut client = stock::Client::connect(stock, protocol).await;
                let control = soon(client.send(request(method.clone(), kind, answer, body))).await;
                let control = soon(control.unwrap().into_body().collect()).await.unwrap();
                assert_eq!(control.to_bytes(), body, "{said}");
                let got = http::call(&channel, request(method.clone(), kind, answer, body)).await;
                assert_eq!(got.answer(), (StatusCode::OK, body.clone()), "{said}");
            }
            assert!(told.all().is_empty(), "{:?}", told.all());
            assert!(callee.incidents().is_empty());
        }
    }
}

#[tokio::test]
async fn a_request_that_says_grpc_and_is_not_is_refused_in_words_at_its_sender() {
    for more in SUITES {
        let (callee, caller, channel, told) = world(more).await;
        let trust = callee.trust(&CALLER);
        let kind = "application/grpc";
        let error =
            http::call(&channel, request(Method::POST, kind, kind, &no_messages())).await.failed();
        assert_eq!(error.kind().as_str(), "message", "{error}");
        assert!(error.to_string().contains("is not framed as gRPC"), "{error}");
        assert!(callee.trust(&CALLER) >= trust && callee.incidents().is_empty());
        // It broke its own body off, and said so; nothing else is told.
        assert!(told.all().iter().all(|f| f.name == "aborted"), "{:?}", told.all());
        let (status, _) =
            http::call(&channel, request(Method::POST, kind, kind, &messages())).await.answer();
        assert_eq!(status, StatusCode::OK);
        let counts = caller.counts();
        assert!(counts.balances() && counts.open == 0, "{counts:?}");
    }
}

/// A handler answers a gRPC call with something else under gRPC's type.
#[tokio::test]
async fn an_answer_that_says_grpc_and_is_not_is_refused_in_words() {
    for more in SUITES {
        let (callee, caller, _, told) = world(more).await;
        let app = Router::new().route(
            "/wrong",
            any(|| async {
                let mut response = Response::new(http::halves(&no_messages()));
                let kind = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }),
        );
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        tokio::spawn(async move { meshguard_axum::serve(listener, app).await.unwrap() });
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap();
        let mut call = http::post("/wrong", Bytes::new());
        let kind = HeaderValue::from_static("application/grpc");
        call.headers_mut().insert(header::CONTENT_TYPE, kind);
        let response = soon(tower::ServiceExt::oneshot(channel, call)).await.unwrap();
        let trailers = soon(response.into_body().collect()).await.unwrap().trailers().cloned();
        let trailers = trailers.unwrap();
        assert_eq!(trailers["grpc-status"], "13", "{trailers:?}");
        let words = trailers["grpc-message"].to_str().unwrap();
        assert!(words.contains("is not framed as gRPC"), "{words}");
        // The operator of the callee is told.
        let found = told.wait("message").await;
        assert!(found.detail.contains("is not framed as gRPC"), "{found:?}");
        assert!(caller.incidents().is_empty() && callee.incidents().is_empty());
    }
}
