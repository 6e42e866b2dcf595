//! The seeds of the fuzz targets, replayed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use headframe_mining::server::{fuzz_sv1_session, fuzz_sv2_session};
use proptest::prelude::*;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("the corpus is in the repository");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let seeds: Vec<_> = paths
        .map(|path| fs::read(path).expect("a readable file"))
        .collect();
    assert!(!seeds.is_empty(), "no corpus in {}", folder.display());
    seeds
}

fn replay(target: &str, fuzz: fn(Instant, &[u8])) {
    for seed in seeds(target) {
        fuzz(Instant::now(), &seed);
    }
}

#[test]
fn sv2_session_seeds_hold() {
    replay("sv2_session", fuzz_sv2_session);
}

#[test]
fn sv1_session_seeds_hold() {
    replay("sv1_session", fuzz_sv1_session);
}

/// Steps of any kind, and parts of a seed between them.
fn mangled(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let seeds = seeds(target);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = proptest::collection::vec(change, 0..6);
    (proptest::sample::select(seeds), changes).prop_map(|(mut seed, changes)| {
        for (place, value) in changes {
            let place = place.index(seed.len());
            seed[place] = value;
        }
        seed
    })
}

proptest! {
    #[test]
    fn mangled_sv2_sessions_hold(data in mangled("sv2_session")) {
        fuzz_sv2_session(Instant::now(), &data);
    }

    #[test]
    fn mangled_sv1_sessions_hold(data in mangled("sv1_session")) {
        fuzz_sv1_session(Instant::now(), &data);
    }
}
