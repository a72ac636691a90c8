//! `[[allow]]` and `[[deny]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Allow {
    /// Unique across allow and deny rules; it stands in reasons and logs.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// Evaluated, counted and reported, and changes nothing.
    #[serde(default)]
    shadow: bool,
    /// Peers: the end-to-end caller. Absent: every authenticated peer of the mesh itself.
    #[schemars(length(min = 1))]
    from: Option<Vec<String>>,
    /// Peers: the callee. Absent: whoever reads the document.
    #[schemars(length(min = 1))]
    to: Option<Vec<String>>,
    /// Peers, each in `hops`: only calls through one of these.
    #[schemars(length(min = 1))]
    via: Option<Vec<String>>,
    /// HTTP requests, as `GET /orders/{id}`.
    #[schemars(length(min = 1))]
    http: Option<Vec<String>>,
    /// gRPC calls, as `shop.v1.Orders/Get`.
    #[schemars(length(min = 1))]
    grpc: Option<Vec<String>>,
    /// All of these must hold.
    when: Option<AllowWhen>,
    /// How many such calls there may be.
    limit: Option<Limit>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deny {
    /// Unique across allow and deny rules; it stands in reasons and logs.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// Evaluated, counted and reported, and changes nothing.
    #[serde(default)]
    shadow: bool,
    /// Peers: the end-to-end caller. Absent: everybody.
    #[schemars(length(min = 1))]
    from: Option<Vec<String>>,
    /// Peers: the callee. A callee that is not known is one of them.
    #[schemars(length(min = 1))]
    to: Option<Vec<String>>,
    /// Peers, each in `hops`: only calls through one of these.
    #[schemars(length(min = 1))]
    via: Option<Vec<String>>,
    /// HTTP requests, as `* /admin/{**}`.
    #[schemars(length(min = 1))]
    http: Option<Vec<String>>,
    /// gRPC calls, as `shop.v1.Orders/*`.
    #[schemars(length(min = 1))]
    grpc: Option<Vec<String>>,
    /// All of these must hold, or not be known.
    when: Option<DenyWhen>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AllowWhen {
    /// At least so much is proved of the request's body.
    evidence: Option<Evidence>,
    /// `true`: the caller itself holds the other end of the connection.
    direct: Option<bool>,
    /// The caller is trusted at least so much.
    #[schemars(range(min = 0, max = 1))]
    trust: Option<f64>,
    /// What must bind the request's token to its caller.
    proof: Option<Proof>,
    /// Each of these headers is there, proved by the caller, and every value matches; `*` is any
    /// run of bytes.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Each of these claims of the request's token has one of the values; `*` is any run of
    /// bytes. A name with a leading `/` is a JSON Pointer.
    #[serde(default)]
    claims: BTreeMap<String, Vec<String>>,
    /// Networks: the address of the connection's other end is in one of them.
    #[schemars(length(min = 1))]
    source: Option<Vec<String>>,
    /// What the body must be.
    content: Option<Content>,
    /// The terms of an imported rule; only with `semantics = "istio"`, and then alone.
    #[serde(default, rename = "where")]
    terms: Vec<Term>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DenyWhen {
    /// `false`: the call is not known to come from its caller directly.
    direct: Option<bool>,
    /// Networks: the address of the connection's other end is in one of them, or not known.
    #[schemars(length(min = 1))]
    source: Option<Vec<String>>,
    /// The terms of an imported rule; only with `semantics = "istio"`, and then alone.
    #[serde(default, rename = "where")]
    terms: Vec<Term>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Evidence {
    None,
    Length,
    Digest,
    Verified,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Proof {
    Dpop,
    Certificate,
    Any,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Content {
    /// JSON Pointers (RFC 6901): the body is JSON and has all of these values.
    #[schemars(length(min = 1, max = 64))]
    json: Option<Vec<String>>,
    /// The longest body, in bytes.
    #[schemars(range(min = 1, max = 1_048_576))]
    max_bytes: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Term {
    /// The attribute, as `request.headers[x-token]`.
    key: String,
    /// One of these must match.
    #[serde(default)]
    values: Vec<String>,
    /// None of these may.
    #[serde(default)]
    not_values: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// As `200/s`, `6/min` or `100/h`.
    rate: String,
    /// How many at once. Absent: as many as `rate` says.
    #[schemars(range(min = 1, max = 1_000_000))]
    burst: Option<u32>,
    /// What has a count of its own. Absent: each caller.
    per: Option<Per>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Per {
    Caller,
    Rule,
}
