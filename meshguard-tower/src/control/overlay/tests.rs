use std::sync::Arc;
use std::time::Duration;

use meshguard_core::baseline::{Settings, Window};
use meshguard_core::control::Loop;
use meshguard_core::reflex::{ActionKind, Plan, Reflex, Signal, Step, Trigger};

use super::*;

const CALLER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/checkout");
const OTHER: &SpiffeId = &SpiffeId::from_static("spiffe://shop.example/batch");

impl Overlay {
    /// Cuts off one caller, for an hour.
    pub(crate) fn cutting_off(caller: &SpiffeId) -> Self {
        let limit = Limit {
            quarantine: true,
            tighten: Tighten::default(),
            rate: None,
            incident: IncidentId(1),
            until: steady() + Duration::from_secs(3600),
        };
        Self { callers: HashMap::from([(caller.clone(), Arc::new(limit))]), ..Self::default() }
    }
}

/// A loop that answers a forgery with these actions, for so long, and knows these edges.
fn looped(actions: Vec<ActionKind>, ttl: Duration, known: &[EdgeKey]) -> Loop {
    let on = Trigger::new(Signal::Forged, None);
    let step = Step { after: Duration::ZERO, unless_falling: false, actions };
    let reflex = Reflex { name: "forged".into(), on, steps: vec![step], ttl };
    let mut plan = Plan { reflexes: vec![reflex], ..Plan::default() };
    plan.governor.max_share = 1.0;
    plan.governor.min_peers = 1;
    let mut looped = Loop::new(Settings::default(), plan);
    let window =
        Window { start: steady(), end: steady(), calls: 10, asked: 10, ..Window::default() };
    for edge in known {
        looped.handle_window(edge, &window);
    }
    looped
}

fn snapshot(looped: &Loop, before: &Overlay) -> Overlay {
    let control = looped.control();
    Overlay::new(control.restrictions(), control.trusted(), 0.5, before)
}

/// What is in force after `edge` has forged something.
fn after(edge: &EdgeKey, actions: Vec<ActionKind>, ttl: Duration) -> (Loop, Overlay) {
    let others = [caller(), EdgeKey::Caller(OTHER.clone()), edge.clone()];
    let mut looped = looped(actions, ttl, &others);
    looped.handle_signal(edge, Signal::Forged, "a forged proof", steady());
    let overlay = snapshot(&looped, &Overlay::default());
    (looped, overlay)
}

fn caller() -> EdgeKey {
    EdgeKey::Caller(CALLER.clone())
}

fn cause(result: Result<(), Stopped>) -> Option<Cause> {
    result.err().map(|stopped| stopped.cause)
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn who_is_cut_off_is_stopped_and_nobody_else() {
    let (_, overlay) = after(&caller(), vec![ActionKind::Quarantine], LONG);
    let asks = |overlay: &Overlay, id| cause(overlay.admits_caller(id, Evidence::Verified, true));
    assert_eq!(asks(&overlay, CALLER), Some(Cause::Quarantine));
    assert_eq!(asks(&overlay, OTHER), None);
    assert_eq!(asks(&Overlay::default(), CALLER), None);
    assert!(overlay.trust(CALLER) < overlay.trust(OTHER));
    let nothing = Overlay::default();
    let newly: Vec<_> = overlay.newly_quarantined(&nothing).collect();
    assert_eq!(newly, [CALLER]);
    assert_eq!(overlay.newly_quarantined(&overlay).count(), 0);
}

#[test]
fn nothing_holds_beyond_its_time_though_nobody_turns_the_loop() {
    let over = Duration::from_nanos(1);
    let (_, overlay) = after(&caller(), vec![ActionKind::Quarantine], over);
    assert!(overlay.limit(&caller()).is_some(), "still in the snapshot");
    assert_eq!(cause(overlay.admits_caller(CALLER, Evidence::None, true)), None);
}

#[test]
fn what_is_tightened_asks_for_more_and_for_all_of_it() {
    // It begins without credit, and has a call in ten minutes.
    let rate = Rate { count: 6, per: LONG };
    let tighten =
        Tighten { rate: Some(rate), evidence: Some(Evidence::Verified), direct: true, trust: None };
    let tighten = vec![ActionKind::Tighten(tighten)];
    let (looped, overlay) = after(&caller(), tighten, LONG);
    let asks = |evidence, direct| cause(overlay.admits_caller(CALLER, evidence, direct));
    let (needs, has) = (Evidence::Verified, Evidence::Digest);
    assert_eq!(asks(has, true), Some(Cause::Evidence { needs, has }));
    assert_eq!(asks(needs, false), Some(Cause::Direct));
    assert_eq!(asks(needs, true), Some(Cause::Rate(rate)));
    // The same, made anew, is the same limiter.
    let again = snapshot(&looped, &overlay);
    assert!(Arc::ptr_eq(again.limit(&caller()).unwrap(), overlay.limit(&caller()).unwrap()));
    // At a rate that a test can wait for, as many are let in as come due.
    let rate = Rate { count: 100, per: Duration::from_millis(100) };
    let tighten = Tighten { rate: Some(rate), ..Tighten::default() };
    let (_, quick) = after(&caller(), vec![ActionKind::Tighten(tighten)], LONG);
    let begun = std::time::Instant::now();
    while cause(quick.admits_caller(CALLER, needs, true)).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(10), "none comes due");
        std::thread::yield_now();
    }
}

#[test]
fn an_address_and_an_instance_are_stopped_by_themselves() {
    let addr = IpAddr::from([10, 0, 0, 1]);
    let quarantine = vec![ActionKind::Quarantine];
    let address = EdgeKey::Address(addr);
    let (_, overlay) = after(&address, quarantine.clone(), LONG);
    assert_eq!(cause(overlay.admits_address(addr)), Some(Cause::Quarantine));
    assert_eq!(cause(overlay.admits_address([10, 0, 0, 2].into())), None);
    let instance = |name: &str| EdgeKey::Callee { id: CALLER.clone(), instance: name.into() };
    let known = [instance("a"), instance("b"), caller()];
    let mut looped = looped(quarantine, LONG, &known);
    looped.handle_signal(&instance("a"), Signal::Forged, "a forged proof", steady());
    let overlay = snapshot(&looped, &overlay);
    assert_eq!(cause(overlay.admits_callee(CALLER, "a")), Some(Cause::Quarantine));
    assert_eq!(cause(overlay.admits_callee(CALLER, "b")), None);
    assert_eq!(cause(overlay.admits_address(addr)), None, "no longer in force");
}

/// What may be put into force, from a seed (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn action(&mut self) -> ActionKind {
        let evidence = [None, Some(Evidence::Digest), Some(Evidence::Verified)];
        let trust = [None, Some(0.2), Some(0.9)];
        match self.below(3) {
            0 => ActionKind::Alert,
            1 => ActionKind::Quarantine,
            _ => ActionKind::Tighten(Tighten {
                rate: (self.below(2) == 0).then_some(Rate { count: 1, per: LONG }),
                evidence: evidence[self.below(3) as usize],
                direct: self.below(2) == 0,
                trust: trust[self.below(3) as usize],
            }),
        }
    }
}

/// The first case in which policy denies, and policy under `joined` with an overlay allows.
fn widened(joined: impl Fn(bool, &Overlay, &SpiffeId, Evidence, bool) -> bool) -> Option<u64> {
    let text = "mesh='shop.example'\nversion=1\n[peers]\nc='spiffe://shop.example/checkout'\n\
                [[allow]]\nname='a'\nfrom=['c']\nhttp=['GET /a']\n\
                when={trust=0.5,evidence='digest'}";
    let policy: meshguard_core::Policy = text.parse().unwrap();
    (0..500).find(|seed| {
        let mut random = Seeded(*seed);
        let actions = (0..=random.below(2)).map(|_| random.action()).collect();
        let edge = EdgeKey::Caller([CALLER, OTHER][random.below(2) as usize].clone());
        let (_, overlay) = after(&edge, actions, LONG);
        (0..20).any(|_| {
            let id = [CALLER, OTHER][random.below(2) as usize];
            let evidences = [Evidence::None, Evidence::Digest, Evidence::Verified];
            let evidence = evidences[random.below(3) as usize];
            let direct = random.below(2) == 0;
            let path = ["/a", "/b"][random.below(2) as usize];
            let access = meshguard_core::Access::http("GET", path).by(id).evidence(evidence);
            // By what would be known without the loop, and with what it has found out.
            let base = policy.decide(&access.clone().trust(0.5)).is_allowed();
            let now = policy.decide(&access.trust(overlay.trust(id))).is_allowed();
            joined(now, &overlay, id, evidence, direct) && !base
        })
    })
}

#[test]
fn an_overlay_never_turns_a_denial_into_an_allowance() {
    let joined = |allowed, overlay: &Overlay, id: &_, evidence, direct| {
        allowed && overlay.admits_caller(id, evidence, direct).is_ok()
    };
    assert_eq!(widened(joined), None, "this seed");
    let held = |allowed, overlay: &Overlay, id: &_, evidence, direct| {
        allowed && overlay.holds_caller(id, evidence, direct).is_ok()
    };
    assert_eq!(widened(held), None, "this seed");
}

/// The seeded fault of the test above: whom nothing is asked of is let in.
#[test]
fn an_overlay_that_widens_would_be_noticed() {
    let joined = |allowed, overlay: &Overlay, id: &_, evidence, direct| {
        allowed || overlay.admits_caller(id, evidence, direct).is_ok()
    };
    assert!(widened(joined).is_some());
}

#[test]
fn what_is_narrowed_is_asked_of_whom_it_concerns() {
    let (_, overlay) = after(&caller(), vec![ActionKind::Quarantine], LONG);
    assert_eq!(overlay.narrowed(&Overlay::default()), std::slice::from_ref(CALLER));
    assert!(overlay.narrowed(&overlay).is_empty());
    // What is lifted narrows nothing.
    let lifted = Overlay { trust_start: 0.5, ..Overlay::default() };
    assert!(lifted.narrowed(&overlay).is_empty());
    // A rate is of calls: what is open has its place already.
    let rate = Rate { count: 1, per: LONG };
    let tighten = Tighten { rate: Some(rate), evidence: None, direct: false, trust: None };
    let (_, overlay) = after(&caller(), vec![ActionKind::Tighten(tighten)], LONG);
    let asked = cause(overlay.admits_caller(CALLER, Evidence::None, false));
    assert_eq!(asked, Some(Cause::Rate(rate)));
    assert_eq!(cause(overlay.holds_caller(CALLER, Evidence::None, false)), None);
}
