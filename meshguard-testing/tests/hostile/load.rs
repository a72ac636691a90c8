//! A service in a process of its own, under attack, with honest calls beside it: none of them is
//! refused or held up, and the service's memory stays within what docs/operations.md says.

mod attacks;
mod victim;

use std::time::Duration;

use attacks::Attack;
use victim::{Honest, Victim};

/// Beyond what is documented: the allocator's own, and what the honest calls take.
const SLACK: usize = 64 << 20;
/// No honest call takes longer.
const LONGEST: Duration = Duration::from_secs(2);
/// One attack goes on for so long.
const PHASE: Duration = Duration::from_secs(2);

/// Attacks a victim of its own; what the honest calls took, quiet and attacked.
async fn attacked(attack: Attack, phase: Duration) -> [Honest; 2] {
    let victim = Victim::start().await;
    let quiet = victim.honest(phase, || true).await;
    quiet.check(&format!("{attack:?}, quiet"));
    let before = victim.peak();
    let going_on = attack.begin(victim.addr);
    let under_attack = victim.honest(phase, || going_on.is_one()).await;
    let reached = going_on.reached();
    let (peak, most) = (victim.peak(), before + attack.documented() + SLACK);
    println!(
        "{attack:?}: peak {} MiB of {} MiB, {} before; honest p99 {:?}, quiet {:?}; {reached}",
        peak >> 20,
        most >> 20,
        before >> 20,
        under_attack.percentile(99),
        quiet.percentile(99),
    );
    under_attack.check(&format!("{attack:?}"));
    assert!(peak <= most, "{attack:?}: {peak} bytes, of {most}");
    victim.stop().await;
    [quiet, under_attack]
}

/// The longest that a call took, quiet or attacked.
fn longest_of(calls: &[Honest; 2]) -> Duration {
    calls.each_ref().map(|honest| honest.percentile(100)).into_iter().max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_calls_go_on_and_memory_stays_bounded() {
    // A busy machine may stop for as long; what a service holds up, it holds up each time.
    const TRIES: usize = 3;
    for attack in Attack::ALL {
        let mut longest = Vec::new();
        while longest.len() < TRIES && longest.last().is_none_or(|took| *took > LONGEST) {
            longest.push(longest_of(&attacked(attack, PHASE).await));
        }
        assert!(longest.last() <= Some(&LONGEST), "{attack:?}: calls took {longest:?}");
    }
}

/// `cargo test --release -p meshguard-testing --test hostile -- --ignored --nocapture pairs`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, for minutes"]
async fn pairs_of_quiet_and_attacked() {
    for attack in Attack::ALL {
        let mut ratios = Vec::new();
        for _ in 0..5 {
            let calls = attacked(attack, Duration::from_secs(4)).await;
            assert!(longest_of(&calls) <= LONGEST, "{attack:?}");
            let [quiet, attacked] = calls;
            let p99 = |calls: &Honest| calls.percentile(99).as_secs_f64();
            ratios.push(p99(&attacked) / p99(&quiet));
        }
        ratios.sort_by(f64::total_cmp);
        println!("{attack:?}: p99, attacked over quiet: median {:.2} of {ratios:.2?}", ratios[2]);
    }
}
