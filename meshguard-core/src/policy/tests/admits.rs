//! Who may do anything at all.

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use super::generate::{Ask, Seeded, document};
use super::{CHECKOUT, NIGHTLY, ORDERS, policy};
use crate::SpiffeId;
use crate::policy::Policy;

#[test]
fn a_peer_is_admitted_for_whom_there_is_an_allow_rule() {
    let policy = policy("[[allow]]\nname='a'\nfrom=['checkout']\nto=['orders']\nhttp=['GET /a']");
    assert!(policy.admits(CHECKOUT, ORDERS));
    assert!(!policy.admits(NIGHTLY, ORDERS) && !policy.admits(CHECKOUT, NIGHTLY));
    const FOREIGN: &SpiffeId = &SpiffeId::from_static("spiffe://partner.example/checkout");
    assert!(!policy.admits(FOREIGN, ORDERS));
    assert!(!Policy::deny_all().admits(CHECKOUT, ORDERS));
}

#[test]
fn only_a_deny_rule_for_everything_takes_a_peer_out() {
    let rules = |deny: &str| {
        let all = "[[allow]]\nname='all'\n";
        policy(&format!("{all}[[deny]]\nname='d'\nfrom=['batch']\n{deny}"))
    };
    assert!(!rules("").admits(NIGHTLY, ORDERS) && rules("").admits(CHECKOUT, ORDERS));
    for partly in ["http=['* /{**}']", "via=['edge']", "when={direct=false}", "shadow=true"] {
        assert!(rules(partly).admits(NIGHTLY, ORDERS), "{partly}");
    }
}

#[test]
fn a_shadow_rule_admits_nobody() {
    let shadow = policy("[[allow]]\nname='a'\nshadow=true\nfrom=['checkout']");
    assert!(!shadow.admits(CHECKOUT, ORDERS));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn who_is_not_admitted_is_allowed_nothing(seed in any::<u64>()) {
        let mut random = Seeded(seed);
        let policy: Policy = document(&mut random).parse().unwrap();
        for _ in 0..60 {
            let ask = Ask::random(&mut random);
            if let (Some(by), Some(to)) = (ask.by, ask.to) {
                let allowed = policy.decide(&ask.access()).is_allowed();
                prop_assert!(policy.admits(by, to) || !allowed, "seed {} {:?}", seed, ask);
            }
        }
    }
}
