//! Defects that tests put into the algebra, to see that they are found.

use std::cell::Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Defect {
    /// A piece that lies outside on the last axis only is forgotten.
    ForgetsPiece,
    /// What goes beyond on two axes is cut on the first.
    CutsTooMuch,
    /// Nothing is ever covered.
    CoversNothing,
    /// No text is looked at that no pattern names.
    KnowsNoOther,
    /// A deny rule that names its callee does not speak of an unknown one.
    SparesUnknown,
    /// The method `HEAD` is not told from others.
    ForgetsHead,
    /// Of several values of a header only one is thought of.
    OneValue,
    /// What is just as trusted as needed is not enough.
    TrustAbove,
}

thread_local! {
    static SEEDED: Cell<Option<Defect>> = const { Cell::new(None) };
}

pub(super) fn seeded() -> Option<Defect> {
    SEEDED.get()
}

/// Runs `test` with the defect.
pub(in crate::policy) fn with<T>(defect: Defect, test: impl FnOnce() -> T) -> T {
    SEEDED.set(Some(defect));
    let result = test();
    SEEDED.set(None);
    result
}
