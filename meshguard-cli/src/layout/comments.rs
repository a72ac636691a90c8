//! What stands between entries and values: comments, line breaks and white space.

/// What a comment or an empty line stands above.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Above {
    /// The first thing of the file.
    File,
    /// The first entry of a table.
    First,
    /// A further entry.
    Entry,
    /// A table's header.
    Header,
}

/// The lines above something: comments without indentation, and one empty line for any number.
pub(super) fn block(raw: &str, above: Above) -> String {
    // What follows the last line break is the indentation of what stands below.
    let whole = raw.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let all: Vec<&str> = match raw.contains('\n') {
        true => whole.split('\n').map(str::trim).collect(),
        false => Vec::new(),
    };
    let led = match above {
        Above::File | Above::First => false,
        Above::Entry => all.first().is_some_and(|line| line.is_empty()),
        // Comments right below a table's last entry belong to that, if an empty line follows.
        Above::Header => all.iter().all(|line| !line.is_empty()) || all[0].is_empty(),
    };
    let mut text = String::from(if led { "\n" } else { "" });
    let mut ended = true;
    for line in all {
        if !line.is_empty() || !ended {
            text.push_str(line);
            text.push('\n');
        }
        ended = line.is_empty();
    }
    text
}

/// A comment on the same line.
pub(super) fn trailing(raw: &str) -> String {
    match raw.trim() {
        "" => String::new(),
        comment => format!(" {comment}"),
    }
}

/// The comments between two values of a list that has a line for each: the first may stand
/// behind the value before.
pub(super) fn between(raw: &str, indent: &str) -> String {
    let mut text = String::new();
    for (at, line) in raw.split('\n').map(str::trim).enumerate() {
        if !line.is_empty() {
            text.push_str(if at == 0 { " " } else { "\n" });
            text.push_str(if at == 0 { "" } else { indent });
            text.push_str(line);
        }
    }
    text + "\n" + indent
}
