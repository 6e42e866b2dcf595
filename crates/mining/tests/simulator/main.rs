//! A whole pool in simulated time, with invariants that are checked after every event.
//!
//! `HEADFRAME_SEED=77` in the environment takes the place of a test's own seed, so that what one run
//! found can be run again.

use std::env;
use std::time::Instant;

use headframe_testkit::simulator::{Report, Scenario, simulate};

/// What the environment gives for `name`, or `usual`.
fn given(name: &str, usual: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(usual, |text| text.parse().expect("a number"))
}

fn seed(usual: u64) -> u64 {
    given("HEADFRAME_SEED", usual)
}

fn run(scenario: &Scenario) -> Report {
    let report = simulate(scenario).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report:#?}");
    report
}

/// Everything that can go wrong does so within minutes: reconnects, channels that come and go, divided
/// networks, a disk that refuses, storms, reorgs, and blocks of the pool's own.
#[test]
fn a_restless_pool_keeps_its_word() {
    for usual in 1..=2 {
        let figures = run(&Scenario::restless(seed(usual))).figures;
        if seed(usual) == usual {
            assert!(figures.blocks > 0 && figures.reorgs > 0 && figures.returns > 0);
            assert!(figures.storms > 0 && figures.silences > 0);
            assert!(figures.not_durable > 0 && figures.unanswered > 0);
            assert!(figures.resumed > 0);
        }
        assert!(figures.acknowledged > 1_000);
    }
}

/// The numbers of jobs go round from 2^32 - 1 to 1 in this run, and no prefix is ever two channels'.
#[test]
fn a_thousand_sessions_keep_their_word() {
    let figures = run(&Scenario::thousand(seed(3))).figures;
    assert!(figures.connections >= 1_000 && figures.published > 4);
    assert!(figures.acknowledged > 1_000);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let scenario = Scenario {
        span: std::time::Duration::from_secs(180),
        ..Scenario::restless(seed(4))
    };
    let other = Scenario {
        seed: scenario.seed + 1,
        ..scenario
    };
    let report = run(&scenario);
    assert_eq!(report, run(&scenario));
    assert_ne!(report.digest, run(&other).digest);
}

/// A thousand clients for simulated days: minutes of a release build, so only in a full pass.
#[test]
#[ignore = "takes minutes; `cargo xtask ci --full` runs it in a release build"]
fn days_of_a_thousand_sessions() {
    let days = given("HEADFRAME_DAYS", 2);
    let began = Instant::now();
    run(&Scenario::days(seed(5), days));
    println!("{days} days in {:.0} s", began.elapsed().as_secs_f64());
    print_peak();
}

/// What the process took of memory at most, where the system says so.
fn print_peak() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", peak.unwrap_or("peak memory is not known here"));
}
