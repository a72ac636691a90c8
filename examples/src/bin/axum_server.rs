//! An axum router inside the mesh, called once by a peer that its policy lets in.
#![allow(clippy::print_stdout)]
use axum::{Router, body::Body, extract::Request, routing::get};
use http_body_util::BodyExt as _;
use meshguard_axum::{Mesh, Peer, Policy};
use tower::ServiceExt as _;

const ORDERS: &str = "spiffe://shop.example/orders";
const CHECKOUT: &str = "spiffe://shop.example/checkout";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = || include_str!("../../policy.toml").parse::<Policy>();
    // `Mesh::dev` has a certificate authority in memory. In production: `Mesh::builder()` with
    // `.svid_files("svid.pem", "svid.key", "bundle.pem")?.policy_file("policy.toml")?`.
    let mesh = Mesh::dev(ORDERS)?.policy(policy()?).build()?;
    let show = |Peer(caller): Peer| async move { format!("order 7, for {}", caller.id()) };
    let app = Router::new().route("/orders/{id}", get(show));
    let listener = mesh.listen("127.0.0.1:0").await?;
    let uri = format!("https://{}", listener.local_addr());
    tokio::spawn(meshguard_axum::serve(listener, app).into_future());

    let orders = Mesh::dev(CHECKOUT)?.policy(policy()?).build()?.channel(&uri, ORDERS)?;
    let answer = orders.oneshot(Request::get("/orders/7").body(Body::empty())?).await?;
    println!("{:?}", answer.into_body().collect().await?.to_bytes());
    Ok(())
}
