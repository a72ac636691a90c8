//! The same over HTTP/2.

use http::{HeaderMap, Request, StatusCode};

use crate::paths::{AMBIGUOUS, PLAIN};
use crate::rig::soon;
use crate::wire::Guarded;

struct H2(h2::client::SendRequest<bytes::Bytes>);

impl H2 {
    async fn new(guarded: &Guarded) -> Self {
        let tls = guarded.connect("h2").await;
        let (sender, connection) = soon(h2::client::handshake(tls)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn send(&mut self, request: Request<()>) -> (StatusCode, HeaderMap) {
        let mut sender = soon(self.0.clone().ready()).await.unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let (head, _) = soon(answer).await.unwrap().into_parts();
        (head.status, head.headers)
    }
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(method).uri(uri);
    headers.iter().fold(request, |r, (name, value)| r.header(*name, *value)).body(()).unwrap()
}

fn refused(guarded: &Guarded, answer: (StatusCode, HeaderMap), reason: &str, what: &str) {
    let (status, headers) = answer;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{what}");
    let number = headers["meshguard-decision"].to_str().unwrap();
    assert_eq!(guarded.reason(number), reason, "{what}");
    assert!(guarded.app.ran().is_empty(), "{what}");
}

#[tokio::test]
async fn a_path_of_two_readings_is_refused_and_of_one_is_not() {
    let guarded = Guarded::new().await;
    let mut h2 = H2::new(&guarded).await;
    for (path, why) in AMBIGUOUS {
        let answer = h2.send(request("GET", &format!("https://localhost{path}"), &[])).await;
        refused(&guarded, answer, &format!("its path {why}"), path);
    }
    for path in PLAIN {
        let (status, _) = h2.send(request("GET", &format!("https://localhost{path}"), &[])).await;
        assert_eq!((status, guarded.app.ran().len()), (StatusCode::OK, 1), "{path}");
    }
}

#[tokio::test]
async fn a_head_of_two_readings_is_refused_and_of_one_is_not() {
    let guarded = Guarded::new().await;
    let mut h2 = H2::new(&guarded).await;
    let uri = "https://localhost/public/x";
    let user = "https://admin@localhost/public/x";
    for (method, uri, headers, why) in [
        ("GET", uri, &[("host", "admin")][..], "host and authority differ"),
        ("GET", uri, &[("host", "localhost:443")], "host and authority differ"),
        ("GET", uri, &[("host", "localhost"), ("host", "localhost")], "more than one host"),
        ("GET", user, &[], "malformed host"),
        ("delete", uri, &[], "a method in another case"),
        (
            "POST",
            uri,
            &[("x-http-method-override", "DELETE")],
            "a header that overrides the method",
        ),
    ] {
        let answer = h2.send(request(method, uri, headers)).await;
        refused(&guarded, answer, why, &format!("{method} {uri} {headers:?}"));
    }
    for (method, headers) in [("GET", &[][..]), ("DELETE", &[("host", "LOCALHOST")])] {
        let (status, _) = h2.send(request(method, uri, headers)).await;
        assert_eq!((status, guarded.app.ran().len()), (StatusCode::OK, 1), "{headers:?}");
    }
}

/// gRPC's caller is told the number as metadata, and nothing but a status.
#[tokio::test]
async fn a_grpc_call_is_refused_in_its_own_way() {
    let guarded = Guarded::new().await;
    let mut h2 = H2::new(&guarded).await;
    let grpc = &[("content-type", "application/grpc")];
    let (status, headers) =
        h2.send(request("POST", "https://localhost/admin.Service/../Get", grpc)).await;
    assert_eq!((status, &headers["grpc-status"]), (StatusCode::OK, &"3".parse().unwrap()));
    let number = headers["meshguard-decision"].to_str().unwrap();
    assert_eq!(guarded.reason(number), "its path has a dot segment");
    assert!(guarded.app.ran().is_empty());
}
