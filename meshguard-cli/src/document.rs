//! Files that are read, and written.

mod replace;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use meshguard_core::Policy;
use meshguard_core::policy::{MAX_DOCUMENT, Syntax, announce};

use crate::failure::Failure;

/// The policy in a file: YAML where its name ends so, else TOML.
pub(crate) fn policy(path: &Path) -> Result<Policy, Failure> {
    read(path, &text(path)?)
}

/// The policy that a file's text is.
pub(crate) fn read(path: &Path, text: &str) -> Result<Policy, Failure> {
    let syntax = Syntax::of_file(&path.to_string_lossy());
    Policy::read(text, syntax).map_err(|error| {
        let failure = Failure::policy(path, text, &error);
        match is_foreign(text) {
            true => failure.hint(
                "it is a resource of Kubernetes: `meshguard policy import istio` reads such ones",
            ),
            false => failure,
        }
    })
}

/// Another text of a policy, which announces its digest if the policy's own did.
pub(crate) fn announced_as(policy: &Policy, text: String) -> String {
    if policy.announces_digest() { announce(&text) } else { text }
}

/// Whether the text is of a resource of Kubernetes, as Istio's policies are.
fn is_foreign(text: &str) -> bool {
    let has = |key: &str| {
        text.lines().any(|line| line.trim_start_matches([' ', '{', '"']).starts_with(key))
    };
    has("apiVersion") && has("kind")
}

/// The text of a document, which is not longer than a policy may be. `-` is the standard input.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => {
            Failure::new("file", format!("{}: it is not a text in UTF-8", path.display()))
        }
        _ => Failure::file(path, &error),
    };
    // One byte more than may be there, so that a longer document is told from a whole one.
    let most = MAX_DOCUMENT as u64 + 1;
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    if read.map_err(failed)? > MAX_DOCUMENT {
        let message = format!("{}: it is too long", path.display());
        let bound = format!("a document has at most {MAX_DOCUMENT} bytes");
        return Err(Failure::new("file", message).hint(bound));
    }
    Ok(text)
}

/// Writes a text to a file, which is replaced as a whole: a service may follow it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    replace::replace(path, text).map_err(|error| Failure::file(path, &error))
}
