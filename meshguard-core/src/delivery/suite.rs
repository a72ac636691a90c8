//! How a session protects its bodies.

/// How bodies are protected, and how they are hashed. Agreed once for each session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Suite {
    /// AES-128-GCM, SHA-256 transcript: no hop reads the bodies.
    Seal = 1,
    /// HMAC-SHA256 tags, SHA-256 transcript: bodies stay readable.
    Mac = 2,
    /// AES-128-GCM, BLAKE3 transcript.
    SealBlake3 = 3,
    /// HMAC-SHA256 tags, BLAKE3 transcript.
    MacBlake3 = 4,
}

/// The hash of a suite's transcripts and payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256 (FIPS 180-4).
    #[default]
    Sha256,
    /// BLAKE3, 32 bytes of output.
    Blake3,
}

impl Suite {
    /// All suites, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Seal, Self::Mac, Self::SealBlake3, Self::MacBlake3];

    /// The suite that seals or not, with that hash.
    #[must_use]
    pub const fn of(seal: bool, hash: Hash) -> Self {
        match (seal, hash) {
            (true, Hash::Sha256) => Self::Seal,
            (false, Hash::Sha256) => Self::Mac,
            (true, Hash::Blake3) => Self::SealBlake3,
            (false, Hash::Blake3) => Self::MacBlake3,
        }
    }

    /// The suite of that number, if there is one.
    #[must_use]
    pub const fn from_number(n: u8) -> Option<Self> {
        match n {
            1 => Some(Self::Seal),
            2 => Some(Self::Mac),
            3 => Some(Self::SealBlake3),
            4 => Some(Self::MacBlake3),
            _ => None,
        }
    }

    /// The suite's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether bodies are encrypted between the two ends.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        matches!(self, Self::Seal | Self::SealBlake3)
    }

    /// The hash of transcripts and payloads.
    #[must_use]
    pub const fn hash(self) -> Hash {
        match self {
            Self::Seal | Self::Mac => Hash::Sha256,
            Self::SealBlake3 | Self::MacBlake3 => Hash::Blake3,
        }
    }
}
