//! Sets in words.

use super::bits::Bits;

/// The most entries of which a set is written out.
const MOST: usize = 32;

/// Names that together are `set`; what no name covers by itself is written as a name but others,
/// or, where that is not exact either, by an example.
pub(super) fn cover(
    set: &Bits,
    named: &[(&str, &Bits)],
    rest: &str,
    example: impl Fn(usize) -> String,
) -> Vec<String> {
    let mut inside: Vec<&(&str, &Bits)> =
        named.iter().filter(|(_, own)| !own.is_empty() && own.within(set)).collect();
    inside.sort_by_key(|(_, own)| std::cmp::Reverse(own.count()));
    let mut left = set.clone();
    let mut words = Vec::new();
    for (name, own) in inside {
        if own.meets(&left) {
            left = left.without(own);
            words.push((*name).to_owned());
        }
    }
    while let Some(class) = left.first() {
        if words.len() >= MOST {
            words.push(format!("and {} more kinds", left.count()));
            break;
        }
        let (word, own) = except(&left, set, named, class, rest);
        match word {
            Some(word) => words.push(word),
            None => words.push(format!("some as {}", example(class))),
        }
        left = left.without(&own);
    }
    words
}

/// The smallest name that has `class`, without the names that are not in `set` at all; and the
/// classes that this stands for.
fn except(
    left: &Bits,
    set: &Bits,
    named: &[(&str, &Bits)],
    class: usize,
    rest: &str,
) -> (Option<String>, Bits) {
    let around = named.iter().filter(|(_, own)| own.has(class)).min_by_key(|(_, own)| own.count());
    let Some((base, all)) = around else {
        // Of no name: what is left without any is one class.
        let single = named.iter().fold(left.clone(), |left, (_, own)| left.without(own));
        return (Some(rest.to_owned()), single);
    };
    let mut outside: Vec<&(&str, &Bits)> =
        named.iter().filter(|(_, own)| own.meets(all) && !own.meets(&set.and(all))).collect();
    outside.sort_by_key(|(_, own)| std::cmp::Reverse(own.and(all).count()));
    let mut kept = (*all).clone();
    let mut but = Vec::new();
    for (name, own) in outside {
        if own.meets(&kept) {
            kept = kept.without(own);
            but.push(*name);
        }
    }
    let exact = kept.within(set);
    if exact && but.len() <= MOST {
        return (Some(format!("{base} but {}", but.join(", "))), kept);
    }
    let both = |(name, own): &&(&str, &Bits)| {
        let both = own.and(all);
        (own.has(class) && both.within(set)).then(|| (format!("{name} and {base}"), both))
    };
    match named.iter().find_map(|name| both(&name)) {
        Some((word, both)) => (Some(word), both),
        None => (None, if exact { kept } else { (*all).and(set) }),
    }
}
