//! Refusals of one caller: the first few of a second are written down one by one, those beyond
//! are counted. So who is refused a hundred thousand times a second fills no ledger.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshguard_core::Timestamp;
use meshguard_core::ledger::{self, Entry, Exchange};

use super::Ledger;

/// Refusals of one caller in a second that have entries of their own.
pub(crate) const REFUSALS: u32 = 10;
/// Callers whose refusals are told apart; those beyond are counted together, as nobody's.
pub(crate) const MAX_CALLERS: usize = 1024;
/// Kinds of refusals of one caller that are told apart; those beyond are counted together.
pub(crate) const MAX_KINDS: usize = 8;

const SECOND: Duration = Duration::from_secs(1);
/// What is said of kinds that are counted together.
const SEVERAL: &str = "several reasons";

/// One refusal.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) via: Option<&'a str>,
    pub(crate) route: Option<&'a str>,
    pub(crate) code: u16,
    pub(crate) reason: &'a str,
    pub(crate) policy_version: u64,
    pub(crate) exchange: Option<Exchange>,
    /// Whether it stands in the books as accepted.
    pub(crate) accepted: bool,
}

/// What was refused of late, by caller.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<Who, Second>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Who {
    from: Option<Box<str>>,
    via: Option<Box<str>>,
}

/// One caller's second.
struct Second {
    began: Timestamp,
    /// Refusals that were written down.
    written: u32,
    counts: Vec<Count>,
}

/// Refusals that are alike.
struct Count {
    route: Option<Box<str>>,
    code: u16,
    reason: Box<str>,
    policy_version: u64,
    count: u64,
    accepted: u64,
    first: Option<Exchange>,
    last: Option<Exchange>,
    since: Timestamp,
    until: Timestamp,
}

impl Refusals {
    /// Whether this refusal is to be written down by itself; else it is counted here. What was
    /// counted in the caller's last second goes to the ledger first.
    pub(crate) fn is_own(&self, ledger: &Ledger, refusal: &Refusal<'_>, now: Timestamp) -> bool {
        let mut callers = self.lock();
        let mut who = Who { from: refusal.from.map(Into::into), via: refusal.via.map(Into::into) };
        if callers.len() >= MAX_CALLERS && !callers.contains_key(&who) {
            who = Who { from: None, via: None };
        }
        let new = || Second { began: now, written: 0, counts: Vec::new() };
        let second = callers.entry(who.clone()).or_insert_with(new);
        let ended = second.is_over(now).then(|| mem::replace(second, new()));
        let own = second.written < REFUSALS;
        match own {
            true => second.written += 1,
            false => second.count(refusal, now),
        }
        drop(callers);
        ended.into_iter().for_each(|second| second.write(&who, ledger));
        own
    }

    /// Writes down what was counted in seconds that are over.
    pub(crate) fn write(&self, ledger: &Ledger, now: Timestamp) {
        self.write_where(ledger, |second| second.is_over(now));
    }

    /// Writes down all that was counted.
    pub(crate) fn close(&self, ledger: &Ledger) {
        self.write_where(ledger, |_| true);
    }

    fn write_where(&self, ledger: &Ledger, over: impl Fn(&Second) -> bool) {
        let ended: Vec<_> = self.lock().extract_if(|_, second| over(second)).collect();
        ended.into_iter().for_each(|(who, second)| second.write(&who, ledger));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Second>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Second {
    /// A clock that was set back ends it too.
    fn is_over(&self, now: Timestamp) -> bool {
        now < self.began || now.since(self.began) >= SECOND
    }

    fn count(&mut self, refusal: &Refusal<'_>, now: Timestamp) {
        let alike = self.counts.iter().position(|count| count.is_of(refusal));
        let at = alike.unwrap_or_else(|| self.add(refusal, now));
        let count = &mut self.counts[at];
        count.count += 1;
        count.accepted += u64::from(refusal.accepted);
        count.first = count.first.or(refusal.exchange);
        count.last = refusal.exchange.or(count.last);
        count.until = now;
    }

    /// The place of another kind; the last place is everybody's.
    fn add(&mut self, refusal: &Refusal<'_>, now: Timestamp) -> usize {
        let full = self.counts.len() == MAX_KINDS;
        if full {
            let last = &mut self.counts[MAX_KINDS - 1];
            (last.route, last.reason) = (None, SEVERAL.into());
            return MAX_KINDS - 1;
        }
        self.counts.push(Count {
            route: refusal.route.map(Into::into),
            code: refusal.code,
            reason: refusal.reason.into(),
            policy_version: refusal.policy_version,
            count: 0,
            accepted: 0,
            first: None,
            last: None,
            since: now,
            until: now,
        });
        self.counts.len() - 1
    }

    fn write(self, who: &Who, ledger: &Ledger) {
        for count in &self.counts {
            // What is lost is counted there.
            let _ = ledger.append(&Entry::Refusals(count.entry(who)));
        }
    }
}

impl Count {
    fn is_of(&self, refusal: &Refusal<'_>) -> bool {
        let same = self.code == refusal.code && self.policy_version == refusal.policy_version;
        same && self.route.as_deref() == refusal.route && *self.reason == *refusal.reason
    }

    fn entry<'a>(&'a self, who: &'a Who) -> ledger::Refusals<'a> {
        ledger::Refusals {
            from: who.from.as_deref(),
            via: who.via.as_deref(),
            route: self.route.as_deref(),
            code: self.code,
            reason: &self.reason,
            policy_version: self.policy_version,
            count: self.count,
            accepted: self.accepted,
            first: self.first,
            last: self.last,
            since: self.since,
            until: self.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use meshguard_core::delivery::Sid;

    use super::*;
    use crate::ledger::EntryBuf;

    const BOT: &str = "spiffe://shop.example/bot";
    const AT: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

    fn refusal(seq: u64) -> Refusal<'static> {
        let sid = Sid::from_random([7; 16]);
        Refusal {
            from: Some(BOT),
            via: None,
            route: None,
            code: 403,
            reason: "no rule allows it",
            policy_version: 7,
            exchange: Some(Exchange { sid, seq, attempt: 0 }),
            accepted: seq.is_multiple_of(2),
        }
    }

    fn entries(ledger: &Ledger) -> Vec<EntryBuf> {
        ledger.flush_blocking().unwrap();
        ledger.entries().unwrap().map(|entry| entry.unwrap()).collect()
    }

    fn counts(entries: &[EntryBuf]) -> Vec<ledger::Refusals<'_>> {
        let counts = entries.iter().map(|entry| match entry.entry() {
            Entry::Refusals(refusals) => refusals,
            other => panic!("{other:?}"),
        });
        counts.collect()
    }

    #[test]
    fn a_flood_of_refusals_is_a_few_entries_and_one_count() {
        let (refusals, ledger) = (Refusals::default(), Ledger::memory().unwrap());
        let own = (0..10_000).filter(|seq| refusals.is_own(&ledger, &refusal(*seq), AT)).count();
        assert_eq!(own, REFUSALS as usize);
        refusals.write(&ledger, AT);
        assert_eq!(entries(&ledger).len(), 0, "the second is not over");
        let later = AT + Duration::from_millis(900);
        assert!(!refusals.is_own(&ledger, &refusal(10_000), later));
        refusals.write(&ledger, AT + SECOND);
        let entries = entries(&ledger);
        let [count] = counts(&entries)[..] else { panic!("not one count") };
        assert_eq!((count.from, count.code, count.count), (Some(BOT), 403, 9_991));
        assert_eq!(count.accepted, 4_996);
        assert_eq!(count.first.unwrap().seq, u64::from(REFUSALS));
        assert_eq!((count.last.unwrap().seq, count.since, count.until), (10_000, AT, later));
        let verified = ledger.verify().unwrap();
        assert_eq!((verified.refused, verified.counted), (9_991, 9_991));
    }

    #[test]
    fn each_second_begins_anew_and_nothing_is_counted_twice() {
        let (refusals, ledger) = (Refusals::default(), Ledger::memory().unwrap());
        let mut own = 0;
        for n in 0..400 {
            let now = AT + Duration::from_millis(n * 10);
            own += u64::from(refusals.is_own(&ledger, &refusal(n), now));
        }
        refusals.close(&ledger);
        refusals.close(&ledger);
        let entries = entries(&ledger);
        let told: Vec<_> = counts(&entries).iter().map(|count| count.count).collect();
        assert_eq!((own, told), (40, vec![90; 4]));
    }

    #[test]
    fn what_differs_is_counted_apart_as_far_as_there_is_room() {
        let (refusals, ledger) = (Refusals::default(), Ledger::memory().unwrap());
        (0..REFUSALS).for_each(|_| assert!(refusals.is_own(&ledger, &refusal(0), AT)));
        for code in 0..3 * MAX_KINDS as u16 {
            assert!(!refusals.is_own(&ledger, &Refusal { code, ..refusal(1) }, AT));
        }
        refusals.close(&ledger);
        let entries = entries(&ledger);
        let counts = counts(&entries);
        assert_eq!(counts.len(), MAX_KINDS);
        let codes: Vec<_> = counts[..MAX_KINDS - 1].iter().map(|c| (c.code, c.count)).collect();
        assert_eq!(codes, (0..MAX_KINDS as u16 - 1).map(|code| (code, 1)).collect::<Vec<_>>());
        let last = &counts[MAX_KINDS - 1];
        assert_eq!((last.reason, last.count), (SEVERAL, 2 * MAX_KINDS as u64 + 1));
    }

    #[test]
    fn callers_without_number_take_no_more_room_and_lose_no_count() {
        let (refusals, ledger) = (Refusals::default(), Ledger::memory().unwrap());
        let mut own = 0;
        for n in 0..MAX_CALLERS + 500 {
            let name = format!("spiffe://shop.example/{n}");
            let refusal = Refusal { from: Some(&name), ..refusal(0) };
            own += u64::from(refusals.is_own(&ledger, &refusal, AT));
        }
        assert_eq!(refusals.lock().len(), MAX_CALLERS + 1);
        refusals.close(&ledger);
        let entries = entries(&ledger);
        let counts = counts(&entries);
        let counted: u64 = counts.iter().map(|count| count.count).sum();
        assert_eq!((own + counted, counts.len()), (MAX_CALLERS as u64 + 500, 1));
        assert_eq!(counts[0].from, None);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let (refusals, ledger) = (Refusals::default(), Ledger::memory().unwrap());
        (0..20).for_each(|n| _ = refusals.is_own(&ledger, &refusal(n), AT));
        assert!(refusals.is_own(&ledger, &refusal(20), AT - Duration::from_secs(3600)));
        let entries = entries(&ledger);
        assert_eq!(counts(&entries)[0].count, 20 - u64::from(REFUSALS));
    }
}
