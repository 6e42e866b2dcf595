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
fn requests() {
    replay("sv1_request", headframe_sv1_wire::fuzz_request);
}

/// The lines of one target are good for the other.
#[test]
fn requests_as_serde_json_reads_them() {
    replay("sv1_json", headframe_sv1_wire::fuzz_against_serde_json);
    replay("sv1_request", headframe_sv1_wire::fuzz_against_serde_json);
    replay("sv1_json", headframe_sv1_wire::fuzz_request);
}

#[test]
fn notifications() {
    replay("sv1_notification", headframe_sv1_wire::fuzz_notification);
}
