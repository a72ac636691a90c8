//! All that a server may take one request for.
//!
//! Upstream decides on one normalised path, and leaves it to the operator that a server reads
//! it the same way. [`Policy::decide_hardened`] asks the policy about every reading instead: a
//! request passes if it passes whichever way it is read.

mod named;
mod paths;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod served;
#[cfg(test)]
mod tests;
pub(super) mod values;

use self::named::{hosts, methods, overrides, second_method, with_targets};
use self::paths::Reading;
use super::decide::Lines;
use super::model::{DeliveryMode, Effect, Semantics};
use super::reason::{Finding, Ruling};
use super::{Decision, Loaded, Policy, path};
use crate::access::head::HeadError;
use crate::access::{Access, Operation};

impl Policy {
    /// Decides on all that a server may take the access for. Denied if one reading of it is, or if
    /// it has none:
    /// - its head, as far as it is known, must be one that a server takes: see [`HeadError`];
    /// - its path is read decoded, merged and resolved in every order, with a slash at its end and
    ///   without. It must not stay ambiguous: a NUL or another control character, an escape of an
    ///   escaped separator, a dot segment with parameters, what is not UTF-8;
    /// - its method as written, in upper case, and as headers override it;
    /// - its host without port and trailing dot, and the hosts that headers name;
    /// - a header that rules look at line by line, element by element, and as one line.
    ///
    /// The documents that this is for are imported ones. A native document has one reading of an
    /// access; there it is [`decide_served`](Self::decide_served).
    #[must_use]
    pub fn decide_hardened(&self, access: &Access<'_>) -> Decision<'_> {
        let ruling = match self.is_native() {
            true => self.judge_served(access),
            false => self.judge_hardened(access),
        };
        Decision { policy: self, ruling }
    }

    /// As whoever routes the request itself must decide, and as a service's listener does:
    /// [hardened](Self::decide_hardened), and with a path that has one reading, whatever the
    /// document permits. A router goes by the raw path; a native document refuses such a path by
    /// itself. A head that names its method a second time, or asks for another protocol, is denied
    /// unless its route permits that.
    #[must_use]
    pub fn decide_served(&self, access: &Access<'_>) -> Decision<'_> {
        Decision { policy: self, ruling: self.judge_served(access) }
    }

    fn judge_served(&self, access: &Access<'_>) -> Ruling {
        if access.operation() == Operation::Tcp {
            return self.judge(access);
        }
        if let Err(error) = access.check_head() {
            return self.refuse(Finding::Head(error));
        }
        let ruling = match self.is_native() {
            true => self.judge_native(access),
            false => match path::normalize(access.path()) {
                Ok(_) => self.judge_hardened(access),
                Err(error) => self.refuse(Finding::Path(error)),
            },
        };
        match ruling.is_allowed() {
            true => self.permitted(access, ruling),
            false => ruling,
        }
    }

    /// The rules, and those that deny the path without the slash at its end.
    fn judge_native(&self, access: &Access<'_>) -> Ruling {
        let ruling = self.judge_as(access, Lines::Lists);
        let bare = access.unslashed().filter(|_| ruling.is_allowed());
        let bare = bare.map(|bare| self.judge_as(&bare, Lines::Lists));
        match bare {
            Some(bare) if matches!(bare.finding, Finding::DenyRule(_)) => bare,
            _ => ruling,
        }
    }

    /// What an allowed request asks for beyond a plain call, if its route permits that.
    fn permitted(&self, access: &Access<'_>, ruling: Ruling) -> Ruling {
        let (upgrades, overrides) = (access.upgrades(), overrides(access));
        if !upgrades && !overrides {
            return ruling;
        }
        let permits = self.route_options(access);
        let refused = |error| self.refuse(Finding::Head(error));
        if upgrades && !permits.upgrade {
            return refused(HeadError::Upgrade);
        }
        if upgrades && ruling.delivery.mode == DeliveryMode::Require {
            return refused(HeadError::UpgradeUnproved);
        }
        if !overrides {
            return ruling;
        }
        let http = matches!(access.operation(), Operation::Http { .. });
        let second = second_method(access).filter(|_| http && permits.method_override);
        let Some(method) = second else { return refused(HeadError::MethodOverride) };
        let operation = Operation::Http { method: &method, path: access.path() };
        let other = access.clone().operating(operation);
        let second = match self.is_native() {
            true => self.judge_native(&other),
            false => self.judge_hardened(&other),
        };
        match self.owes_the_same(ruling, second) {
            _ if !second.is_allowed() => second,
            true => ruling,
            false => refused(HeadError::MethodOwes),
        }
    }

    /// Either method may be the one that runs, but only one rule's obligations are discharged.
    fn owes_the_same(&self, one: Ruling, two: Ruling) -> bool {
        let owed = Decision { policy: self, ruling: two }.obligations();
        one.finding == two.finding || (owed.limit.is_none() && owed.content.is_none())
    }

    fn judge_hardened(&self, access: &Access<'_>) -> Ruling {
        if let Err(error) = access.check_head() {
            return self.refuse(Finding::Head(error));
        }
        let base = self.judge(access);
        let (Some(loaded), Some(method)) = (&self.loaded, access.method()) else { return base };
        let Semantics::Istio(normalization) = loaded.document.semantics else { return base };
        if !base.is_allowed() {
            return base;
        }
        let Some(methods) = methods(access, method) else { return self.refuse(Finding::NoRule) };
        let paths = match paths::readings(access.path(), normalization) {
            Ok(paths) => paths,
            Err(error) => return self.refuse(Finding::Path(error)),
        };
        let paths = match with_targets(access, paths, normalization) {
            Ok(paths) => paths,
            Err(finding) => return self.refuse(finding),
        };
        let Some(hosts) = hosts(access) else { return self.refuse(Finding::NoRule) };
        for method in &methods {
            let denied = self.judge_readings(loaded, access, method, (&paths, &hosts));
            if let Some(denied) = denied {
                return denied;
            }
        }
        base
    }

    /// The ruling on the first reading with this method that is denied.
    fn judge_readings(
        &self,
        loaded: &Loaded,
        access: &Access<'_>,
        method: &str,
        (paths, hosts): (&[Reading], &[String]),
    ) -> Option<Ruling> {
        let read = |path| access.clone().operating(Operation::Http { method, path });
        // What upstream matches comes first.
        let plain = paths.first().map_or("", |first| &*first.path);
        let meant = (&read(plain), plain);
        let denied = |ruling: &Ruling| !ruling.is_allowed();
        paths.iter().find_map(|Reading { path, strict }| {
            let ruling = match strict {
                true => self.judge_read(loaded, &read(path), Some(path)),
                false => self.judge_spelling(loaded, meant, (&read(path), path)),
            };
            Some(ruling).filter(denied).or_else(|| {
                hosts.iter().find_map(|host| {
                    let other = read(path).host(host);
                    let ruling = self.judge_spelling(loaded, meant, (&other, path));
                    Some(ruling).filter(denied)
                })
            })
        })
    }

    /// Decides on another spelling of what is meant: it must not meet a deny rule, nor what an
    /// allow rule excepts. That an allow rule knows the spelling is not asked.
    fn judge_spelling(
        &self,
        loaded: &Loaded,
        (meant, path): (&Access<'_>, &str),
        (other, spelt): (&Access<'_>, &str),
    ) -> Ruling {
        let ruling = self.judge_read(loaded, other, Some(spelt));
        if matches!(ruling.finding, Finding::DenyRule(_)) {
            return ruling;
        }
        let mut rules = loaded.document.rules.iter();
        let borne = rules.any(|rule| {
            let counts = rule.effect == Effect::Allow && !rule.shadow;
            counts && rule.bears((meant, Some(path)), (other, Some(spelt)))
        });
        if borne {
            self.judge_read(loaded, meant, Some(path))
        } else {
            self.refuse(Finding::NoRule)
        }
    }
}
