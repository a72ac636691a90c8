//! The values of a term, read for the key that they are values of.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value as Json;

use super::key::Key;
use super::template::Template;
use super::text::Text;
use crate::policy::pattern::Glob;

/// A value and the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: Box<str>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Text(Text),
    /// Against the whole name of the caller.
    Namespace(Glob),
    Account {
        namespace: Box<str>,
        name: Box<str>,
    },
    Path(Template),
    Net(IpNet),
    Port(u16),
    /// Issuer and subject of a token.
    Subject {
        issuer: Text,
        subject: Text,
    },
}

type ValueError = (String, &'static str);

impl Value {
    pub(super) fn parse(key: &Key, text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(("an empty value".into(), "leave it out"));
        }
        let test = match key {
            Key::SourceIp | Key::RemoteIp | Key::DestinationIp => Test::Net(net(text)?),
            Key::DestinationPort => Test::Port(port(text)?),
            Key::SourceNamespace => Test::Namespace(Glob::new(&format!("*/ns/{text}/*"))),
            Key::SourceServiceAccount => account(text)?,
            Key::AuthPrincipal => subject(text),
            Key::RequestPath if text.contains(['{', '}']) => {
                if !Template::is_one(text) {
                    let message = "braces that are no `{*}` and no `{**}`";
                    return Err((message.into(), TEMPLATES));
                }
                Test::Path(Template::parse(text).map_err(|message| (message, TEMPLATES))?)
            }
            Key::RequestHost => Test::Text(Text::present(text).ignoring_case()),
            Key::RequestMethod | Key::RequestHeader(_) => Test::Text(Text::present(text)),
            Key::SourcePrincipal
            | Key::SourceTrustDomain
            | Key::ConnectionSni
            | Key::RequestPath
            | Key::AuthAudiences
            | Key::AuthPresenter
            | Key::AuthClaims(_) => Test::Text(Text::new(text)),
        };
        Ok(Self { text: text.into(), test })
    }

    pub(super) fn matches(&self, found: &[u8]) -> bool {
        match &self.test {
            Test::Text(text) => text.matches(found),
            Test::Namespace(glob) => glob.matches(found),
            Test::Account { namespace, name } => {
                std::str::from_utf8(found).is_ok_and(|id| is_account(id, namespace, name))
            }
            Test::Path(template) => template.matches(found),
            Test::Net(_) | Test::Port(_) | Test::Subject { .. } => false,
        }
    }

    pub(super) fn is_port(&self, port: u16) -> bool {
        self.test == Test::Port(port)
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        matches!(&self.test, Test::Net(net) if net.contains(&ip))
    }

    pub(super) fn is_subject(&self, claims: &Json) -> bool {
        let Test::Subject { issuer, subject } = &self.test else { return false };
        let is = |name: &str, text: &Text| {
            claims.get(name).and_then(Json::as_str).is_some_and(|v| text.matches(v.as_bytes()))
        };
        is("iss", issuer) && is("sub", subject)
    }
}

const TEMPLATES: &str =
    "`{*}` is one segment and `{**}` any number of them; beside them stands no `*` and no brace";

fn net(text: &str) -> Result<IpNet, ValueError> {
    let parsed = match text.split_once('/') {
        // As Go reads a prefix: without leading zeros.
        Some((_, prefix)) if prefix.len() > 1 && prefix.starts_with('0') => None,
        Some(_) => text.parse().ok(),
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    let net: IpNet = parsed
        .ok_or(("not an address or a range".to_owned(), "write `10.0.0.0/8` or `10.1.2.3`"))?;
    Ok(unmapped(net).unwrap_or(net))
}

/// A range of IPv4 addresses that is written as one of IPv6 (RFC 4291 §2.5.5.2).
fn unmapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else { return None };
    let address = net.addr().to_ipv4_mapped()?;
    IpNet::new(address.into(), net.prefix_len().checked_sub(96)?).ok()
}

fn port(text: &str) -> Result<u16, ValueError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.ok_or(("not a port".into(), "write a number from 0 to 65535"))
}

fn account(text: &str) -> Result<Test, ValueError> {
    const MAX: usize = 320;
    let hint = "write `namespace/name`";
    if text.contains('*') {
        return Err(("a service account has no wildcard".into(), hint));
    }
    if text.len() > MAX {
        return Err(("longer than 320 bytes".into(), hint));
    }
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(Test::Account { namespace: namespace.into(), name: name.into() })
        }
        _ => Err(("not a service account".into(), hint)),
    }
}

/// `id` is `TRUST-DOMAIN/ns/NAMESPACE/sa/NAME`, with more segments allowed before `sa` and
/// after the name.
fn is_account(id: &str, namespace: &str, name: &str) -> bool {
    let ends = |rest: &str| {
        let end = rest.strip_prefix("sa/").and_then(|rest| rest.strip_prefix(name));
        end.is_some_and(|end| end.is_empty() || end.starts_with('/') && end.len() > 1)
    };
    let mut spaces = behind_slashes(id)
        .filter_map(|rest| rest.strip_prefix("ns/")?.strip_prefix(namespace)?.strip_prefix('/'));
    spaces.any(|rest| ends(rest) || behind_slashes(rest).any(ends))
}

/// What stands behind each slash that has something before it.
fn behind_slashes(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('/').filter(|(at, _)| *at > 0).map(|(at, _)| &text[at + 1..])
}

/// Issuer and subject are compared apart. The last `/` parts them, as an issuer may be a URL.
fn subject(text: &str) -> Test {
    let parts = text.rsplit_once('/');
    let (issuer, subject) = match (text, parts) {
        ("*", _) => (Text::not_empty(), Text::not_empty()),
        (_, Some((issuer, subject))) if text.starts_with('*') => {
            // A leading star is all the wildcard there is: the subject is taken literally.
            (Text::new(issuer), Text::exact(subject))
        }
        (_, None) if text.starts_with('*') => (Text::not_empty(), Text::suffix(&text[1..])),
        (_, Some((issuer, subject))) if text.ends_with('*') => {
            let subject = match subject {
                "*" => Text::not_empty(),
                subject => Text::prefix(&subject[..subject.len() - 1]),
            };
            (Text::exact(issuer), subject)
        }
        (_, None) if text.ends_with('*') => {
            (Text::prefix(&text[..text.len() - 1]), Text::not_empty())
        }
        (_, Some((issuer, subject))) => (Text::exact(issuer), Text::exact(subject)),
        (_, None) => (Text::exact(text), Text::exact("")),
    };
    Test::Subject { issuer, subject }
}
