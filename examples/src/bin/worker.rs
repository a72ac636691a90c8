//! A job: ten calls, and then it is over. `shutdown` confirms the answers before the process ends.
#![allow(clippy::print_stdout)]
use axum::{Router, body::Body, extract::Request, routing::get};
use http_body_util::BodyExt as _;
use meshguard_axum::{Mesh, Policy};
use tower::ServiceExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (orders, checkout) = ("spiffe://shop.example/orders", "spiffe://shop.example/checkout");
    let policy = || include_str!("../../policy.toml").parse::<Policy>();
    let callee = Mesh::dev(orders)?.policy(policy()?).build()?;
    let listener = callee.listen("127.0.0.1:0").await?;
    let uri = format!("https://{}", listener.local_addr());
    let app = Router::new().route("/orders/{id}", get(|| async { "an order" }));
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());

    let mesh = Mesh::dev(checkout)?.policy(policy()?).build()?;
    let channel = mesh.channel(&uri, orders)?;
    for n in 0..10 {
        let request = Request::get(format!("/orders/{n}")).body(Body::empty())?;
        channel.clone().oneshot(request).await?.into_body().collect().await?;
    }
    println!("{:?}", mesh.shutdown().await); // what is left undone, if anything is
    println!("{:?}", callee.answers()); // all ten are confirmed
    Ok(())
}
