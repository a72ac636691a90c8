//! A policy's unit test: no runtime, no mocks, no clock.
#![allow(clippy::print_stdout)]
use meshguard_core::{Access, Evidence, Policy, PolicyError, Reason, SpiffeId};

const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
const ORDERS: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/orders");

fn main() -> Result<(), PolicyError> {
    let policy: Policy = include_str!("../../policy.toml").parse()?;
    let asks = |method| Access::http(method, "/orders/7").by(CHECKOUT).to(ORDERS);
    assert_eq!(policy.decide(&asks("GET")).reason(), Reason::Rule("checkout-reads-orders"));
    assert_eq!(policy.decide(&asks("DELETE")).reason(), Reason::NoRule);

    let greet = Access::grpc("/hello.v1.Greeter/Greet").by(CHECKOUT).to(ORDERS);
    println!("denied: {}", policy.decide(&greet).reason()); // what it lacks, in words
    assert!(policy.decide(&greet.evidence(Evidence::Verified)).is_allowed());

    // A document with anything in it that is not understood is refused whole.
    let typo = include_str!("../../policy.toml").replace("[[allow]]", "[[alow]]");
    let refused = typo.parse::<Policy>().err().map(|error| error.to_string());
    println!("refused: {}", refused.unwrap_or_default());
    Ok(())
}
