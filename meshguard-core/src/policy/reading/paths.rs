//! The readings of a path.

use crate::policy::model::Normalization;
use crate::policy::path::{self, PathError};
use crate::policy::term::{canonical, decode_slashes, escape, merge, resolve};

/// How often a server may decode again, at most, before the path is no honest one.
const MAX_DECODINGS: usize = 4;

/// One thing that a server may take a path for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) path: String,
    /// Whether its segments may differ from those of the path that upstream matches: then an
    /// allow rule must hold for it, too.
    pub(super) strict: bool,
}

/// All readings of a raw path, that of upstream among them.
pub(super) fn readings(raw: &str, normalization: Normalization) -> Result<Vec<Reading>, PathError> {
    let cut = raw.find(['?', '#']).map_or(raw, |end| &raw[..end]);
    let upstream = normalization.apply(cut)?.into_owned();
    let mut found = vec![Reading { path: upstream, strict: true }];
    if is_simple(cut) {
        unslashed(&mut found);
        return Ok(found);
    }
    if !cut.starts_with(['/', '\\']) {
        return Err(PathError::NotAbsolute);
    }
    let segments = canonical(&decode_slashes(cut));
    // Before anything is resolved: `..` must not take what is ambiguous with it.
    let decoded = path::decode(&segments)?;
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    check_parameters(&segments)?;
    check_parameters(&decoded)?;
    for path in [segments.clone(), resolve(&merge(&segments)), merge(&resolve(&segments))] {
        add(&mut found, path, true);
    }
    let mut spellings = vec![cut.to_owned(), segments];
    spellings.extend(decodings(decoded)?);
    for spelling in spellings {
        let stripped = without_parameters(&spelling);
        for path in [spelling, stripped] {
            for resolved in [merge(&resolve(&path)), resolve(&merge(&path))] {
                add(&mut found, undotted(&path, &resolved), false);
                add(&mut found, resolved, false);
            }
            add(&mut found, path, false);
        }
    }
    unslashed(&mut found);
    Ok(found)
}

/// A slash at the end is dropped by some servers.
fn unslashed(found: &mut Vec<Reading>) {
    for at in 0..found.len() {
        let bare = found[at].path.strip_suffix('/').filter(|bare| !bare.is_empty());
        if let Some(bare) = bare.map(ToOwned::to_owned) {
            add(found, bare, false);
        }
    }
}

fn add(found: &mut Vec<Reading>, path: String, strict: bool) {
    if !found.iter().any(|known| known.path == path) {
        found.push(Reading { path, strict });
    }
}

/// Whether everybody reads it as it stands.
fn is_simple(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,:=@/".contains(&b);
    path.starts_with('/')
        && path.bytes().all(plain)
        && path.as_bytes().windows(2).all(|w| w != b"//" && w != b"/.")
}

/// What hides a dot segment, or an empty one, behind parameters: nobody knows who resolves it.
fn check_parameters(segments: &str) -> Result<(), PathError> {
    let hides = |segment: &str| matches!(segment.split_once(';'), Some(("" | "." | "..", _)));
    if segments.split('/').any(hides) { Err(PathError::DotParameters) } else { Ok(()) }
}

/// A dot segment at the end leaves a slash there, or not.
fn undotted(segments: &str, resolved: &str) -> String {
    let dots = matches!(segments.rsplit('/').next(), Some("." | ".."));
    match resolved.strip_suffix('/') {
        Some(path) if dots && !path.is_empty() => path.to_owned(),
        _ => resolved.to_owned(),
    }
}

/// The path, and what is left of it each time that somebody decodes it once more.
fn decodings(decoded: String) -> Result<Vec<String>, PathError> {
    let mut all = vec![decoded];
    for _ in 0..MAX_DECODINGS {
        match all.last().and_then(|last| decode(last)) {
            Some(next) => all.push(next),
            None => return Ok(all),
        }
    }
    Err(PathError::DoubleEncoding)
}

/// `None`: there is nothing to decode.
pub(super) fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&bytes).into_owned();
    (decoded != path).then_some(decoded)
}

fn without_parameters(path: &str) -> String {
    let bare = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    path.split('/').map(bare).collect::<Vec<_>>().join("/")
}
