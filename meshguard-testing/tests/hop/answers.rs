//! Answers forged, exchanged and changed: a stock caller believes them.

use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};
use meshguard_testing::{Fault, Forged};

use crate::stock::*;

fn forged(status: StatusCode) -> Forged {
    Forged::status(status)
        .header(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
        .body("made up")
}

#[tokio::test]
async fn a_forged_answer_is_believed_and_nothing_is_forwarded() {
    for protocol in BOTH {
        for status in [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
            let (mut callee, hop) = faulty(protocol, Fault::AnswerItself(forged(status))).await;
            let asked = post(protocol, "/echo", pattern(3 << 20));
            let got = call(&hop, protocol, asked).await.unwrap();
            assert_eq!((got.status, &got.body.unwrap()[..]), (status, &b"made up"[..]));
            assert_eq!(got.headers[CONTENT_TYPE], "text/plain");
            assert!(!callee.saw_more());
            assert_eq!(soon(hop.injected(1)).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn an_answer_forged_after_the_fact_hides_that_the_callee_served() {
    for protocol in BOTH {
        let lie = Fault::ForwardThenAnswer(forged(StatusCode::SERVICE_UNAVAILABLE));
        let (mut callee, hop) = faulty(protocol, lie).await;
        let got = call(&hop, protocol, post(protocol, "/echo", pattern(100))).await.unwrap();
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(&got.body.unwrap()[..], b"made up");
        assert!(!got.headers.contains_key("x-callee"));
        assert_eq!(callee.seen().await.body.unwrap(), pattern(100));
    }
}

#[tokio::test]
async fn fields_are_added_to_and_stripped_from_an_answer() {
    let callee_name = HeaderName::from_static("x-callee");
    for protocol in BOTH {
        let value = HeaderValue::from_static("\"v2\"");
        let add = Fault::AddResponseHeader { name: ETAG, value: value.clone() };
        let (_callee, hop) = faulty(protocol, add).await;
        let got = call(&hop, protocol, get(protocol, "/sized/3")).await.unwrap();
        assert_eq!(got.headers[ETAG], value);
        hop.inject_next(Fault::StripResponseHeader { name: callee_name.clone() });
        let got = call(&hop, protocol, get(protocol, "/sized/3")).await.unwrap();
        assert!(!got.headers.contains_key(&callee_name));
        hop.inject_next(Fault::StripResponseHeader { name: ETAG });
        let got = call(&hop, protocol, get(protocol, "/sized/3")).await.unwrap();
        assert!(got.headers.contains_key(&callee_name));
        assert_eq!((hop.log().len(), hop.misses().len()), (2, 1));
    }
}

#[tokio::test]
async fn swapped_answers_are_believed() {
    for protocol in BOTH {
        let (_callee, hop) = faulty(protocol, Fault::SwapAnswers).await;
        let (a, b) = tokio::join!(
            call(&hop, protocol, get(protocol, "/sized/10")),
            call(&hop, protocol, get(protocol, "/stream/200")),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(
            (&a.headers["x-path"], a.body.unwrap()),
            (&"/stream/200".parse().unwrap(), pattern(200))
        );
        assert_eq!(
            (&b.headers["x-path"], b.body.unwrap()),
            (&"/sized/10".parse().unwrap(), pattern(10))
        );
        assert_eq!(soon(hop.injected(2)).await.len(), 2);
    }
}
