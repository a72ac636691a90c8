//! `[[reflex]]`, `[governor]` and `[trust]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::rules::Evidence;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reflex {
    /// Unique among reflexes; incidents are told by it.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// What sets it off.
    on: Trigger,
    /// What is done at once.
    #[serde(rename = "do")]
    actions: OneOrMore<Action>,
    /// What is done next, if that did not help.
    then: Option<OneOrMore<Step>>,
    /// How long an action holds, at most `24h`. Absent: `5m`.
    ttl: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Trigger {
    /// As `any`, `handshake_failures`, `silence` or `forged`.
    signal: String,
    /// As `1 in 30 days`; not of hard signals.
    false_alarms: Option<String>,
    /// How long the signal must hold, as `2s`.
    #[serde(rename = "for")]
    lasting: Option<String>,
    /// Which departures are acted on, and not only told. Absent: `harmful`.
    side: Option<Side>,
    /// Whether a caller is restricted for what policy refuses anyway. Absent: `narrow`.
    scope: Option<Scope>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Side {
    Harmful,
    Both,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Narrow,
    Caller,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Step {
    /// So long after the step before.
    after: String,
    /// `falling`: not while the metric is on its way back.
    unless: Option<String>,
    /// What is done.
    #[serde(rename = "do")]
    actions: OneOrMore<Action>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Alert,
    Quarantine,
    Tighten(Tighten),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tighten {
    /// As `10/s`.
    rate: Option<String>,
    /// At least so much evidence of a request's delivery.
    evidence: Option<Evidence>,
    /// Only on connections of its own.
    direct: Option<bool>,
    /// At least so much trust.
    #[schemars(range(min = 0, max = 1))]
    trust: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Governor {
    /// The largest share of the known callers that may be restricted.
    #[schemars(range(min = 0, max = 1))]
    max_share: Option<f64>,
    /// The least share of a callee's instances that stay unrestricted.
    #[schemars(range(min = 0, max = 1))]
    min_healthy: Option<f64>,
    /// With fewer known callers, none is restricted.
    min_peers: Option<u32>,
    /// An edge that has shown fewer calls is not restricted.
    min_calls: Option<u64>,
    /// The most restrictions in a time, as `6/min`.
    max_actions: Option<String>,
    /// Whether actions take effect.
    mode: Option<GovernorMode>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GovernorMode {
    Enforce,
    Shadow,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trust {
    /// What an edge begins with and returns to.
    #[schemars(range(min = 0, max = 1))]
    start: Option<f64>,
}
