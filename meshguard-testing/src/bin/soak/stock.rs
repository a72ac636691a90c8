//! The stock stack: hyper's servers and pooled clients, axum and tonic, over mutual TLS.

mod client;
mod server;
mod tls;

pub(crate) use client::wire;
pub(crate) use server::Server;
pub(crate) use tls::Identity;
