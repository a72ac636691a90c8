//! meshguard for tonic: services and clients that take part in the mesh.
//!
//! ```no_run
//! use meshguard_tonic::Mesh;
//! use tonic::service::Routes;
//!
//! # async fn f(routes: Routes) -> Result<(), Box<dyn std::error::Error>> {
//! let mesh = Mesh::builder()
//!     .svid_files("svid.pem", "svid.key", "bundle.pem")?
//!     .policy_file("policy.toml")?
//!     .build()?;
//! meshguard_tonic::serve(mesh.listen("0.0.0.0:50051").await?, routes).await?;
//! # Ok(()) }
//! ```
//!
//! [`serve()`] uses the mesh's own loop, with its limits and its drain. Who keeps tonic's
//! `Server` gives it [`incoming`] connections and `.layer(mesh.inbound())`.
//!
//! For clients, [`Mesh::channel`] is what a generated client is made with. A stream that was
//! cut ends with an error, and [`cause`] says which.

mod cause;
mod incoming;
mod request;

use meshguard_tower::serve::Serve;
use tonic::service::Routes;

pub use cause::{Cause, cause};
pub use incoming::{Incoming, MeshIo, incoming};
pub use meshguard_tower::*;
pub use request::MeshRequest;

/// Serves gRPC inside the mesh, over the mesh's own loop.
///
/// `Routes::new(OrdersServer::new(..))` makes routes of a generated service; more are added with
/// `add_service`.
pub fn serve(listener: Listener, routes: Routes) -> Serve<Inbound<Routes>> {
    incoming::described(listener).serve(routes.prepare())
}
