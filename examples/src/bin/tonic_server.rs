//! A gRPC service inside the mesh, called once by a peer that its policy lets in.
#![allow(clippy::print_stdout)]
use meshguard_examples::hello::greeter_server::{Greeter, GreeterServer};
use meshguard_examples::hello::{GreetReply, GreetRequest, greeter_client::GreeterClient};
use meshguard_tonic::{Mesh, MeshRequest as _, Policy};
use tonic::{Request, Response, Status, service::Routes};

struct Orders;

#[tonic::async_trait]
impl Greeter for Orders {
    async fn greet(&self, call: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        let caller = call.peer().ok_or(Status::unauthenticated("not in the mesh"))?.id();
        Ok(Response::new(GreetReply { text: format!("hello, {caller}") }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (orders, checkout) = ("spiffe://shop.example/orders", "spiffe://shop.example/checkout");
    let policy = || include_str!("../../policy.toml").parse::<Policy>();
    let listener = Mesh::dev(orders)?.policy(policy()?).build()?.listen("127.0.0.1:0").await?;
    let uri = format!("https://{}", listener.local_addr());
    let routes = Routes::new(GreeterServer::new(Orders));
    tokio::spawn(meshguard_tonic::serve(listener, routes).into_future());

    let orders = Mesh::dev(checkout)?.policy(policy()?).build()?.channel(&uri, orders)?;
    println!("{}", GreeterClient::new(orders).greet(GreetRequest::default()).await?.get_ref().text);
    Ok(())
}
