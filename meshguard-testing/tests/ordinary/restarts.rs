//! A callee that went and came back: calls renew their session, whatever their kind.

mod drain;
mod ends;
mod hinted;
mod moved;
mod probes;
mod refused;
mod restart;
pub(crate) mod shapes;
