//! How much a rule lets through.

use std::fmt;

use crate::reflex::Rate;

/// `limit` of an allow rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many calls in how long.
    pub rate: Rate,
    /// How many at once; not 0.
    pub burst: u32,
    /// What has a count of its own.
    pub per: Per,
}

/// What a [`Limit`] counts by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Per {
    /// Each end-to-end caller.
    #[default]
    Caller,
    /// The rule, whoever calls.
    Rule,
}

super::words!(pub Per { Caller = "caller", Rule = "rule" });

/// `content` of an allow rule: what the body must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Values that the body, which is JSON, must have; without any it need not be JSON.
    pub json: Box<[Pointer]>,
    /// The longest body, in bytes.
    pub max_bytes: u64,
}

impl Content {
    /// The longest body that a `content` may allow, and what holds where it does not say: 1 MiB.
    pub const MAX_BYTES: u64 = 1 << 20;
}

/// A JSON Pointer (RFC 6901), well-formed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Box<str>);

impl Pointer {
    /// `None` where `text` is no pointer: it must be empty or begin with `/`, and `~` stands
    /// only in `~0` and `~1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let begins = text.is_empty() || text.starts_with('/');
        let mut after = text.split('~').skip(1);
        let escapes = after.all(|rest| rest.starts_with(['0', '1']));
        (begins && escapes).then(|| Self(text.into()))
    }

    /// As it stands in the document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `body` has the value.
    #[must_use]
    pub fn is_in(&self, body: &serde_json::Value) -> bool {
        body.pointer(&self.0).is_some()
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_as_rfc_6901_has_it() {
        let body =
            serde_json::json!({"id": 1, "items": [{"sku": null}], "a/b": 2, "m~n": 3, "": 4});
        for (text, there) in [
            ("", true),
            ("/id", true),
            ("/items/0/sku", true),
            ("/items/1/sku", false),
            ("/a~1b", true),
            ("/m~0n", true),
            ("/", true),
            ("/none", false),
        ] {
            let pointer = Pointer::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(pointer.is_in(&body), there, "{text}");
        }
        for text in ["id", "/a~", "/a~2b", "~0"] {
            assert_eq!(Pointer::parse(text), None, "{text}");
        }
    }
}
