//! The fuzz targets' corpora, replayed: what once was a find stays one.

use std::fs;
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("a readable folder").path();
        run(&fs::read(path).expect("a readable file"));
        replayed += 1;
    }
    assert!(replayed > 0, "no corpus in {}", folder.display());
}

#[test]
fn handshakes() {
    replay("noise_handshake", headframe_sv2_noise::fuzz_handshake);
}

#[test]
fn records() {
    replay("noise_record", headframe_sv2_noise::fuzz_record);
}
