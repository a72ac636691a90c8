//! What a check finds.

use std::fmt;

use super::super::region::TooComplex;
use crate::access::OwnedAccess;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; often meant so.
    Note,
    /// Something has no effect.
    Warning,
    /// The document contradicts itself.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// No access fulfils all that the rule asks for.
    Unsatisfiable,
    /// An allow rule that never allows: deny rules match all that it matches.
    Unreachable,
    /// An expectation of calls, all of which are denied.
    ExpectationDenied,
    /// A rule that never decides: all that it matches is decided by earlier rules of its effect,
    /// or denied.
    Shadowed,
    /// A rule that could be removed: others of its effect, with the same obligations, match all
    /// that it decides.
    Redundant,
    /// One entry of a rule's lists that never decides: the rule's other entries or earlier rules
    /// match all that it does, see [`Finding::entry`].
    DeadEntry,
    /// A delivery rule that never counts: earlier ones match all of its edges.
    DeadDelivery,
    /// A hop through which no call is allowed.
    UnusedHop,
    /// A deny rule that cuts into allow rules.
    Overlap,
    /// It was not compared, see [`Finding::why`].
    Open,
}

impl FindingKind {
    /// How much it matters.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Unsatisfiable | Self::Unreachable | Self::ExpectationDenied => Severity::Error,
            Self::Shadowed
            | Self::DeadEntry
            | Self::DeadDelivery
            | Self::UnusedHop
            | Self::Open => Severity::Warning,
            Self::Redundant | Self::Overlap => Severity::Note,
        }
    }

    /// A word for it, as commands print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsatisfiable => "unsatisfiable",
            Self::Unreachable => "unreachable",
            Self::ExpectationDenied => "expectation-denied",
            Self::Shadowed => "shadowed",
            Self::Redundant => "redundant",
            Self::DeadEntry => "dead-entry",
            Self::DeadDelivery => "dead-delivery",
            Self::UnusedHop => "unused-hop",
            Self::Overlap => "overlap",
            Self::Open => "open",
        }
    }
}

/// Something that is wrong with a policy, with its proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub(super) kind: FindingKind,
    pub(super) rule: String,
    pub(super) entry: Option<String>,
    pub(super) others: Vec<String>,
    pub(super) witness: Option<OwnedAccess>,
    pub(super) why: Option<TooComplex>,
}

impl Finding {
    pub(super) fn proved(kind: FindingKind, rule: &str, others: Vec<String>) -> Self {
        Self { kind, rule: rule.to_owned(), entry: None, others, witness: None, why: None }
    }

    pub(super) fn open(rule: &str, why: TooComplex) -> Self {
        Self { why: Some(why), ..Self::proved(FindingKind::Open, rule, Vec::new()) }
    }

    /// What was found.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// What it is about: the name of a rule, an expectation or a hop's pattern; `delivery 2` for
    /// the second delivery rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Of a [`DeadEntry`](FindingKind::DeadEntry), the operation, or the key and the peer's pattern.
    #[must_use]
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// The proof: the rules that together match all that this one does. Of an
    /// [`Overlap`](FindingKind::Overlap), the allow rules that it cuts into.
    #[must_use]
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// Of an [`Overlap`](FindingKind::Overlap), an access that both kinds of rules match.
    #[must_use]
    pub fn witness(&self) -> Option<&OwnedAccess> {
        self.witness.as_ref()
    }

    /// Why it is [`Open`](FindingKind::Open).
    #[must_use]
    pub fn why(&self) -> Option<TooComplex> {
        self.why
    }
}

/// `shadowed: all that read-one matches is decided by read-all`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, others) = (&self.rule, self.others.join(" or "));
        write!(f, "{}: ", self.kind.as_str())?;
        match self.kind {
            FindingKind::Unsatisfiable => write!(f, "no access fulfils all that {rule} asks for"),
            FindingKind::Unreachable => write!(f, "all that {rule} allows is denied by {others}"),
            FindingKind::ExpectationDenied if others.is_empty() => {
                write!(f, "no rule allows what {rule} expects")
            }
            FindingKind::ExpectationDenied => {
                write!(f, "all that {rule} expects, and a rule allows, is denied by {others}")
            }
            FindingKind::Shadowed => {
                write!(f, "all that {rule} matches is decided by {others}")
            }
            FindingKind::Redundant => write!(f, "without {rule}, {others} would decide the same"),
            FindingKind::DeadEntry => {
                let entry = self.entry.as_deref().unwrap_or_default();
                write!(f, "all that {rule} matches by {entry} is decided by {others}")
            }
            FindingKind::DeadDelivery => write!(f, "all edges of {rule} are those of {others}"),
            FindingKind::UnusedHop => write!(f, "no call through {rule} is allowed"),
            FindingKind::Overlap => write!(f, "{rule} denies a part of what {others} allows"),
            FindingKind::Open => match self.why {
                Some(why) => write!(f, "{rule} was not compared: {why}"),
                None => write!(f, "{rule} was not compared"),
            },
        }?;
        match &self.witness {
            Some(witness) => write!(f, ", as {witness}"),
            None => Ok(()),
        }
    }
}
