//! Patterns: of SPIFFE IDs, and of header values.

use super::error::{Fault, PolicyErrorKind as Kind};
use super::template::{MAX_SEGMENTS, Segment};
use crate::identity::{SpiffeId, TrustDomain};

/// A set of SPIFFE IDs of one trust domain: one, or all that a path's pattern matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    pub(super) domain: TrustDomain,
    /// Of the path. `*` is `One`, a final `**` is `Many`.
    pub(super) segments: Box<[Segment]>,
}

impl Pattern {
    /// `domains`: the mesh first, then those that it federates with.
    pub(super) fn parse(text: &str, domains: &[&TrustDomain], at: usize) -> Result<Self, Fault> {
        let mesh = domains.first().map_or("", |mesh| mesh.as_str());
        let bad = |why: &str| {
            Fault::new(Kind::BadPeer, at, format!("`{text}` is not a pattern of SPIFFE IDs: {why}"))
        };
        // A pattern is well-formed where it is an ID once its wildcards stand for something.
        let segments: Vec<&str> = text.split('/').collect();
        let filled = segments.iter().map(|s| if matches!(*s, "*" | "**") { "x" } else { s });
        let filled = filled.collect::<Vec<_>>().join("/");
        if segments.iter().any(|s| s.contains('*') && !matches!(*s, "*" | "**")) {
            return Err(bad("a `*` is a whole segment").hint("write `*` for one segment"));
        }
        if segments.iter().rev().skip(1).any(|s| *s == "**") {
            return Err(bad("`**` is not last").hint("write `*` for one segment"));
        }
        let id: SpiffeId = filled.parse().map_err(|e| {
            bad(&format!("{e}")).hint(format!("write `spiffe://{mesh}/ns/prod/sa/name`"))
        })?;
        let named = segments.get(2).copied().unwrap_or_default();
        let Some(domain) = domains.iter().find(|domain| domain.as_str() == named) else {
            return Err(Fault::new(Kind::ForeignPeer, at, format!("`{named}` is not this mesh"))
                .hint(format!("the mesh is `{mesh}`; `federates` names others")));
        };
        if id.path().is_empty() {
            return Err(bad("it names the trust domain, not a workload")
                .hint(format!("write `spiffe://{mesh}/**` for every workload")));
        }
        let segments: Box<[Segment]> = segments.iter().skip(3).map(|s| segment(s)).collect();
        if segments.len() > MAX_SEGMENTS {
            return Err(bad("too many segments").hint(format!("the bound is {MAX_SEGMENTS}")));
        }
        Ok(Self { text: text.into(), domain: (*domain).clone(), segments })
    }

    /// Whether it matches one ID only.
    pub(super) fn is_exact(&self) -> bool {
        self.segments.iter().all(|s| matches!(s, Segment::Literal(_)))
    }

    /// Whether some ID matches both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.domain == other.domain && overlap(&self.segments, &other.segments)
    }
}

fn segment(text: &str) -> Segment {
    match text {
        "*" => Segment::One,
        "**" => Segment::Many,
        literal => Segment::Literal(literal.into()),
    }
}

/// `Many` only stands last.
fn overlap(a: &[Segment], b: &[Segment]) -> bool {
    match (a, b) {
        ([], []) => true,
        ([Segment::Many], rest) | (rest, [Segment::Many]) => !rest.is_empty(),
        ([], _) | (_, []) => false,
        ([Segment::Literal(x), a @ ..], [Segment::Literal(y), b @ ..]) => x == y && overlap(a, b),
        ([_, a @ ..], [_, b @ ..]) => overlap(a, b),
    }
}

/// A pattern of a header's or claim's value: `*` matches any run of bytes, all else itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Box<str>);

impl Glob {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Goes back to the last `*` only, so that no value makes it slow.
    pub(super) fn matches(&self, value: &[u8]) -> bool {
        let glob = self.0.as_bytes();
        let (mut g, mut v) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while v < value.len() {
            if glob.get(g) == Some(&b'*') {
                star = Some((g, v));
                g += 1;
            } else if glob.get(g) == Some(&value[v]) {
                g += 1;
                v += 1;
            } else if let Some((at, taken)) = star {
                star = Some((at, taken + 1));
                g = at + 1;
                v = taken + 1;
            } else {
                return false;
            }
        }
        glob[g..].iter().all(|b| *b == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, &[&"a".parse().unwrap()], 0).unwrap()
    }

    #[test]
    fn a_glob_matches_the_whole_value() {
        for (glob, value, want) in [
            ("acme-*", "acme-1", true),
            ("acme-*", "acme-", true),
            ("acme-*", "xacme-1", false),
            ("acme", "acme1", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*-eu", "a-eu-eu", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("**a**", "bab", true),
            ("Acme", "acme", false),
        ] {
            assert_eq!(Glob::new(glob).matches(value.as_bytes()), want, "{glob} {value}");
        }
        assert!(Glob::new("a*").matches(b"a\xff"));
    }

    #[test]
    fn a_hostile_value_does_not_make_a_glob_slow() {
        let glob = Glob::new(&"*a".repeat(30));
        assert!(!glob.matches("a".repeat(20_000).replace("aa", "ab").as_bytes()));
    }

    #[test]
    fn patterns_overlap_where_one_id_matches_both() {
        for (x, y, want) in [
            ("spiffe://a/b", "spiffe://a/b", true),
            ("spiffe://a/b", "spiffe://a/c", false),
            ("spiffe://a/*", "spiffe://a/c", true),
            ("spiffe://a/*", "spiffe://a/c/d", false),
            ("spiffe://a/**", "spiffe://a/c/d", true),
            ("spiffe://a/c/**", "spiffe://a/c", false),
            ("spiffe://a/c/**", "spiffe://a/*/d", true),
            ("spiffe://a/c/**", "spiffe://a/d/**", false),
        ] {
            assert_eq!(pattern(x).overlaps(&pattern(y)), want, "{x} {y}");
            assert_eq!(pattern(y).overlaps(&pattern(x)), want, "{y} {x}");
        }
    }
}
