//! What an operator can get wrong at the start: said at once, with what to do.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use headframe_conformance::bitcoind::free_address;
use headframe_conformance::{Bitcoind, Chain, Pool, Process, pool, program};
use tempfile::TempDir;

/// Runs `headframe` until it ends by itself, which has to be a failure; gives what it printed.
fn failing(arguments: &[&str], environment: &[(String, String)]) -> String {
    let home = TempDir::new().expect("a temporary directory can be made");
    let mut command = Command::new(program::headframe());
    command.env_clear().env("HOME", home.path()).args(arguments);
    for (key, value) in environment {
        command.env(format!("HEADFRAME_{key}"), value);
    }
    let mut process = Process::start("headframe", &mut command);
    let status = process.ended();
    let printed = process.lines().join("\n");
    assert_eq!(status.code(), Some(1), "{printed}");
    printed
}

fn assert_says(printed: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(
            printed.contains(wanted),
            "{wanted:?} is missing in: {printed}"
        );
    }
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_moves_it() {
    let other = free_address().to_string();
    let held = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let taken = held.local_addr().expect("it has an address").to_string();
    let demo = ["demo", "--listen", &taken, "--http", &other];
    assert_says(&failing(&demo, &[]), &[&taken, "--listen"]);
    let demo = ["demo", "--listen", &other, "--http", &taken];
    assert_says(&failing(&demo, &[]), &[&taken, "--http"]);
    let pool = ["pool", "--listen", &other, "--http", &taken];
    assert_says(&failing(&pool, &[]), &[&taken, "--http"]);

    let Some(node) = Bitcoind::start(Chain::Regtest) else {
        return;
    };
    let pool = ["pool", "--listen", &taken, "--http", &other];
    assert_says(
        &failing(&pool, &pool::of_node(&node)),
        &[&taken, "--listen"],
    );
}

#[test]
fn every_mistake_of_a_configuration_is_named_with_its_line() {
    let home = TempDir::new().expect("a temporary directory can be made");
    let file = home.path().join("pool.toml");
    let text = "[pool]\nlissten = [\"0.0.0.0:3333\"]\n[payout]\nfee_percent = 101\n";
    fs::write(&file, text).expect("a temporary file can be written");
    let file = file.display().to_string();
    let environment = [("LOG_LEVEL".to_owned(), "loud".to_owned())];
    let printed = failing(&["pool", "-c", &file], &environment);
    assert_says(&printed, &["pool.toml:2", "lissten", "`listen` in [pool]"]);
    assert_says(&printed, &["pool.toml:4", "payout.fee_percent", "101"]);
    assert_says(&printed, &["HEADFRAME_LOG_LEVEL", "loud", "warn"]);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let printed = failing(&["pool", "-c", "/nowhere/pool.toml"], &[]);
    assert_says(&printed, &["/nowhere/pool.toml", "-c"]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named_with_the_flag() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let file = file.path().display().to_string();
    let printed = failing(&["pool", "--data-dir", &file], &[]);
    assert_says(&printed, &[&file, "--data-dir"]);
    // Nobody may make a directory here, not even root.
    let printed = failing(&["pool", "--data-dir", "/proc/headframe"], &[]);
    assert_says(&printed, &["/proc/headframe", "--data-dir"]);
}

#[test]
fn a_data_directory_in_use_is_refused_and_the_first_pool_goes_on() {
    let mut first = Pool::with_settings(&[]);
    let directory = first.data_directory().display().to_string();
    let ports = pool::any_ports();
    let mut arguments = vec!["pool", "--data-dir", &directory];
    arguments.extend(ports);
    assert_says(
        &failing(&arguments, &[]),
        &[&directory, "in use", "--data-dir"],
    );
    assert!(first.is_running());
    first.stop();
}

/// Without a node the pool does not end; it says the next step on the terminal and on the page.
#[test]
fn without_a_node_there_is_a_dashboard_in_set_up_mode_and_no_listener() {
    let listen = free_address();
    let mut pool = Pool::listening_at(listen, Vec::new());
    pool.log().line("no Bitcoin node");
    let summary = pool.wait_for_state("setup");
    let step = summary["state"]["next_step"].as_str().unwrap_or_default();
    assert!(step.contains("Bitcoin Core"), "{summary}");
    assert!(!pool.is_listening(listen));
    pool.stop();
}

#[test]
fn headframe_alone_says_what_it_is_in_six_lines() {
    let mut command = Command::new(program::headframe());
    let mut process = Process::start("headframe", command.env_clear());
    assert!(process.ended().success());
    let lines = process.standard_output();
    assert!(lines.len() <= 6, "{lines:?}");
    let text = lines.join("\n");
    assert_says(
        &text,
        &["headframe demo", "headframe pool", "headframe miner"],
    );
}
