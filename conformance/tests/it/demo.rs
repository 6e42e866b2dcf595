//! `headframe demo` as a newcomer and as a script see it.

use std::process::Command;

use headframe_conformance::{Process, pool, program};
use serde_json::Value;

fn demo(arguments: &[&str]) -> Process {
    let mut command = Command::new(program::headframe());
    command.env_clear().arg("demo");
    command.args(pool::any_ports()).args(arguments);
    Process::start("the demonstration", &mut command)
}

#[test]
fn a_demonstration_ends_after_its_blocks_with_one_json_object() {
    let mut demo = demo(&["--blocks", "4"]);
    assert!(demo.ended().success());
    let lines = demo.standard_output();
    let last = lines.last().expect("it prints something");
    let result: Value = serde_json::from_str(last).expect("the last line is JSON");
    assert_eq!(result["blocks_accepted"], 4, "{result}");
    assert!(result["seconds"].as_f64() > Some(0.0), "{result}");
    let miners = result["miners"].as_array().expect("a list");
    let kinds: Vec<_> = miners
        .iter()
        .map(|miner| (miner["protocol"].as_str(), miner["channel"].as_str()))
        .collect();
    let [sv1, sv2] = [Some("sv1"), Some("sv2")];
    assert_eq!(
        kinds,
        [
            (sv2, Some("standard")),
            (sv2, Some("extended")),
            (sv1, None)
        ]
    );
    for miner in miners {
        let rejected = miner["shares_rejected"].as_object().expect("an object");
        for (code, count) in rejected {
            let is_rare = count.as_u64() <= Some(1);
            assert!(
                (code.contains("stale") || code == "21") && is_rare,
                "{miner}"
            );
        }
    }
}

#[test]
fn ctrl_c_ends_a_demonstration_in_order() {
    let mut demo = demo(&[]);
    demo.line("accepted by the embedded chain");
    assert!(demo.interrupt().success());
}
