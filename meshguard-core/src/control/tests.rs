//! Claims about control.

mod audit;
mod collusion;
mod governor;
mod hard;
mod incidents;
mod machine;
mod operators;
mod planned;
mod siblings;
mod steps;
mod trust;
mod world;
