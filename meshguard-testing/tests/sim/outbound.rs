//! A service that calls others: a sick instance is not called, and the last one is.

use std::time::Duration;

use meshguard_core::SpiffeId;
use meshguard_core::baseline::EdgeKey;
use meshguard_core::control::{Event, GovernorRefusal};
use meshguard_core::reflex::ActionKind;
use meshguard_testing::sim::{Attack, Caller, Hop, Load, Service, Sim, Told};

use crate::town::{ALLOW, SEEDS, TWO_WINDOWS, reflex, restrictions};

const EDGE: &str = "spiffe://shop.example/edge";

struct Chain {
    sim: Sim,
    gateway: Service,
    orders: [Service; 2],
    calls: Caller,
    hop: Hop,
}

/// A gateway that calls two instances of a service, perhaps through a hop.
fn chain(seed: u64, through: bool, more: &str) -> Chain {
    println!("seed {seed}");
    let mut sim = Sim::new(seed);
    let hop = sim.hop(EDGE).unwrap();
    let sick = format!("{ALLOW}{}", reflex("errors", more));
    let gateway = sim.service("spiffe://shop.example/gateway", &sick).unwrap();
    let orders = [(); 2].map(|()| sim.service("spiffe://shop.example/orders", ALLOW).unwrap());
    let load = Load::new(orders[0], "GET /orders/7").and(orders[1]).rate(400.0);
    let load = if through { load.via(hop) } else { load };
    let calls = sim.outbound(gateway, load).unwrap();
    sim.run_for(Duration::from_secs(10));
    assert_eq!(sim.events(), []);
    Chain { sim, gateway, orders, calls, hop }
}

#[test]
fn a_sick_instance_is_not_called_and_the_last_one_is_whatever_it_answers() {
    for seed in SEEDS {
        let mut chain = chain(seed, false, "do = \"quarantine\"\nttl = \"10m\"");
        let [one, two] = chain.orders;
        let (first, second) = (chain.sim.callee(one), chain.sim.callee(two));
        assert_ne!(first, second);
        chain.sim.attack(Attack::sick(one, 0.5)).unwrap();
        chain.sim.run_for(TWO_WINDOWS);
        assert_eq!(restrictions(chain.sim.events()), [(first, "quarantine")]);
        let before = chain.sim.counts(chain.calls);
        // It is cut off for ten seconds, at first.
        chain.sim.run_for(Duration::from_secs(7));
        let after = chain.sim.counts(chain.calls);
        let (held, let_in) = (after.held_back - before.held_back, after.let_in - before.let_in);
        assert!((1_150..1_650).contains(&held) && (1_150..1_650).contains(&let_in), "{after:?}");
        assert_eq!(after.failed, before.failed);
        chain.sim.attack(Attack::sick(two, 0.5)).unwrap();
        chain.sim.run_for(Duration::from_secs(10));
        let kept = |event: &Event| match event {
            Event::Refused { action, why } => {
                let last = [GovernorRefusal::LastInstance, GovernorRefusal::Shared];
                action.edge == second && last.contains(why)
            }
            _ => false,
        };
        assert!(chain.sim.events().iter().any(|told| kept(&told.event)));
        // Where both are sick, neither need be cut off.
        assert!(chain.sim.state(chain.gateway).control().restrictions().count() <= 1);
        let called = |chain: &Chain| chain.sim.counts(chain.calls).let_in;
        let before = called(&chain);
        chain.sim.run_for(Duration::from_secs(10));
        assert!(called(&chain) > before + 1_700);
        assert!(chain.sim.counts(chain.calls).balances());
    }
}

#[test]
fn a_service_does_not_hold_its_own_failures_against_its_caller() {
    for seed in SEEDS {
        let mut chain = chain(seed, false, "do = \"quarantine\"");
        chain.sim.attack(Attack::sick(chain.orders[0], 0.5)).unwrap();
        chain.sim.run_for(Duration::from_secs(20));
        let at_orders = |service| chain.sim.state(service).control().incidents().count();
        assert_eq!(chain.orders.map(at_orders), [0, 0]);
        assert_eq!(chain.sim.state(chain.gateway).control().incidents().count(), 1);
    }
}

#[test]
fn what_a_hop_loses_on_the_way_out_is_no_fault_of_the_callee() {
    for seed in SEEDS {
        let mut chain = chain(seed, true, "do = \"quarantine\"");
        chain.sim.attack(Attack::truncates(chain.hop, 0.5)).unwrap();
        chain.sim.run_for(Duration::from_secs(10));
        assert_eq!(restrictions(chain.sim.events()), []);
        let edge = EdgeKey::HopOut(SpiffeId::from_static(EDGE));
        let incidents = chain.sim.state(chain.gateway).control().incidents();
        assert!(incidents.into_iter().all(|incident| incident.edge == edge));
        assert!(chain.sim.state(chain.gateway).control().is_open(&edge));
    }
}

/// What an instance does about a caller that has stopped calling it, because it fails itself.
fn held_back(side: &str) -> usize {
    let mut sim = Sim::new(SEEDS[0]);
    let cuts = "do = \"quarantine\"\nttl = \"10m\"";
    let gateway = format!("{ALLOW}{}", reflex("errors", cuts));
    let gateway = sim.service("spiffe://shop.example/gateway", &gateway).unwrap();
    let trigger = "{ signal = \"rate\", false_alarms = \"1 in 30 days\", side = ";
    let orders = format!(
        "{ALLOW}[[reflex]]\nname = \"rate\"\non = {trigger}\"{side}\" }}\n{cuts}\n\
         [governor]\nmin_peers = 1\nmax_share = 1.0\n"
    );
    let orders = [(); 2].map(|()| sim.service("spiffe://shop.example/orders", &orders).unwrap());
    let load = Load::new(orders[0], "GET /orders/7").and(orders[1]).rate(200.0);
    sim.outbound(gateway, load).unwrap();
    sim.run_for(Duration::from_secs(3_000));
    assert_eq!(restrictions(sim.events()), []);
    sim.attack(Attack::sick(orders[0], 0.5)).unwrap();
    sim.run_for(Duration::from_secs(120));
    let gateway_cuts = sim.state(gateway).control().incidents().count();
    assert_eq!(gateway_cuts, 1, "nothing was held back: the test shows nothing");
    let at_orders = |told: &&Told| {
        told.service == orders[0]
            && matches!(&told.event, Event::Applied(a) if a.kind == ActionKind::Quarantine)
    };
    sim.events().iter().filter(at_orders).count()
}

#[test]
fn a_caller_whose_own_loop_holds_it_back_is_not_cut_off_for_that() {
    assert_eq!(held_back("harmful"), 0);
    // The control: who acts on less than usual has two loops feed each other.
    assert!(held_back("both") > 0);
}

/// When the first window of the first one closes, nothing is known of the others.
#[test]
fn replicas_that_begin_sick_alike_are_all_called() {
    for seed in SEEDS {
        println!("seed {seed}");
        let mut sim = Sim::new(seed);
        let sick = format!("{ALLOW}{}", reflex("errors", "do = [\"alert\", \"quarantine\"]"));
        let gateway = sim.service("spiffe://shop.example/gateway", &sick).unwrap();
        let orders = [(); 3].map(|()| sim.service("spiffe://shop.example/orders", ALLOW).unwrap());
        let load = Load::new(orders[0], "GET /orders/7").and(orders[1]).and(orders[2]);
        let calls = sim.outbound(gateway, load.rate(300.0)).unwrap();
        let attacks = orders.map(|of| sim.attack(Attack::sick(of, 0.5)).unwrap());
        sim.run_for(Duration::from_secs(40));
        attacks.into_iter().for_each(|attack| sim.end(attack));
        sim.run_for(Duration::from_secs(60));
        assert!(sim.events().iter().any(|e| matches!(e.event, Event::Opened(_))));
        assert_eq!(sim.counts(calls).lost(), 0);
    }
}
