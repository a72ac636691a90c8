//! Refusals that can still be explained: a bounded number of places, each of bounded size, that peers
//! share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use meshguard_core::access::{Operation, OwnedAccess};
use meshguard_core::{Access, Policy};
use serde_json::Value;

use super::{DecisionId, Explanation};

/// Refusals that can still be explained.
pub(crate) const KEPT: usize = 1024;
/// Policies that explain them: the one in force, and the one before.
const POLICIES: usize = 2;
/// Bytes of a path, of all header values, and of the claims that are kept with a refusal. Where
/// there are more, policy is not asked again: who asks must not choose how much is kept.
const MOST: usize = 2048;
/// Headers that are kept with it.
const MOST_HEADERS: usize = 32;

/// The last refusals.
#[derive(Default)]
pub(crate) struct Explanations(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Oldest first.
    refusals: VecDeque<(Explanation, Option<Box<Question>>)>,
    /// How many there are of each peer.
    by_peer: HashMap<String, usize>,
    policies: VecDeque<Arc<Policy>>,
}

/// What policy was asked, to be asked again when somebody wants to know: going through all rules
/// is for an operator, and not for every call that is refused.
pub(crate) struct Question {
    access: OwnedAccess,
    policy: Weak<Policy>,
}

impl Explanations {
    pub(crate) fn keep(
        &self,
        explanation: Explanation,
        asked: Option<(Box<Question>, &Arc<Policy>)>,
    ) {
        let mut kept = self.kept();
        let question = asked.map(|(question, policy)| {
            kept.keep_policy(policy);
            question
        });
        let oldest = if kept.refusals.len() >= KEPT { kept.make_room() } else { None };
        match kept.by_peer.get_mut(peer(&explanation)) {
            Some(count) => *count += 1,
            None => _ = kept.by_peer.insert(peer(&explanation).to_owned(), 1),
        }
        kept.refusals.push_back((explanation, question));
        drop(kept);
        drop(oldest); // not under the lock
    }

    pub(crate) fn find(&self, id: DecisionId) -> Option<Explanation> {
        let (mut explanation, asked) = {
            let kept = self.kept();
            let (found, question) = kept.refusals.iter().rev().find(|(e, _)| e.id == id)?;
            let asked = question
                .as_ref()
                .and_then(|question| Some((question.access.clone(), question.policy.upgrade()?)));
            (found.clone(), asked)
        };
        explanation.judged = asked.map(|(access, policy)| policy.explain(&access.access()));
        Some(explanation)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has asked: the caller, or who has brought what nobody has proved.
fn peer(explanation: &Explanation) -> &str {
    explanation.from.as_deref().or(explanation.via.as_deref()).unwrap_or_default()
}

impl Kept {
    /// Takes the oldest refusal of the peer that has most: a peer that is refused all the time
    /// leaves those of the others to be explained.
    fn make_room(&mut self) -> Option<(Explanation, Option<Box<Question>>)> {
        let (most, _) = self.by_peer.iter().max_by_key(|(_, count)| **count)?;
        let at = self.refusals.iter().position(|(kept, _)| peer(kept) == most)?;
        let oldest = self.refusals.remove(at)?;
        if let Some(count) = self.by_peer.get_mut(peer(&oldest.0)) {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(peer(&oldest.0));
            }
        }
        Some(oldest)
    }

    fn keep_policy(&mut self, policy: &Arc<Policy>) {
        if self.policies.iter().any(|kept| Arc::ptr_eq(kept, policy)) {
            return;
        }
        if self.policies.len() == POLICIES {
            self.policies.pop_front();
        }
        self.policies.push_back(Arc::clone(policy));
    }
}

impl Question {
    /// `None` where it is too large to be kept.
    pub(crate) fn new(access: &Access<'_>, policy: &Arc<Policy>) -> Option<Box<Self>> {
        let access = owned(access, policy)?;
        Some(Box::new(Self { access, policy: Arc::downgrade(policy) }))
    }
}

/// All of an access that `policy` reads.
fn owned(access: &Access<'_>, policy: &Policy) -> Option<OwnedAccess> {
    if access.path().len() > MOST || access.method().is_some_and(|m| m.len() > MOST) {
        return None;
    }
    let mut owned = match access.operation() {
        Operation::Http { method, path } => OwnedAccess::http(method, path),
        Operation::Grpc { path } => OwnedAccess::grpc(path),
        _ => OwnedAccess::tcp(),
    };
    owned.from = access.principal().cloned();
    owned.via = access.hop().cloned();
    owned.to = access.callee().cloned();
    owned.evidence = access.proved();
    owned.direct = access.is_direct();
    owned.trust = access.trusted();
    owned.headers = headers(access, policy)?;
    owned.host = access.asked_host().filter(|host| host.len() <= MOST).map(ToOwned::to_owned);
    owned.port = access.asked_port();
    owned.source = access.source_ip();
    owned.client = access.client_ip();
    owned.destination = access.destination_ip();
    owned.server_name = access.asked_server_name().map(ToOwned::to_owned);
    owned.claims = match access.verified_claims() {
        Some(claims) if is_light(claims) => Some(claims.clone()),
        Some(_) => return None,
        None => None,
    };
    owned.proofs = access.proved_binding();
    Some(owned)
}

/// The headers that conditions read, as far as they were proved.
fn headers(access: &Access<'_>, policy: &Policy) -> Option<Vec<(String, String)>> {
    let (mut headers, mut bytes, mut readable) = (Vec::new(), 0, true);
    for name in policy.covered_headers() {
        access.any_header(name.as_str(), |value| {
            bytes += value.len();
            match std::str::from_utf8(value) {
                Ok(value) if bytes <= MOST && headers.len() < MOST_HEADERS => {
                    headers.push((name.to_string(), value.to_owned()));
                }
                _ => readable = false,
            }
            false
        });
    }
    readable.then_some(headers)
}

/// Whether claims are worth their place.
fn is_light(claims: &Value) -> bool {
    fn weigh(value: &Value, left: usize) -> Option<usize> {
        let left = left.checked_sub(16)?;
        match value {
            Value::String(text) => left.checked_sub(text.len()),
            Value::Array(all) => all.iter().try_fold(left, |left, value| weigh(value, left)),
            Value::Object(all) => all
                .iter()
                .try_fold(left, |left, (name, value)| weigh(value, left.checked_sub(name.len())?)),
            _ => Some(left),
        }
    }
    weigh(claims, 2 * MOST).is_some()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use meshguard_core::{SpiffeId, Timestamp};
    use serde_json::json;

    use super::*;

    const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://a.example/caller");

    fn policy(when: &str) -> Arc<Policy> {
        let text = format!(
            "mesh = \"a.example\"\nversion = 1\n\
             [[allow]]\nname = \"some\"\nhttp = [\"GET /some\"]\n{when}"
        );
        Arc::new(text.parse().unwrap())
    }

    fn explanation(n: u8) -> Explanation {
        Explanation {
            id: DecisionId::from_random([n; 16]),
            at: Timestamp::EPOCH,
            from: None,
            via: None,
            asked: String::new(),
            reason: String::new(),
            policy_version: 1,
            judged: None,
        }
    }

    fn keep(kept: &Explanations, n: u8, access: &Access<'_>, policy: &Arc<Policy>) {
        let question = Question::new(access, policy);
        kept.keep(explanation(n), question.map(|question| (question, policy)));
    }

    fn judged(kept: &Explanations, n: u8) -> Option<meshguard_core::policy::Explanation> {
        kept.find(explanation(n).id).unwrap().judged
    }

    #[test]
    fn a_refusal_is_judged_again_when_somebody_asks() {
        let (kept, policy) = (Explanations::default(), policy("when = { trust = 0.6 }\n"));
        let access = Access::http("GET", "/some").by(CALLER).trust(0.25);
        keep(&kept, 1, &access, &policy);
        let judged = judged(&kept, 1).unwrap();
        assert_eq!(judged, policy.explain(&access));
        let nearest = judged.nearest.unwrap();
        assert_eq!(nearest.rule, "some");
        assert_eq!(nearest.misses[0].text, "trust is 0.25 and it needs 0.6");
    }

    #[test]
    fn a_peer_that_is_refused_all_the_time_leaves_the_refusals_of_others() {
        let kept = Explanations::default();
        let of = |n: u8, from: &str| {
            let explanation = Explanation { from: Some(from.to_owned()), ..explanation(n) };
            kept.keep(explanation, None);
        };
        (1..=3).for_each(|n| of(n, "honest"));
        (0..2 * KEPT).for_each(|_| of(4, "flood"));
        // Of whom nobody knows more than who has brought it.
        let brought = Explanation { via: Some("flood".to_owned()), ..explanation(5) };
        (0..KEPT).for_each(|_| kept.keep(brought.clone(), None));
        for n in [1, 2, 3, 5] {
            assert!(kept.find(explanation(n).id).is_some(), "{n}");
        }
        let inner = kept.kept();
        assert_eq!((inner.refusals.len(), inner.by_peer.values().sum::<usize>()), (KEPT, KEPT));
        assert_eq!(inner.by_peer["honest"], 3);
    }

    #[test]
    fn a_flood_of_refusals_fills_no_more_than_its_places() {
        let (kept, policy) = (Explanations::default(), policy(""));
        keep(&kept, 1, &Access::http("GET", "/x").by(CALLER), &policy);
        for _ in 0..KEPT {
            keep(&kept, 2, &Access::http("GET", "/x").by(CALLER), &policy);
        }
        assert!(kept.find(explanation(1).id).is_none() && kept.find(explanation(2).id).is_some());
        assert_eq!(kept.kept().refusals.len(), KEPT);
    }

    #[test]
    fn what_is_large_is_not_kept_and_the_refusal_is_told_all_the_same() {
        let (kept, policy) =
            (Explanations::default(), policy("when = { headers = { x-a = \"a\" } }\n"));
        let path = format!("/{}", "a".repeat(MOST));
        keep(&kept, 1, &Access::http("GET", &path).by(CALLER), &policy);
        let claims = json!({ "scope": vec!["x"; MOST] });
        keep(&kept, 2, &Access::http("GET", "/").by(CALLER).claims(&claims), &policy);
        let covered = [HeaderName::from_static("x-a")];
        let mut map = HeaderMap::new();
        map.insert("x-a", HeaderValue::from_bytes(&[b'a'; MOST + 1]).unwrap());
        keep(&kept, 3, &Access::http("GET", "/").by(CALLER).headers(&map, &covered), &policy);
        map.insert("x-a", HeaderValue::from_static("b"));
        keep(&kept, 4, &Access::http("GET", "/").by(CALLER).headers(&map, &covered), &policy);
        let known: Vec<_> = (1..=4).map(|n| judged(&kept, n).is_some()).collect();
        assert_eq!(known, [false, false, false, true]);
    }

    #[test]
    fn policies_that_are_gone_explain_nothing_any_more_and_are_let_go() {
        let kept = Explanations::default();
        let access = Access::http("GET", "/x").by(CALLER);
        let gone: Vec<_> = (1..=4)
            .map(|n| {
                let policy = policy("");
                keep(&kept, n, &access, &policy);
                Arc::downgrade(&policy)
            })
            .collect();
        let alive: Vec<_> = gone.iter().map(|policy| policy.upgrade().is_some()).collect();
        assert_eq!(alive, [false, false, true, true]);
        let known: Vec<_> = (1..=4).map(|n| judged(&kept, n).is_some()).collect();
        assert_eq!(known, alive);
    }
}
