use governor::clock::FakeRelativeClock;
use meshguard_core::reflex::Rate;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limit(count: u32, burst: u32, per: Per) -> Limit {
    Limit { rate: Rate { count, per: SECOND }, burst, per }
}

fn caller(n: usize) -> SpiffeId {
    format!("spiffe://a.example/{n}").parse().unwrap()
}

fn quotas() -> (Quotas<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Quotas::new(clock.clone()), clock)
}

/// How many of `calls` pass.
fn passed(quotas: &Quotas<FakeRelativeClock>, limit: Limit, who: usize, calls: usize) -> usize {
    let caller = caller(who);
    (0..calls).filter(|_| quotas.take("r", limit, &caller).is_ok()).count()
}

#[test]
fn a_burst_passes_and_then_no_more_than_the_rate() {
    let (quotas, clock) = quotas();
    let limit = limit(10, 3, Per::Rule);
    assert_eq!(passed(&quotas, limit, 1, 100), 3);
    clock.advance(SECOND / 10);
    assert_eq!(passed(&quotas, limit, 1, 100), 1);
    for _ in 0..50 {
        clock.advance(SECOND / 10);
        assert_eq!(passed(&quotas, limit, 1, 2), 1);
    }
    clock.advance(60 * SECOND);
    assert_eq!(passed(&quotas, limit, 1, 100), 3, "no more than the burst is saved up");
}

#[test]
fn who_is_beyond_its_limit_is_told_when_to_come_again() {
    let (quotas, _clock) = quotas();
    let limit = Limit { rate: Rate { count: 1, per: 90 * SECOND }, burst: 1, per: Per::Caller };
    assert_eq!(quotas.take("r", limit, &caller(1)), Ok(()));
    let exceeded = quotas.take("r", limit, &caller(1)).unwrap_err();
    assert_eq!(exceeded, Exceeded::Rate { limit, wait: 90 * SECOND });
    assert_eq!(exceeded.retry_after(), Some(90));
    assert_eq!(exceeded.to_string(), "more than 1 in 90s and 1 at once, per caller");
}

#[test]
fn callers_are_counted_each_for_itself_or_all_together() {
    let (quotas, _clock) = quotas();
    let each = limit(1, 2, Per::Caller);
    assert_eq!((passed(&quotas, each, 1, 5), passed(&quotas, each, 2, 5)), (2, 2));
    let all = limit(1, 2, Per::Rule);
    assert_eq!((passed(&quotas, all, 1, 5), passed(&quotas, all, 2, 5)), (2, 0));
}

#[test]
fn when_all_places_are_taken_a_new_caller_is_refused_until_one_is_as_good_as_new() {
    let (quotas, clock) = quotas();
    let limit = limit(1, 1, Per::Caller);
    for n in 0..MAX_CALLERS {
        assert_eq!(passed(&quotas, limit, n, 1), 1);
    }
    let late = caller(MAX_CALLERS);
    assert_eq!(quotas.take("r", limit, &late), Err(Exceeded::Full));
    assert_eq!(Exceeded::Full.retry_after(), None);
    clock.advance(SECOND / 2);
    assert_eq!(passed(&quotas, limit, 0, 1), 0, "whoever has a place keeps its count");
    assert_eq!(quotas.take("r", limit, &late), Err(Exceeded::Full));
    clock.advance(SECOND / 2);
    assert_eq!(quotas.take("r", limit, &late), Ok(()));
    assert_eq!(quotas.take("r", limit, &late).map_err(|e| e.retry_after()), Err(Some(1)));
}

#[test]
fn a_trust_domain_that_fills_all_places_gives_some_to_another() {
    let (quotas, _clock) = quotas();
    let limit = Limit { rate: Rate { count: 1, per: 3600 * SECOND }, burst: 1, per: Per::Caller };
    let of = |domain: &str, n: usize| -> SpiffeId {
        format!("spiffe://{domain}.example/{n}").parse().unwrap()
    };
    for n in 0..MAX_CALLERS {
        assert_eq!(quotas.take("r", limit, &of("partner", n)), Ok(()));
    }
    for n in 0..MAX_CALLERS / 2 {
        assert_eq!(quotas.take("r", limit, &of("own", n)), Ok(()), "{n}");
        let late = quotas.take("r", limit, &of("partner", MAX_CALLERS + n));
        assert_eq!(late, Err(Exceeded::Full), "it takes no place back");
    }
    // No domain has more than another by now.
    assert_eq!(quotas.take("r", limit, &of("own", MAX_CALLERS)), Err(Exceeded::Full));
    let beyond = quotas.take("r", limit, &of("own", 0));
    assert!(matches!(beyond, Err(Exceeded::Rate { .. })), "it is counted where it was");
}

/// A caller that floods must not get a fresh count by being forgotten.
#[test]
fn a_caller_that_is_refused_all_the_time_is_not_forgotten() {
    let (quotas, clock) = quotas();
    let limit = Limit { rate: Rate { count: 1, per: 10 * SECOND }, burst: 1, per: Per::Caller };
    for n in 0..MAX_CALLERS {
        passed(&quotas, limit, n, 1);
    }
    clock.advance(9 * SECOND);
    assert_eq!(passed(&quotas, limit, 0, 1), 0);
    clock.advance(SECOND);
    // All others are as good as new by now, and the newcomer has them forgotten.
    assert_eq!(passed(&quotas, limit, MAX_CALLERS, 1), 1);
    assert_eq!(passed(&quotas, limit, 0, 2), 1, "it has waited its ten seconds, and no more");
}

fn policy(rules: &[&str]) -> Policy {
    let rule = |name: &&str| format!("[[allow]]\nname = \"{name}\"\n");
    let rules: String = rules.iter().map(rule).collect();
    format!("mesh = \"a.example\"\nversion = 1\n{rules}").parse().unwrap()
}

#[test]
fn a_count_goes_on_under_another_policy_and_begins_anew_with_another_limit() {
    let (quotas, _clock) = quotas();
    let (old, new) = (limit(1, 2, Per::Caller), limit(1, 5, Per::Caller));
    assert_eq!(passed(&quotas, old, 1, 5), 2);
    quotas.keep(&policy(&["r", "s"]));
    assert_eq!(passed(&quotas, old, 1, 5), 0);
    assert_eq!(passed(&quotas, new, 1, 9), 5);
    // Calls that the policy before had decided upon come in between.
    assert_eq!((passed(&quotas, old, 1, 5), passed(&quotas, new, 1, 9)), (0, 0));
    quotas.keep(&policy(&["s"]));
    assert!(quotas.rules.load().is_empty());
}

#[test]
fn the_limits_of_a_rule_that_count_at_once_are_bounded() {
    let (quotas, _clock) = quotas();
    for burst in 1..100 {
        passed(&quotas, limit(1, burst, Per::Caller), 1, 1);
    }
    assert_eq!(quotas.rules.load()["r"].len(), MAX_LIMITS);
}
