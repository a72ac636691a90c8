//! What of templates and rules a decision looks at first, packed closely: most decisions need
//! nothing else of them.

use crate::access::Operation;
use crate::policy::model::Rule;
use crate::policy::template::{Fit, Protocol, Template};

/// Which operations a template speaks of, its path apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Shape {
    kind: Kind,
    pub(in crate::policy) routed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Grpc,
    AnyMethod,
    Method(Verb),
    /// HTTP with a method that is not one of [`Verb`].
    OwnMethod,
}

/// What is asked for, its path apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Sought {
    Grpc,
    /// `None`: a method that is not one of [`Verb`].
    Http(Option<Verb>),
    Tcp,
}

/// The usual methods (RFC 9110 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Verb {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
}

impl Verb {
    fn of(method: &str) -> Option<Self> {
        Some(match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "OPTIONS" => Self::Options,
            _ => return None,
        })
    }
}

impl Sought {
    pub(in crate::policy) fn new(operation: Operation<'_>) -> Self {
        match operation {
            Operation::Grpc { .. } => Self::Grpc,
            Operation::Http { method, .. } => Self::Http(Verb::of(method)),
            Operation::Tcp => Self::Tcp,
        }
    }
}

impl Shape {
    pub(super) fn new(template: &Template) -> Self {
        let kind = match &template.protocol {
            Protocol::Grpc => Kind::Grpc,
            Protocol::Http(None) => Kind::AnyMethod,
            Protocol::Http(Some(method)) => Verb::of(method).map_or(Kind::OwnMethod, Kind::Method),
        };
        Self { kind, routed: template.routed }
    }

    /// As [`Template::fit`]; `own` answers where only the template can.
    #[inline]
    pub(in crate::policy) fn fit(
        self,
        sought: Sought,
        own: impl FnOnce() -> Option<Fit>,
    ) -> Option<Fit> {
        match (self.kind, sought) {
            (Kind::Grpc, Sought::Grpc) | (Kind::AnyMethod, Sought::Http(_)) => Some(Fit::Every),
            (Kind::Grpc, Sought::Http(_)) | (Kind::AnyMethod, Sought::Grpc) => Some(Fit::DenyOnly),
            (Kind::Method(Verb::Post), Sought::Grpc) => Some(Fit::DenyOnly),
            (Kind::Method(own), Sought::Http(Some(verb))) if own == verb => Some(Fit::Every),
            (Kind::Method(Verb::Get), Sought::Http(Some(Verb::Head))) => Some(Fit::DenyOnly),
            (Kind::OwnMethod, Sought::Http(None)) => own(),
            _ => None,
        }
    }
}

/// Whether a rule that is found under its key must be looked at: else it holds.
pub(super) fn is_conditional(rule: &Rule) -> bool {
    let when = &rule.when;
    rule.via.is_some()
        || when.asks_for_more()
        || when.direct.is_some()
        || when.source.is_some()
        || !when.terms.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_fits_what_its_template_fits() {
        let methods = [
            "*", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
            "PURGE",
        ];
        let http = methods.map(|method| Template::http(&format!("{method} /a"), 0).unwrap());
        let grpc = ["s.A/Get", "s.A/*"].map(|text| Template::grpc(text, 0).unwrap());
        for template in http.iter().chain(&grpc) {
            let shape = Shape::new(template);
            let asked = methods.iter().map(|method| Operation::Http { method, path: "/a" });
            let others = [
                Operation::Grpc { path: "/s.A/Get" },
                Operation::Tcp,
                Operation::Http { method: "get", path: "/a" },
            ];
            for operation in asked.chain(others) {
                let found = shape.fit(Sought::new(operation), || template.fit(operation));
                assert_eq!(found, template.fit(operation), "{template:?} {operation:?}");
            }
        }
        assert!(size_of::<Shape>() <= 2);
    }
}
