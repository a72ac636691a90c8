//! An access that owns what it names.

use std::fmt;
use std::net::IpAddr;

use serde_json::Value;

use super::{Access, Evidence, Operation, Proofs};
use crate::identity::SpiffeId;

/// How the `content-type` of gRPC begins.
const GRPC: &str = "application/grpc";

/// An [`Access`] that owns what it names: as tests, witnesses and commands have it.
///
/// It is shown as the arguments of `meshguard policy explain`, ready for a shell.
///
/// ```
/// use meshguard_core::access::OwnedAccess;
/// use meshguard_core::{Evidence, SpiffeId};
///
/// let mut access = OwnedAccess::http("GET", "/orders/7");
/// access.from = Some(SpiffeId::from_static("spiffe://shop.example/checkout"));
/// access.evidence = Evidence::Verified;
/// assert_eq!(access.access().path(), "/orders/7");
/// assert_eq!(
///     access.to_string(),
///     "GET /orders/7 --from spiffe://shop.example/checkout --evidence verified",
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OwnedAccess {
    /// What is asked for.
    pub operation: OwnedOperation,
    /// The end-to-end caller.
    pub from: Option<SpiffeId>,
    /// The hop that carries the call.
    pub via: Option<SpiffeId>,
    /// The workload that is called.
    pub to: Option<SpiffeId>,
    /// How complete the delivery is proved to be.
    pub evidence: Evidence,
    /// The caller itself holds the other end of the connection; never with `via`.
    pub direct: bool,
    /// How far the caller is trusted, 0 to 1.
    pub trust: Option<f32>,
    /// Headers that the caller's proof covers, in their order.
    pub headers: Vec<(String, String)>,
    /// The target's scheme.
    pub scheme: Option<String>,
    /// The host that is asked for.
    pub host: Option<String>,
    /// The port that was connected to.
    pub port: Option<u16>,
    /// The address of the connection's other end.
    pub source: Option<IpAddr>,
    /// The address of the first client.
    pub client: Option<IpAddr>,
    /// The address that was connected to.
    pub destination: Option<IpAddr>,
    /// The server name that the TLS handshake asked for.
    pub server_name: Option<String>,
    /// The verified claims of the token, an object.
    pub claims: Option<Value>,
    /// What binds the token to its caller.
    pub proofs: Proofs,
}

/// An [`Operation`] that owns its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnedOperation {
    /// An HTTP request.
    Http {
        /// The method.
        method: String,
        /// The raw path.
        path: String,
    },
    /// A gRPC call.
    Grpc {
        /// The raw path, `/package.Service/Method`.
        path: String,
    },
    /// Bytes of no protocol that policy knows.
    Tcp,
}

impl OwnedOperation {
    /// The operation, borrowed.
    #[must_use]
    pub fn borrow(&self) -> Operation<'_> {
        match self {
            Self::Http { method, path } => Operation::Http { method, path },
            Self::Grpc { path } => Operation::Grpc { path },
            Self::Tcp => Operation::Tcp,
        }
    }
}

/// As a person says it: `GET /orders/7`, `grpc shop.v1.Orders/Get`, `tcp`.
impl fmt::Display for OwnedOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { method, path } => write!(f, "{} {}", Word(method), Word(path)),
            Self::Grpc { path } => match path.strip_prefix('/').filter(|name| is_method(name)) {
                Some(name) => write!(f, "grpc {}", Word(name)),
                // A caller can say of any path that it is a gRPC call.
                None => write!(f, "POST {} --header content-type={GRPC}", Word(path)),
            },
            Self::Tcp => f.write_str("tcp"),
        }
    }
}

impl OwnedAccess {
    /// An HTTP request for the raw `path`, without its query.
    #[must_use]
    pub fn http(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(OwnedOperation::Http { method: method.into(), path: path.into() })
    }

    /// An HTTP request for a target as clients write it, `/orders/7?full` or
    /// `https://shop.example/orders/7`. Its query and fragment are cut off, as servers do before
    /// they ask policy: they are no part of what rules look at.
    #[must_use]
    pub fn request(method: impl Into<String>, target: &str) -> Self {
        let target = target.find(['?', '#']).map_or(target, |end| &target[..end]);
        let Some((scheme, rest)) = target.split_once("://").filter(|(s, _)| is_scheme(s)) else {
            return Self::http(method, target);
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut access = Self::http(method, if path.is_empty() { "/" } else { path });
        (access.scheme, access.host) = (Some(scheme.to_owned()), Some(host.to_owned()));
        access
    }

    /// A gRPC call of a method, `package.Service/Method`, with or without a `/` before it.
    ///
    /// # Errors
    /// What is not the name of one method.
    pub fn call(method: &str) -> Result<Self, NotAMethod> {
        let name = method.strip_prefix('/').unwrap_or(method);
        if is_method(name) {
            Ok(Self::grpc(format!("/{name}")))
        } else {
            Err(NotAMethod(method.to_owned()))
        }
    }

    /// Reads a `POST` whose `content-type` says so as the gRPC call that it is, and the host from
    /// a `Host` header where nothing else names it.
    #[must_use]
    pub fn read_as_sent(mut self) -> Self {
        let named = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        if self.host.is_none() {
            self.host = named.map(|(_, value)| value.trim_matches([' ', '\t']).to_owned());
        }
        let says_grpc = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("content-type") && value.starts_with(GRPC)
        };
        if let OwnedOperation::Http { method, path } = &self.operation
            && method == "POST"
            && self.headers.iter().any(says_grpc)
        {
            self.operation = OwnedOperation::Grpc { path: path.clone() };
        }
        self
    }

    /// A gRPC call of the raw `path`, as `/shop.v1.Orders/Get`.
    #[must_use]
    pub fn grpc(path: impl Into<String>) -> Self {
        Self::new(OwnedOperation::Grpc { path: path.into() })
    }

    /// A connection whose protocol is not known.
    #[must_use]
    pub fn tcp() -> Self {
        Self::new(OwnedOperation::Tcp)
    }

    fn new(operation: OwnedOperation) -> Self {
        Self {
            operation,
            from: None,
            via: None,
            to: None,
            evidence: Evidence::None,
            direct: false,
            trust: None,
            headers: Vec::new(),
            scheme: None,
            host: None,
            port: None,
            source: None,
            client: None,
            destination: None,
            server_name: None,
            claims: None,
            proofs: Proofs::default(),
        }
    }

    /// The access that policy decides on.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        let mut access = Access::new(self.operation.borrow());
        access.principal = self.from.as_ref();
        access.via = self.via.as_ref();
        access.to = self.to.as_ref();
        access.evidence = self.evidence;
        access.direct = self.direct && self.via.is_none();
        access.network.scheme = self.scheme.as_deref();
        access.network.host = self.host.as_deref();
        access.network.port = self.port;
        access.network.source = self.source;
        access.network.client = self.client;
        access.network.destination = self.destination;
        access.network.server_name = self.server_name.as_deref();
        access.claims = self.claims.as_ref();
        access.proofs = self.proofs;
        for (name, value) in &self.headers {
            access = access.header(name, value);
        }
        match self.trust {
            Some(trust) => access.trust(trust),
            None => access,
        }
    }
}

impl fmt::Display for OwnedAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(f)?;
        for (flag, id) in [("from", &self.from), ("via", &self.via), ("to", &self.to)] {
            if let Some(id) = id {
                write!(f, " --{flag} {}", Word(id.as_str()))?;
            }
        }
        if self.direct {
            f.write_str(" --direct")?;
        }
        if self.evidence != Evidence::None {
            write!(f, " --evidence {}", self.evidence)?;
        }
        if let Some(trust) = self.trust {
            write!(f, " --trust {trust}")?;
        }
        for (name, value) in &self.headers {
            write!(f, " --header {}", Word(&format!("{name}={value}")))?;
        }
        self.fmt_token(f)?;
        self.fmt_network(f)
    }
}

impl OwnedAccess {
    fn fmt_token(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.claims.iter().filter_map(Value::as_object).flatten() {
            write!(f, " --claim {}", Word(&format!("{name}={value}")))?;
        }
        if self.proofs.dpop {
            f.write_str(" --proof dpop")?;
        }
        if self.proofs.certificate {
            f.write_str(" --proof certificate")?;
        }
        Ok(())
    }

    fn fmt_network(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, text) in [("scheme", &self.scheme), ("host", &self.host)] {
            if let Some(text) = text {
                write!(f, " --{flag} {}", Word(text))?;
            }
        }
        if let Some(port) = self.port {
            write!(f, " --port {port}")?;
        }
        let addresses =
            [("source", self.source), ("client", self.client), ("destination", self.destination)];
        for (flag, address) in addresses {
            if let Some(address) = address {
                write!(f, " --{flag} {address}")?;
            }
        }
        match &self.server_name {
            Some(name) => write!(f, " --server-name {}", Word(name)),
            None => Ok(()),
        }
    }
}

/// What is not the name of a gRPC method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAMethod(String);

impl fmt::Display for NotAMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.escape_debug();
        write!(f, "`{name}` is not the name of a gRPC method: write `package.Service/Method`")
    }
}

impl std::error::Error for NotAMethod {}

/// Whether it is a scheme's name (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    let all = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    all && text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
}

/// Whether it is `package.Service/Method`, by the grammar of names in `.proto` files.
fn is_method(name: &str) -> bool {
    let identifier = |part: &str| {
        let all = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        all && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
    };
    let named =
        |(service, method): (&str, &str)| service.split('.').all(identifier) && identifier(method);
    name.split_once('/').is_some_and(named)
}

/// One word of a shell's command line (POSIX.1-2024, 2.2.2 and 2.2.4). What could disturb a
/// terminal is escaped.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/:.-_=@%+,".contains(&b);
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        if !self.0.chars().any(char::is_control) {
            return write!(f, "'{}'", self.0.replace('\'', r"'\''"));
        }
        f.write_str("$'")?;
        for c in self.0.chars() {
            match c {
                '\'' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => {
                    c.to_string().bytes().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
                }
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("'")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owned_access_is_the_access_that_it_names() {
        let id = |name: &str| format!("spiffe://a/{name}").parse::<SpiffeId>().ok();
        let mut owned = OwnedAccess::grpc("/a.B/C");
        (owned.from, owned.via, owned.to) = (id("from"), id("via"), id("to"));
        owned.direct = true;
        owned.trust = Some(0.5);
        owned.headers.push(("x-a".into(), "1".into()));
        owned.claims = Some(json!({"scope": "x"}));
        owned.source = Some([10, 0, 0, 1].into());
        let access = owned.access();
        assert_eq!(access.operation(), Operation::Grpc { path: "/a.B/C" });
        assert_eq!(access.principal(), owned.from.as_ref());
        assert_eq!(access.hop(), owned.via.as_ref());
        assert_eq!(access.callee(), owned.to.as_ref());
        assert!(!access.is_direct(), "a call through a hop is not direct");
        assert_eq!(access.trusted(), Some(0.5));
        assert!(access.any_header("x-a", |v| v == b"1"));
        assert_eq!(access.verified_claims(), owned.claims.as_ref());
        assert_eq!(access.source_ip(), owned.source);
    }

    #[test]
    fn what_could_disturb_a_terminal_is_escaped() {
        let owned = OwnedAccess::http("GET", "/it's\u{1b}[2J\\");
        assert_eq!(owned.to_string(), r"GET $'/it\'s\x1b[2J\\'");
    }

    #[test]
    fn what_a_shell_would_read_is_quoted() {
        let mut owned = OwnedAccess::http("GET", "/a b/$(x)");
        owned.headers.push(("x-a".into(), "it's".into()));
        owned.claims = Some(json!({"scope": ["a", "b"], "sub": "me"}));
        owned.proofs = Proofs { dpop: true, certificate: false };
        assert_eq!(
            owned.to_string(),
            r#"GET '/a b/$(x)' --header 'x-a=it'\''s' --claim 'scope=["a","b"]' --claim 'sub="me"' --proof dpop"#,
        );
    }
}

#[cfg(test)]
mod operations {
    use super::*;

    #[test]
    fn the_query_of_a_target_is_no_part_of_its_path() {
        for (target, path) in [
            ("/a?x=1", "/a"),
            ("/a?", "/a"),
            ("/?a?b", "/"),
            ("/a", "/a"),
            ("/a#b?c", "/a"),
            ("/a?b#c", "/a"),
            ("/a?u=http://b/c", "/a"),
            ("/a://b", "/a://b"),
        ] {
            assert_eq!(OwnedAccess::request("GET", target), OwnedAccess::http("GET", path));
        }
    }

    #[test]
    fn a_target_that_names_its_host_is_taken_apart() {
        for (target, scheme, host, path) in [
            ("https://a.example:1/b?c", "https", "a.example:1", "/b"),
            ("HTTP://a", "HTTP", "a", "/"),
            ("http://u@a?x=/b", "http", "u@a", "/"),
            ("ftp:///b", "ftp", "", "/b"),
        ] {
            let access = OwnedAccess::request("GET", target);
            assert_eq!(access.operation, OwnedAccess::http("GET", path).operation, "{target}");
            let named = (access.scheme.as_deref(), access.host.as_deref());
            assert_eq!(named, (Some(scheme), Some(host)), "{target}");
        }
        let shown = OwnedAccess::request("GET", "ftp://a/b").to_string();
        assert_eq!(shown, "GET /b --scheme ftp --host a");
    }

    #[test]
    fn a_host_that_a_header_names_is_the_host() {
        let mut sent = OwnedAccess::http("GET", "/");
        sent.headers.push(("HOST".into(), " a.example\t".into()));
        assert_eq!(sent.clone().read_as_sent().host.as_deref(), Some("a.example"));
        sent.host = Some("b".into());
        assert_eq!(sent.read_as_sent().host.as_deref(), Some("b"));
    }

    #[test]
    fn a_call_is_of_one_method_of_one_service() {
        for name in ["shop.v1.Orders/Get", "/shop.v1.Orders/Get", "Orders/Get", "_a.B1/_c"] {
            let call = OwnedAccess::call(name).unwrap();
            assert_eq!(call, OwnedAccess::grpc(format!("/{}", name.trim_start_matches('/'))));
            assert_eq!(call.to_string(), format!("grpc {}", name.trim_start_matches('/')));
        }
        for name in [
            "",
            "/",
            "Get",
            "shop.v1.Orders",
            "shop.v1.Orders.Get",
            "shop.v1.Orders/",
            "/Get",
            "shop.v1.Orders/*",
            "shop.v1.Orders/Get?x=1",
            "shop.v1.Orders/Get/x",
            "a/b/c",
            "//shop.v1.Orders/Get",
            "shop..Orders/Get",
            "shop.1.Orders/Get",
            "a b/c",
            "é.A/B",
        ] {
            let refused = OwnedAccess::call(name).unwrap_err().to_string();
            assert!(refused.ends_with("write `package.Service/Method`"), "{refused}");
        }
    }

    #[test]
    fn a_call_of_any_other_path_is_shown_as_what_is_sent_and_read_again() {
        let call = OwnedAccess::grpc("/a/b/c");
        assert_eq!(call.to_string(), "POST /a/b/c --header content-type=application/grpc");
        let mut sent = OwnedAccess::http("POST", "/a/b/c");
        sent.headers.push(("Content-Type".into(), "application/grpc+proto".into()));
        assert_eq!(sent.read_as_sent().operation, call.operation);
        let plain = OwnedAccess::http("POST", "/a/b/c");
        assert_eq!(plain.clone().read_as_sent(), plain);
    }
}
