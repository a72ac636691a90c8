//! `[[expect]]`, `[[delivery]]` and `[[route]]`.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// Unique among expectations.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// Peers: the caller.
    #[schemars(length(min = 1))]
    from: Option<Vec<String>>,
    /// Peers: the callee.
    #[schemars(length(min = 1))]
    to: Option<Vec<String>>,
    /// HTTP requests, as `POST /settlements`.
    #[schemars(length(min = 1))]
    http: Option<Vec<String>>,
    /// gRPC calls.
    #[schemars(length(min = 1))]
    grpc: Option<Vec<String>>,
    /// As `1 in 24h`: fewer raise an alarm.
    at_least: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivery {
    /// Peers: the caller.
    #[schemars(length(min = 1))]
    from: Option<Vec<String>>,
    /// Peers: the callee.
    #[schemars(length(min = 1))]
    to: Option<Vec<String>>,
    /// Whether calls must be proved. Absent: `require`.
    mode: Option<Mode>,
    /// Whether bodies are encrypted between the two ends. Absent: where there is a hop.
    seal: Option<bool>,
    /// The hash of bodies in records. Absent: `sha256`.
    transcript: Option<Transcript>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Require,
    Prefer,
    Off,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Transcript {
    Sha256,
    Blake3,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// HTTP requests, as `POST /orders`.
    #[schemars(length(min = 1))]
    http: Option<Vec<String>>,
    /// gRPC calls.
    #[schemars(length(min = 1))]
    grpc: Option<Vec<String>>,
    /// When a call's entry in the ledger must be durable. Absent: `async`.
    durability: Option<Durability>,
    /// For how long an answer is kept for a repetition, as `10m`. Absent: it is not.
    keep_answers: Option<String>,
    /// Whether a call may be made again without harm. Absent: it may not.
    idempotent: Option<bool>,
    /// Whether a request may ask for another protocol. Absent: it may not.
    upgrade: Option<bool>,
    /// Whether a request may name its method a second time. Absent: it may not.
    method_override: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Durability {
    Async,
    IntentDurable,
    Strict,
}
