//! A loop test in 30 lines: policy, traffic, attack, claims.

use std::time::Duration;

use meshguard_testing::sim::{Attack, Load, Sim, SimError};

const POLICY: &str = r#"
    mesh = "shop.example"
    version = 1
    [[allow]]
    name = "callers-read"
    http = ["GET /orders/{id}"]
    [[reflex]]
    name = "failing"
    on   = { signal = "errors", false_alarms = "1 in 30 days" }
    do   = { tighten = { rate = "100/s" } }
    then = { after = "5s", do = "quarantine" }
"#;

#[test]
fn a_caller_whose_calls_fail_is_slowed_down_then_cut_off_and_nobody_else() -> Result<(), SimError> {
    let mut sim = Sim::new(7);
    let orders = sim.service("spiffe://shop.example/orders", POLICY)?;
    let load = Load::new(orders, "GET /orders/7").rate(200.0).errors(0.002);
    let caller = |n| format!("spiffe://shop.example/caller-{n}");
    let callers = (0..10).map(|n| sim.caller(&caller(n), load.clone()));
    let callers = callers.collect::<Result<Vec<_>, _>>()?;
    sim.run_for(Duration::from_secs(1_200));
    sim.attack(Attack::errors(callers[0], 0.3))?;
    let restriction = |sim: &Sim| sim.restriction(orders, callers[0]).copied();
    sim.run_until(|sim| restriction(sim).is_some(), Duration::from_secs(2))?;
    sim.run_until(|sim| restriction(sim).is_some_and(|r| r.quarantine), Duration::from_secs(10))?;
    assert!(sim.honest().count() == 9 && sim.honest().all(|caller| sim.counts(caller).lost() == 0));
    Ok(())
}
