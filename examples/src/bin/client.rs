//! One channel, for a request made by hand and for a client that tonic generated.
#![allow(clippy::print_stdout)]
use axum::{Router, body::Body, extract::Request, routing::get};
use http_body_util::BodyExt as _;
use meshguard_axum::{Mesh, Policy};
use meshguard_examples::hello::{GreetRequest, greeter_client::GreeterClient};
use tower::ServiceExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (orders, checkout) = ("spiffe://shop.example/orders", "spiffe://shop.example/checkout");
    let policy = || include_str!("../../policy.toml").parse::<Policy>();
    let callee = Mesh::dev(orders)?.policy(policy()?).build()?.listen("127.0.0.1:0").await?;
    let uri = format!("https://{}", callee.local_addr());
    let app = Router::new().route("/orders/{id}", get(|| async { "order 7" }));
    tokio::spawn(meshguard_axum::serve(callee, app).into_future());

    let mesh = Mesh::dev(checkout)?.policy(policy()?).build()?;
    let channel = mesh.channel(&uri, orders)?; // clones share its session and connections
    let answer = channel.clone().oneshot(Request::get("/orders/7").body(Body::empty())?).await?;
    println!("{:?}", answer.into_body().collect().await?.to_bytes()); // verified to its end

    // Nobody serves gRPC here, and the callee says so, with proof: no answer can be made up.
    let status = GreeterClient::new(channel).greet(GreetRequest::default()).await.err();
    println!("{:?}", status.map(|status| status.code()));
    println!("{:?}: {:?}", mesh.shutdown().await, mesh.counts()); // how every exchange ended
    Ok(())
}
