use bytes::Bytes;
use http::HeaderName;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

use super::*;
use crate::rig::ORDERS;
use crate::tls::Alpn;

fn target() -> Target {
    let (host, expect) = ("orders.shop.example".to_owned(), ORDERS.clone());
    Target { host, port: 8443, connect_to: None, expect, alpn: Alpn::Both }
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri)
}

fn empty(builder: http::request::Builder) -> Request<Empty<Bytes>> {
    builder.body(Empty::new()).unwrap()
}

fn h1<B: Body>(mut request: Request<B>) -> Request<B> {
    for_h1(&mut request, &target());
    request
}

fn h2<B>(mut request: Request<B>) -> Request<B> {
    for_h2(&mut request, &target());
    request
}

fn names<B>(request: &Request<B>) -> Vec<&str> {
    let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn http1_has_a_path_and_a_host() {
    for (uri, path, host) in [
        ("https://a.example:1/b?c", "/b?c", "a.example:1"),
        ("https://a.example", "/", "a.example"),
        ("https://user:pass@a.example/", "/", "a.example"),
        ("/b", "/b", "orders.shop.example:8443"),
    ] {
        let request = h1(empty(get(uri)));
        assert_eq!(request.uri().to_string(), path, "{uri}");
        assert_eq!(request.headers()[HOST], host, "{uri}");
        assert_eq!(request.version(), Version::HTTP_11);
    }
    let request = h1(empty(get("https://a.example/").header(HOST, "b.example")));
    assert_eq!(request.headers()[HOST], "b.example");
}

#[test]
fn http2_has_the_absolute_uri_and_no_host() {
    for (uri, whole) in [
        ("https://a.example:1/b?c", "https://a.example:1/b?c"),
        ("https://user:pass@a.example/b", "https://a.example/b"),
        ("/b", "https://orders.shop.example:8443/b"),
    ] {
        let request = h2(empty(get(uri).header(HOST, "x")));
        assert_eq!(request.uri().to_string(), whole);
        assert_eq!(names(&request), Vec::<&str>::new(), "{uri}");
        assert_eq!(request.version(), Version::HTTP_2);
    }
}

#[test]
fn what_speaks_of_a_connection_is_removed_and_the_rest_stays() {
    let request = || {
        empty(
            get("https://a.example/")
                .header("connection", "close, x-hop")
                .header("connection", "host, upgrade")
                .header("keep-alive", "5")
                .header("proxy-connection", "close")
                .header("upgrade", "websocket")
                .header("te", "gzip")
                .header("x-hop", "1")
                .header("x-end", "1"),
        )
    };
    assert_eq!(names(&h1(request())), ["host", "x-end"]);
    assert_eq!(names(&h2(request())), ["x-end"]);
}

#[test]
fn a_proven_http1_request_asks_for_trailers_and_names_its_own() {
    let body = || {
        http_body_util::StreamBody::new(futures_util::stream::empty::<
            Result<http_body::Frame<Bytes>, std::io::Error>,
        >())
    };
    let request = h1(get("https://a.example/").header("meshguard", "x").body(body()).unwrap());
    assert_eq!(request.headers()[TE], "trailers");
    assert_eq!(request.headers()[TRAILER], "meshguard-trailers");
    let request = h1(empty(get("https://a.example/").header("meshguard", "x")));
    assert!(!request.headers().contains_key(TRAILER));
}

#[test]
fn the_wish_for_trailers_stays() {
    let request = || empty(get("https://a.example/").header("te", "trailers"));
    assert_eq!(h2(request()).headers()[TE], "trailers");
    let request = h1(request());
    assert_eq!(request.headers()[TE], "trailers");
    assert_eq!(request.headers()[CONNECTION], "te");
}

#[test]
fn http1_sends_every_body_whatever_the_method() {
    let unknown = || -> UnsyncBoxBody<Bytes, std::io::Error> {
        let frames = futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from("x")))]);
        http_body_util::StreamBody::new(frames).boxed_unsync()
    };
    let request = h1(get("https://a.example/").body(unknown()).unwrap());
    assert_eq!(request.headers()[TRANSFER_ENCODING], "chunked");
    let request =
        h1(get("https://a.example/").header("content-length", "1").body(unknown()).unwrap());
    assert!(!request.headers().contains_key(TRANSFER_ENCODING));
    let request = h1(get("https://a.example/").body(Full::new(Bytes::from("x"))).unwrap());
    assert!(!request.headers().contains_key(TRANSFER_ENCODING));
    let request = h1(get("https://a.example/")
        .header("trailer", "x-sum")
        .header("content-length", "1")
        .body(Full::new(Bytes::from("x")))
        .unwrap());
    assert_eq!(request.headers()[TRANSFER_ENCODING], "chunked");
    assert!(!request.headers().contains_key(CONTENT_LENGTH));
}

#[test]
fn a_request_is_restored_from_either_version() {
    for send in [h1::<Empty<Bytes>>, h2::<Empty<Bytes>>] {
        for host in [None, Some("b.example")] {
            let mut builder = get("https://a.example/b?c").header("meshguard", "x");
            if let Some(host) = host {
                builder = builder.header(HOST, host);
            }
            let request = empty(builder);
            let (uri, headers) = (request.uri().clone(), request.headers().clone());
            let original = Original::of(&request);
            let restored = original.restore(send(request));
            assert_eq!(restored.uri(), &uri);
            assert_eq!(restored.headers(), &headers);
            assert_eq!(restored.version(), Version::HTTP_11);
        }
    }
}
