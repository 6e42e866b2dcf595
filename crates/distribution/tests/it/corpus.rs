//! Replays the fuzz corpora as ordinary tests.

use std::fs;
use std::path::Path;
use std::time::Instant;

use headframe_distribution::fuzz::{fuzz_client, fuzz_server};

fn replay(target: &str, fuzz: fn(Instant, &[u8])) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut replayed = 0;
    for entry in fs::read_dir(corpora.join(target)).unwrap() {
        fuzz(Instant::now(), &fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "{target} is empty");
}

#[test]
fn distribution_client() {
    replay("distribution_client", fuzz_client);
}

#[test]
fn distribution_server() {
    replay("distribution_server", fuzz_server);
}
