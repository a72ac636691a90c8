//! A service that forwards its users' heads: whatever is in them, no proof of its own is bad.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Channel};
use meshguard_testing::Protocol;
use tower::ServiceExt as _;

use crate::heads::{Pair, route};
use crate::rig::http::{get, halves, pattern, post, request};
use crate::rig::tell::Told;
use crate::rig::{CALLEE, CALLER, HOP, MAC, SUITES, allowing, mesh, policy, soon, stock};

const VERSIONS: [Alpn; 2] = [Alpn::H2, Alpn::Http11];
const CASES: usize = 150;

/// What users send: of a connection, ambiguous, odd or malformed.
const FIELDS: [(&str, &[u8]); 44] = [
    ("connection", b"close"),
    ("connection", b"keep-alive, X-Foo"),
    ("connection", b"content-type, authorization"),
    ("connection", b"content-encoding,,meshguard"),
    ("connection", b"host, te, upgrade"),
    ("connection", b"etag, location, grpc-status"),
    ("connection", b"\xff, x-bar"),
    ("x-foo", b"1"),
    ("x-bar", b""),
    ("keep-alive", b"timeout=5"),
    ("proxy-connection", b"keep-alive"),
    ("te", b"gzip"),
    ("te", b"trailers, deflate;q=0.5"),
    ("transfer-encoding", b"chunked"),
    ("transfer-encoding", b"gzip, chunked"),
    ("trailer", b"x-sum"),
    ("content-length", b"0"),
    ("content-length", b"10"),
    ("content-length", b"7"),
    ("content-length", b"x"),
    ("content-encoding", b"gzip"),
    ("content-encoding", b""),
    ("content-encoding", b"br, mg1"),
    ("content-type", b"application/json"),
    ("content-type", b" text/plain\t"),
    ("content-type", b"text/\xe9"),
    ("content-digest", b"sha-256=:AAAA:"),
    ("expect", b"100-continue"),
    ("upgrade", b"h2c"),
    ("upgrade", b"websocket"),
    ("host", b"Shop.example:443"),
    ("host", b"a, b"),
    ("range", b"bytes=0-1"),
    ("if-match", b"\"a\""),
    ("if-match", b"\"b\",\"c\""),
    ("authorization", b"Bearer \x80"),
    ("idempotency-key", b""),
    ("cache-control", b"no-transform"),
    ("meshguard", b"sid=\"x\""),
    ("meshguard-session", b"renew"),
    ("meshguard-trailers", b"YTox"),
    ("etag", b"W/\"x\""),
    ("location", b"/\xc3\xa9"),
    ("grpc-timeout", b"9S"),
];

/// Repeats its numbers for the same seed (Marsaglia's xorshift).
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for _ in 0..self.below(7) {
            let (name, value) = FIELDS[self.below(FIELDS.len())];
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn request(&mut self) -> Request {
        let methods = [Method::GET, Method::POST, Method::PUT, Method::HEAD, Method::DELETE];
        let method = methods[self.below(methods.len())].clone();
        let ten = pattern(10);
        let body = match self.below(4) {
            0 => Body::empty(),
            1 => halves(&ten),
            _ => Body::from(ten),
        };
        let status = [200, 200, 201, 204, 304, 404, 500][self.below(7)];
        let mut request = request(method, &format!("/mirror/{status}?a"), body);
        *request.headers_mut() = self.headers();
        request
    }
}

/// Answers with the request's own head, and ten bytes.
async fn mirror(path: axum::extract::Path<u16>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes);
    let streams = whole.is_ok_and(|bytes| bytes.len() % 20 == 0);
    let ten = pattern(10);
    let mut answer = Response::new(if streams { halves(&ten) } else { Body::from(ten) });
    *answer.status_mut() = StatusCode::from_u16(path.0).unwrap();
    *answer.headers_mut() = parts.headers;
    if streams {
        // A stream that is longer than it states breaks off, maybe before its head is read.
        answer.headers_mut().remove(header::CONTENT_LENGTH);
    }
    answer
}

fn seed() -> u64 {
    let given = std::env::var("MESHGUARD_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 0x9e37)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_head_is_forwarded_no_proof_of_an_honest_service_is_bad() {
    let seed = seed();
    for (alpn, more) in VERSIONS.into_iter().flat_map(|v| SUITES.map(|s| (v, s))) {
        println!("MESHGUARD_SEED={seed} {alpn:?} {more}");
        let mut random = Rng(seed | 1);
        let pair = Pair::new(route("/mirror/{status}", mirror), more, alpn).await;
        for case in 0..CASES {
            let request = random.request();
            let told = format!("{case}: {request:?}");
            match soon(pair.channel.clone().oneshot(request)).await {
                // What the mirror says of its length may be wrong: its own body fails then.
                Ok(answer) => drop(soon(answer.into_body().collect()).await),
                Err(error) => {
                    let honest = matches!(
                        error.kind(),
                        CallErrorKind::Request(_)
                            | CallErrorKind::Body(_)
                            | CallErrorKind::Answer(_)
                            | CallErrorKind::NotConfirmed { .. }
                    );
                    assert!(honest, "{told}: {error:?}");
                }
            }
        }
        for found in pair.at_callee.all().into_iter().chain(pair.at_caller.all()) {
            let of_forgers = ["bad-proof", "field", "unmarked", "digest", "trailers", "unproven"];
            assert!(!of_forgers.contains(&found.name.as_str()), "{found:?}");
        }
    }
}

/// A reverse proxy: what came in goes on, and what comes back goes back.
async fn forward(State(channel): State<Channel>, request: Request) -> Response {
    match channel.oneshot(request).await {
        Ok(answer) => answer.map(Body::new).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn told(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let sum = parts.headers.get("x-user").map_or("-", |v| v.to_str().unwrap()).to_owned();
    let bytes = body.collect().await.unwrap().to_bytes().len();
    format!("{} {} {sum} {bytes}", parts.method, parts.uri.path_and_query().unwrap())
}

#[tokio::test]
async fn a_reverse_proxy_in_ten_lines_passes_on_what_comes_in_any_version() {
    for (front, back) in VERSIONS.into_iter().flat_map(|f| VERSIONS.map(|b| (f, b))) {
        let to_back = Pair::new(Router::new().fallback(told), MAC, back).await;
        let policy = allowing("", "[[allow]]\nname = \"users\"\nfrom = [\"hop\"]\n");
        let proxy = mesh(CALLER, &policy, &Told::default());
        let listener = proxy.listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let app = Router::new().fallback(forward).with_state(to_back.channel.clone());
        tokio::spawn(async { meshguard_axum::serve(listener, app).await.unwrap() });
        let user = mesh(HOP, &policy, &Told::default());
        let user = user.channel(&format!("https://{addr}"), CALLER).unwrap().protocols(front);
        for (mut request, want) in [
            (get("/a?b=c"), "GET /a?b=c 1 0"),
            (post("/p", pattern(100)), "POST /p 1 100"),
            (post("/s", halves(&pattern(100_000))), "POST /s 1 100000"),
            (request(Method::DELETE, "/d", Body::empty()), "DELETE /d 1 0"),
        ] {
            request.headers_mut().insert("x-user", HeaderValue::from_static("1"));
            request.headers_mut().insert("connection", HeaderValue::from_static("x-hop, te"));
            request.headers_mut().insert("x-hop", HeaderValue::from_static("1"));
            let answer = soon(user.clone().oneshot(request)).await.unwrap();
            let status = answer.status();
            let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
            assert_eq!(
                (status, &body[..]),
                (StatusCode::OK, want.as_bytes()),
                "{front:?} {back:?}"
            );
        }
    }
}

/// The head as its server sees it.
async fn seen(head: HeaderMap) -> String {
    head.keys().map(|name| format!("{name}\n")).collect()
}

/// What a user's request claims of its sender, and what it knows of its own connection, end at the
/// service that sends it on. Its far end here is a server that strips nothing itself.
#[tokio::test]
async fn what_belongs_to_the_users_connection_does_not_leave_with_a_forwarded_request() {
    const CLAIMS: [&str; 4] =
        ["x-spiffe-id", "x-forwarded-client-cert", "client-cert", "meshguard-session"];
    let app = || Router::new().fallback(seen);
    let forwarded = || {
        let mut request = get("/");
        for name in CLAIMS.into_iter().chain(["x-user"]) {
            request.headers_mut().insert(name, HeaderValue::from_static("renew"));
        }
        request
    };
    let addr = stock::serve(app()).await;
    let mut plain = stock::Client::connect(addr, Protocol::Http2).await;
    let told = plain.send(forwarded()).await.unwrap().into_body().collect().await.unwrap();
    let told = String::from_utf8(told.to_bytes().to_vec()).unwrap();
    assert!(CLAIMS.iter().all(|name| told.contains(name)), "the control: {told}");

    let off = policy("[[delivery]]\nmode = \"off\"\n");
    for alpn in VERSIONS {
        let caller = mesh(CALLER, &off, &Told::default());
        let channel = caller.channel(&format!("https://{addr}"), CALLEE).unwrap().protocols(alpn);
        let mut request = forwarded();
        // Left in, h2 makes a field of it that no GET may have (RFC 8441 §4).
        request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        let answer = soon(channel.oneshot(request)).await.unwrap();
        let told = soon(answer.into_body().collect()).await.unwrap().to_bytes();
        let told = std::str::from_utf8(&told).unwrap();
        assert!(told.contains("x-user"), "{alpn:?}: {told}");
        for claim in CLAIMS {
            assert!(!told.contains(claim), "{alpn:?}: {told}");
        }
    }
}
