//! What fuzzing has found, and what it begins with: replayed.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_the_publisher_s_bytes_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/zmq");
    let entries = fs::read_dir(folder).unwrap();
    let inputs: Vec<Vec<u8>> = entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(inputs.len() >= 5);
    for input in inputs {
        headframe_node::zmq::fuzz_zmq(&input);
    }
}
