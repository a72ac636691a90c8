//! A service and two callers that write a real ledger: what the guide to policies replays.
//!
//! `cargo run -p meshguard-cli --example record -- POLICY LEDGER` prints the ledger's public key.
#![allow(clippy::print_stdout)]
use axum::routing::{get, post};
use axum::{Router, body::Body, extract::Request};
use meshguard_axum::ledger::Ledger;
use meshguard_axum::{Channel, Mesh};
use tower::ServiceExt as _;

const ORDERS: &str = "spiffe://shop.example/orders";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(policy), Some(dir)) = (args.next(), args.next()) else {
        return Err("usage: record POLICY LEDGER".into());
    };
    let policy = std::fs::read_to_string(policy)?;
    let ledger = Ledger::open(dir)?;
    let mesh = Mesh::dev(ORDERS)?.policy(policy.parse()?).ledger(ledger.clone()).build()?;
    let app = Router::new()
        .route("/orders/{id}", get(|| async { "order 7" }).delete(|| async { "gone" }))
        .route("/orders", post(|| async { "order 8" }));
    let listener = mesh.listen("127.0.0.1:0").await?;
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());

    let checkout = caller("spiffe://shop.example/checkout", &policy, &uri)?;
    call(&checkout, "GET", "/orders/7", 40).await?;
    call(&checkout, "POST", "/orders", 10).await?;
    let nightly = caller("spiffe://shop.example/batch/nightly", &policy, &uri)?;
    call(&nightly, "GET", "/orders/7", 1).await?;
    call(&nightly, "DELETE", "/orders/7", 2).await?;

    ledger.flush().await?;
    let key = ledger.public_key().iter().map(|byte| format!("{byte:02x}"));
    println!("{}", key.collect::<String>());
    Ok(())
}

/// A caller with an identity of its own.
fn caller(id: &str, policy: &str, uri: &str) -> Result<Channel, Box<dyn std::error::Error>> {
    let mesh = Mesh::dev(id)?.policy(policy.parse()?).build()?;
    Ok(mesh.channel(uri, ORDERS)?)
}

/// As many calls, one after the other. Each is read to its end, whatever the answer is.
async fn call(
    orders: &Channel,
    method: &str,
    path: &str,
    times: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    for _ in 0..times {
        let request = Request::builder().method(method).uri(path).body(Body::empty())?;
        let answer = orders.clone().oneshot(request).await?;
        axum::body::to_bytes(Body::new(answer.into_body()), 1 << 16).await?;
    }
    Ok(())
}
