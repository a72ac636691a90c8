//! Policy: intent, decided.
//!
//! A policy is a document, in TOML or YAML, that says who may talk to whom, for what, and under
//! which conditions. It is read once, refused whole if anything in it is not understood, and then
//! answers [`Access`]es: [`Policy::decide`] is a pure function that never fails. All that no
//! rule allows is denied, with its reason. [`Policy::decide_served`] says what a service does, which
//! also refuses heads that have no one reading ([`HeadError`]).
//!
//! ```
//! use meshguard_core::policy::{Policy, PolicyError, Reason};
//! use meshguard_core::{Access, SpiffeId};
//! const CHECKOUT: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/ns/prod/sa/checkout");
//!
//! let policy: Policy = r#"
//!     mesh = "shop.example"              # the trust domain; callers of another one are denied
//!     version = 7
//!     hops = ["edge"]                    # who may carry other peers' calls; absent: nobody
//!
//!     [peers]                            # `*` is one path segment, a final `**` one or more
//!     checkout = "spiffe://shop.example/ns/prod/sa/checkout"
//!     orders   = "spiffe://shop.example/ns/prod/sa/orders"
//!     batch    = "spiffe://shop.example/ns/batch/**"
//!     edge     = "spiffe://shop.example/ns/prod/sa/edge"
//!
//!     [[allow]]
//!     name = "checkout-reads-orders"
//!     from = ["checkout"]                # absent: every authenticated peer of the mesh
//!     http = ["GET /orders/{id}"]        # neither `http` nor `grpc`: every operation
//!     grpc = ["shop.v1.Orders/Get", "shop.v1.Reports/*"]
//!
//!     [[allow]]
//!     name = "checkout-orders"
//!     from = ["checkout"]
//!     to   = ["orders"]                  # the callee, which must be known
//!     http = ["POST /orders"]
//!     when = { evidence = "verified", direct = true, trust = 0.6, headers = { x-tenant = "acme-*" } }
//!     limit = { rate = "200/s", burst = 50 } # for each caller
//!
//!     [[allow]]
//!     name = "tokens-cancel-orders"
//!     shadow = true                      # told, and changes nothing
//!     http = ["DELETE /orders/{id}"]
//!     when = { claims = { scope = ["orders:cancel"] }, proof = "dpop", source = ["10.0.0.0/8"] }
//!
//!     [[expect]]                         # what must not stay silent
//!     name = "nightly-settlement"
//!     from = ["batch"]
//!     http = ["POST /settlements"]
//!     at_least = "1 in 24h"
//!
//!     [[deny]]                           # any deny rule that matches beats every allow rule
//!     name = "batch-never-admin"
//!     from = ["batch"]
//!     via  = ["edge"]                    # only calls through one of these hops
//!     http = ["* /admin/{**}"]
//!
//!     [[delivery]]                       # the first that matches an edge counts
//!     to = ["orders"]
//!     mode = "require"                   # the default; or "prefer", "off"
//!     seal = true
//!     transcript = "blake3"              # or "sha256", the default
//!
//!     [[reflex]]                         # what the loop does about what it measures
//!     name = "handshake-storm"
//!     on   = { signal = "handshake_failures", false_alarms = "1 in 30 days", for = "2s" }
//!     do   = ["alert", { tighten = { rate = "10/s" } }]
//!     then = { after = "10s", unless = "falling", do = "quarantine" }
//!     ttl  = "5m"
//!
//!     [governor]                         # what it may do at most, all in all
//!     max_share = 0.1
//!
//!     [trust]
//!     start = 0.5
//! "#.parse()?;
//!
//! let read = policy.decide(&Access::http("GET", "/orders/7").by(CHECKOUT)).reason();
//! assert_eq!(read, Reason::Rule("checkout-reads-orders"));
//! let delete = policy.decide(&Access::http("DELETE", "/orders/7").by(CHECKOUT)).reason();
//! assert_eq!(delete, Reason::NoRule);
//! # Ok::<(), PolicyError>(())
//! ```
//!
//! # What matches
//! - **Paths** are decoded once and then compared segment by segment. A path that two readers
//!   could understand differently is denied before any rule is asked, see [`PathError`].
//! - **Templates** are written decoded. `{id}` is one segment that is not empty; `{**}`, of
//!   which there may be one, is one or more segments, also in the middle. A trailing slash is a
//!   last, empty segment: `/orders/` is not `/orders`, and only `{**}` or itself matches it.
//! - **Methods** are compared exactly; `*` is any. What overrides a method
//!   ([`METHOD_OVERRIDE_HEADERS`]) is not looked at by [`Policy::decide`], and denied by
//!   [`Policy::decide_served`], unless the route permits it.
//! - **gRPC** calls match `grpc` entries, HTTP requests `http` entries.
//! - **Header conditions** look at covered values only. There must be one, and every one must
//!   match; `*` matches any run of bytes.
//!
//! # Deny widens, never narrows
//! A deny rule matches whatever a server could take the access for: an `http` entry with `*` or
//! `POST` matches the gRPC call of that path, a `grpc` entry the HTTP request of that path, and
//! `GET` matches `HEAD`. As a service decides ([`Policy::decide_served`]), it also matches its path
//! with a slash behind it, and a header condition of an allow rule must hold for each element of
//! a comma list.
//!
//! # What is not known
//! Leaving something out of an [`Access`] never turns a denial into an allowance. An allow rule
//! holds only by what is known. A deny rule holds unless what is known rules it out: one with
//! `to` counts where the callee is unknown, one with `via` where the call is neither direct nor
//! through a known hop, one with `source` where the address is unknown, and its `when` has
//! nothing that a caller fails by proving less. The one exception is a hop that `hops` does not
//! name: a transport that knows of a hop must say so. Documents that were imported
//! ([`istio`]) keep their own semantics instead, where what is missing fulfils a negation.
//!
//! # Beside the decision
//! [`Decision::obligations`] are what an allowed call still owes, [`Policy::shadows`] what would
//! have decided, [`Policy::expectations`] what must not stay silent, [`Policy::route_options`]
//! what holds for an operation whoever calls. [`Policy::check`], [`Policy::diff`],
//! [`Policy::explain`], [`table`] and [`replay`] think ahead.

mod admits;
mod announce;
mod check;
mod decide;
mod diff;
mod error;
mod expired;
mod explain;
mod flow;
mod index;
pub mod istio;
pub mod learn;
mod model;
mod path;
mod pattern;
mod reading;
mod reads;
mod reason;
mod region;
pub mod replay;
pub mod table;
mod template;
mod term;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use http::HeaderName;

pub use self::announce::announce;
pub use self::check::{Finding, FindingKind, Severity};
pub use self::decide::{Expectation, RouteOptions, Shadow};
pub use self::diff::{Diff, EdgeChange, ObligationChange, Open, Region, RouteChange};
pub use self::error::{PolicyError, PolicyErrorKind};
pub use self::explain::{Considered, Explanation, Inputs, MAX_EXPLAINED, Miss, Named, Part};
pub use self::flow::{Flow, Flows, MAX_FLOWS, TooManyFlows, Was};
pub use self::index::MAX_ENTRIES;
pub use self::model::{
    Content, DeliveryMode, DeliveryRule, Durability, Effect, Limit, Normalization, Per, Pointer,
    TranscriptHash,
};
pub use self::path::PathError;
pub use self::reason::{Decision, Obligations, Reason, Ruling, Unmet};
pub use self::region::{Scope, TooComplex};
pub use self::template::MAX_SEGMENTS;
pub use self::text::{MAX_DOCUMENT, MAX_DOMAINS, MAX_REFLEXES, MAX_RULES, MAX_STEPS, Syntax};

use self::announce::Origin;
use self::error::Fault;
use self::index::Index;
use self::model::{Document, ProofNeed};
use self::reads::Reads;
use self::reason::UnmetAt;
pub use crate::access::head::HeadError;
use crate::access::{Access, Evidence};
use crate::identity::{SpiffeId, TrustDomain};
use crate::reflex::Plan;

/// Headers, in lower case, by which some servers take one method for another. A transport
/// refuses requests that have one, since policy decides on the method that it sees.
pub const METHOD_OVERRIDE_HEADERS: [&str; 3] =
    ["x-http-method-override", "x-http-method", "x-method-override"];

/// A compiled policy: immutable, shared freely between threads.
///
/// See [the module](self) for the document. [`Policy::deny_all`] is what holds without one.
pub struct Policy {
    /// `None`: no policy is loaded.
    loaded: Option<Loaded>,
    covered: Box<[HeaderName]>,
    plan: Plan,
    reads: Reads,
    /// Of the document's text.
    fingerprint: u64,
    /// `None`: no document was loaded.
    origin: Option<Origin>,
    /// The version of the policy in whose place this one denies all.
    expired: Option<u64>,
}

#[derive(Debug)]
struct Loaded {
    document: Document,
    index: Index,
}

impl Policy {
    /// What holds where no policy is loaded: every access is denied with
    /// [`Reason::NoPolicy`].
    #[must_use]
    pub fn deny_all() -> Self {
        Self {
            loaded: None,
            covered: Box::default(),
            plan: Plan::default(),
            reads: Reads::default(),
            fingerprint: 0,
            origin: None,
            expired: None,
        }
    }

    /// Decides. Allocates nothing, unless the path has an escape to decode, or more than ten of
    /// the document's patterns, or pairs of them that rules name, match the two ends.
    #[must_use]
    pub fn decide(&self, access: &Access<'_>) -> Decision<'_> {
        Decision { policy: self, ruling: self.judge(access) }
    }

    /// The decision that a ruling of this policy stands for; `None` if another one made it.
    #[must_use]
    pub fn decision(&self, ruling: Ruling) -> Option<Decision<'_>> {
        (ruling.policy == self.fingerprint).then_some(Decision { policy: self, ruling })
    }

    /// How the edge between two workloads delivers. Where an end is not known, the strictest
    /// of what may hold for the edge.
    #[must_use]
    pub fn delivery(&self, from: Option<&SpiffeId>, to: Option<&SpiffeId>) -> DeliveryRule {
        self.loaded.as_ref().map_or_else(DeliveryRule::default, |l| l.delivery(from, to))
    }

    /// Whether `id` may carry other peers' calls.
    #[must_use]
    pub fn is_hop(&self, id: &SpiffeId) -> bool {
        self.loaded.as_ref().is_some_and(|l| l.hop(id).is_some())
    }

    /// The version that the document gives itself; 0 where none is loaded.
    #[must_use]
    pub fn version(&self) -> u64 {
        let loaded = self.loaded.as_ref().map(|l| l.document.version);
        loaded.or(self.expired).unwrap_or(0)
    }

    /// The trust domain of the mesh; `None` where no policy is loaded.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        self.loaded.as_ref().map(|l| &l.document.mesh)
    }

    /// The further trust domains whose callers the document accepts, sorted; none where no policy
    /// is loaded. Whose roots speak for them is not the document's to say.
    pub fn federates(&self) -> impl Iterator<Item = &TrustDomain> {
        self.loaded.iter().flat_map(|l| &l.document.federates)
    }

    /// How the loop is to act: the document's reflexes, its governor and where trust starts; the
    /// default for each of them that the document leaves out, or where none is loaded.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The names of the rules, allow and deny, in the order of the document.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.loaded.iter().flat_map(|l| &l.document.rules).map(|rule| &*rule.name)
    }

    /// Reads a document in YAML. It says the same as one in TOML, under the same keys.
    ///
    /// # Errors
    /// The first fault in it.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        Self::read(text, Syntax::Yaml)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The first fault in it.
    pub fn read(text: &str, syntax: Syntax) -> Result<Self, PolicyError> {
        Self::load(text, syntax).map_err(|fault| fault.locate(text))
    }

    /// The document's canonical text, in TOML: without comments, each key in its place. Read
    /// again, it is the same document. Empty where no policy is loaded.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.loaded.as_ref().map_or_else(String::new, |loaded| text::write(&loaded.document))
    }

    /// The form of a document, as a JSON Schema (draft 2020-12), so that editors complete and
    /// check it. What the reader refuses beyond a form, as an unknown peer, is not in it.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        text::schema()
    }

    fn load(text: &str, syntax: Syntax) -> Result<Self, Fault> {
        text::bound(text)?;
        // First: half a document is told as that, and not by what its end lacks.
        let origin = Origin::of(text)?;
        let document = text::read(text, syntax)?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self::compile(document, hasher.finish().max(1), origin) // 0 is no policy
    }

    fn compile(document: Document, fingerprint: u64, origin: Origin) -> Result<Self, Fault> {
        let index = Index::build(&document)?;
        let (reads, covered) = reads::of(document.rules.iter(), &document.routes);
        let plan = document.plan.clone();
        let loaded = Some(Loaded { document, index });
        let origin = Some(origin);
        Ok(Self { loaded, covered, plan, reads, fingerprint, origin, expired: None })
    }

    fn rule(&self, id: u32) -> Option<&model::Rule> {
        self.loaded.as_ref()?.document.rules.get(id as usize)
    }

    fn rule_name(&self, id: u32) -> &str {
        self.rule(id).map_or("", |rule| &rule.name)
    }

    fn route(&self, id: u32) -> Option<&str> {
        self.loaded.as_ref()?.document.templates.get(id as usize).map(|t| &*t.route)
    }

    fn unmet(&self, id: u32, unmet: UnmetAt) -> Unmet<'_> {
        let when = self.rule(id).map(|rule| &rule.when);
        let header = |at: u32| when.and_then(|w| w.headers.get(at as usize));
        let name = |at| header(at).map_or("", |h| h.name.as_str());
        let claim = |at: u32| {
            let claim = when.and_then(|w| w.claims.get(at as usize));
            claim.map_or("", |claim| &claim.name)
        };
        match unmet {
            UnmetAt::Direct => Unmet::Direct,
            UnmetAt::Evidence(has) => {
                let needs = when.and_then(|w| w.evidence).unwrap_or(Evidence::Verified);
                Unmet::Evidence { needs, has }
            }
            UnmetAt::Trust(has) => {
                let needs = when.and_then(|w| w.trust).unwrap_or(1.0);
                Unmet::Trust { needs, has: has.map(f32::from_bits) }
            }
            UnmetAt::HeaderUnknown(at) => Unmet::HeaderUnknown { name: name(at) },
            UnmetAt::HeaderDiffers(at) => {
                let needs = header(at).map_or("", |h| h.glob.as_str());
                Unmet::HeaderDiffers { name: name(at), needs }
            }
            UnmetAt::Proof => {
                let needs = when.and_then(|w| w.proof).map_or("any", ProofNeed::as_str);
                Unmet::Proof { needs }
            }
            UnmetAt::ClaimUnknown(at) => Unmet::ClaimUnknown { name: claim(at) },
            UnmetAt::ClaimDiffers(at) => Unmet::ClaimDiffers { name: claim(at) },
            UnmetAt::SourceUnknown => Unmet::SourceUnknown,
            UnmetAt::SourceDiffers => Unmet::SourceDiffers,
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::read(text, Syntax::Toml)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("trust_domain", &self.trust_domain())
            .field("version", &self.version())
            .field("rules", &self.rules().count())
            .finish_non_exhaustive()
    }
}
