//! What a change of policy changes, proved.

mod change;
mod imported;
mod region;

use std::collections::HashSet;
use std::fmt;

pub use self::change::{EdgeChange, ObligationChange, RouteChange};
pub use self::region::Region;

use self::region::Find;
use super::model::{Document, Effect, Semantics};
use super::region::{Block, Scope, Space, TooComplex, Work};
use super::{Loaded, Policy};
use crate::access::Access;

/// How many pairs of regions may be compared for one answer, before it is left open.
const WORK: usize = 3_000_000;
/// As [`WORK`], for all answers of one comparison.
const ALL_WORK: usize = 200_000_000;

/// What one policy decides otherwise than another, region by region.
///
/// A region is a set of accesses that one allow rule lets through in one of the policies and that
/// the other policy denies; each has a witness. Outside of all regions, and of what was left
/// open, both policies have the same effect on every access. Regions may overlap.
///
/// ```
/// use meshguard_core::policy::{Effect, Policy, PolicyError};
///
/// let old: Policy = r#"
///     mesh = "shop.example"
///     version = 1
///     [peers]
///     batch = "spiffe://shop.example/ns/batch/sa/*"
///     [[allow]]
///     name = "batch-reads"
///     from = ["batch"]
///     http = ["GET /orders/{id}"]
/// "#.parse()?;
/// let new: Policy = r#"
///     mesh = "shop.example"
///     version = 2
///     [peers]
///     batch = "spiffe://shop.example/ns/batch/sa/*"
///     [[allow]]
///     name = "batch-reads"
///     from = ["batch"]
///     http = ["GET /orders/{**}"]
/// "#.parse()?;
///
/// let diff = old.diff(&new);
/// let [region] = diff.regions() else { panic!("one region") };
/// assert_eq!(region.becomes(), Effect::Allow);
/// assert_eq!(region.scope().operations, ["GET /orders/{**} but GET /orders/{id}"]);
/// let witness = region.witness().access();
/// assert!(!old.decide(&witness).is_allowed() && new.decide(&witness).is_allowed());
/// assert!(diff.is_complete());
/// # Ok::<(), PolicyError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Diff<'p> {
    space: Option<Space<'p>>,
    regions: Vec<Region<'p>>,
    edges: Vec<EdgeChange>,
    obligations: Vec<ObligationChange<'p>>,
    routes: Vec<RouteChange>,
    open: Vec<Open<'p>>,
}

impl Policy {
    /// What `new` decides otherwise than this policy.
    ///
    /// The work is bounded. Rules that overlap little, as those of most policies, take time in
    /// proportion to the product of how many there are on each side.
    pub fn diff<'p>(&'p self, new: &'p Self) -> Diff<'p> {
        let mut diff = Diff {
            space: None,
            regions: Vec::new(),
            edges: Vec::new(),
            obligations: Vec::new(),
            routes: Vec::new(),
            open: Vec::new(),
        };
        let loaded = [self, new].map(|policy| policy.loaded.as_ref());
        let documents: Vec<&Document> = loaded.iter().flatten().map(|l| &l.document).collect();
        if documents.iter().any(|document| document.semantics != Semantics::Native) {
            diff.open = imported::open(&documents);
            return diff;
        }
        match Space::new(&documents) {
            Ok(space) => {
                diff.change_of_routes(&space, self, new);
                diff.compare(space, loaded);
            }
            Err(why) => diff.open.push(Open::all(why)),
        }
        diff
    }
}

impl<'p> Diff<'p> {
    /// The regions that become allowed, then those that become denied, in the order of the rules
    /// that allow them.
    #[must_use]
    pub fn regions(&self) -> &[Region<'p>] {
        &self.regions
    }

    /// The regions that an access lies in.
    pub fn regions_of<'d>(&'d self, access: &Access<'_>) -> impl Iterator<Item = &'d Region<'p>> {
        let cell = self.space.as_ref().and_then(|space| space.cell(access));
        let has = move |region: &&Region<'p>| cell.as_ref().is_some_and(|cell| region.has(cell));
        self.regions.iter().filter(has)
    }

    /// Edges that deliver otherwise.
    #[must_use]
    pub fn edges(&self) -> &[EdgeChange] {
        &self.edges
    }

    /// What both policies allow, with other limits or other demands on the content.
    #[must_use]
    pub fn obligations(&self) -> &[ObligationChange<'p>] {
        &self.obligations
    }

    /// Operations of which the `[[route]]`s say something else.
    #[must_use]
    pub fn routes(&self) -> &[RouteChange] {
        &self.routes
    }

    /// What was not compared.
    #[must_use]
    pub fn open(&self) -> &[Open<'p>] {
        &self.open
    }

    /// Whether everything was compared.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether it is proved that nothing is decided or delivered otherwise, nor kept to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { space: _, regions, edges, obligations, routes, open } = self;
        let decided = regions.is_empty() && obligations.is_empty() && open.is_empty();
        decided && edges.is_empty() && routes.is_empty()
    }

    fn compare(&mut self, space: Space<'p>, [old, new]: [Option<&'p Loaded>; 2]) {
        let (old, new) = (Side::new(&space, old), Side::new(&space, new));
        let mut work = Work::new(WORK, ALL_WORK);
        for (becomes, allows, denies) in [(Effect::Allow, &new, &old), (Effect::Deny, &old, &new)] {
            self.allowed_in_one(&space, becomes, allows, denies, &mut work);
        }
        self.change_of_obligations(&space, &old, &new, &mut work);
        self.change_of_edges(&space, &old, &new, &mut work);
        self.space = Some(space);
    }

    /// What `allows` allows and `denies` does not: what its allow rules do not match, and what
    /// its deny rules match.
    fn allowed_in_one(
        &mut self,
        space: &Space<'p>,
        becomes: Effect,
        allows: &Side<'p>,
        denies: &Side<'p>,
        work: &mut Work,
    ) {
        let own_denies: Vec<_> = allows.deny.iter().collect();
        let others: Vec<_> = allows.deny.iter().chain(&denies.allow).collect();
        let (same_allows, same_denies) = (blocks(&denies.allow), blocks(&allows.deny));
        let unlike = |deny: &&Named<'p>| !deny.is_in(&allows.deny, &same_denies, work.begin());
        let unlike: Vec<&Named<'p>> = denies.deny.iter().filter(unlike).collect();
        for allow in &allows.allow {
            let find = |deny| Find { space, becomes, allow: allow.name, deny };
            if !allow.is_in(&denies.allow, &same_allows, work.begin()) {
                let found = find(None).region(&allow.block, &others, work.begin());
                self.add(becomes, allow, None, found);
            }
            if let Err(why) = work.begin().spend(unlike.len()) {
                self.add(becomes, allow, None, Err(why));
                continue;
            }
            for deny in &unlike {
                if let Some(both) = allow.block.meet(&deny.block) {
                    let deny = Some(deny.name);
                    let found = find(deny).region(&both, &own_denies, work.begin());
                    self.add(becomes, allow, deny, found);
                }
            }
        }
    }

    fn add(
        &mut self,
        becomes: Effect,
        allow: &Named<'p>,
        deny: Option<&'p str>,
        found: Result<Option<Region<'p>>, TooComplex>,
    ) {
        let (becomes, allow) = (Some(becomes), Some(allow.name));
        match found {
            Ok(region) => self.regions.extend(region),
            Err(why) => self.open.push(Open { becomes, allow, deny, why }),
        }
    }
}

fn blocks<'s>(rules: &'s [Named<'_>]) -> HashSet<&'s Block> {
    rules.iter().map(|rule| &rule.block).collect()
}

/// The enforced rules of one policy.
struct Side<'p> {
    loaded: Option<&'p Loaded>,
    allow: Vec<Named<'p>>,
    deny: Vec<Named<'p>>,
}

/// All that a rule matches.
struct Named<'p> {
    name: &'p str,
    rule: &'p super::model::Rule,
    block: Block,
}

impl<'p> Named<'p> {
    /// Whether one of these has all of it; `false` where that takes too much work to say.
    fn is_in(&self, others: &[Self], blocks: &HashSet<&Block>, work: &mut Work) -> bool {
        let within = || others.iter().any(|other| self.block.within(&other.block));
        blocks.contains(&self.block) || (work.spend(others.len()).is_ok() && within())
    }
}

impl<'p> Side<'p> {
    fn new(space: &Space<'_>, loaded: Option<&'p Loaded>) -> Self {
        let mut side = Self { loaded, allow: Vec::new(), deny: Vec::new() };
        for rule in loaded.iter().flat_map(|l| &l.document.rules).filter(|rule| !rule.shadow) {
            let document = loaded.map(|l| &l.document);
            let Some(block) = document.and_then(|document| space.rule(document, rule)) else {
                continue;
            };
            let named = Named { name: &rule.name, rule, block };
            match rule.effect {
                Effect::Allow => side.allow.push(named),
                Effect::Deny => side.deny.push(named),
            }
        }
        side
    }
}

/// Something that was not compared, because that takes more work than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Open<'p> {
    /// What it may become; `None`: either.
    pub becomes: Option<Effect>,
    /// The rule that allows it; `None`: any.
    pub allow: Option<&'p str>,
    /// The deny rule of the other policy, where the question is about one; without `allow`, of
    /// either.
    pub deny: Option<&'p str>,
    /// Why.
    pub why: TooComplex,
}

impl Open<'_> {
    fn all(why: TooComplex) -> Self {
        Self { becomes: None, allow: None, deny: None, why }
    }
}

impl fmt::Display for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.allow, self.deny) {
            (None, None) => write!(f, "nothing was compared: {}", self.why),
            (None, Some(rule)) => write!(f, "{rule} was not compared: {}", self.why),
            (Some(allow), None) => write!(f, "{allow} was not compared: {}", self.why),
            (Some(allow), Some(deny)) => {
                write!(f, "{allow} was not compared with {deny}: {}", self.why)
            }
        }
    }
}
