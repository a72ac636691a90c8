//! Why documents were refused, and what was kept although it is not safe.

use std::fmt;

use crate::policy::PolicyError;

/// Why an import was refused: the first fault found, with its document and field.
///
/// ```
/// use meshguard_core::policy::istio::{ImportErrorKind, Workload, import};
/// let text = "
/// apiVersion: security.istio.io/v1
/// kind: AuthorizationPolicy
/// metadata: { name: p, namespace: shop }
/// spec: { rules: [{ to: [{ operation: { path: [/a] } }] }] }
/// ";
/// let error = import(text, &Workload::new("shop")).unwrap_err();
/// assert_eq!(error.kind(), ImportErrorKind::UnknownField);
/// assert_eq!(error.document(), "shop/p");
/// assert_eq!(error.field(), "spec.rules[0].to[0].operation.path");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportError {
    pub(super) kind: ImportErrorKind,
    pub(super) document: String,
    pub(super) field: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    index: Option<usize>,
}

impl ImportError {
    pub(super) fn new(
        kind: ImportErrorKind,
        document: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (document, field) = (document.into(), field.into());
        Self { kind, document, field, message: message.into(), hint: None, index: None }
    }

    pub(super) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// In which of the input's documents it is, if that is not known yet.
    pub(super) fn in_document(mut self, index: usize) -> Self {
        self.index = self.index.or(Some(index));
        self
    }

    /// The native document that an import wrote was refused.
    pub(super) fn refused(error: &PolicyError) -> Self {
        Self::new(ImportErrorKind::Document, "the imported document", "", error.to_string())
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn kind(&self) -> ImportErrorKind {
        self.kind
    }

    /// The document: `namespace/name`, or its number in the text, from 1, where it has no name.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }

    /// In which of the documents that were given it is, from 0; `None` where it is in none alone.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// The field, as `spec.rules[0].when[1].key`; empty where it is the document as a whole.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where and what, without the hint: `shop/p: spec.rules[0].from: it says nothing`.
    #[must_use]
    pub fn place_and_message(&self) -> String {
        Self { hint: None, ..self.clone() }.to_string()
    }

    /// What to write instead, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.document, &self.field)?;
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ImportError {}

/// The faults that documents can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImportErrorKind {
    /// The text is longer than a policy document may be, or has too many documents.
    TooLarge,
    /// Neither YAML nor JSON.
    Syntax,
    /// A kind that may decide on access and is not known here, or a misspelt one; a document that
    /// has none; an AuthorizationPolicy that is not of `security.istio.io/v1` or `/v1beta1`.
    WrongKind,
    /// No AuthorizationPolicy is for the workload, so that all would be allowed: most likely the
    /// wrong file was given, or the workload's namespace or labels are other ones. See
    /// [`Workload::allow_none`](super::Workload::allow_none).
    NothingInScope,
    /// A field that an AuthorizationPolicy does not have.
    UnknownField,
    /// A value of another type than the field wants.
    WrongType,
    /// A field that must be there is not.
    MissingField,
    /// A list or an object with nothing in it where that limits what a rule matches.
    Empty,
    /// A word that the field does not know.
    UnknownValue,
    /// A condition's key that upstream does not know.
    UnknownKey,
    /// A value that the key cannot have: no address, no port, no template.
    BadValue,
    /// Fields that exclude each other.
    Conflict,
    /// A policy that can never do anything: DENY or CUSTOM without rules.
    Meaningless,
    /// A CUSTOM policy whose provider has no decision here.
    Provider,
    /// What upstream knows and this mesh cannot keep.
    Unsupported,
    /// A rule's lists multiply to too many combinations, or all rules together are too many.
    TooManyRules,
    /// The workload's trust domain is not the name of one.
    TrustDomain,
    /// The native document that came of it was refused.
    Document,
}

/// What was imported with upstream's meaning although a reader should know more about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Of what kind.
    pub kind: WarningKind,
    /// The document, as `namespace/name`.
    pub document: String,
    /// The field; empty where it is the document as a whole.
    pub field: String,
    /// What to know.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.document, &self.field)?;
        f.write_str(&self.message)
    }
}

/// The kinds of [`Warning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// AUDIT decides nothing: the policy was left out.
    Audit,
    /// An allow rule that a caller without an identity satisfies, by having none of those named.
    AdmitsPlaintext,
    /// A deny rule that a caller without an identity evades.
    SparesPlaintext,
    /// A deny rule that a caller evades by leaving out a header or a token.
    SparesMissing,
    /// A deny rule by host that a port or a trailing dot evades.
    HostForms,
    /// A deny rule by path under a normalisation that backends may go beyond.
    WeakNormalization,
    /// A deny rule that, on TCP, was widened by ignoring what only HTTP has.
    WidenedOnTcp,
    /// An allow rule that was left out on TCP because it asks for what only HTTP has.
    DroppedOnTcp,
    /// A policy without rules, which matches nothing.
    NoRules,
    /// The value of the dry-run annotation is not a boolean: the policy is enforced.
    DryRun,
    /// The policy is shadowed: evaluated, and without effect.
    Shadowed,
    /// A CUSTOM policy stands for a fixed decision.
    Custom,
    /// The principal's trust domain is neither the mesh's nor an alias of it.
    ForeignTrustDomain,
    /// An empty list, which upstream reads as absent.
    EmptyList,
    /// An attribute that no access has here: it is always missing.
    AlwaysMissing,
    /// The policy is bound to a gateway or a service, and not to workloads by their labels.
    Targeted,
    /// Two policies of one name and namespace: both were kept.
    DuplicateName,
    /// A PeerAuthentication or a RequestAuthentication: what upstream would refuse by it is not
    /// refused by what is imported.
    Authentication,
}

fn place(f: &mut fmt::Formatter<'_>, document: &str, field: &str) -> fmt::Result {
    if !document.is_empty() {
        write!(f, "{document}: ")?;
    }
    if field.is_empty() { Ok(()) } else { write!(f, "{field}: ") }
}
