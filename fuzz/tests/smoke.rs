//! Every target on its seeds, and on thousands of inputs made from them: for machines without
//! cargo-fuzz.

use std::fs;
use std::path::Path;

use meshguard_fuzz::{Rng, TARGETS, seeds};

const INPUTS: usize = 5_000;
/// A handshake takes a millisecond or two.
const HANDSHAKES: usize = 1_000;

/// Inputs that a fuzzer has found, of each target: bounded, so that the repository is.
const MOST_FILES: usize = 200;
const MOST_BYTES: usize = 512 * 1024;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let found: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let bytes: usize = found.iter().map(Vec::len).sum();
    assert!(
        found.len() <= MOST_FILES && bytes <= MOST_BYTES,
        "{name}: {} files, {bytes} bytes",
        found.len()
    );
    found
}

/// From `MESHGUARD_SEED`, else from the clock; printed, so that a failure can be run again.
fn rng() -> Rng {
    let seed = std::env::var("MESHGUARD_SEED").ok().and_then(|s| s.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = seed.unwrap_or_else(|| now.map_or(1, |d| d.as_nanos() as u64));
    println!("MESHGUARD_SEED={seed}");
    Rng::new(seed)
}

#[test]
fn no_target_fails_on_its_seeds_or_on_what_is_made_of_them() {
    let mut rng = rng();
    for (name, target) in TARGETS {
        let mut seeds = seeds::of(name);
        seeds.extend(corpus(name));
        seeds.iter().for_each(|seed| target(seed));
        for i in 0..if name == "handshake" { HANDSHAKES } else { INPUTS } {
            let length = rng.below(200);
            let mut data = rng.bytes(length);
            if i % 8 > 0 {
                let other = &seeds[rng.below(seeds.len())];
                data = seeds[rng.below(seeds.len())].clone();
                rng.mutate(&mut data, other);
            }
            println!("{name}: {}", data.escape_ascii());
            target(&data);
        }
    }
}

#[test]
fn the_seeds_are_sound_inputs() {
    use meshguard_core::delivery::Settings;
    use meshguard_core::delivery::field::{RequestField, ResponseField};
    use meshguard_core::policy::Policy;

    for seed in seeds::of("field") {
        let read = RequestField::parse(&seed).is_ok() || ResponseField::parse(&seed).is_ok();
        assert!(read, "{}", seed.escape_ascii());
    }
    for seed in seeds::of("settings") {
        Settings::parse(&seed, &seeds::SID, "own").unwrap();
    }
    seeds::POLICY.parse::<Policy>().unwrap();
    let workload = meshguard_core::policy::istio::Workload::new("shop");
    meshguard_core::policy::istio::import(seeds::ISTIO, &workload).unwrap();
}
