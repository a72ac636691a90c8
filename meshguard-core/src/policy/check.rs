//! What is wrong with a policy by itself, proved.

mod entries;
mod finding;
mod passes;

pub use self::finding::{Finding, FindingKind, Severity};

use self::passes::Checker;
use super::model::Semantics;
use super::region::{Space, TooComplex};
use super::{Loaded, Policy};

impl Policy {
    /// What is wrong with the policy by itself: rules that never decide, that contradict each
    /// other, or that nothing can fulfil. In the order of the kinds, then of the document.
    ///
    /// Each finding is proved by comparing all that the rules match: it carries an access for
    /// which it holds, or the names of the rules that together make it hold for every access.
    /// The work is bounded; what was not compared is a finding, too.
    ///
    /// ```
    /// use meshguard_core::policy::{FindingKind, Policy, PolicyError};
    /// let policy: Policy = r#"
    ///     mesh = "shop.example"
    ///     version = 1
    ///     [[allow]]
    ///     name = "read-all"
    ///     http = ["GET /orders/{**}"]
    ///     [[allow]]
    ///     name = "read-one"
    ///     http = ["GET /orders/{id}"]
    /// "#.parse()?;
    /// let findings = policy.check();
    /// assert_eq!(findings[0].kind(), FindingKind::Shadowed);
    /// assert_eq!(findings[0].rule(), "read-one");
    /// assert_eq!(findings[0].others(), ["read-all"]);
    /// # Ok::<(), PolicyError>(())
    /// ```
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let Some(loaded) = &self.loaded else { return Vec::new() };
        match check(loaded) {
            Ok(findings) => findings,
            Err(why) => vec![Finding::open("the document", why)],
        }
    }
}

fn check(loaded: &Loaded) -> Result<Vec<Finding>, TooComplex> {
    let document = &loaded.document;
    if document.semantics != Semantics::Native {
        return Err(TooComplex::Imported);
    }
    let space = Space::new(&[document])?;
    Ok(Checker::new(&space, document).run())
}
