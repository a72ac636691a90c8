//! The values of one claim. Of several values one must match, so any two conditions may hold
//! together: each is an axis of its own, which holds or does not.

use serde_json::{Map, Value};

use super::super::TooComplex;
use super::super::bits::Bits;
use super::super::globs::{self, Language};
use crate::access::{Access, OwnedAccess};
use crate::policy::decide::claim;
use crate::policy::model::ClaimCondition;
use crate::policy::pattern::Glob;

/// The axes of one claim.
#[derive(Debug)]
pub(in crate::policy::region) struct ClaimLines<'p> {
    conditions: Vec<&'p ClaimCondition>,
    /// Where the claim stands: the names of objects' members.
    place: Vec<String>,
    /// A value for each set of globs that one value matches, and which conditions it fulfils.
    values: Vec<(String, Vec<bool>)>,
}

impl<'p> ClaimLines<'p> {
    /// Of conditions on the claim of one name.
    pub(in crate::policy::region) fn new(
        conditions: Vec<&'p ClaimCondition>,
    ) -> Result<Self, TooComplex> {
        let name = conditions.first().map_or("", |condition| &condition.name);
        let place = match name.strip_prefix('/') {
            Some(path) => {
                path.split('/').map(|s| s.replace("~1", "/").replace("~0", "~")).collect()
            }
            None => vec![name.to_owned()],
        };
        let mut texts: Vec<&str> =
            conditions.iter().flat_map(|c| &c.any).map(Glob::as_str).collect();
        texts.sort_unstable();
        texts.dedup();
        let mut values: Vec<(String, Vec<bool>)> = Vec::new();
        for class in globs::classes(&texts, Language::Text)? {
            let holds =
                |c: &&ClaimCondition| c.any.iter().any(|glob| glob.matches(class.text.as_bytes()));
            let fulfils: Vec<bool> = conditions.iter().map(holds).collect();
            if !values.iter().any(|(_, known)| *known == fulfils) {
                values.push((class.text, fulfils));
            }
        }
        Ok(Self { conditions, place, values })
    }

    pub(in crate::policy::region) fn len(&self) -> usize {
        self.conditions.len()
    }

    /// The axis, among these, of a condition.
    pub(in crate::policy::region) fn axis(&self, condition: &ClaimCondition) -> Option<usize> {
        self.conditions.iter().position(|own| **own == *condition)
    }

    /// Whether two claims cannot have whatever values they like, because one stands inside of the
    /// other.
    pub(in crate::policy::region) fn entangled(&self, other: &Self) -> bool {
        self.place.iter().zip(&other.place).all(|(a, b)| a == b)
    }

    pub(in crate::policy::region) fn classes(
        &self,
        access: &Access<'_>,
    ) -> impl Iterator<Item = usize> {
        let claims = access.verified_claims();
        let holds = move |condition: &&ClaimCondition| {
            claims.is_some_and(|claims| claim(claims, condition) == Some(true))
        };
        self.conditions.iter().map(holds).map(usize::from)
    }

    /// Gives the access values that make each condition hold or not, as `set` of its axis says.
    /// Whether there are such values.
    pub(in crate::policy::region) fn stand<'s>(
        &self,
        set: impl Fn(usize) -> Option<&'s Bits>,
        access: &mut OwnedAccess,
    ) -> bool {
        let only = |axis: usize, class: usize| set(axis).is_some_and(|s| !s.has(1 - class));
        let free = |fulfils: &[bool]| !(0..).zip(fulfils).any(|(axis, f)| *f && only(axis, 0));
        let mut values: Vec<&str> = Vec::new();
        for axis in (0..self.len()).filter(|axis| only(*axis, 1)) {
            let fits = |(_, fulfils): &&(String, Vec<bool>)| fulfils[axis] && free(fulfils);
            let Some((text, _)) = self.values.iter().find(fits) else { return false };
            if !values.contains(&&**text) {
                values.push(text);
            }
        }
        if !values.is_empty() {
            let claims = access.claims.get_or_insert_with(|| Value::Object(Map::new()));
            put(claims, &self.place, &values);
        }
        true
    }

    pub(in crate::policy::region) fn words(&self, axis: usize, set: &Bits) -> Option<String> {
        let condition = self.conditions[axis];
        let any: Vec<&str> = condition.any.iter().map(Glob::as_str).collect();
        let any = any.join(" or ");
        match (set.has(1), set.has(0)) {
            (true, false) => Some(format!("claim {} has {any}", condition.name)),
            (false, true) => Some(format!("claim {} has not {any}", condition.name)),
            _ => None,
        }
    }
}

fn put(claims: &mut Value, place: &[String], values: &[&str]) {
    let (Value::Object(object), [first, rest @ ..]) = (claims, place) else { return };
    if rest.is_empty() {
        let plain = !values[0].contains(' ');
        let value = match values {
            [one] if plain => Value::from(*one),
            _ => values.iter().copied().collect::<Value>(),
        };
        object.insert(first.clone(), value);
        return;
    }
    let inner = object.entry(first.as_str()).or_insert_with(|| Value::Object(Map::new()));
    put(inner, rest, values);
}
