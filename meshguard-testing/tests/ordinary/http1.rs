//! HTTP/1.1 is as good as HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::future::join_all;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use meshguard_axum::limits::Limits;
use meshguard_axum::tls::HandshakeErrorKind;
use meshguard_axum::{CallErrorKind, Mesh};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::heads::{Pair, VERSIONS, route};
use crate::rig::http::{get, halves, pattern, pieces, post};
use crate::rig::tell::Told;
use crate::rig::{CALLEE, CALLER, SUITES, mesh, policy, soon, stock};

async fn host(request: Request) -> String {
    let of_uri = request.uri().authority().map(ToString::to_string);
    let field = request.headers().get(header::HOST).map(|h| h.to_str().unwrap().to_owned());
    of_uri.or(field).unwrap()
}

#[tokio::test]
async fn an_applications_own_host_is_what_is_asked() {
    for (alpn, protocol) in VERSIONS {
        let pair = Pair::new(route("/", host), "", alpn).await;
        let ask = |host: &'static str| {
            let mut request = get("/");
            request.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
            request
        };
        for own in ["shop.example", "shop.example:8443", "Shop.Example:443"] {
            let answer = soon(pair.channel.clone().oneshot(ask(own))).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{own} {:?}", pair.at_callee.all());
            let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
            assert_eq!(body, own, "{alpn:?}");
        }
        let mut stock =
            stock::Client::connect(stock::serve(route("/", host)).await, protocol).await;
        let answer = soon(stock.send(ask("shop.example"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let error = soon(pair.channel.clone().oneshot(ask("a, b"))).await.unwrap_err();
        assert_eq!(error.kind(), &CallErrorKind::Request("its host is malformed"));
    }
}

#[tokio::test]
async fn an_upgrade_is_refused_in_words() {
    for (alpn, _) in VERSIONS {
        let pair = Pair::new(route("/", host), "", alpn).await;
        let mut request = get("/");
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        let error = soon(pair.channel.clone().oneshot(request)).await.unwrap_err();
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}

/// Frames that are there at once, or one after the other, and trailers that no head names.
fn trailing(at_once: bool) -> Body {
    let trailers: HeaderMap = [("x-sum", "1"), ("x-more", "2")]
        .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
        .into_iter()
        .collect();
    let frames = [Frame::data(pattern(10)), Frame::data(pattern(10)), Frame::trailers(trailers)];
    let frames = futures_util::stream::iter(frames.map(Ok::<_, std::io::Error>));
    if at_once {
        return Body::new(StreamBody::new(frames));
    }
    let slow = futures_util::StreamExt::then(frames, |frame| async move {
        tokio::task::yield_now().await;
        frame
    });
    Body::new(StreamBody::new(slow))
}

#[tokio::test]
async fn trailers_pass_both_ways_in_either_version() {
    async fn back(request: Request) -> Response {
        let at_once = request.uri().path() == "/known";
        let body = request.into_body().collect().await.unwrap();
        let sums = body.trailers().map(|t| t["x-sum"].to_str().unwrap().to_owned());
        let mut answer = Response::new(trailing(at_once));
        let count = HeaderValue::try_from(format!("{sums:?}")).unwrap();
        answer.headers_mut().insert("x-came", count);
        answer
    }
    for ((alpn, _), more) in VERSIONS.into_iter().flat_map(|v| SUITES.map(|s| (v, s))) {
        let pair = Pair::new(route("/{kind}", back), more, alpn).await;
        for path in ["/known", "/stream"] {
            let request = post(path, trailing(path == "/known"));
            let answer = soon(pair.channel.clone().oneshot(request)).await.unwrap();
            let told = format!("{alpn:?} {more} {path} {:?}", pair.at_callee.all());
            assert_eq!(answer.status(), StatusCode::OK, "{told}");
            assert_eq!(answer.headers()["x-came"], "Some(\"1\")", "{told}");
            assert!(!answer.headers().contains_key(header::TRAILER), "{told}");
            let body = soon(answer.into_body().collect()).await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-more"], "2", "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_calls_at_once_over_http1_wait_in_order() {
    const CALLS: usize = 300;
    const CONNECTIONS: usize = 256;
    let gate = Arc::new(Semaphore::new(0));
    let under_way = Arc::new(AtomicUsize::new(0));
    let (door, count) = (Arc::clone(&gate), Arc::clone(&under_way));
    let wait = move || {
        let (door, count) = (Arc::clone(&door), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            door.acquire().await.unwrap().forget();
            count.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let pair = Pair::new(route("/", wait), "", VERSIONS[1].0).await;
    let calls = join_all((0..CALLS).map(|_| pair.channel.clone().oneshot(get("/"))));
    let opened = async {
        while under_way.load(Ordering::SeqCst) < CONNECTIONS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gate.add_permits(CALLS);
    };
    let (answers, ()) = soon(futures_util::future::join(calls, opened)).await;
    for answer in answers {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(pair.callee.handshakes().failed(HandshakeErrorKind::Overloaded), 0);
}

#[tokio::test]
async fn a_hundred_fields_are_the_applications_own_both_ways() {
    async fn mirror(headers: HeaderMap) -> (HeaderMap, Body) {
        let own = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        let own = own.filter(|(name, _)| name.as_str().starts_with("x-own-"));
        (own.collect(), halves(&pattern(10)))
    }
    let own = |n: usize| {
        let mut request = post("/", halves(&pattern(10)));
        for i in 0..n {
            let name = HeaderName::try_from(format!("x-own-{i}")).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("1"));
        }
        request
    };
    let came = |headers: &HeaderMap| {
        headers.keys().filter(|name| name.as_str().starts_with("x-own-")).count()
    };
    for ((alpn, protocol), more) in VERSIONS.into_iter().flat_map(|v| SUITES.map(|s| (v, s))) {
        let pair = Pair::new(route("/", mirror), more, alpn).await;
        let answer = soon(pair.channel.clone().oneshot(own(100))).await.unwrap();
        assert_eq!(came(answer.headers()), 100, "{alpn:?} {}", answer.status());
        // There, 100 are all: `host`, `date` and the framing are among them.
        let addr = stock::serve(route("/", mirror)).await;
        let mut stock = stock::Client::connect(addr, protocol).await;
        assert_eq!(came(soon(stock.send(own(97))).await.unwrap().headers()), 97);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_have_an_age_and_no_call_is_lost_by_it() {
    async fn slow(body: Bytes) -> Body {
        pieces((0..20).map(|_| body.clone()).collect())
    }
    for (alpn, _) in VERSIONS {
        let limits = Limits::default()
            .with_connection_age(Duration::from_millis(100), Duration::from_secs(20));
        let policy = policy("");
        let callee = Mesh::dev(CALLEE).unwrap().policy(policy.parse().unwrap()).limits(limits);
        let callee = callee.build().unwrap();
        let listener = callee.listen("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr());
        let app = route("/", slow);
        tokio::spawn(async { meshguard_axum::serve(listener, app).await.unwrap() });
        let caller = mesh(CALLER, &policy, &Told::default());
        let channel = caller.channel(&uri, CALLEE).unwrap().protocols(alpn);
        let calling = async {
            while callee.handshakes().completed() < 8 {
                let calls = join_all((0..4).map(|_| async {
                    let answer = channel.clone().oneshot(post("/", pattern(100))).await.unwrap();
                    answer.into_body().collect().await.unwrap().to_bytes().len()
                }));
                assert_eq!(calls.await, [2000; 4], "{alpn:?}");
            }
        };
        soon(calling).await;
    }
}

/// What was under way has the grace to end by itself.
#[tokio::test]
async fn what_goes_on_beyond_the_grace_is_cut_with_its_connection() {
    async fn endless() -> Body {
        let ticks = tokio::time::interval(Duration::from_millis(10));
        let ticks = futures_util::stream::unfold(ticks, |mut ticks| async move {
            ticks.tick().await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"tick")), ticks))
        });
        Body::from_stream(Box::pin(ticks))
    }
    const GRACE: Duration = Duration::from_millis(300);
    for (alpn, _) in VERSIONS {
        let limits = Limits::default().with_connection_age(Duration::from_millis(50), GRACE);
        let policy = policy("");
        let callee = Mesh::dev(CALLEE).unwrap().policy(policy.parse().unwrap()).limits(limits);
        let listener = callee.build().unwrap().listen("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr());
        tokio::spawn(async { meshguard_axum::serve(listener, route("/", endless)).await.unwrap() });
        let caller = mesh(CALLER, &policy, &Told::default());
        let channel = caller.channel(&uri, CALLEE).unwrap().protocols(alpn);
        let since = std::time::Instant::now();
        let answer = soon(channel.oneshot(get("/"))).await.unwrap();
        let error = soon(answer.into_body().collect()).await.unwrap_err();
        assert!(since.elapsed() >= GRACE, "{alpn:?}: {error} after {:?}", since.elapsed());
    }
}
