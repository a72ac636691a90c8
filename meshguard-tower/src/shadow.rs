//! Shadow rules: what they would have decided, counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use meshguard_core::policy::{Effect, Shadow};
use meshguard_core::{Access, Policy, Timestamp};

/// A rule is told of no more often than this, however often it would have changed something.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(10);

/// What a shadow rule came to so far: from [`Mesh::shadow`](crate::Mesh::shadow).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShadowStatus {
    /// The rule's name.
    pub rule: String,
    /// What it would do.
    pub effect: Effect,
    /// The calls that it matched.
    pub matched: u64,
    /// Those of them that it would have decided otherwise than they were: denied what was
    /// allowed, or allowed what was denied.
    pub changed: u64,
}

/// The counts of all shadow rules that have matched anything, under the policy in force or those
/// before it that had a rule of the same name and effect.
#[derive(Default)]
pub(crate) struct Shadows(ArcSwap<HashMap<Box<str>, Arc<Count>>>);

struct Count {
    effect: Effect,
    matched: AtomicU64,
    changed: AtomicU64,
    /// In nanoseconds since the epoch; 0 is never.
    told: AtomicU64,
}

/// A shadow rule would have decided otherwise.
pub(crate) struct WouldChange {
    rule: String,
    effect: Effect,
    changed: u64,
}

impl Shadows {
    /// Counts the shadow rules of `policy` that match, beside a decision that was `allowed` or
    /// not; what is to be told of them now.
    pub(crate) fn count(
        &self,
        policy: &Policy,
        access: &Access<'_>,
        allowed: bool,
        now: Timestamp,
    ) -> Vec<WouldChange> {
        if !policy.has_shadows() {
            return Vec::new();
        }
        let matched = policy.shadows(access);
        matched.iter().filter_map(|shadow| self.count_one(shadow, allowed, now)).collect()
    }

    fn count_one(&self, shadow: &Shadow<'_>, allowed: bool, now: Timestamp) -> Option<WouldChange> {
        let count = self.get(shadow);
        count.matched.fetch_add(1, Relaxed);
        if allowed == (shadow.effect == Effect::Allow) {
            return None;
        }
        let changed = count.changed.fetch_add(1, Relaxed) + 1;
        let told = count.told.load(Relaxed);
        let due = told == 0 || now.since(Timestamp::from_unix_nanos(told)) >= TELL_EVERY;
        let nanos = now.as_unix_nanos().max(1);
        // Of several that find it due, one tells.
        let tells = due && count.told.compare_exchange(told, nanos, Relaxed, Relaxed).is_ok();
        tells.then(|| WouldChange { rule: shadow.rule.to_owned(), effect: shadow.effect, changed })
    }

    fn get(&self, shadow: &Shadow<'_>) -> Arc<Count> {
        let find = |counts: &HashMap<Box<str>, Arc<Count>>| {
            counts.get(shadow.rule).filter(|count| count.effect == shadow.effect).cloned()
        };
        if let Some(count) = find(&self.0.load()) {
            return count;
        }
        let new = Arc::new(Count::new(shadow.effect));
        self.0.rcu(|counts| {
            let mut counts = HashMap::clone(counts);
            if find(&counts).is_none() {
                counts.insert(shadow.rule.into(), Arc::clone(&new));
            }
            counts
        });
        // Another call may have put it there first.
        find(&self.0.load()).unwrap_or(new)
    }

    /// Forgets the rules that `policy`, which is in force now, does not have.
    pub(crate) fn keep(&self, policy: &Policy) {
        if self.0.load().is_empty() {
            return;
        }
        self.0.rcu(|counts| {
            let kept = policy.rules().filter_map(|rule| counts.get_key_value(rule));
            kept.map(|(rule, count)| (rule.clone(), Arc::clone(count))).collect::<HashMap<_, _>>()
        });
    }

    /// By name.
    pub(crate) fn status(&self) -> Vec<ShadowStatus> {
        let counts = self.0.load();
        let status = counts.iter().map(|(rule, count)| ShadowStatus {
            rule: rule.to_string(),
            effect: count.effect,
            matched: count.matched.load(Relaxed),
            changed: count.changed.load(Relaxed),
        });
        let mut all: Vec<_> = status.collect();
        all.sort_unstable_by(|a, b| a.rule.cmp(&b.rule));
        all
    }
}

impl Count {
    fn new(effect: Effect) -> Self {
        let (matched, changed, told) = Default::default();
        Self { effect, matched, changed, told }
    }
}

impl fmt::Display for WouldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match self.effect {
            Effect::Allow => "allow what was denied",
            Effect::Deny => "deny what was allowed",
        };
        write!(f, "{} would {does} ({} so far)", self.rule, self.changed)
    }
}

#[cfg(test)]
mod tests {
    use meshguard_core::SpiffeId;

    use super::*;

    const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://a.example/caller");

    fn policy(version: u32, more: &str) -> Policy {
        let text = format!(
            "mesh = \"a.example\"\nversion = {version}\n\
             [[allow]]\nname = \"open\"\nhttp = [\"GET /open\", \"GET /both\"]\n{more}"
        );
        text.parse().unwrap()
    }

    const TWO: &str = "[[deny]]\nname = \"close\"\nhttp = [\"GET /open\"]\nshadow = true\n\
                       [[allow]]\nname = \"widen\"\nhttp = [\"GET /new\", \"GET /both\"]\n\
                       shadow = true\n";

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_000_000 + secs)
    }

    /// Asks, and returns what is told.
    fn ask(shadows: &Shadows, policy: &Policy, path: &str, secs: u64) -> Vec<String> {
        let access = Access::http("GET", path).by(CALLER);
        let allowed = policy.decide(&access).is_allowed();
        let told = shadows.count(policy, &access, allowed, at(secs));
        told.iter().map(ToString::to_string).collect()
    }

    fn counts(shadows: &Shadows) -> Vec<(String, u64, u64)> {
        shadows.status().into_iter().map(|s| (s.rule, s.matched, s.changed)).collect()
    }

    #[test]
    fn what_a_shadow_rule_would_change_is_counted_apart_from_what_it_matches() {
        let (shadows, policy) = (Shadows::default(), policy(1, TWO));
        assert_eq!(
            ask(&shadows, &policy, "/open", 0),
            ["close would deny what was allowed (1 so far)"]
        );
        assert_eq!(
            ask(&shadows, &policy, "/new", 0),
            ["widen would allow what was denied (1 so far)"]
        );
        assert!(ask(&shadows, &policy, "/both", 0).is_empty(), "it is allowed already");
        assert!(ask(&shadows, &policy, "/neither", 0).is_empty());
        assert_eq!(counts(&shadows), [("close".into(), 1, 1), ("widen".into(), 2, 1)]);
    }

    #[test]
    fn a_rule_is_told_of_once_in_a_while() {
        let (shadows, policy) = (Shadows::default(), policy(1, TWO));
        let told: usize = (0..25).map(|secs| ask(&shadows, &policy, "/open", secs).len()).sum();
        assert_eq!(told, 3);
        assert_eq!(counts(&shadows), [("close".into(), 25, 25)]);
    }

    #[test]
    fn counts_go_on_while_a_rule_is_there_and_no_longer() {
        let (shadows, first) = (Shadows::default(), policy(1, TWO));
        ask(&shadows, &first, "/open", 0);
        let second = policy(2, TWO);
        shadows.keep(&second);
        ask(&shadows, &second, "/open", 1);
        assert_eq!(counts(&shadows), [("close".into(), 2, 2)]);
        shadows.keep(&policy(3, ""));
        assert_eq!(counts(&shadows), []);
    }
}
