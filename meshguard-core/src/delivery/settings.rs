//! What both sides of a session tell each other before its first exchange.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::base::Cover;
use super::{MAX_MESSAGE, MAX_RECORD, MESSAGE, RECORD, Sid, Suite, WINDOW};

/// One side's settings: JSON, sent as the first application data of a session's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The session.
    pub sid: Sid,
    /// This process's life: a new one at each start. Visible ASCII, 1 to 64 characters.
    pub instance: String,
    /// The Ed25519 public key with which this instance signs epochs of its ledger.
    pub ledger_key: [u8; 32],
    /// Seqs that may be under way at a time.
    pub window: u64,
    /// The largest payload of one HTTP body record that this side takes, in bytes.
    pub record: usize,
    /// The longest gRPC message that this side takes, in bytes.
    pub message: usize,
    /// Further header fields that heads to this side must cover.
    pub cover: Cover,
    /// Whether this side takes records of several gRPC messages, of at most
    /// [`MAX_BATCH`](super::MAX_BATCH) bytes.
    pub batch: bool,
    /// Whether this side wants bodies sealed.
    pub seal: bool,
    /// The suite, which the receiver decides; absent in the sender's settings.
    pub suite: Option<Suite>,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not JSON, a member missing, unknown or of the wrong type.
    Syntax(String),
    /// A version other than 1.
    Version(u64),
    /// A sid other than the session's.
    Sid,
    /// An instance name that is not 1 to 64 characters of visible ASCII, or this instance's own.
    Instance,
    /// A ledger key that is not 32 bytes in base64url.
    LedgerKey,
    /// A window of 0 or above [`WINDOW`].
    Window(u64),
    /// A record size below 1 KiB or above [`MAX_RECORD`].
    Record(u64),
    /// A message limit of 0 or above [`MAX_MESSAGE`].
    Message(u64),
    /// A name to cover that is no field name, or more of them than [`Cover::MAX`].
    Cover,
    /// No suite from the receiver, one from the sender, an unknown one, or one that does not
    /// seal where either side wants that.
    Suite,
}

impl Settings {
    /// This side's settings with the protocol's own sizes.
    #[must_use]
    pub fn new(sid: Sid, instance: String, ledger_key: [u8; 32], cover: Cover, seal: bool) -> Self {
        Self {
            sid,
            instance,
            ledger_key,
            window: WINDOW,
            record: RECORD,
            message: MESSAGE,
            batch: true,
            cover,
            seal,
            suite: None,
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let wire = Wire {
            v: 1,
            sid: self.sid.to_string(),
            instance: self.instance.clone(),
            ledger_key: URL_SAFE_NO_PAD.encode(self.ledger_key),
            window: self.window,
            record: self.record as u64,
            message: self.message as u64,
            batch: self.batch,
            cover: self.cover.names().iter().map(|n| n.as_str().to_owned()).collect(),
            seal: self.seal,
            suite: self.suite.map(Suite::number),
        };
        // A struct of strings and numbers always has a JSON form.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads and checks the far side's settings, which must be for `sid` and not be ours.
    ///
    /// # Errors
    /// What was refused.
    pub fn parse(json: &[u8], sid: &Sid, own_instance: &str) -> Result<Self, SettingsError> {
        let wire: Wire =
            serde_json::from_slice(json).map_err(|e| SettingsError::Syntax(e.to_string()))?;
        if wire.v != 1 {
            return Err(SettingsError::Version(wire.v));
        }
        if Sid::parse(wire.sid.as_bytes()) != Some(*sid) {
            return Err(SettingsError::Sid);
        }
        if !is_instance(&wire.instance) || wire.instance == own_instance {
            return Err(SettingsError::Instance);
        }
        if !(1..=WINDOW).contains(&wire.window) {
            return Err(SettingsError::Window(wire.window));
        }
        let record = usize::try_from(wire.record).unwrap_or(usize::MAX);
        if !(1024..=MAX_RECORD).contains(&record) {
            return Err(SettingsError::Record(wire.record));
        }
        let message = usize::try_from(wire.message).unwrap_or(usize::MAX);
        if !(1..=MAX_MESSAGE).contains(&message) {
            return Err(SettingsError::Message(wire.message));
        }
        let suite = match wire.suite {
            None => None,
            Some(n) => Some(Suite::from_number(n).ok_or(SettingsError::Suite)?),
        };
        Ok(Self {
            sid: *sid,
            ledger_key: ledger_key(&wire.ledger_key)?,
            cover: cover(&wire.cover)?,
            instance: wire.instance,
            window: wire.window,
            record,
            message,
            batch: wire.batch,
            seal: wire.seal,
            suite,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u64,
    sid: String,
    instance: String,
    ledger_key: String,
    window: u64,
    record: u64,
    message: u64,
    #[serde(default)]
    batch: bool,
    cover: Vec<String>,
    seal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suite: Option<u8>,
}

/// Whether this names an instance: 1 to 64 characters of visible ASCII, `!` to `~`. The name goes
/// into edges, logs and ledgers.
fn is_instance(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn ledger_key(text: &str) -> Result<[u8; 32], SettingsError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SettingsError::LedgerKey)?;
    bytes.try_into().map_err(|_| SettingsError::LedgerKey)
}

fn cover(names: &[String]) -> Result<Cover, SettingsError> {
    if names.len() > Cover::MAX {
        return Err(SettingsError::Cover);
    }
    let parsed: Result<Vec<HeaderName>, _> =
        names.iter().map(|n| HeaderName::from_lowercase(n.as_bytes())).collect();
    parsed.map(Cover::new).map_err(|_| SettingsError::Cover)
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(e) => write!(f, "session settings are not understood: {e}"),
            Self::Version(v) => write!(f, "session settings of version {v}, not 1"),
            Self::Sid => f.write_str("session settings for another session"),
            Self::Instance => f.write_str("session settings of no instance, or of our own"),
            Self::LedgerKey => f.write_str("session settings with a malformed ledger key"),
            Self::Window(n) => write!(f, "session settings with a window of {n}"),
            Self::Record(n) => write!(f, "session settings with records of {n} bytes"),
            Self::Message(n) => write!(f, "session settings with messages of {n} bytes"),
            Self::Cover => f.write_str("session settings with a malformed list of fields to cover"),
            Self::Suite => f.write_str("session settings with a suite that is not acceptable"),
        }
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let cover = Cover::new([HeaderName::from_static("x-tenant")]);
        Settings::new(Sid::from_random([1; 16]), "a".into(), [2; 32], cover, true)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut sent = settings();
        for suite in [None, Some(Suite::SealBlake3)] {
            sent.suite = suite;
            sent.batch = suite.is_some();
            assert_eq!(
                Settings::parse(sent.to_json().as_bytes(), &sent.sid, "b"),
                Ok(sent.clone())
            );
        }
    }

    #[test]
    fn each_fault_is_named() {
        let sent = settings();
        let json = sent.to_json();
        let with = |from: &str, to: &str| {
            assert!(json.contains(from), "{from}");
            Settings::parse(json.replace(from, to).as_bytes(), &sent.sid, "b").unwrap_err()
        };
        assert_eq!(with("\"v\":1", "\"v\":2"), SettingsError::Version(2));
        assert_eq!(with("\"a\"", "\"b\""), SettingsError::Instance);
        assert_eq!(with("\"a\"", "\"\""), SettingsError::Instance);
        for name in ["a b", "a\\n", "\\u0000", "\\u007f", "\u{e9}", "\u{202e}", &"a".repeat(65)] {
            let named = format!("\"{name}\"");
            assert_eq!(with("\"a\"", &named), SettingsError::Instance, "{name:?}");
        }
        let longest = format!("\"{}\"", "~".repeat(64));
        let read = Settings::parse(json.replace("\"a\"", &longest).as_bytes(), &sent.sid, "b");
        assert!(read.is_ok());
        assert_eq!(with("4096", "4097"), SettingsError::Window(4097));
        assert_eq!(with("4096", "0"), SettingsError::Window(0));
        assert_eq!(with("16384", "1"), SettingsError::Record(1));
        assert_eq!(with("4194304", "0"), SettingsError::Message(0));
        let beyond = MAX_MESSAGE as u64 + 1;
        assert_eq!(with("4194304", &beyond.to_string()), SettingsError::Message(beyond));
        assert!(matches!(with(",\"message\":4194304", ""), SettingsError::Syntax(_)));
        assert_eq!(with("x-tenant", "X Tenant"), SettingsError::Cover);
        assert!(matches!(with("\"seal\"", "\"deal\""), SettingsError::Syntax(_)));
        assert!(matches!(with("{", "{\"x\":1,"), SettingsError::Syntax(_)));
        let other = Sid::from_random([9; 16]);
        assert_eq!(Settings::parse(json.as_bytes(), &other, "b"), Err(SettingsError::Sid));
    }
}
