//! meshguard for axum: a router that takes part in the mesh.
//!
//! ```
//! use axum::{Router, routing::get};
//! use meshguard_axum::{Mesh, Peer};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let mesh = Mesh::builder()
//!     .svid_files("svid.pem", "svid.key", "bundle.pem")?
//!     .policy_file("policy.toml")?
//!     .build()?;
//! let app = Router::new().route("/hello", get(|Peer(peer): Peer| async move { peer.id().to_string() }));
//! meshguard_axum::serve(mesh.listen("0.0.0.0:8443").await?, app).await?;
//! # Ok(()) }
//! ```
//!
//! Every request reaches the router with its [`Peer`], the [`Decision`] that let it in, and its
//! [`Delivery`]. What policy denies, what was tampered with and what came twice does not reach
//! it at all; a body that breaks off ends with an error, never as if it were whole.
//!
//! This crate is no router and no framework of its own: [`serve()`] replaces `axum::serve`, and
//! all else is axum's.

mod extract;
mod verified;

use axum::Router;
use axum::extract::ConnectInfo;
use meshguard_tower::serve::Serve;

pub use extract::{Decision, NotMeshed, Peer};
pub use meshguard_tower::*;
pub use verified::{NotVerified, Verified, VerifiedRejection};

/// Serves a router inside the mesh: instead of `axum::serve`.
///
/// The inbound layer goes outermost, around all routes and fallbacks, whenever they were added;
/// a `.layer(mesh.inbound())` inside is then idle. HTTP/2 and HTTP/1.1 by ALPN; tonic's services
/// can be merged into the router to share the port. `ConnectInfo<SocketAddr>` is the other end of
/// the connection: the caller's own address, or its last hop's.
///
/// ```
/// # async fn f(mesh: meshguard_axum::Mesh, app: axum::Router) -> std::io::Result<()> {
/// use std::time::Duration;
/// let stop = async { /* wait for SIGTERM */ };
/// let drained = meshguard_axum::serve(mesh.listen("0.0.0.0:8443").await?, app)
///     .with_graceful_shutdown(stop, Duration::from_secs(20))
///     .await?;
/// # Ok(()) }
/// ```
pub fn serve(listener: Listener, router: Router) -> Serve<Inbound<Router>> {
    let described = listener.welcoming(|_, connection| {
        let info = ConnectInfo(connection.remote_addr());
        connection.describe(move |extensions| {
            extensions.insert(info);
        });
    });
    described.serve(router)
}
