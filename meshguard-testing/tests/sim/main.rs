//! The loop on simulated time.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod attacks;
mod calm;
mod dice;
#[path = "../rig/documented.rs"]
mod documented;
mod effects;
mod example;
mod governor;
mod hops;
mod lasting;
mod ordinary;
mod outbound;
mod strangers;
mod switches;
mod town;
mod weeks;
