//! What upstream refuses before any AuthorizationPolicy is asked.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::error::{Warning, WarningKind};

/// The kinds that say so.
pub(super) const AUTHENTICATION: [&str; 2] = ["PeerAuthentication", "RequestAuthentication"];
/// The most issuers that a warning names.
const MAX_NAMED: usize = 8;

/// What the resource would have upstream refuse, which is not imported.
pub(super) fn warning(kind: &'static str, json: &Json, document: &str) -> Warning {
    let spec = json.get("spec").unwrap_or(&Json::Null);
    let refused = match kind {
        "PeerAuthentication" => peer(spec),
        _ => request(spec),
    };
    let message = format!("a {kind} is not imported: {refused}");
    let (document, field) = (document.to_owned(), String::new());
    Warning { kind: WarningKind::Authentication, document, field, message }
}

fn peer(spec: &Json) -> String {
    let strict = |mtls: &Json| mtls.get("mode").and_then(Json::as_str) == Some("STRICT");
    let all = spec.get("mtls").is_some_and(strict);
    let ports = spec.get("portLevelMtls").and_then(Json::as_object);
    let ports: Vec<String> = ports
        .into_iter()
        .flatten()
        .filter(|(_, mtls)| strict(mtls) != all)
        .map(|(port, _)| port.escape_debug().to_string())
        .take(MAX_NAMED)
        .collect();
    let ports = ports.join(", ");
    let refused = "upstream refuses connections without mutual TLS";
    match (all, ports.is_empty()) {
        (true, true) => refused.to_owned(),
        (true, false) => format!("{refused}, but for the ports {ports}"),
        (false, false) => format!("{refused} on the ports {ports}"),
        (false, true) => "upstream refuses nothing by it, unless a wider one is STRICT".to_owned(),
    }
}

fn request(spec: &Json) -> String {
    let rules = spec.get("jwtRules").and_then(Json::as_array);
    let issuer = |rule: &Json| Some(rule.get("issuer")?.as_str()?.escape_debug().to_string());
    let issuers: BTreeSet<String> = rules.into_iter().flatten().filter_map(issuer).collect();
    if issuers.is_empty() {
        return "upstream refuses nothing by it, as it names no issuer".to_owned();
    }
    let more = if issuers.len() > MAX_NAMED { " and others" } else { "" };
    let named: Vec<String> = issuers.into_iter().take(MAX_NAMED).collect();
    format!(
        "upstream refuses a request whose token does not hold; the issuers are {}{more}",
        named.join(", ")
    )
}
