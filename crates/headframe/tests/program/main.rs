//! The built program as its user sees it.

mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use process::{Process, event_with, json, run};
use serde_json::Value;

const NOWHERE: [&str; 4] = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().copied().chain(NOWHERE).collect()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs the program, which must fail; gives what it says.
fn failure(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

#[test]
fn alone_it_says_what_it_is_in_six_lines() {
    let home = home();
    let output = run(home.path(), &[]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success());
    assert_eq!(text.lines().count(), 6, "{text}");
    for word in ["demo", "pool", "miner", "README.md"] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn the_demo_ends_after_its_blocks_with_one_json_object() {
    let home = home();
    let output = run(home.path(), &with(&["demo", "--blocks", "3"]));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let (last, log) = lines.split_last().expect("there are lines");
    let outcome: Value = serde_json::from_str(last).expect("the last line is JSON");
    let blocks = outcome["blocks_accepted"].as_u64().expect("a number");
    assert!(blocks >= 3, "{last}");
    assert!(
        outcome["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    let miners = outcome["miners"].as_array().expect("a list");
    let kinds: Vec<_> = miners
        .iter()
        .map(|it| (&it["protocol"], &it["channel"]))
        .collect();
    let (sv1, sv2) = (Value::from("sv1"), Value::from("sv2"));
    let (standard, extended) = (Value::from("standard"), Value::from("extended"));
    assert_eq!(
        kinds,
        [(&sv2, &standard), (&sv2, &extended), (&sv1, &Value::Null)]
    );
    let shares: u64 = miners
        .iter()
        .filter_map(|it| it["shares_accepted"].as_u64())
        .sum();
    assert!(shares >= blocks, "{last}");
    for (code, _) in miners
        .iter()
        .flat_map(|it| it["shares_rejected"].as_object())
        .flatten()
    {
        assert!(code.to_lowercase().contains("stale"), "{last}");
    }
    // One calm line an event: where to look (2), who came and went (3 each), what was found.
    let found = log
        .iter()
        .filter(|line| line.contains(" found by "))
        .count();
    assert!(found as u64 >= 3, "{text}");
    assert!(log.len() <= 8 + found, "{text}");
}

#[test]
fn ctrl_c_ends_the_demo_cleanly_and_a_kept_chain_goes_on() {
    let home = home();
    let directory = home.path().join("kept");
    let directory = directory.to_str().expect("text");
    let arguments = with(&["demo", "--data-dir", directory]);
    let mut demo = Process::start(home.path(), &arguments);
    let dashboard = demo.dashboard();
    event_with(dashboard, "\"blocks\":[{");
    let before = json(dashboard, "/api/v1/snapshot");
    let hash = before["blocks"][0]["hash"].as_str().expect("a hash");
    let (rest, code) = demo.interrupt();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("stopping"), "{rest}");
    for word in ["ERROR", "warning", "panicked"] {
        assert!(!rest.contains(word), "{rest}");
    }

    let mut again = Process::start(home.path(), &arguments);
    let dashboard = again.dashboard();
    event_with(dashboard, hash);
    // Two pools would write into one ledger.
    let error = failure(home.path(), &arguments);
    assert!(error.contains("is in use by another headframe"), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_moves_it() {
    let home = home();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("its address").to_string();
    for (flag, free) in [("--listen", "--http"), ("--http", "--listen")] {
        let error = failure(home.path(), &["demo", flag, &taken, free, "127.0.0.1:0"]);
        assert!(error.contains(&taken), "{error}");
        assert!(error.contains(flag), "{error}");
        assert!(!error.contains(free), "{error}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let home = home();
    let file = home.path().join("file");
    fs::write(&file, "").expect("a file");
    let place = file.join("data");
    let place = place.to_str().expect("text");
    let error = failure(home.path(), &with(&["demo", "--data-dir", place]));
    assert!(
        error.contains(place) && error.contains("--data-dir"),
        "{error}"
    );
}

#[test]
fn a_configuration_with_a_wrong_key_or_value_says_which() {
    let home = home();
    let file = home.path().join("pool.toml");
    let path = file.to_str().expect("text");
    for (text, expected) in [
        ("[pool]\nlisten_on = \"0.0.0.0:3333\"\n", "listen_on"),
        ("[payout]\nfee_percent = 200\n", "fee_percent"),
    ] {
        fs::write(&file, text).expect("a file");
        let error = failure(home.path(), &["pool", "-c", path]);
        assert!(
            error.contains(expected) && error.contains("pool.toml"),
            "{error}"
        );
    }
}

#[test]
fn without_a_node_the_page_says_the_one_thing_to_do_and_no_miner_gets_in() {
    let home = home();
    let closed = free_address();
    let listen = closed.to_string();
    let mut pool = Process::start(
        home.path(),
        &["pool", "--listen", &listen, "--http", "127.0.0.1:0"],
    );
    let dashboard = pool.dashboard();
    let line = pool.line_with("no Bitcoin node");
    assert!(line.contains("start Bitcoin Core"), "{line}");
    let summary = event_with(dashboard, "no Bitcoin node");
    assert!(summary.contains("bitcoind -server"), "{summary}");
    assert!(TcpStream::connect(closed).is_err(), "miners are let in");
    let (rest, code) = pool.interrupt();
    assert_eq!(code, Some(0), "{rest}");
}

/// A node that lets nobody in.
fn refusing_node() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            let _ = socket.read(&mut request);
            let _ = socket.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    address
}

#[test]
fn a_node_that_refuses_the_password_is_told_of_and_no_miner_gets_in() {
    let home = home();
    let file = home.path().join("pool.toml");
    let node = format!(
        "[node]\nnetwork = \"regtest\"\nurl = \"http://{}\"\nuser = \"me\"\npassword = \"wrong\"\n",
        refusing_node()
    );
    fs::write(&file, node).expect("a file");
    let closed = free_address();
    let listen = closed.to_string();
    let path = file.to_str().expect("text");
    let mut pool = Process::start(
        home.path(),
        &[
            "pool",
            "-c",
            path,
            "--listen",
            &listen,
            "--http",
            "127.0.0.1:0",
        ],
    );
    let dashboard = pool.dashboard();
    let line = pool.line_with("the node gives no templates");
    assert!(line.contains("password"), "{line}");
    assert!(!line.contains("wrong"), "secrets stay secret: {line}");
    assert!(TcpStream::connect(closed).is_err(), "miners are let in");
    let shown = event_with(dashboard, "password");
    assert!(!shown.contains("wrong"), "secrets stay secret: {shown}");
    let (rest, code) = pool.interrupt();
    assert_eq!(code, Some(0), "{rest}");
}

#[test]
fn keys_are_shown_and_renewed_while_the_pool_does_not_run() {
    let home = home();
    let directory = home.path().join("data");
    let place = directory.to_str().expect("text");
    let error = failure(home.path(), &["keys", "show", "--data-dir", place]);
    assert!(error.contains("no keys"), "{error}");
    assert!(!directory.exists(), "looking makes nothing");

    let arguments = with(&["demo", "--data-dir", place]);
    let mut demo = Process::start(home.path(), &arguments);
    let line = demo.line_with("stratum2+tcp://");
    let (_, authority) = line.rsplit_once('/').expect("a URL");
    let authority = authority.to_owned();
    let error = failure(home.path(), &["keys", "rotate", "--data-dir", place]);
    assert!(error.contains("is in use by another headframe"), "{error}");
    let (_, code) = demo.interrupt();
    assert_eq!(code, Some(0));

    let shown = run(home.path(), &["keys", "show", "--data-dir", place]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), authority);
    let file = directory.join("keys");
    let before = fs::read(&file).expect("keys");
    let rotated = run(home.path(), &["keys", "rotate", "--data-dir", place]);
    let text = String::from_utf8_lossy(&rotated.stdout).into_owned();
    assert_eq!(text.lines().last(), Some(authority.as_str()), "{text}");
    assert_ne!(fs::read(&file).expect("keys"), before);
    let mode = fs::metadata(&file).expect("keys").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
