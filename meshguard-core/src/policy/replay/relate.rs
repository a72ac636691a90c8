//! How the paths of two templates relate.

use crate::policy::template::Segment;

/// One segment of a path that stands for many: what matches it matches all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'s> {
    Text(&'s str),
    /// A text that no template names.
    Fresh,
}

/// Whether every path that `inner` matches is one that `outer` matches.
///
/// A segment that `inner` leaves open stands for a text that `outer` does not name, and a `{**}`
/// for so many of them, one more than `outer` is long, that only a `{**}` can take more.
pub(super) fn covers(outer: &[Segment], inner: &[Segment]) -> bool {
    let Some(many) = inner.iter().position(|s| *s == Segment::Many) else {
        return matches(outer, &inner.iter().map(part).collect::<Vec<_>>());
    };
    let last = many + 1 == inner.len();
    (1..=outer.len() + 2).all(|count| {
        let mut parts: Vec<Part<'_>> = inner[..many].iter().map(part).collect();
        parts.extend((0..count).map(|_| Part::Fresh));
        parts.extend(inner[many + 1..].iter().map(part));
        let whole = matches(outer, &parts);
        // The last segment of a `{**}` at the end may be empty.
        if let Some(end) = parts.last_mut().filter(|_| last) {
            *end = Part::Text("");
        }
        whole && matches(outer, &parts)
    })
}

fn part(segment: &Segment) -> Part<'_> {
    match segment {
        Segment::Literal(text) => Part::Text(text),
        Segment::One | Segment::Many => Part::Fresh,
    }
}

fn matches(template: &[Segment], parts: &[Part<'_>]) -> bool {
    match (template, parts) {
        ([], []) => true,
        ([Segment::Literal(text), template @ ..], [part, parts @ ..]) => {
            *part == Part::Text(text) && matches(template, parts)
        }
        ([Segment::One, template @ ..], [part, parts @ ..]) => {
            *part != Part::Text("") && matches(template, parts)
        }
        ([Segment::Many, template @ ..], [_, ..]) => {
            (1..=parts.len()).any(|taken| matches(template, &parts[taken..]))
        }
        _ => false,
    }
}

/// Whether some path is matched by both.
pub(super) fn overlap(a: &[Segment], b: &[Segment]) -> bool {
    let (Some((x, a_rest)), Some((y, b_rest))) = (a.split_first(), b.split_first()) else {
        return a.is_empty() && b.is_empty();
    };
    let meet = match (x, y) {
        (Segment::Literal(x), Segment::Literal(y)) => x == y,
        (Segment::Literal(text), Segment::One) | (Segment::One, Segment::Literal(text)) => {
            !text.is_empty()
        }
        _ => true,
    };
    // A `{**}` takes this segment, and is done or goes on.
    let (x, y) = (*x == Segment::Many, *y == Segment::Many);
    meet && (overlap(a_rest, b_rest) || (x && overlap(a, b_rest)) || (y && overlap(a_rest, b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::template::Template;

    fn segments(path: &str) -> Box<[Segment]> {
        Template::http(&format!("GET {path}"), 0).unwrap().segments
    }

    #[test]
    fn templates_relate_as_the_paths_that_they_match() {
        // Whether the first covers the second, the second the first, and whether they overlap.
        for (a, b, want) in [
            ("/a", "/a", (true, true, true)),
            ("/a", "/b", (false, false, false)),
            ("/{id}", "/a", (true, false, true)),
            ("/{id}", "/", (false, false, false)),
            ("/{**}", "/", (true, false, true)),
            ("/{**}", "/a/b", (true, false, true)),
            ("/{**}", "/{id}", (true, false, true)),
            ("/a/{**}", "/a", (false, false, false)),
            ("/a/{**}", "/a/", (true, false, true)),
            ("/a/{**}", "/{**}", (false, true, true)),
            ("/a/{**}/z", "/{x}/{y}/{z}", (false, false, true)),
            ("/{**}/z", "/a/{**}", (false, false, true)),
            ("/{**}/z", "/a/{**}/z", (true, false, true)),
            ("/{**}/z", "/z", (false, false, false)),
            ("/{a}/{**}", "/{**}/{b}", (true, false, true)),
            ("/{**}/a", "/{**}/b", (false, false, false)),
            ("/a/{x}", "/{y}/b", (false, false, true)),
            ("/a/", "/a/{x}", (false, false, false)),
        ] {
            let (x, y) = (segments(a), segments(b));
            assert_eq!((covers(&x, &y), covers(&y, &x), overlap(&x, &y)), want, "{a} {b}");
            assert_eq!(overlap(&y, &x), want.2, "{b} {a}");
        }
    }
}
