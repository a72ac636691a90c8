//! IDs that a policy names, found by a digest that an ID brings along.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use super::mixer::Unkeyed;
use crate::identity::{SpiffeId, digest};

/// What is known of each ID that a pattern names.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Name, Box<[u32]>, Unkeyed>);

impl Known {
    pub(super) fn insert(&mut self, text: &str, numbers: &[u32]) {
        let name = Name { text: text.into(), digest: digest(text.as_bytes()) };
        self.0.insert(name, numbers.into());
    }

    pub(super) fn get(&self, id: &SpiffeId) -> Option<&[u32]> {
        self.0.get(id as &dyn Digested).map(|numbers| &**numbers)
    }
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    digest: u64,
}

/// A text with its digest, owned or not.
trait Digested {
    fn text(&self) -> &str;
    fn digest(&self) -> u64;
}

impl Digested for Name {
    fn text(&self) -> &str {
        &self.text
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}

impl Digested for SpiffeId {
    fn text(&self) -> &str {
        self.as_str()
    }

    fn digest(&self) -> u64 {
        self.digest()
    }
}

impl<'a> Borrow<dyn Digested + 'a> for Name {
    fn borrow(&self) -> &(dyn Digested + 'a) {
        self
    }
}

impl Hash for dyn Digested + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest());
    }
}

impl PartialEq for dyn Digested + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest() && self.text() == other.text()
    }
}

impl Eq for dyn Digested + '_ {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self as &dyn Digested).hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        (self as &dyn Digested) == (other as &dyn Digested)
    }
}

impl Eq for Name {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_by_its_text_however_it_was_made() {
        const STATIC: &SpiffeId = &SpiffeId::from_static("spiffe://a/one");
        let mut known = Known::default();
        known.insert("spiffe://a/one", &[1, 7]);
        known.insert("spiffe://a/two", &[2]);
        let one: SpiffeId = "spiffe://a/one".parse().unwrap();
        assert_eq!(known.get(STATIC), Some(&[1, 7][..]));
        assert_eq!(known.get(&one), Some(&[1, 7][..]));
        assert_eq!(known.get(&"spiffe://a/three".parse().unwrap()), None);
    }
}
