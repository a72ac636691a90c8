//! A document's digest, announced in its first line.

use sha2::{Digest as _, Sha256};

use super::Policy;
use super::error::{Fault, PolicyErrorKind as Kind};

const MARK: &str = "meshguard:";
const KEY: &str = "sha256";
const WORDS: &str = "of what follows";
/// What some editors put before a text.
const BOM: char = '\u{feff}';

/// Returns a document's text with its digest in the first line, in TOML and YAML alike: `# meshguard: sha256=… of
/// what follows`, in hexadecimal, where *what follows* is every byte after that line. An earlier such line is
/// replaced.
///
/// A reader refuses a document that announces another digest than it has, so none that is half written is taken.
///
/// ```
/// use meshguard_core::policy::{Policy, PolicyErrorKind, announce};
/// let text = announce("mesh = \"shop.example\"\nversion = 1\n");
/// assert!(text.starts_with("# meshguard: sha256="));
/// assert!(text.parse::<Policy>().unwrap().announces_digest());
/// let half = text.strip_suffix("version = 1\n").unwrap();
/// assert_eq!(half.parse::<Policy>().unwrap_err().kind(), PolicyErrorKind::DigestDiffers);
/// ```
#[must_use]
pub fn announce(text: &str) -> String {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let body = match first_line(text) {
        (line, body) if statement(line).is_some() => body,
        _ => text,
    };
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let end = if first_line(body).0.ends_with('\r') { "\r\n" } else { "\n" };
    format!("# {MARK} {KEY}={digest} {WORDS}{end}{body}")
}

/// Whether a document announces its digest.
///
/// # Errors
/// An announcement that is malformed, that is not met, or that does not stand in the first line.
pub(super) fn announced(text: &str) -> Result<bool, Fault> {
    let start = if text.starts_with(BOM) { BOM.len_utf8() } else { 0 };
    let (line, body) = first_line(&text[start..]);
    let Some(said) = statement(line) else {
        return misplaced(text).map_or(Ok(false), Err);
    };
    let Some(digest) = digest(said) else {
        let message = "the first line announces no digest that is understood";
        return Err(Fault::new(Kind::BadAnnouncement, start, message)
            .hint(format!("`# {MARK} {KEY}=…`, with 64 hexadecimal digits and nothing else")));
    };
    if digest != <[u8; 32]>::from(Sha256::digest(body)) {
        let message = "the document is not the one whose digest its first line announces";
        return Err(Fault::new(Kind::DigestDiffers, start, message).hint(
            "is it half written, or was it changed? `meshguard policy digest` writes the line anew",
        ));
    }
    Ok(true)
}

/// A text's first line, and all that follows it.
fn first_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// What a line announces, if it is an announcement: `sha256=…`, or another hash and whatever follows.
fn statement(line: &str) -> Option<&str> {
    let said = line.strip_prefix('#')?.trim_start().strip_prefix(MARK)?.trim();
    let (key, _) = said.split_once('=')?;
    key.get(..3).is_some_and(|key| key.eq_ignore_ascii_case("sha")).then_some(said)
}

fn digest(said: &str) -> Option<[u8; 32]> {
    let (hex, words) = said.strip_prefix(KEY)?.strip_prefix('=')?.split_at_checked(64)?;
    if !matches!(words.trim(), "" | WORDS) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(digest)
}

/// An announcement among the comments at the beginning, behind the first line: it would be believed, and nothing
/// would be compared.
fn misplaced(text: &str) -> Option<Fault> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches(BOM).trim();
        if statement(trimmed).is_some() {
            let message = "a digest is announced in the first line alone";
            return Some(
                Fault::new(Kind::BadAnnouncement, at, message)
                    .hint("`meshguard policy digest` writes it there; remove this one"),
            );
        }
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            return None;
        }
        at += line.len();
    }
    None
}

/// What a document's text was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    digest: [u8; 32],
    announced: bool,
}

impl Origin {
    pub(super) fn of(text: &str) -> Result<Self, Fault> {
        Ok(Self { announced: announced(text)?, digest: Sha256::digest(text).into() })
    }
}

impl Policy {
    /// The SHA-256 of the document's text, all of it, as `sha256sum` prints it for its file; `None`
    /// where none is loaded.
    #[must_use]
    pub fn digest(&self) -> Option<&[u8; 32]> {
        self.origin.as_ref().map(|origin| &origin.digest)
    }

    /// Whether the document's first line [announces] its digest. It is met: a document that announces another one
    /// is not read.
    ///
    /// [announces]: announce
    #[must_use]
    pub fn announces_digest(&self) -> bool {
        self.origin.is_some_and(|origin| origin.announced)
    }
}
