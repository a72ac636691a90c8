//! gRPC streams of ten messages, changed on their way.

use meshguard_axum::tls::Alpn;
use meshguard_testing::Direction::{self, Request, Response};
use meshguard_testing::Fault;
use meshguard_tonic::cause;

use crate::rig::app::Saw;
use crate::rig::{MAC, Rig, SUITES, grpc};

const MESSAGES: usize = 10;
/// A message of two bytes as a record.
const RECORD: u64 = 2 + 22;

/// What a hop can do to records, and how many messages still pass.
fn mangled(direction: Direction) -> Vec<(Fault, usize)> {
    vec![
        (Fault::FlipByte { direction, offset: 2 * RECORD + 7 }, 2),
        (Fault::DropMessage { direction, index: 2 }, 2),
        (Fault::DropMessage { direction, index: MESSAGES }, MESSAGES),
        (Fault::RepeatMessage { direction, index: 2 }, 3),
        (Fault::SwapMessages { direction, index: 2 }, 2),
    ]
}

fn first(n: usize) -> Vec<u32> {
    (1..=n as u32).collect()
}

/// The handler saw these many messages, in order, and then an error.
async fn handler_saw(rig: &Rig, passed: usize, fault: &Fault) {
    match rig.app.saw().await {
        Saw::Failed { bytes, typed: Some(_), .. } => {
            let numbers: Vec<u32> = bytes.iter().map(|b| u32::from(*b)).collect();
            assert_eq!(numbers, first(passed), "{fault:?}");
        }
        saw => panic!("{fault:?}: {saw:?}"),
    }
}

#[tokio::test]
async fn of_a_changed_client_stream_the_handler_sees_a_verified_beginning_and_an_error() {
    for suite in SUITES {
        for (fault, passed) in mangled(Request) {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(fault.clone());
            let status = grpc::client(rig.channel.clone(), grpc::paced(10)).await.unwrap_err();
            assert!(cause(&status).is_some(), "{fault:?}: {status:?}");
            handler_saw(&rig, passed, &fault).await;
            rig.injected(1).await;
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn a_changed_known_client_stream_never_reaches_the_handler() {
    let direction = Request;
    for fault in [
        Fault::FlipByte { direction, offset: 20 },
        Fault::DropMessage { direction, index: 2 },
        Fault::RepeatMessage { direction, index: 2 },
        Fault::SwapMessages { direction, index: 2 },
    ] {
        let rig = Rig::new(MAC, Alpn::H2).await;
        rig.inject(fault.clone());
        let status = grpc::client(rig.channel.clone(), grpc::ready(10)).await.unwrap_err();
        assert!(cause(&status).is_some(), "{fault:?}: {status:?}");
        rig.at_callee.wait_any(&["digest", "short", "long"]).await;
        assert_eq!(rig.app.calls(), 0, "{fault:?}");
        rig.check_books().await;
    }
}

#[tokio::test]
async fn a_changed_answer_to_a_client_stream_is_an_error() {
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(Fault::FlipByte { direction: Response, offset: 6 });
        let status = grpc::client(rig.channel.clone(), grpc::paced(10)).await.unwrap_err();
        assert!(cause(&status).is_some(), "{status:?}");
        rig.injected(1).await;
        rig.check_books().await;
    }
}

#[tokio::test]
async fn of_a_changed_server_stream_the_caller_sees_a_verified_beginning_and_an_error() {
    for suite in SUITES {
        for (fault, passed) in mangled(Response) {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(fault.clone());
            let (numbers, end) = grpc::server(rig.channel.clone(), 10).await;
            assert_eq!(numbers, first(passed), "{fault:?}");
            let status = end.unwrap_err();
            assert!(cause(&status).is_some(), "{fault:?}: {status:?}");
            rig.injected(1).await;
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn a_changed_request_for_a_server_stream_gets_no_item() {
    for suite in SUITES {
        let rig = Rig::new(suite, Alpn::H2).await;
        rig.inject(Fault::FlipByte { direction: Request, offset: 6 });
        let (numbers, end) = grpc::server(rig.channel.clone(), 10).await;
        assert!(numbers.is_empty(), "{numbers:?}");
        assert!(cause(&end.unwrap_err()).is_some());
        rig.check_books().await;
    }
}

#[tokio::test]
async fn of_a_bidi_stream_changed_on_its_way_there_both_see_a_beginning_and_an_error() {
    for suite in SUITES {
        for (fault, passed) in mangled(Request) {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(fault.clone());
            let (numbers, end) = grpc::bidi(rig.channel.clone(), grpc::paced(10)).await;
            handler_saw(&rig, passed, &fault).await;
            assert_eq!(numbers, first(numbers.len()), "{fault:?}");
            assert!(numbers.len() <= passed && end.is_err(), "{fault:?}: {numbers:?} {end:?}");
            rig.check_books().await;
        }
    }
}

#[tokio::test]
async fn of_a_bidi_stream_changed_on_its_way_back_the_caller_sees_a_beginning_and_an_error() {
    for suite in SUITES {
        for (fault, passed) in mangled(Response) {
            let rig = Rig::new(suite, Alpn::H2).await;
            rig.inject(fault.clone());
            let (numbers, end) = grpc::bidi(rig.channel.clone(), grpc::paced(10)).await;
            assert_eq!(numbers, first(passed), "{fault:?}");
            let status = end.unwrap_err();
            assert!(cause(&status).is_some(), "{fault:?}: {status:?}");
            rig.check_books().await;
        }
    }
}
