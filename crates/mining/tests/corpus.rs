//! The seeds of the fuzz targets, replayed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use headframe_mining::server::{fuzz_sv1_session, fuzz_sv2_session};
use proptest::prelude::*;

fn replay(target: &str, fuzz: fn(Instant, &[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("a readable folder").path();
        fuzz(Instant::now(), &fs::read(path).expect("a readable file"));
        replayed += 1;
    }
    assert!(replayed > 0, "no corpus in {}", folder.display());
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
fn mangled(seeds: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(seeds);
    let seeds: Vec<Vec<u8>> = fs::read_dir(folder)
        .expect("the corpus is in the repository")
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            fs::read(path).expect("a readable file")
        })
        .collect();
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
