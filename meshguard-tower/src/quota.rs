//! What the `limit` of a rule lets through: counted here, by each instance for itself.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use meshguard_core::policy::{Limit, Per};
use meshguard_core::{Policy, SpiffeId};

/// The callers that a rule with `per = "caller"` counts at once. One more takes a place of the trust
/// domain that has most, where its own has fewer: an authority can name as many callers as it likes.
/// Else it is refused until one of them has been still for so long that it is as good as new.
pub(crate) const MAX_CALLERS: usize = 4096;
/// A rule's limits that count at once: calls under way may still be of the policies before.
const MAX_LIMITS: usize = 4;

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The counts of all rules that have a limit, made when a rule is first used.
pub(crate) struct Quotas<C: Clock = DefaultClock> {
    rules: ArcSwap<Rules<C>>,
    clock: C,
}

/// By the rule's name. A rule that keeps its name and its limit in another policy goes on where it
/// is; with another limit it begins anew.
type Rules<C> = HashMap<Box<str>, Vec<Arc<Counts<C>>>>;

/// Why a call is beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// There were too many; one more may come after `wait`.
    Rate { limit: Limit, wait: Duration },
    /// So many callers are counted that this one is not let in uncounted.
    Full,
}

impl Default for Quotas {
    fn default() -> Self {
        Self::new(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Quotas<C> {
    fn new(clock: C) -> Self {
        Self { rules: ArcSwap::default(), clock }
    }

    /// Counts a call of `caller` that `rule` allows. Takes no lock where the rule has one count,
    /// and allocates nothing once the caller is known.
    pub(crate) fn take(&self, rule: &str, limit: Limit, caller: &SpiffeId) -> Result<(), Exceeded> {
        match find(&self.rules.load(), rule, limit) {
            Some(counts) => counts.take(caller, &self.clock),
            None => self.add(rule, limit).take(caller, &self.clock),
        }
    }

    fn add(&self, rule: &str, limit: Limit) -> Arc<Counts<C>> {
        let new = Arc::new(Counts::new(limit, &self.clock));
        self.rules.rcu(|rules| {
            let mut rules = Rules::clone(rules);
            if find(&rules, rule, limit).is_none() {
                let counts = rules.entry(rule.into()).or_default();
                counts.insert(0, Arc::clone(&new));
                counts.truncate(MAX_LIMITS);
            }
            rules
        });
        // Another call may have added it first, and then that one counts.
        find(&self.rules.load(), rule, limit).map_or(new, Arc::clone)
    }

    /// Forgets the rules that `policy`, which is in force now, does not have.
    pub(crate) fn keep(&self, policy: &Policy) {
        if self.rules.load().is_empty() {
            return;
        }
        self.rules.rcu(|rules| {
            let kept = policy.rules().filter_map(|rule| rules.get_key_value(rule));
            kept.map(|(rule, counts)| (rule.clone(), counts.clone())).collect::<Rules<C>>()
        });
    }
}

fn find<'a, C: Clock>(rules: &'a Rules<C>, rule: &str, limit: Limit) -> Option<&'a Arc<Counts<C>>> {
    rules.get(rule)?.iter().find(|counts| counts.limit == limit)
}

/// What one rule has let through.
struct Counts<C: Clock> {
    limit: Limit,
    quota: Quota,
    by: By<C>,
}

enum By<C: Clock> {
    Rule(Limiter<C>),
    Caller(Callers<C>),
}

impl<C: Clock + Clone> Counts<C> {
    fn new(limit: Limit, clock: &C) -> Self {
        let quota = quota(limit);
        let by = match limit.per {
            Per::Caller => By::Caller(Callers::new(clock)),
            _ => By::Rule(RateLimiter::direct_with_clock(quota, clock.clone())),
        };
        Self { limit, quota, by }
    }

    fn take(&self, caller: &SpiffeId, clock: &C) -> Result<(), Exceeded> {
        match &self.by {
            By::Rule(limiter) => self.check(limiter, clock),
            By::Caller(callers) => {
                let counted = callers.get(caller, self.quota, clock).ok_or(Exceeded::Full)?;
                counted.used.store(callers.nanos(clock), Relaxed);
                self.check(&counted.limiter, clock)
            }
        }
    }

    fn check(&self, limiter: &Limiter<C>, clock: &C) -> Result<(), Exceeded> {
        limiter.check().map_err(|until| {
            let wait = until.wait_time_from(clock.now());
            Exceeded::Rate { limit: self.limit, wait }
        })
    }
}

/// Each caller's own count.
struct Callers<C: Clock> {
    began: C::Instant,
    callers: RwLock<Places<C>>,
    /// Before then none of them can be as good as new, if all places are taken.
    look_again: AtomicU64,
}

/// Each caller's place, and how many each trust domain has.
struct Places<C: Clock> {
    by_caller: HashMap<SpiffeId, Arc<Counted<C>>>,
    by_domain: HashMap<Box<str>, usize>,
}

struct Counted<C: Clock> {
    limiter: Limiter<C>,
    /// When it was last asked, in nanoseconds.
    used: AtomicU64,
}

impl<C: Clock + Clone> Callers<C> {
    fn new(clock: &C) -> Self {
        let places = Places { by_caller: HashMap::new(), by_domain: HashMap::new() };
        Self { began: clock.now(), callers: RwLock::new(places), look_again: AtomicU64::new(0) }
    }

    fn nanos(&self, clock: &C) -> u64 {
        clock.now().duration_since(self.began).as_u64()
    }

    /// The caller's count; `None` where there is no place for it.
    fn get(&self, caller: &SpiffeId, quota: Quota, clock: &C) -> Option<Arc<Counted<C>>> {
        let known = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = known.by_caller.get(caller) {
            return Some(Arc::clone(counted));
        }
        drop(known);
        let mut places = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        // Another call of it may have been here meanwhile.
        if let Some(counted) = places.by_caller.get(caller) {
            return Some(Arc::clone(counted));
        }
        if places.by_caller.len() >= MAX_CALLERS {
            self.make_room(&mut places, quota, self.nanos(clock))
                .or_else(|| places.take_from_most(caller.trust_domain()))?;
        }
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        let counted = Arc::new(Counted { limiter, used: AtomicU64::new(self.nanos(clock)) });
        places.add(caller, &counted);
        Some(counted)
    }

    /// Forgets the callers that have their whole burst back: their counts say nothing any more.
    fn make_room(&self, places: &mut Places<C>, quota: Quota, now: u64) -> Option<()> {
        if now < self.look_again.load(Relaxed) {
            return None;
        }
        let refill = u64::try_from(quota.burst_size_replenished_in().as_nanos());
        let refill = refill.unwrap_or(u64::MAX);
        let new_at = |counted: &Counted<C>| counted.used.load(Relaxed).saturating_add(refill);
        places.retain(|counted| new_at(counted) > now);
        let next = places.by_caller.values().map(|counted| new_at(counted)).min();
        self.look_again.store(next.unwrap_or(0), Relaxed);
        (places.by_caller.len() < MAX_CALLERS).then_some(())
    }
}

impl<C: Clock> Places<C> {
    fn add(&mut self, caller: &SpiffeId, counted: &Arc<Counted<C>>) {
        self.by_caller.insert(caller.clone(), Arc::clone(counted));
        let domain = caller.trust_domain();
        match self.by_domain.get_mut(domain) {
            Some(count) => *count += 1,
            None => _ = self.by_domain.insert(domain.into(), 1),
        }
    }

    fn retain(&mut self, keep: impl Fn(&Counted<C>) -> bool) {
        let Self { by_caller, by_domain } = self;
        by_caller.retain(|caller, counted| {
            let kept = keep(counted);
            if !kept {
                leave(by_domain, caller);
            }
            kept
        });
    }

    /// Takes the place of a caller of the trust domain that has most, where `domain` has fewer: of
    /// the one that was asked for longest ago. Its own count is lost, and it finds no other place
    /// while its domain has most.
    fn take_from_most(&mut self, domain: &str) -> Option<()> {
        let own = self.by_domain.get(domain).copied().unwrap_or(0);
        let (most, _) = self.by_domain.iter().max_by_key(|(_, count)| **count)?;
        if self.by_domain[most] <= own + 1 {
            return None;
        }
        let theirs = self.by_caller.iter().filter(|(caller, _)| caller.trust_domain() == &**most);
        let oldest = theirs.min_by_key(|(_, counted)| counted.used.load(Relaxed));
        let oldest = oldest.map(|(caller, _)| caller.clone())?;
        self.by_caller.remove(&oldest);
        leave(&mut self.by_domain, &oldest);
        Some(())
    }
}

fn leave(by_domain: &mut HashMap<Box<str>, usize>, caller: &SpiffeId) {
    if let Some(count) = by_domain.get_mut(caller.trust_domain()) {
        *count -= 1;
        if *count == 0 {
            by_domain.remove(caller.trust_domain());
        }
    }
}

fn quota(limit: Limit) -> Quota {
    let count = NonZeroU32::new(limit.rate.count).unwrap_or(NonZeroU32::MIN);
    // More than one in a nanosecond is not told apart from one.
    let one = (limit.rate.per / count.get()).max(Duration::from_nanos(1));
    let burst = NonZeroU32::new(limit.burst).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(one).unwrap_or(Quota::per_second(NonZeroU32::MIN));
    quota.allow_burst(burst)
}

impl Exceeded {
    /// Whole seconds until it is worth another try, for `retry-after` (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Rate { wait, .. } => {
                Some((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
            }
            Self::Full => None,
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { limit: Limit { rate, burst, per }, .. } => {
                let (count, time) = (rate.count, rate.per);
                write!(f, "more than {count} in {time:?} and {burst} at once, per {}", per.as_str())
            }
            Self::Full => write!(f, "{MAX_CALLERS} callers are counted already"),
        }
    }
}

#[cfg(test)]
mod tests;
