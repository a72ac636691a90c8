//! Signed notes: text with Ed25519 signatures below it (c2sp.org/signed-note).

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// What stands between the text and the signatures, of which the first line feed is the text's.
const SPLIT: &str = "\n\n";
/// Signatures under one note that are looked at.
const MAX_SIGNATURES: usize = 16;
/// The algorithm byte of Ed25519 (RFC 8032) in keys and key ids.
const ED25519: u8 = 1;

/// Makes Ed25519 signatures (RFC 8032).
pub trait Signer {
    /// The public key.
    fn public_key(&self) -> [u8; 32];
    /// The signature of the message.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Checks Ed25519 signatures (RFC 8032).
pub trait Verifier {
    /// Whether `signature` is the key's for this message.
    fn verify(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;
}

/// A public key with the name that it signs under.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: [u8; 32],
}

/// A note, parsed; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<NoteSignature<'a>>,
}

/// One signature under a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature<'a> {
    /// Whose it says to be.
    pub name: &'a str,
    /// The first 4 bytes of the key's hash.
    pub id: [u8; 4],
    /// The signature.
    pub bytes: Vec<u8>,
}

/// Why bytes are not a note, or a note not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoteError {
    /// It is not UTF-8 (RFC 3629).
    Utf8,
    /// It holds a control character other than the line feed.
    Control,
    /// It does not end with a line feed.
    Unterminated,
    /// No empty line with signatures behind it ends the text, or the text is empty.
    Unsigned,
    /// A line that should be a signature is none.
    SignatureLine,
    /// More signatures than anybody needs.
    TooManySignatures,
    /// None of the signatures is by the key.
    NotByKey,
    /// A signature that names the key does not hold.
    BadSignature,
    /// A name is empty, or holds white space or a plus.
    Name,
    /// A verifier key's text is malformed, or its id is another key's.
    Key,
}

impl<'a> Note<'a> {
    /// Reads a note.
    ///
    /// # Errors
    /// Whatever is not exactly a note.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NoteError> {
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Utf8)?;
        if note.bytes().any(|b| b < b' ' && b != b'\n') {
            return Err(NoteError::Control);
        }
        let body = note.strip_suffix('\n').ok_or(NoteError::Unterminated)?;
        let split = body.rfind(SPLIT).ok_or(NoteError::Unsigned)?;
        let (text, below) = (&note[..=split], &body[split + SPLIT.len()..]);
        if text == "\n" || below.is_empty() {
            return Err(NoteError::Unsigned);
        }
        if below.split('\n').nth(MAX_SIGNATURES).is_some() {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = below.split('\n').map(NoteSignature::parse).collect::<Result<_, _>>()?;
        Ok(Self { text, signatures })
    }

    /// What is signed, with its last line feed.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The signatures, in their order.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature<'a>] {
        &self.signatures
    }

    /// Verifies that `key` signed the text. Signatures of others are ignored.
    ///
    /// # Errors
    /// There is none by the key, or one that does not hold.
    pub fn verify(&self, key: &VerifierKey, verifier: &dyn Verifier) -> Result<(), NoteError> {
        let id = key.id();
        let mut own = self.signatures.iter().filter(|s| s.name == key.name && s.id == id);
        let mut first = own.next().ok_or(NoteError::NotByKey).map(Some)?;
        while let Some(signature) = first {
            let bytes =
                signature.bytes.as_slice().try_into().map_err(|_| NoteError::BadSignature)?;
            if !verifier.verify(&key.key, self.text.as_bytes(), bytes) {
                return Err(NoteError::BadSignature);
            }
            first = own.next();
        }
        Ok(())
    }
}

impl<'a> NoteSignature<'a> {
    fn parse(line: &'a str) -> Result<Self, NoteError> {
        let line = line.strip_prefix("— ").ok_or(NoteError::SignatureLine)?;
        let (name, signature) = line.split_once(' ').ok_or(NoteError::SignatureLine)?;
        if !is_name(name) {
            return Err(NoteError::Name);
        }
        let decoded = STANDARD.decode(signature).map_err(|_| NoteError::SignatureLine)?;
        match decoded.split_first_chunk::<4>() {
            Some((id, bytes)) if !bytes.is_empty() => {
                Ok(Self { name, id: *id, bytes: bytes.to_vec() })
            }
            _ => Err(NoteError::SignatureLine),
        }
    }
}

/// Signs `text`, which must be a note's: not empty, with a line feed at its end, without other
/// control characters. The note has this one signature.
pub(super) fn sign(text: &str, name: &str, signer: &dyn Signer) -> String {
    let mut blob = key_id(name, &signer.public_key()).to_vec();
    blob.extend_from_slice(&signer.sign(text.as_bytes()));
    format!("{text}\n— {name} {}\n", STANDARD.encode(blob))
}

impl VerifierKey {
    /// An Ed25519 public key (RFC 8032 §5.1.5) under a name.
    ///
    /// # Errors
    /// The name is empty, or holds white space or a plus.
    pub fn new(name: impl Into<String>, key: [u8; 32]) -> Result<Self, NoteError> {
        let name = name.into();
        if is_name(&name) { Ok(Self { name, key }) } else { Err(NoteError::Name) }
    }

    /// Reads the text form, `name+id+key`: id in hexadecimal, key in base64 (RFC 4648 §4)
    /// behind the byte 1.
    ///
    /// # Errors
    /// Whatever is not exactly that.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (Some((&ED25519, key)), true) = (key.split_first(), is_name(name)) else {
            return Err(NoteError::Key);
        };
        let key = Self { name: name.into(), key: key.try_into().map_err(|_| NoteError::Key)? };
        if id != hex(&key.id()) {
            return Err(NoteError::Key);
        }
        Ok(key)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.key
    }

    /// `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key)[0..4]`.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, &self.key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.key);
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

fn key_id(name: &str, key: &[u8; 32]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key);
    let hash: [u8; 32] = hash.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// In lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "the note is not UTF-8",
            Self::Control => "the note holds a control character",
            Self::Unterminated => "the note does not end with a line feed",
            Self::Unsigned => "the note has no signatures",
            Self::SignatureLine => "a signature line is malformed",
            Self::TooManySignatures => "the note has too many signatures",
            Self::NotByKey => "the note is not signed by the key",
            Self::BadSignature => "the signature does not hold",
            Self::Name => "the key's name is empty, or holds white space or a plus",
            Self::Key => "the verifier key is malformed",
        })
    }
}

impl Error for NoteError {}
