//! The built program as its user sees it.

mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use process::{Process, event_with, json, run, text};
use rustix::process::Signal;
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
    assert_eq!(blocks, 3, "{last}");
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

/// A terminal that is held, so that the program cannot come to its end in order: what it prints last
/// is not taken. Reading goes on when this is dropped.
fn held_terminal() -> (UnixStream, UnixStream) {
    let (terminal, program) = UnixStream::pair().expect("sockets");
    program.set_nonblocking(true).expect("a mode");
    while (&program).write(&[b'.'; 4_096]).is_ok() {}
    program.set_nonblocking(false).expect("a mode");
    (terminal, program)
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// For what does not announce itself. The bound is there for a program that hangs.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Starts the program at a held terminal and interrupts it twice; it must end at once.
fn interrupt_twice(program: &mut Command, http: SocketAddr, meanwhile: impl FnOnce()) {
    let (_held, stdout) = held_terminal();
    program.stdout(OwnedFd::from(stdout));
    let mut process = Killed(program.spawn().expect("the program starts"));
    wait_until(|| TcpStream::connect(http).is_ok());
    meanwhile();
    process::signal(&process.0, Signal::INT);
    // The dashboard is the last to go before the log is waited for.
    wait_until(|| TcpStream::connect(http).is_err());
    process::signal(&process.0, Signal::INT);
    let mut ended = None;
    wait_until(|| {
        ended = process.0.try_wait().expect("it is a child");
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
}

#[test]
fn a_second_ctrl_c_ends_the_demo_at_once_and_leaves_nothing_behind() {
    let home = home();
    let temporary = home.path().join("tmp");
    fs::create_dir(&temporary).expect("a directory");
    let directories = || fs::read_dir(&temporary).expect("a directory").count();
    let http = free_address();
    let mut program = process::program(home.path());
    program
        .args(["demo", "--listen", "127.0.0.1:0"])
        .args(["--http", &http.to_string()])
        .env("TMPDIR", &temporary);
    interrupt_twice(&mut program, http, || assert_eq!(directories(), 1));
    assert_eq!(directories(), 0, "what was temporary stays behind");
}

#[test]
fn a_second_ctrl_c_ends_the_pool_at_once() {
    let home = home();
    let http = free_address();
    let mut program = process::program(home.path());
    program
        .args(["pool", "--listen", "127.0.0.1:0"])
        .args(["--http", &http.to_string()]);
    interrupt_twice(&mut program, http, || {});
}

#[test]
fn all_ports_in_use_are_named_with_free_ones_also_while_there_is_no_node() {
    let home = home();
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [listen, http] = listeners
        .each_ref()
        .map(|it| it.local_addr().expect("its address").to_string());
    for command in ["demo", "pool"] {
        let arguments = [command, "--listen", &listen, "--http", &http];
        let error = failure(home.path(), &arguments);
        assert_eq!(error.lines().count(), 2, "{error}");
        for (line, place, flag) in error
            .lines()
            .zip([(&listen, "--listen"), (&http, "--http")])
            .map(|(line, (place, flag))| (line, place, flag))
        {
            assert!(line.starts_with("headframe: cannot "), "{error}");
            assert!(line.contains(place.as_str()), "{error}");
            let (_, free) = line
                .rsplit_once(&format!("such as {flag} "))
                .expect("a free place");
            assert!(TcpListener::bind(free).is_ok(), "{error}");
        }
    }
}

/// As by `headframe | head -1` with a quick `head`.
#[test]
fn who_closes_the_pipe_has_read_enough() {
    let home = home();
    for arguments in [&[][..], &["pool", "--sample-config"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut program = process::program(home.path());
        let output = program.args(arguments).stdout(writer).output();
        let output = output.expect("the program starts");
        assert!(output.stderr.is_empty(), "{output:?}");
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn help_is_given_for_each_command() {
    let home = home();
    for command in ["demo", "pool", "miner", "keys", "trace"] {
        let helped = run(home.path(), &["help", command]);
        let asked = run(home.path(), &[command, "--help"]);
        assert!(helped.status.success());
        assert_eq!(helped.stdout, asked.stdout, "{command}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_in_words() {
    let home = home();
    for (arguments, expected) in [
        (["demo", "--listen", "3399"], "127.0.0.1:3399"),
        (["demo", "--http", ":8081"], "127.0.0.1:8081"),
        (["pool", "--listen", "3399"], "127.0.0.1:3399"),
        (["demo", "--blocks", "0"], "a whole number from 1"),
    ] {
        let error = failure(home.path(), &arguments);
        assert!(error.contains(expected), "{error}");
    }
    let long = "n".repeat(33);
    for (flag, value, expected) in [
        ("--threads", "0", "a whole number from 1"),
        ("--throttle", "0", "a whole number from 1"),
        ("--worker", long.as_str(), "a name of 1 to 32 bytes"),
        ("--worker", "", "a name of 1 to 32 bytes"),
    ] {
        let arguments = [
            "miner",
            "stratum+tcp://127.0.0.1:1",
            "--user",
            "a",
            flag,
            value,
        ];
        let error = failure(home.path(), &arguments);
        assert!(error.contains(expected), "{error}");
    }
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
    for command in ["demo", "pool"] {
        let error = failure(home.path(), &with(&[command, "--data-dir", place]));
        assert!(error.contains(place), "{error}");
        assert!(error.trim_end().ends_with("with --data-dir"), "{error}");
        assert_eq!(error.matches("os error").count(), 1, "{error}");
    }
    let config = home.path().join("pool.toml");
    fs::write(&config, format!("[pool]\ndata_dir = \"{place}\"\n")).expect("a file");
    let path = config.to_str().expect("text");
    let error = failure(home.path(), &with(&["pool", "-c", path]));
    assert!(error.trim_end().ends_with("pool.toml:2"), "{error}");
    assert!(!error.contains("--data-dir"), "{error}");
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
    fs::write(&file, "[log]\nlevel = 1\n[pool]\nlisen = 2\ntag = 3\n").expect("a file");
    let error = failure(home.path(), &["pool", "-c", path]);
    for (line, number) in error.lines().zip([2, 4, 5]) {
        let start = format!("headframe: {path}:{number}: ");
        assert!(line.starts_with(&start), "{error}");
    }
    assert_eq!(error.lines().count(), 3, "{error}");
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
    let summary = json(dashboard, "/api/v1/summary");
    for (unknown, known) in [
        ("/network", "/software/version"),
        ("/node/height", "/node/kind"),
    ] {
        assert_eq!(summary.pointer(unknown), Some(&Value::Null), "{unknown}");
        assert!(
            summary.pointer(known).is_some_and(Value::is_string),
            "{known}"
        );
    }
    assert_eq!(summary["node"]["kind"], "rpc");
    assert_eq!(summary["software"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(summary["ledger"]["persistent"], true);
    assert!(summary["connect"]["authority_key"].is_string(), "{summary}");
    let taken_at = summary["taken_at"].as_u64().expect("a time");
    let started_at = summary["started_at"].as_u64().expect("a time");
    let uptime = summary["uptime_seconds"].as_u64().expect("a duration");
    assert!(
        started_at > 0 && taken_at - started_at <= uptime + 1,
        "{summary}"
    );
    let metrics = text(dashboard, "/metrics");
    let info = concat!(
        "headframe_pool_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"} 1\n"
    );
    assert!(metrics.contains(info), "{metrics}");
    assert!(
        !metrics.contains("headframe_start_time_seconds 0\n"),
        "{metrics}"
    );
    let (rest, code) = pool.interrupt();
    assert_eq!(code, Some(0), "{rest}");
}

/// A node of regtest that says no more than that.
fn node_of_regtest() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            let _ = socket.read(&mut request);
            let body = r#"{"result":{"chain":"regtest"},"error":null,"id":0}"#;
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length";
            let _ = socket.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes());
        }
    });
    address
}

#[test]
fn the_check_has_nothing_to_say_of_addresses_that_are_not_there() {
    let home = home();
    let output = run(home.path(), &["check", "--json"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "there is no node: {output:?}"
    );
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = found["findings"].as_array().expect("a list");
    let payout = findings.iter().find(|it| it["code"] == "payout");
    assert_eq!(payout.expect("it is told")["level"], "ok");
}

#[test]
fn the_check_finds_that_nobody_sends_templates() {
    let home = home();
    let file = home.path().join("pool.toml");
    let provider = free_address();
    let text =
        format!("[node]\nnetwork = \"regtest\"\ntemplate_provider = \"{provider}/insecure\"\n");
    fs::write(&file, text).expect("a file");
    let output = run(
        home.path(),
        &["check", "-c", file.to_str().expect("text"), "--json"],
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = found["findings"].as_array().expect("a list");
    let pushed = findings.iter().find(|it| it["code"] == "pushed");
    let pushed = pushed.expect("it is told");
    assert_eq!(pushed["about"], format!("template provider {provider}"));
    assert_eq!(pushed["level"], "wrong");
    assert!(pushed["next_step"].is_string());
}

#[test]
fn who_has_to_correct_the_configuration_is_told_to_restart() {
    let home = home();
    let file = home.path().join("pool.toml");
    let path = file.to_str().expect("text");
    let text = format!(
        "[node]\nurl = \"{}\"\nuser = \"me\"\npassword = \"x\"\n[payout]\nfee_percent = 1.5\n\
         fee_address = \"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"\n",
        node_of_regtest()
    );
    fs::write(&file, text).expect("a file");
    let mut pool = Process::start(home.path(), &with(&["pool", "-c", path]));
    let dashboard = pool.dashboard();
    let line = pool.line_with("is an address of mainnet");
    assert!(line.ends_with("and restart headframe"), "{line}");
    event_with(dashboard, "\"setup\"");
    let summary = json(dashboard, "/api/v1/summary");
    let step = summary["state"]["next_step"].as_str().expect("a text");
    assert!(step.contains("restart headframe"), "{step}");
    assert_eq!(summary["network"], "regtest");
    assert_eq!(summary["payout"]["fee_percent"], 1.5);
    let (rest, code) = pool.interrupt();
    assert_eq!(code, Some(0), "{rest}");
    assert!(!rest.contains("mining on"), "{rest}");
}

#[test]
fn a_node_that_was_not_asked_yet_is_not_mined_with() {
    let home = home();
    let file = home.path().join("pool.toml");
    let path = file.to_str().expect("text");
    let node = refusing_node();
    let text = format!(
        "[node]\nnetwork = \"signet\"\nurl = \"{node}\"\nuser = \"me\"\npassword = \"x\"\n"
    );
    fs::write(&file, text).expect("a file");
    let mut pool = Process::start(home.path(), &with(&["pool", "-c", path]));
    let line = pool.line_with("the node at");
    assert!(
        line.contains("waiting for work") && line.contains("signet"),
        "{line}"
    );
    let (rest, code) = pool.interrupt();
    assert_eq!(code, Some(0), "{rest}");
    assert!(!rest.contains("mining on"), "{rest}");
}

#[test]
fn the_miner_says_what_to_do_about_its_name_and_what_has_no_effect() {
    let home = home();
    let mut demo = Process::start(home.path(), &with(&["demo"]));
    let line = demo.line_with("stratum2+tcp://");
    let url = line.rsplit_once(" or ").expect("two addresses").1;
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    for name in [
        "bob",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt08",
        mainnet,
    ] {
        let error = failure(
            home.path(),
            &["miner", url, "--user", name, "--threads", "1"],
        );
        assert!(error.contains("use a Bitcoin address"), "{error}");
    }
    let truncated = &url[..url.len() - 1];
    let error = failure(home.path(), &["miner", truncated, "--user", "bob"]);
    assert_eq!(error.matches("checksum").count(), 1, "{error}");

    let place = free_address();
    let url = format!("stratum+tcp://{place}");
    let arguments = ["miner", &url, "--user", "bob", "--channel", "standard"];
    let mut miner = Process::start(home.path(), &arguments);
    miner.line_with("--channel has no effect");
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
fn a_node_that_cannot_be_asked_for_its_network_is_told_of() {
    let home = home();
    let file = home.path().join("pool.toml");
    let path = file.to_str().expect("text");
    for (node, login, expected) in [
        (
            refusing_node(),
            "user = \"me\"\npassword = \"wrong\"\n",
            "rpcauth",
        ),
        (free_address(), "", "no cookie file found"),
        (
            free_address(),
            "user = \"me\"\npassword = \"wrong\"\n",
            "start bitcoind",
        ),
    ] {
        let text = format!("[node]\nurl = \"http://{node}\"\n{login}");
        fs::write(&file, text).expect("a file");
        let mut pool = Process::start(home.path(), &with(&["pool", "-c", path]));
        let dashboard = pool.dashboard();
        let line = pool.line_with(expected);
        assert!(!line.contains("wrong"), "secrets stay secret: {line}");
        let shown = event_with(dashboard, "\"setup\"");
        assert!(shown.contains(expected), "{shown}");
        let (rest, code) = pool.interrupt();
        assert_eq!(code, Some(0), "{rest}");
    }
}

#[test]
fn keys_are_shown_at_any_time_and_renewed_while_the_pool_does_not_run() {
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
    let shown = run(home.path(), &["keys", "show", "--key", "--data-dir", place]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), authority);
    let (_, code) = demo.interrupt();
    assert_eq!(code, Some(0));

    let shown = run(home.path(), &["keys", "show", "--key", "--data-dir", place]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), authority);
    let file = directory.join("keys");
    let before = fs::read(&file).expect("keys");
    let rotated = run(home.path(), &["keys", "rotate", "--data-dir", place]);
    let text = String::from_utf8_lossy(&rotated.stdout).into_owned();
    assert_eq!(text.lines().last(), Some(authority.as_str()), "{text}");
    assert_ne!(fs::read(&file).expect("keys"), before);
    for entry in fs::read_dir(&directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("it is there");
        let mode = metadata.permissions().mode() & 0o777;
        let is_private = metadata.is_dir() || mode == 0o600;
        assert!(is_private, "{}: {mode:o}", entry.path().display());
    }
}
