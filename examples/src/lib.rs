//! Runnable examples of meshguard. The main one is the [`shop`]: three services, a bad hop
//! between them, and a report of what the hop did and who noticed.

#[cfg(doctest)]
mod documents;
pub mod shop;

/// The small examples' gRPC service, made from `proto/hello.proto`; a test keeps it current.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::too_many_lines)]
pub mod hello {
    include!("gen/hello.v1.rs");
}

/// The shop's gRPC service, made from `proto/shop.proto`; a test keeps it current.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::too_many_lines)]
pub mod proto {
    include!("gen/shop.v1.rs");
}
