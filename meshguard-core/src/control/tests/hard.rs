//! Signals that need no statistics.

use super::super::HARD_BITS;
use super::world::*;
use crate::reflex::Signal;

#[test]
fn a_hard_signal_acts_on_the_very_same_call_whatever_was_seen_before() {
    let text = "[[reflex]]\nname='r'\non={signal='revoked'}\ndo='quarantine'\nttl='1m'\n\
                [governor]\nmax_share=1\nmin_peers=0";
    let mut world = World::new(plan(text));
    world.control.handle_signal(&caller(1), Signal::Revoked, "serial 7", world.now);
    assert!(world.control.restriction(&caller(1)).unwrap().quarantine);
    let incident = world.control.incidents().next().unwrap();
    assert_eq!((incident.bits, &*incident.text), (HARD_BITS, "revoked: serial 7"));
}

#[test]
fn where_no_reflex_is_on_a_hard_signal_it_is_told() {
    let mut world = World::new(reflex("do='quarantine'"));
    world.control.handle_signal(&caller(1), Signal::Forged, "", world.now);
    world.control.handle_signal(&caller(1), Signal::Forged, "", world.now);
    world.tells(&["i-1 opened", "a-1 alert applied"]);
    assert!(!world.restricted(&caller(1)));
    assert_eq!(world.control.trust(&caller(1)), 0.0);
    world.wait(300_000);
    world.tells(&["i-1 resolved"]);
}

#[test]
fn a_quarantine_for_a_hard_signal_is_held_whatever_comes() {
    let text = "[[reflex]]\nname='r'\non={signal='revoked'}\ndo='quarantine'\nttl='1m'\n";
    let mut world = World::new(plan(&format!("{text}{FREE}")));
    for _ in 0..59 {
        world.control.handle_signal(&caller(1), Signal::Revoked, "", world.now);
        world.score(&caller(1), &errors(BITS));
        world.wait(1_000);
        assert!(world.restricted(&caller(1)));
    }
    world.wait(1_000);
    assert!(!world.restricted(&caller(1)));
    world.control.handle_signal(&caller(1), Signal::Revoked, "", world.now);
    let until = world.control.restriction(&caller(1)).unwrap().until;
    assert_eq!(until.since(world.now).as_secs(), 120);
}

#[test]
fn a_hard_signal_that_is_repeated_under_a_tighten_takes_the_next_step() {
    let text = "[[reflex]]\nname='r'\non={signal='forged'}\ndo={tighten={direct=true}}\n\
                then={after='5s', do='quarantine'}\n";
    for (repeated, quarantine) in [(true, true), (false, false)] {
        let mut world = World::new(plan(&format!("{text}{FREE}")));
        world.control.handle_signal(&caller(1), Signal::Forged, "", world.now);
        world.wait(1_000);
        if repeated {
            world.control.handle_signal(&caller(1), Signal::Forged, "", world.now);
        }
        world.wait(4_000);
        assert_eq!(world.control.restriction(&caller(1)).unwrap().quarantine, quarantine);
    }
}

#[test]
fn a_reflex_that_gave_up_rests_but_not_on_a_hard_signal() {
    let text = "[[reflex]]\nname='r'\non={signal='revoked'}\ndo={tighten={rate='1/s'}}\nttl='1m'\n";
    let mut world = World::new(plan(&format!("{text}{FREE}")));
    world.control.handle_signal(&caller(1), Signal::Revoked, "", world.now);
    world.control.handle_signal(&caller(1), Signal::Revoked, "", world.now);
    world.wait(10_000);
    assert_eq!(world.told().last().map(String::as_str), Some("i-1 reverted"));
    world.control.handle_signal(&caller(1), Signal::Revoked, "", world.now);
    assert!(world.restricted(&caller(1)));
}

/// Its sessions are ended elsewhere: by certificate, not by identity.
#[test]
fn a_revoked_certificate_costs_its_identity_nothing_where_no_reflex_says_so() {
    let mut world = World::new(reflex("do='quarantine'"));
    let before = world.control.trust(&caller(1));
    world.control.handle_signal(&caller(1), Signal::Revoked, "serial 7", world.now);
    world.tells(&["i-1 opened", "a-1 alert applied"]);
    assert_eq!(world.control.trust(&caller(1)), before);
    // Where one does, it costs what it always did.
    let text = "[[reflex]]\nname='r'\non={signal='revoked'}\ndo='quarantine'\nttl='1m'\n";
    let mut world = World::new(plan(&format!("{text}{FREE}")));
    world.control.handle_signal(&caller(1), Signal::Revoked, "serial 7", world.now);
    assert!(world.restricted(&caller(1)) && world.control.trust(&caller(1)) == 0.0);
}
