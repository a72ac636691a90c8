//! Evidence, trust, proofs and source addresses: what a handful of values tells apart.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::bits::Bits;
use crate::access::{Access, Evidence, OwnedAccess, Proofs};
use crate::policy::model::ProofNeed;

pub(in crate::policy::region) const EVIDENCE: [Evidence; 4] =
    [Evidence::None, Evidence::Length, Evidence::Digest, Evidence::Verified];

/// What a token may be bound by.
pub(in crate::policy::region) const PROOFS: [Proofs; 4] = [
    Proofs { dpop: false, certificate: false },
    Proofs { dpop: true, certificate: false },
    Proofs { dpop: false, certificate: true },
    Proofs { dpop: true, certificate: true },
];

pub(in crate::policy::region) fn evidence_words(set: &Bits) -> String {
    match (set.first(), set.count()) {
        (Some(first), count) if first + count == EVIDENCE.len() => {
            format!("evidence at least {}", EVIDENCE[first])
        }
        _ => format!("evidence {}", joined(set.iter().map(|class| EVIDENCE[class]))),
    }
}

pub(in crate::policy::region) fn proof_words(set: &Bits) -> String {
    let word = |class: usize| match PROOFS[class] {
        Proofs { dpop: true, certificate: true } => "both",
        Proofs { dpop: true, .. } => ProofNeed::Dpop.as_str(),
        Proofs { certificate: true, .. } => ProofNeed::Certificate.as_str(),
        Proofs { .. } => "none",
    };
    format!("proof {}", joined(set.iter().map(word)))
}

/// Trust: not known, or from one threshold to the next.
#[derive(Debug)]
pub(in crate::policy::region) struct TrustLine {
    /// Where a class begins, rising from 0.
    from: Vec<f32>,
}

impl TrustLine {
    pub(in crate::policy::region) fn new(thresholds: impl IntoIterator<Item = f32>) -> Self {
        let mut from: Vec<f32> = std::iter::once(0.0).chain(thresholds).collect();
        from.sort_by(f32::total_cmp);
        from.dedup();
        Self { from }
    }

    pub(in crate::policy::region) fn len(&self) -> usize {
        1 + self.from.len()
    }

    pub(in crate::policy::region) fn at_least(&self, needs: f32) -> Bits {
        let least = if defect!(TrustAbove) { needs + f32::EPSILON } else { needs };
        Bits::of(self.len(), |class| class > 0 && self.from[class - 1] >= least)
    }

    pub(in crate::policy::region) fn class(&self, access: &Access<'_>) -> usize {
        let has = access.trusted();
        has.map_or(0, |has| self.from.iter().filter(|from| has >= **from).count())
    }

    pub(in crate::policy::region) fn stand(&self, class: usize, access: &mut OwnedAccess) {
        access.trust = class.checked_sub(1).map(|at| self.from[at]);
    }

    pub(in crate::policy::region) fn words(&self, set: &Bits) -> String {
        let mut words = Vec::new();
        let mut classes = set.iter().peekable();
        while let Some(first) = classes.next() {
            let mut last = first;
            while let Some(next) = classes.next_if(|next| first > 0 && *next == last + 1) {
                last = next;
            }
            words.push(match (first, self.from.get(last)) {
                (0, _) => "not known".to_owned(),
                (_, None) => format!("at least {}", self.from[first - 1]),
                (_, Some(end)) => format!("from {} to below {end}", self.from[first - 1]),
            });
        }
        format!("trust {}", words.join(" or "))
    }
}

/// Source addresses: not known, or by the networks that have them.
#[derive(Debug)]
pub(in crate::policy::region) struct SourceLine {
    nets: Vec<IpNet>,
    /// Of each class but the first: an address, and which networks have it.
    classes: Vec<(IpAddr, Vec<bool>)>,
}

impl SourceLine {
    pub(in crate::policy::region) fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let mut nets: Vec<IpNet> = nets.into_iter().collect();
        nets.sort();
        nets.dedup();
        // Which networks have an address changes only where one of them begins or has ended.
        let zero = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let edges = nets.iter().flat_map(|net| [Some(net.network()), after(net)]).flatten();
        let mut line = Self { nets: nets.clone(), classes: Vec::new() };
        for address in zero.into_iter().chain(edges) {
            let within = line.within(address);
            if !line.classes.iter().any(|(_, known)| *known == within) {
                line.classes.push((address, within));
            }
        }
        line
    }

    fn within(&self, address: IpAddr) -> Vec<bool> {
        self.nets.iter().map(|net| net.contains(&address)).collect()
    }

    pub(in crate::policy::region) fn len(&self) -> usize {
        1 + self.classes.len()
    }

    /// `unknown`: whether an address that is not known is in.
    pub(in crate::policy::region) fn any(&self, nets: &[IpNet], unknown: bool) -> Bits {
        Bits::of(self.len(), |class| match class.checked_sub(1) {
            None => unknown,
            Some(at) => nets.iter().any(|net| net.contains(&self.classes[at].0)),
        })
    }

    pub(in crate::policy::region) fn class(&self, access: &Access<'_>) -> Option<usize> {
        let Some(address) = access.source_ip() else { return Some(0) };
        let within = self.within(address);
        self.classes.iter().position(|(_, known)| *known == within).map(|at| at + 1)
    }

    pub(in crate::policy::region) fn stand(&self, class: usize, access: &mut OwnedAccess) {
        access.source = class.checked_sub(1).map(|at| self.classes[at].0);
    }

    pub(in crate::policy::region) fn words(&self, set: &Bits) -> String {
        let word = |class: usize| {
            let Some(at) = class.checked_sub(1) else { return "not known".to_owned() };
            let (_, within) = &self.classes[at];
            let own = self.nets.iter().zip(within).filter(|(_, within)| **within);
            match own.max_by_key(|(net, _)| net.prefix_len()) {
                Some((net, _)) => net.to_string(),
                None => "of no network that is named".to_owned(),
            }
        };
        format!("source {}", joined(set.iter().map(word)))
    }
}

/// The address after the last one of a network, where there is one.
fn after(net: &IpNet) -> Option<IpAddr> {
    match net.broadcast() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| Ipv6Addr::from(next).into()),
    }
}

fn joined(words: impl Iterator<Item = impl fmt::Display>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(" or ")
}
