//! Replays the fuzz corpora as ordinary tests.

use std::fs;
use std::path::Path;

use headframe_sv2_wire::fuzz_frame;
use headframe_sv2_wire::job_declaration::fuzz_job_declaration;
use headframe_sv2_wire::mining::fuzz_mining;
use headframe_sv2_wire::template_distribution::fuzz_template_distribution;
use headframe_sv2_wire::tlv::fuzz_tlv;

fn replay(target: &str, fuzz: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("a readable folder").path();
        fuzz(&fs::read(&path).expect("a readable file"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

#[test]
fn sv2_frame() {
    replay("sv2_frame", fuzz_frame);
}

#[test]
fn sv2_mining() {
    replay("sv2_mining", fuzz_mining);
}

#[test]
fn sv2_job_declaration() {
    replay("sv2_job_declaration", fuzz_job_declaration);
}

#[test]
fn sv2_template_distribution() {
    replay("sv2_template_distribution", fuzz_template_distribution);
}

#[test]
fn sv2_tlv() {
    replay("sv2_tlv", fuzz_tlv);
}
