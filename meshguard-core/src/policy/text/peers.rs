//! `[peers]`: names, and whether something refers to them.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::check_name;
use super::fields::{Fields, Text, text};
use crate::identity::TrustDomain;
use crate::policy::error::{Fault, PolicyErrorKind as Kind};
use crate::policy::model::{PatternId, Peers};
use crate::policy::pattern::Pattern;

pub(super) struct PeerNames<'d> {
    names: BTreeMap<&'d str, Peer>,
    pub(super) patterns: Vec<Pattern>,
    /// Of each pattern, the first name.
    pub(super) called: Vec<Box<str>>,
}

struct Peer {
    at: usize,
    pattern: PatternId,
    used: Cell<bool>,
}

impl<'d> PeerNames<'d> {
    /// `domains`: the mesh, and those that it federates with.
    pub(super) fn read(table: Option<Fields<'d>>, domains: &[&TrustDomain]) -> Result<Self, Fault> {
        let mut peers = Self { names: BTreeMap::new(), patterns: Vec::new(), called: Vec::new() };
        let mut ids: BTreeMap<&str, PatternId> = BTreeMap::new();
        for (name, value) in table.iter().flat_map(Fields::entries) {
            check_name(name.value, name.at)?;
            let value = text(name.value, value)?;
            let next = number(peers.patterns.len(), value.at)?;
            let pattern = *ids.entry(value.value).or_insert(next);
            if pattern == next {
                peers.patterns.push(Pattern::parse(value.value, domains, value.at)?);
                peers.called.push(name.value.into());
            }
            let peer = Peer { at: name.at, pattern, used: Cell::new(false) };
            peers.names.insert(name.value, peer);
        }
        Ok(peers)
    }

    /// The peers that a key names, where it is there.
    pub(super) fn list(&self, fields: &Fields<'d>, key: &str) -> Result<Peers, Fault> {
        let Some(names) = fields.texts(key)? else { return Ok(None) };
        let mut ids = names.value.iter().map(|n| self.find(n)).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        Ok(Some(ids.into()))
    }

    /// As `list`, of a key that limits what a rule matches.
    pub(super) fn limit(&self, fields: &Fields<'d>, key: &str) -> Result<Peers, Fault> {
        if let Some(names) = fields.texts(key)?.filter(|n| n.value.is_empty()) {
            return Err(empty_list(key, names.at));
        }
        self.list(fields, key)
    }

    fn find(&self, name: &Text<'_>) -> Result<PatternId, Fault> {
        let Some(peer) = self.names.get(name.value) else {
            let message = format!("no peer is called `{}`", name.value.escape_debug());
            return Err(Fault::new(Kind::UnknownPeer, name.at, message).suggest(
                name.value,
                self.names.keys().copied(),
                "add it to [peers]",
            ));
        };
        peer.used.set(true);
        Ok(peer.pattern)
    }

    pub(super) fn all_used(&self) -> Result<(), Fault> {
        let unused = self.names.iter().filter(|(_, peer)| !peer.used.get());
        let Some((name, peer)) = unused.min_by_key(|(_, peer)| peer.at) else { return Ok(()) };
        Err(Fault::new(Kind::UnusedPeer, peer.at, format!("nothing refers to the peer `{name}`"))
            .hint("use it in a rule or remove it"))
    }
}

pub(super) fn empty_list(key: &str, at: usize) -> Fault {
    Fault::new(Kind::EmptyList, at, format!("`{key}` is empty: the rule would match nothing"))
        .hint(format!("remove `{key}` to match all, or the rule"))
}

/// A count as an index. A document's bound keeps it far below `u32::MAX`.
pub(super) fn number(count: usize, at: usize) -> Result<u32, Fault> {
    u32::try_from(count).map_err(|_| Fault::new(Kind::TooLarge, at, "too many entries"))
}
