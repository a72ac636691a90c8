//! Templates of operations: `GET /orders/{id}`, `shop.v1.Orders/*`.

use super::error::{Fault, PolicyErrorKind as Kind};
use crate::access::Operation;

/// The most segments a template or a peer's pattern may have. Bounds the depth of a search.
pub const MAX_SEGMENTS: usize = 64;

const STANDARD_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// One segment of a template or of a peer's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text. The empty one only stands last: a trailing slash.
    Literal(Box<str>),
    /// Any one segment that is not empty.
    One,
    /// One or more segments, of which the last may be empty. At most one to a template.
    Many,
}

/// One entry of a rule's `http` or `grpc`.
#[derive(Debug, PartialEq)]
pub(super) struct Template {
    pub(super) protocol: Protocol,
    /// The path's template, as the document has it: what `Route` is called.
    pub(super) route: Box<str>,
    pub(super) segments: Box<[Segment]>,
    /// Whether something other than a shadow rule names it, so that it can be the route.
    pub(super) routed: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Protocol {
    /// HTTP with this method, or with any.
    Http(Option<Box<str>>),
    Grpc,
}

/// For which rules a template speaks of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Deny and allow rules.
    Every,
    /// Deny rules only: what a server could take the operation for.
    DenyOnly,
}

impl Template {
    /// As it stands in `http` or `grpc`.
    pub(super) fn text(&self) -> String {
        match &self.protocol {
            Protocol::Http(method) => {
                format!("{} {}", method.as_deref().unwrap_or("*"), self.route)
            }
            Protocol::Grpc => self.route.to_string(),
        }
    }

    /// Whether protocol and method fit; the path is the index's matter.
    pub(super) fn fit(&self, operation: Operation<'_>) -> Option<Fit> {
        match (&self.protocol, operation) {
            (_, Operation::Tcp) => None,
            (Protocol::Grpc, Operation::Grpc { .. }) => Some(Fit::Every),
            (Protocol::Grpc, Operation::Http { .. }) => Some(Fit::DenyOnly),
            (Protocol::Http(None), Operation::Http { .. }) => Some(Fit::Every),
            (Protocol::Http(None), Operation::Grpc { .. }) => Some(Fit::DenyOnly),
            (Protocol::Http(Some(own)), Operation::Grpc { .. }) => {
                (**own == *"POST").then_some(Fit::DenyOnly)
            }
            (Protocol::Http(Some(own)), Operation::Http { method, .. }) => {
                if **own == *method {
                    Some(Fit::Every)
                } else {
                    // RFC 9110 §9.3.2: HEAD is GET without the content, and frameworks answer
                    // it with GET's handler.
                    (**own == *"GET" && method == "HEAD").then_some(Fit::DenyOnly)
                }
            }
        }
    }

    /// Reads `GET /orders/{id}`.
    pub(super) fn http(text: &str, at: usize) -> Result<Self, Fault> {
        let Some((method, path)) = text.split_once(' ') else {
            return Err(not_http(text, at));
        };
        let method = check_method(method, at)?;
        let segments = path_segments(path, at)?;
        Ok(Self { protocol: Protocol::Http(method), route: path.into(), segments, routed: false })
    }

    /// Reads `shop.v1.Orders/Get` and `shop.v1.Orders/*`.
    pub(super) fn grpc(text: &str, at: usize) -> Result<Self, Fault> {
        if text.contains(' ') || text.starts_with('/') || text.contains('{') {
            return Err(Fault::new(
                Kind::WrongProtocol,
                at,
                format!("`{text}` is not a gRPC method"),
            )
            .hint(
                "`grpc` has `package.Service/Method` or `package.Service/*`; paths go to `http`",
            ));
        }
        let bad = |why| {
            Fault::new(Kind::BadTemplate, at, format!("`{text}` is not a gRPC method: {why}"))
                .hint("write `package.Service/Method` or `package.Service/*`")
        };
        let (service, method) = text.split_once('/').ok_or_else(|| bad("it has no `/`"))?;
        if !service.split('.').all(is_identifier) {
            return Err(bad("the service is not a dotted name"));
        }
        let method = match method {
            "*" => Segment::One,
            name if is_identifier(name) => Segment::Literal(name.into()),
            _ => return Err(bad("the method is not a name")),
        };
        let segments = Box::new([Segment::Literal(service.into()), method]);
        Ok(Self { protocol: Protocol::Grpc, route: text.into(), segments, routed: false })
    }
}

fn not_http(text: &str, at: usize) -> Fault {
    if text.starts_with('/') {
        return Fault::new(Kind::BadMethod, at, format!("`{text}` has no method"))
            .hint(format!("write `* {text}` for every method"));
    }
    if text.contains('/') {
        return Fault::new(Kind::WrongProtocol, at, format!("`{text}` is not an HTTP operation"))
            .hint("`http` has `METHOD /path`; gRPC methods go to `grpc`");
    }
    Fault::new(Kind::BadTemplate, at, format!("`{text}` is not an HTTP operation"))
        .hint("write `METHOD /path` or `* /path`")
}

/// The method, or `None` for `*`. Tokens as in RFC 9110 §5.6.2; they are case-sensitive.
fn check_method(method: &str, at: usize) -> Result<Option<Box<str>>, Fault> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if method == "*" {
        return Ok(None);
    }
    if method.is_empty() || method.contains('*') || !method.bytes().all(token) {
        return Err(Fault::new(Kind::BadMethod, at, format!("`{method}` is not a method"))
            .hint("write a method as `GET`, one space and the path; `*` alone is every method"));
    }
    let upper = method.to_ascii_uppercase();
    if upper != method && STANDARD_METHODS.contains(&upper.as_str()) {
        return Err(Fault::new(
            Kind::BadMethod,
            at,
            format!("no request has the method `{method}`"),
        )
        .hint(format!("methods are case-sensitive: write `{upper}`")));
    }
    Ok(Some(method.into()))
}

fn path_segments(path: &str, at: usize) -> Result<Box<[Segment]>, Fault> {
    let bad = |why: &str| Fault::new(Kind::BadTemplate, at, format!("`{path}`: {why}"));
    let Some(rest) = path.strip_prefix('/') else {
        let one = path.trim_start();
        return Err(bad("a path begins with `/`").hint(if one.starts_with('/') {
            "write one space between method and path".to_owned()
        } else {
            format!("write it as `/{one}`")
        }));
    };
    if path.contains("//") {
        return Err(bad("a segment is empty").hint("only the last may be: a trailing slash"));
    }
    if path.contains(['?', '#']) {
        return Err(bad("a template has no query and no fragment").hint("write the path alone"));
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        let why = format!("`{}` matches no path", path.escape_debug());
        return Err(Fault::new(Kind::ImpossibleTemplate, at, why)
            .hint("paths with backslashes or control characters are refused before any rule"));
    }
    let segments = rest.split('/').map(|s| path_segment(s, path, at));
    let segments: Box<[Segment]> = segments.collect::<Result<_, _>>()?;
    if segments.len() > MAX_SEGMENTS {
        return Err(bad("too many segments").hint(format!("the bound is {MAX_SEGMENTS}")));
    }
    if segments.iter().filter(|s| **s == Segment::Many).count() > 1 {
        return Err(bad("more than one `{**}`").hint("write two entries, or `{name}` for one"));
    }
    Ok(segments)
}

fn path_segment(segment: &str, path: &str, at: usize) -> Result<Segment, Fault> {
    let bad = |why: &str| Fault::new(Kind::BadTemplate, at, format!("`{path}`: {why}"));
    if segment == "{**}" {
        return Ok(Segment::Many);
    }
    if segment.contains(['{', '}']) {
        let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        return match name {
            Some(name) if is_identifier(name) => Ok(Segment::One),
            _ => Err(bad(&format!("`{segment}` is not a whole segment in braces"))
                .hint("`{name}` is one segment, `{**}` one or more")),
        };
    }
    if segment.contains('*') {
        return Err(bad(&format!("`{segment}` has a `*`"))
            .hint("`{name}` is one segment, `{**}` one or more"));
    }
    if matches!(segment, "." | "..") {
        return Err(bad("a dot segment").hint("write the path that it resolves to"));
    }
    let escaped = |w: &[u8]| w[0] == b'%' && w[1..].iter().all(u8::is_ascii_hexdigit);
    if segment.as_bytes().windows(3).any(escaped) {
        return Err(bad("a percent escape").hint("templates are written decoded"));
    }
    if let Some(("" | "." | "..", _)) = segment.split_once(';') {
        let why = format!("`{path}` matches no path");
        return Err(Fault::new(Kind::ImpossibleTemplate, at, why)
            .hint(format!("a path with the segment `{segment}` is refused before any rule")));
    }
    Ok(Segment::Literal(segment.into()))
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
