//! meshguard's tower layers: a security loop for service-to-service traffic that lives inside
//! the service.
//!
//! A [`Mesh`] is a service's identity, policy and sessions. [`Mesh::inbound`] is a layer for
//! what calls the service, [`Mesh::channel`] a client for what it calls, [`Mesh::listen`] the
//! socket between. The crates `meshguard-axum` and `meshguard-tonic` put them into those
//! frameworks.
//!
//! Every call is measured against what is normal on its edge, and what the policy's reflexes say
//! is done where it is not: [`Mesh::edges`] and [`Mesh::incidents`] show it. With a [`ledger`],
//! every outcome and every step is written down so that it cannot be changed unnoticed.

mod aead;
mod auth;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod body;
mod channel;
mod clock;
pub mod connection;
mod control;
mod decision;
#[cfg(feature = "dev")]
pub mod dev;
mod error;
mod expect;
mod files;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod head;
mod inbound;
mod io;
pub mod ledger;
pub mod limits;
pub mod listener;
mod mesh;
mod observe;
mod pool;
pub mod probe;
mod quota;
pub mod rejudge;
pub mod serve;
mod session;
mod shadow;
mod sink;
pub mod source;
mod timeout;
pub mod tls;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod rig;

pub use auth::{Tokens, TokensError};
pub use channel::{AnswerBody, CallError, CallErrorKind, Channel, ChannelBody, ChannelError};
pub use connection::Connection;
pub use decision::{Decision, DecisionId, Explanation};
pub use error::{BoxError, DeliveryError, DeliveryErrorKind};
pub use expect::ExpectationStatus;
pub use inbound::{Delivery, Inbound, InboundFuture, InboundLayer, RequestBody, ResponseBody};
pub use mesh::{
    BuildError, EdgeStatus, Listener, MESSAGE_LIMIT, Mesh, MeshBuilder, PolicyStatus, RELOAD_EVERY,
    ReloadError, SHUTDOWN_TIME, Shutdown,
};
pub use meshguard_core as core;
pub use meshguard_core::baseline::EdgeKey;
pub use meshguard_core::control::{Cadence, Incident, IncidentId};
pub use meshguard_core::delivery::{
    Accepted, Answers, Counts, Exceeded, Failure, Outcome, RecordErrorKind, Unknown,
};
pub use meshguard_core::{Access, Evidence, Peer, Policy, PolicyError, Reason, SpiffeId};
pub use pool::ConnectError;
pub use session::{SessionError, SessionRefusal};
pub use shadow::ShadowStatus;
pub use sink::{Call, Direction, Edge, Finding, Sink};
