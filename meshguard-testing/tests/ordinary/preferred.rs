//! Where delivery is preferred, what does not speak the protocol is called without, however it
//! answers what it does not know.

use axum::Router;
use axum::http::StatusCode;
use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::tls::Alpn;
use meshguard_axum::{CallErrorKind, Channel, SessionError};

use crate::rig::app::App;
use crate::rig::tell::Told;
use crate::rig::{self, CALLEE, CALLER, grpc, http, stock};

const PREFER: &str = "[[delivery]]\nmode = \"prefer\"\n";

fn channel(to: std::net::SocketAddr, more: &str, alpn: Alpn) -> Channel {
    let caller = rig::mesh(CALLER, &rig::policy(more), &Told::default());
    caller.channel(&format!("https://{to}"), CALLEE).unwrap().protocols(alpn)
}

/// As tonic's router answers whatever it has no service for: 200 and UNIMPLEMENTED.
fn as_tonic() -> Router {
    let routes = tonic::service::Routes::default().into_axum_router();
    App::default().router().fallback_service(routes)
}

/// As an application that shows its page whatever it is asked.
fn one_page() -> Router {
    App::default().router().fallback(|| async { "hello" })
}

#[tokio::test]
async fn a_stock_callee_that_answers_the_handshake_with_200_is_called_without() {
    for alpn in [Alpn::H2, Alpn::Http11] {
        for app in [as_tonic(), one_page()] {
            let channel = channel(stock::serve(app).await, PREFER, alpn);
            let got = http::call(&channel, http::get("/known/10")).await.answer();
            assert_eq!(got, (StatusCode::OK, http::pattern(10)), "{alpn:?}");
        }
    }
    let channel = channel(stock::serve(as_tonic()).await, PREFER, Alpn::H2);
    assert_eq!(grpc::client(channel, grpc::paced(5)).await.unwrap(), 5);
}

#[tokio::test]
async fn where_delivery_is_required_it_is_not_called_and_the_error_says_why() {
    for app in [as_tonic(), one_page()] {
        let channel = channel(stock::serve(app).await, "", Alpn::H2);
        let error = http::call(&channel, http::get("/known/10")).await.failed();
        let not_spoken = SessionError::NotSpoken(StatusCode::OK);
        assert_eq!(*error.kind(), CallErrorKind::Session(not_spoken));
        assert_eq!(error.outcome(), Outcome::NotDelivered);
    }
}
