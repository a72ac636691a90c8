//! Path templates of upstream: `{*}` and `{**}`.

/// The longest template, in bytes. Bounds the work for one byte of a path.
pub(crate) const MAX_TEMPLATE: usize = 1024;
/// One bit for each state; a template of [`MAX_TEMPLATE`] bytes has fewer items than bytes.
const WORDS: usize = MAX_TEMPLATE / 64 + 1;

const ONE: &str = "{*}";
const ANY: &str = "{**}";

/// A path template. `{*}` is one or more characters of a segment, `{**}` none or more of
/// several. Literal text may stand beside either, and either may stand more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    items: Box<[Item]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Byte(u8),
    /// One character of a segment.
    Segment,
    /// None or more of them.
    Segments,
    /// None or more, slashes included.
    Path,
}

impl Template {
    /// Whether a value is to be read as a template at all.
    pub(super) fn is_one(value: &str) -> bool {
        value.contains(ONE) || value.contains(ANY)
    }

    pub(super) fn parse(value: &str) -> Result<Self, String> {
        if value.len() > MAX_TEMPLATE {
            return Err(format!("the template has more than {MAX_TEMPLATE} bytes"));
        }
        let mut items = Vec::with_capacity(value.len());
        let mut rest = value;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(ONE) {
                items.extend([Item::Segment, Item::Segments]);
                rest = after;
            } else if let Some(after) = rest.strip_prefix(ANY) {
                items.push(Item::Path);
                rest = after;
            } else if first == '/' || (first.is_ascii() && is_literal(first as u8)) {
                items.push(Item::Byte(first as u8));
                rest = &rest[1..];
            } else {
                return Err(format!("a template cannot have `{}`", first.escape_debug()));
            }
        }
        if value.trim_matches('/').contains("//") {
            return Err("a template cannot have an empty segment".into());
        }
        Ok(Self { items: items.into() })
    }

    /// Follows all ways to match at once, so that no path makes it slow.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let mut now = States::default();
        now.enter(0, &self.items);
        for byte in path {
            let mut next = States::default();
            now.each(|at| match self.items.get(at) {
                Some(Item::Byte(b)) if b == byte => next.enter(at + 1, &self.items),
                Some(Item::Segment) if in_segment(*byte) => next.enter(at + 1, &self.items),
                Some(Item::Segments) if in_segment(*byte) => next.enter(at, &self.items),
                Some(Item::Path) if *byte == b'/' || in_segment(*byte) => {
                    next.enter(at, &self.items);
                }
                _ => {}
            });
            if next.is_empty() {
                return false;
            }
            now = next;
        }
        now.has(self.items.len())
    }
}

/// The places in a template up to which a path has matched.
#[derive(Clone, Copy, Default)]
struct States([u64; WORDS]);

impl States {
    /// With all that can be reached from there without a character.
    fn enter(&mut self, mut at: usize, items: &[Item]) {
        self.0[at / 64] |= 1 << (at % 64);
        while let Some(Item::Segments | Item::Path) = items.get(at) {
            at += 1;
            self.0[at / 64] |= 1 << (at % 64);
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn each(&self, mut visit: impl FnMut(usize)) {
        for (at, word) in self.0.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                visit(at * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}

/// What a path may have where an operator stands (RFC 3986 §3.3, with `*` and `=`).
fn in_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@*=".contains(&byte)
}

/// What a template may have beside its operators: no star outside of them.
fn is_literal(byte: u8) -> bool {
    byte != b'*' && in_segment(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_matches_as_upstreams_tests_have_it() {
        for (template, path, want) in [
            ("/allow/admin/{**}", "/allow/admin/", true),
            ("/allow/admin/{**}", "/allow/admin", false),
            ("/allow/admin/{**}", "/allow/admin/a/b.txt", true),
            ("/store/{**}/cart", "/store//cart", true),
            ("/store/{**}/cart", "/store/cart", false),
            ("/store/{**}/cart", "/store/a/b/cart", true),
            ("/foo/{*}/bar/{**}.txt", "/foo/a/bar/x/y.txt", true),
            ("/foo/{*}/bar/{**}.txt", "/foo/a/bar/.txt", true),
            ("/foo/{*}/bar/{**}.txt", "/foo//bar/x.txt", false),
            ("/foo/{*}/bar/{**}.txt", "/foo/bar/x.txt", false),
            ("/a/{*}/b", "/a/x/y/b", false),
            ("/a/{*}", "/a/x=*", true),
            ("/a/{*}", "/a/x\"", false),
            ("/a/{*}", "/a/é", false),
            ("/{**}/x/{*}/y", "/p/x/q/x/r/y", true),
            ("/{**}/x/{*}/y", "/p/x/q/x/r/s/y", false),
            ("{*}", "a", true),
            ("{*}", "", false),
            ("{**}", "", true),
        ] {
            let parsed = Template::parse(template).unwrap();
            assert_eq!(parsed.matches(path.as_bytes()), want, "{template} {path}");
        }
    }

    #[test]
    fn what_is_no_operator_is_refused() {
        for template in [
            "/{*}/foo/{}/bar",
            "/foo/{*}/bar/*",
            "/foo/{*}/bar/**/x",
            "/{*}/{name}",
            "/{*}/{name=*}",
            "/{*}/foo/{x",
            "/{*}/foo/x}/bar",
            "/{*}/foo/?abc",
            "/{*}//foo",
            "/{*}/é",
            "/{***}",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
        assert!(Template::parse(&"{**}".repeat(257)).is_err());
        assert!(Template::parse(&"{**}".repeat(256)).unwrap().matches(b"/a"));
        assert!(!Template::parse(&"a".repeat(1024)).unwrap().matches(b"a"));
    }

    #[test]
    fn a_hostile_path_does_not_make_a_template_slow() {
        let template = Template::parse(&"{**}a".repeat(100)).unwrap();
        assert!(!template.matches(format!("{}b", "a".repeat(20_000)).as_bytes()));
    }

    /// What a template means, one way after the other.
    fn reference(items: &[Item], path: &[u8]) -> bool {
        let Some((item, rest)) = items.split_first() else { return path.is_empty() };
        let first = path.first().copied();
        let skip = || path.get(1..).unwrap_or_default();
        match item {
            Item::Byte(byte) => first == Some(*byte) && reference(rest, skip()),
            Item::Segment => first.is_some_and(in_segment) && reference(rest, skip()),
            Item::Segments => {
                reference(rest, path) || first.is_some_and(in_segment) && reference(items, skip())
            }
            Item::Path => {
                let takes = |byte| byte == b'/' || in_segment(byte);
                reference(rest, path) || first.is_some_and(takes) && reference(items, skip())
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn all_ways_at_once_are_all_ways(
            template in r"(\{\*\}|\{\*\*\}|[ab/]){0,6}",
            path in "[ab/|]{0,8}",
        ) {
            if let Ok(template) = Template::parse(&template) {
                let want = reference(&template.items, path.as_bytes());
                proptest::prop_assert_eq!(template.matches(path.as_bytes()), want);
            }
        }
    }
}
