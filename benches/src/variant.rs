//! What a server may have between its connections and its routes.

use std::fmt;

use meshguard_tower::ledger::Ledger;
use meshguard_tower::{Mesh, Policy};

use crate::Error;

/// The caller's name.
pub(crate) const CALLER: &str = "spiffe://bench.example/caller";
/// The callee's name.
pub(crate) const CALLEE: &str = "spiffe://bench.example/callee";

/// One way to serve the same router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// hyper over tokio-rustls with client certificates: what meshguard is compared with.
    Plain,
    /// The mesh's own loop and listener, without its layer.
    Loop,
    /// The layer with delivery off: identity and policy.
    Policy,
    /// Delivery proved; bodies are hashed with SHA-256.
    Mac,
    /// The same, with a ledger; what its writer's own thread does is not counted.
    MacLedger,
    /// Delivery proved; bodies are hashed with BLAKE3.
    MacBlake3,
    /// Delivery proved; bodies are encrypted too, and hashed with SHA-256.
    Seal,
    /// Delivery proved; bodies are encrypted too, and hashed with BLAKE3.
    SealBlake3,
}

impl Variant {
    /// All of them, the one that the others are compared with first.
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::Loop,
        Self::Policy,
        Self::Mac,
        Self::MacLedger,
        Self::MacBlake3,
        Self::Seal,
        Self::SealBlake3,
    ];

    /// Whether callers speak the delivery protocol.
    #[must_use]
    pub const fn is_proven(self) -> bool {
        !matches!(self, Self::Plain | Self::Loop | Self::Policy)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain mTLS",
            Self::Loop => "loop",
            Self::Policy => "policy",
            Self::Mac => "mac",
            Self::MacLedger => "mac+ledger",
            Self::MacBlake3 => "mac-b3",
            Self::Seal => "seal",
            Self::SealBlake3 => "seal-b3",
        }
    }

    const fn delivery(self) -> &'static str {
        match self {
            Self::Plain | Self::Loop | Self::Policy => "mode = \"off\"",
            Self::Mac | Self::MacLedger => "",
            Self::MacBlake3 => "transcript = \"blake3\"",
            Self::Seal => "seal = true",
            Self::SealBlake3 => "seal = true\ntranscript = \"blake3\"",
        }
    }

    /// A mesh handle with this variant's policy.
    pub(crate) fn mesh(self, id: &str) -> Result<Mesh, Error> {
        let builder = Mesh::dev(id)?.policy(self.policy()?);
        let builder = match self {
            Self::MacLedger => builder.ledger(Ledger::memory()?),
            _ => builder,
        };
        Ok(builder.build()?)
    }

    fn policy(self) -> Result<Policy, Error> {
        let delivery = self.delivery();
        let text = format!(
            r#"
            mesh = "bench.example"
            version = 1
            [peers]
            caller = "{CALLER}"
            callee = "{CALLEE}"
            [[allow]]
            name = "caller-calls"
            from = ["caller"]
            to = ["callee"]
            http = ["GET /hello", "POST /echo", "POST /stream"]
            grpc = ["bench.Echo/Unary", "bench.Echo/Up", "bench.Echo/Down"]
            [[delivery]]
            {delivery}
            "#
        );
        Ok(text.parse()?)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
