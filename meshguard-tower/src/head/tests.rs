use super::*;

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_speaks_of_a_connection_is_removed_and_the_rest_stays() {
    let mut all = headers(&[
        ("connection", "close, x-hop"),
        ("connection", "Content-Type,, upgrade"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("x-hop", "1"),
        ("content-type", "application/grpc"),
        ("x-end", "1"),
    ]);
    settle(&mut all);
    assert_eq!(names(&all), ["x-end"]);
}

#[test]
fn the_wish_for_trailers_stays_and_nothing_else_of_te() {
    for te in ["trailers", "gzip;q=0.5, Trailers"] {
        let mut all = headers(&[("te", "deflate"), ("te", te), ("connection", "te")]);
        settle(&mut all);
        assert_eq!((names(&all), &all["te"]), (vec!["te"], &TRAILERS), "{te}");
    }
}

#[test]
fn an_answer_may_close_its_http1_connection_and_switch_protocols() {
    let close = || headers(&[("connection", "x-hop, close"), ("x-hop", "1"), ("te", "trailers")]);
    let (mut one, mut two) = (close(), close());
    settle_answer(&mut one, StatusCode::OK, true);
    assert_eq!((names(&one), &one["connection"]), (vec!["connection"], &"close".parse().unwrap()));
    settle_answer(&mut two, StatusCode::OK, false);
    assert!(two.is_empty());
    let mut switching = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    settle_answer(&mut switching, StatusCode::SWITCHING_PROTOCOLS, true);
    assert_eq!(names(&switching), ["connection", "upgrade"]);
}

#[test]
fn a_host_is_taken_where_there_is_one_and_it_can_be_asked() {
    let take = |values: &[&'static str]| {
        let fields: Vec<_> = values.iter().map(|value| ("host", *value)).collect();
        let mut headers = headers(&fields);
        let taken = take_host(&mut headers).map(|host| host.map(|host| host.to_string()));
        assert!(taken.is_err() || headers.is_empty());
        taken
    };
    assert_eq!(take(&[]), Ok(None));
    assert_eq!(take(&["Shop.example:8443"]), Ok(Some("Shop.example:8443".into())));
    assert_eq!(take(&["[::1]:1"]), Ok(Some("[::1]:1".into())));
    assert_eq!(take(&["a", "a"]), Err("it names more than one host"));
    for malformed in ["", "a,b", "u@a", "a b", "a/b", "a:x", "[::1"] {
        assert_eq!(take(&[malformed]), Err("its host is malformed"), "{malformed}");
    }
}

#[test]
fn a_length_is_one_number_however_often_it_is_stated() {
    let take = |values: &[&'static str]| {
        let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
        let mut headers = headers(&fields);
        let taken = take_length(&mut headers);
        assert!(taken.is_err() || headers.get_all(CONTENT_LENGTH).iter().count() < 2);
        taken
    };
    assert_eq!((take(&[]), take(&["5"]), take(&["5", "5"])), (Ok(None), Ok(Some(5)), Ok(Some(5))));
    for wrong in [&[""][..], &["+5"], &["-5"], &["5, 5"], &["5", "6"], &["5", "x"]] {
        assert!(take(wrong).is_err(), "{wrong:?}");
    }
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "an answer changed after its proof")]
fn an_answer_that_is_not_what_was_proved_does_not_leave() {
    use meshguard_core::delivery::Proof;
    use meshguard_core::delivery::base::{Cover, ResponseHead};

    let (cover, proof) = (Cover::default(), Proof([0; 16]));
    let mut answer = http::Response::new(());
    answer.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    let mut base = Vec::new();
    let head = ResponseHead { status: answer.status(), headers: answer.headers(), request: &proof };
    head.write(&cover, b"", &mut base);
    keep_answer(answer.extensions_mut(), &base, &cover, &proof);
    check_answer(&answer);
    answer.headers_mut().insert("content-type", HeaderValue::from_static("text/html"));
    check_answer(&answer);
}
