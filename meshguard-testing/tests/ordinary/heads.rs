//! Heads are the application's: what it sets and what its layers read, as on the stock stack.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::handler::Handler;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::routing::{any, get as getting};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Channel, Mesh};
use meshguard_testing::Protocol;
use tower::{Layer as _, ServiceExt as _};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::decompression::DecompressionLayer;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::services::ServeDir;
use tower_http::set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::rig::http::{get, halves, pattern, post, request};
use crate::rig::tell::Told;
use crate::rig::{CALLEE, CALLER, SUITES, mesh, policy, soon, stock};

/// A caller and a callee, and a direct channel between them.
pub(crate) struct Pair {
    pub(crate) channel: Channel,
    pub(crate) callee: Mesh,
    pub(crate) at_caller: Told,
    pub(crate) at_callee: Told,
}

impl Pair {
    pub(crate) async fn new(app: Router, more: &str, alpn: Alpn) -> Self {
        let (at_caller, at_callee) = (Told::default(), Told::default());
        let caller = mesh(CALLER, &policy(more), &at_caller);
        let callee = mesh(CALLEE, &policy(more), &at_callee);
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr());
        tokio::spawn(async { meshguard_axum::serve(listener, app).await.unwrap() });
        let channel = caller.channel(&uri, CALLEE).unwrap().protocols(alpn);
        Self { channel, callee, at_caller, at_callee }
    }
}

pub(crate) fn route<H, T>(path: &str, handler: H) -> Router
where
    H: Handler<T, ()>,
    T: 'static,
{
    Router::new().route(path, any(handler))
}

pub(crate) const VERSIONS: [(Alpn, Protocol); 2] =
    [(Alpn::H2, Protocol::Http2), (Alpn::Http11, Protocol::Http1)];

/// A head and its body, without what differs from call to call.
#[derive(Debug, PartialEq)]
struct Seen(StatusCode, Vec<(String, String)>, Result<Bytes, String>);

impl Seen {
    /// A short body is known before its head goes out, and so is its length, true where the stock
    /// stack states none.
    fn forget_length_beyond(&mut self, stock: &Self) {
        let is_length = |(name, _): &(String, String)| name == "content-length";
        if !stock.1.iter().any(is_length)
            && let (Some(i), Ok(body)) = (self.1.iter().position(is_length), &self.2)
        {
            let length = self.1.remove(i).1;
            assert!(body == "gzip" || length == body.len().to_string(), "{length}");
        }
    }
}

async fn seen<B>(answer: http::Response<B>) -> Seen
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let (parts, body) = answer.into_parts();
    let body = soon(body.collect()).await;
    let of_calls = ["date", "connection", "transfer-encoding"];
    let fields = parts.headers.iter().filter(|(name, _)| !of_calls.contains(&name.as_str()));
    let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let mut fields: Vec<_> = fields.map(|(n, v)| (n.to_string(), text(v))).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0)); // stable: lines of a field keep their order
    let coded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    // How a compressor cuts its output depends on when it is polled.
    let read = |bytes: Bytes| if coded { Bytes::from_static(b"gzip") } else { bytes };
    let body = body.map(|body| read(body.to_bytes())).map_err(|e| e.to_string());
    Seen(parts.status, fields, body)
}

/// A page and files, behind the layers that people use.
fn layered(dir: &std::path::Path) -> Router {
    let coded = || async {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_ENCODING, HeaderValue::from_static("x-one"));
        headers.append(header::CONTENT_ENCODING, HeaderValue::from_static("x-two, x-three"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("no-transform"));
        headers.insert(header::ETAG, HeaderValue::from_static("\"v1\""));
        (headers, halves(&pattern(50_000)))
    };
    let sized = || async {
        let length = [(header::CONTENT_LENGTH, HeaderValue::from(40_000))];
        (length, halves(&pattern(40_000)))
    };
    Router::new()
        .route("/coded", getting(coded))
        .route("/sized", getting(sized))
        .route("/known", getting(|| async { pattern(1000) }))
        .route("/nothing", getting(|| async { StatusCode::NO_CONTENT }))
        .route("/take", any(|body: Bytes| async move { body.len().to_string() }))
        .nest_service("/files", ServeDir::new(dir))
        .layer(CompressionLayer::new())
        .layer(SetResponseHeaderLayer::if_not_present(
            header::VARY,
            HeaderValue::from_static("origin"),
        ))
        .layer(CorsLayer::permissive())
        .layer(RequestBodyLimitLayer::new(100_000))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(20)))
        .layer(TraceLayer::new_for_http())
}

fn with(mut request: Request, fields: &[(&'static str, &'static str)]) -> Request {
    for (name, value) in fields {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    request
}

fn requests(protocol: Protocol) -> Vec<Request> {
    let head = |path: &str| request(Method::HEAD, path, Body::empty());
    let gzip = [("accept-encoding", "gzip")];
    let cross = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    let mut all = vec![
        get("/coded"),
        get("/sized"),
        head("/sized"),
        get("/known"),
        with(get("/known"), &gzip),
        head("/known"),
        get("/nothing"),
        get("/files/page.txt"),
        head("/files/page.txt"),
        with(get("/files/page.txt"), &gzip),
        with(get("/files/page.txt"), &[("range", "bytes=10-19")]),
        with(get("/files/page.txt"), &[("range", "bytes=999999999-")]),
        with(get("/files/page.txt"), &[("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")]),
        get("/files/none"),
        with(request(Method::OPTIONS, "/known", Body::empty()), &cross),
        post("/take", pattern(100_000)),
        post("/take", halves(&pattern(90_000))),
    ];
    // Over HTTP/1.1 the connection closes behind an answer to a request that is not read, on the
    // stock stack too: whether the answer is read before is chance.
    if protocol == Protocol::Http2 {
        all.push(post("/take", pattern(100_001)));
        let long = post("/take", halves(&pattern(100_001)));
        all.push(with(long, &[("content-length", "100001")]));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_through_the_usual_layers_are_those_of_the_stock_stack() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page.txt"), pattern(200_000)).unwrap();
    for (alpn, protocol) in VERSIONS {
        let addr = stock::serve(layered(dir.path())).await;
        let mut expected = Vec::new();
        for request in requests(protocol) {
            let mut stock = stock::Client::connect(addr, protocol).await;
            expected.push(seen(soon(stock.send(request)).await.unwrap()).await);
        }
        for more in SUITES {
            let pair = Pair::new(layered(dir.path()), more, alpn).await;
            for (request, want) in requests(protocol).into_iter().zip(&expected) {
                let told = format!("{alpn:?} {more} {} {:?}", request.uri(), request.headers());
                let answer = soon(pair.channel.clone().oneshot(request)).await;
                let mut got = seen(answer.unwrap_or_else(|e| panic!("{told}: {e}"))).await;
                got.forget_length_beyond(want);
                assert_eq!(got, *want, "{told}");
            }
        }
    }
}

/// What a request's head and body say of its length.
async fn length(request: Request) -> String {
    let hint = request.body().size_hint().exact();
    let stated = request.headers().get(header::CONTENT_LENGTH).cloned();
    let read = request.into_body().collect().await.map(|b| b.to_bytes().len());
    format!("{stated:?} {hint:?} {:?}", read.ok())
}

#[tokio::test]
async fn a_length_reaches_the_application_whatever_carries_the_body() {
    for (alpn, protocol) in VERSIONS {
        let addr = stock::serve(route("/", length)).await;
        let large = || halves(&pattern(80_000));
        let requests = || {
            [
                post("/", pattern(10)),
                with(post("/", large()), &[("content-length", "80000")]),
                post("/", large()),
            ]
        };
        for more in SUITES {
            let pair = Pair::new(route("/", length), more, alpn).await;
            for (ours, theirs) in requests().into_iter().zip(requests()) {
                let mut stock = stock::Client::connect(addr, protocol).await;
                let want = seen(soon(stock.send(theirs)).await.unwrap()).await;
                let got = soon(pair.channel.clone().oneshot(ours)).await.unwrap();
                assert_eq!(seen(got).await.2, want.2, "{alpn:?} {more}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_length_is_an_error_that_says_so() {
    let lying = || async {
        ([(header::CONTENT_LENGTH, HeaderValue::from_static("7"))], Body::from("12345"))
    };
    let streaming = || async {
        let length = [(header::CONTENT_LENGTH, HeaderValue::from_static("7"))];
        (length, halves(&pattern(90_000)))
    };
    for (alpn, more) in VERSIONS.into_iter().flat_map(|(v, _)| SUITES.map(|s| (v, s))) {
        let app = route("/", length).merge(route("/lies", lying)).merge(route("/long", streaming));
        let pair = Pair::new(app, more, alpn).await;
        for lengths in [&["4"][..], &["six"], &["5", "6"]] {
            let fields: Vec<_> = lengths.iter().map(|l| ("content-length", *l)).collect();
            let request = with(post("/", Bytes::from_static(b"12345")), &fields);
            let error = soon(pair.channel.clone().oneshot(request)).await.unwrap_err();
            assert!(matches!(error.kind(), CallErrorKind::Request(_)), "{error}");
            assert!(error.to_string().contains("content-length"), "{error}");
        }
        for (length, bytes) in [("7", 90_000), ("100000", 90_000)] {
            let request = with(post("/", halves(&pattern(bytes))), &[("content-length", length)]);
            // The callee may have answered by the time when the body breaks off.
            if let Err(error) = soon(pair.channel.clone().oneshot(request)).await {
                assert!(matches!(error.kind(), CallErrorKind::Body(_)), "{error}");
                assert!(error.to_string().contains("content-length"), "{error}");
            }
        }
        let told = pair.at_callee.all();
        let own = ["aborted", "void-seen"];
        assert!(told.iter().all(|found| own.contains(&found.name.as_str())), "{told:?}");
        let answer = soon(pair.channel.clone().oneshot(get("/lies"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let found = pair.at_callee.wait("answer-length").await;
        assert!(found.detail.contains("content-length"), "{found:?}");
        let answer = soon(pair.channel.clone().oneshot(get("/long"))).await.unwrap();
        assert!(soon(answer.into_body().collect()).await.is_err());
    }
}

#[tokio::test]
async fn an_application_sees_the_address_of_the_other_end() {
    async fn ends(ConnectInfo(addr): ConnectInfo<SocketAddr>) -> String {
        addr.ip().to_string()
    }
    for (alpn, _) in VERSIONS {
        let pair = Pair::new(route("/", ends), "", alpn).await;
        let answer = soon(pair.channel.clone().oneshot(get("/"))).await.unwrap();
        assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "127.0.0.1");
    }
}

#[tokio::test]
async fn clients_are_layered_over_a_channel_as_over_any_other() {
    let moved = || async { axum::response::Redirect::temporary("/page") };
    let page = |headers: HeaderMap| async move {
        assert_eq!(headers["x-client"], "1");
        pattern(5000)
    };
    for ((alpn, _), more) in VERSIONS.into_iter().flat_map(|v| SUITES.map(|s| (v, s))) {
        let app = route("/moved", moved).merge(route("/page", page)).layer(CompressionLayer::new());
        let pair = Pair::new(app, more, alpn).await;
        let name = header::HeaderName::from_static("x-client");
        let patience = Duration::from_secs(20);
        let client = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, patience)
            .layer(pair.channel.clone());
        let client = TraceLayer::new_for_http().layer(client);
        let client = DecompressionLayer::new().layer(client);
        let value = HeaderValue::from_static("1");
        let client = SetRequestHeaderLayer::overriding(name, value).layer(client);
        let client = FollowRedirectLayer::new().layer(client);
        // tower-http resolves a relative location against the request's own URI.
        let request =
            http::Request::get("https://orders.example/moved").body(Body::empty()).unwrap();
        let answer = soon(client.oneshot(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await;
        assert_eq!(body.unwrap_or_else(|e| panic!("{e}")).to_bytes(), pattern(5000));
    }
}

/// hyper's HTTP/1.1 leaves out a body that there should not be; over HTTP/2 it is an error of the
/// protocol (RFC 9113 §8.1.1).
#[tokio::test]
async fn a_head_that_is_refused_has_no_body() {
    // Before the application, and in the place of the protocol's own requests.
    const PATHS: [&str; 2] = ["/", "/.well-known/meshguard/session"];
    for (alpn, protocol) in VERSIONS {
        let callee = mesh(CALLEE, &policy(""), &Told::default());
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        tokio::spawn(async { meshguard_axum::serve(listener, Router::new()).await.unwrap() });
        let mut unproven = stock::Client::connect(addr, protocol).await;
        for path in PATHS {
            let told = format!("{path} {alpn:?}");
            let answer = soon(unproven.send(get(path))).await.unwrap();
            let status = answer.status();
            assert!(status.is_client_error(), "{told} {status}");
            let words = soon(answer.into_body().collect()).await.unwrap().to_bytes();
            assert!(!words.is_empty(), "{told}");
            let head = request(Method::HEAD, path, Body::empty());
            let answer = soon(unproven.send(head)).await.unwrap();
            assert_eq!(answer.status(), status, "{told}");
            let body = soon(answer.into_body().collect()).await.unwrap();
            assert!(body.to_bytes().is_empty(), "{told}");
        }
    }
}
