//! The keys of a pool as its operator handles them, with the built program: an authority whose secret
//! never comes near the pool, and listeners with keys of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "other tests ask more of it")]
#[path = "../../../node/tests/it/support/fake_node.rs"]
mod fake_node;
#[path = "../program/process.rs"]
mod process;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fake_node::{FakeNode, Reply, healthy};
use headframe_sv2_noise::{ACT2_LEN, Certificate, Initiator, NoiseKey, Trust};
use headframe_work::Network;
use process::{Process, json, run};
use serde_json::{Value, json};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// A node with one template, on which a share is hardly ever a block.
fn node() -> FakeNode {
    let text = include_str!("../../../node/tests/data/getblocktemplate-regtest.json");
    let mut template: Value = serde_json::from_str(text).expect("JSON");
    template["bits"] = "1d00ffff".into();
    template["target"] = format!("00000000ffff{}", "0".repeat(52)).into();
    FakeNode::start(move |call| match healthy(call, Network::Regtest) {
        Some(result) => Reply::Result(result),
        None if call.params[0]["longpollid"].is_string() => Reply::Hang,
        None if call.method == "getblocktemplate" => Reply::Result(template.clone()),
        None => Reply::Result(json!({ "time": 1_795_368_000, "confirmations": 1 })),
    })
}

/// The pool's computer and the one that is kept safe, as directories.
struct Two {
    directory: tempfile::TempDir,
    node: FakeNode,
}

impl Two {
    fn new() -> Self {
        let two = Self {
            directory: tempfile::tempdir().expect("a directory"),
            node: node(),
        };
        two.configure("");
        two
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the pool's configuration, with these listeners besides the usual one.
    fn configure(&self, listeners: &str) {
        let text = format!(
            "[pool]\ndata_dir = \"{}\"\nlisten = [\"127.0.0.1:0\"]\n\
             [node]\nnetwork = \"regtest\"\nurl = \"{}\"\nuser = \"a\"\npassword = \"b\"\n\
             [difficulty]\nshares_per_minute = 120\n[http]\nlisten = \"127.0.0.1:0\"\n{listeners}",
            self.path("data").display(),
            self.node.address
        );
        fs::write(self.path("pool.toml"), text).expect("a file");
    }

    /// What a program prints that is run with `arguments` to its good end.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let arguments = self.named(arguments);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        run(self.directory.path(), &arguments)
    }

    /// Arguments that begin with `@` are files here.
    fn named(&self, arguments: &[&str]) -> Vec<String> {
        let named = |argument: &&str| match argument.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => (*argument).to_owned(),
        };
        arguments.iter().map(named).collect()
    }

    /// Asks, signs and installs; `new` for another static key.
    fn certify(&self, new: bool) {
        let mut request = vec!["keys", "-c", "@pool.toml", "request"];
        request.extend(new.then_some("--new"));
        fs::write(self.path("request"), self.run(&request)).expect("a file");
        let sign = ["keys", "sign", "@request", "--authority", "@authority"];
        fs::write(self.path("certificate"), self.run(&sign)).expect("a file");
        self.run(&["keys", "-c", "@pool.toml", "install", "@certificate"]);
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let arguments = self.named(arguments);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Process::start(self.directory.path(), &arguments)
    }
}

/// The certificate and the static key that a pool answers with.
fn shown(url: &str) -> (Certificate, [u8; 32]) {
    let (place, _) = parts(url);
    let ephemeral = NoiseKey::new([7; 32], [8; 32]).expect("a key");
    let (initiator, act1) = Initiator::start(Trust::Anyone, ephemeral);
    let mut socket = TcpStream::connect(place).expect("the pool listens");
    socket.write_all(&act1).expect("it reads");
    let mut act2 = [0; ACT2_LEN];
    socket.read_exact(&mut act2).expect("it answers");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = u32::try_from(now.expect("a clock").as_secs()).expect("this century");
    let established = initiator.finish(&act2, now).expect("an answer");
    (established.certificate, established.server_key)
}

/// Place and key of a pool's address.
fn parts(url: &str) -> (&str, &str) {
    let (_, rest) = url.split_once("stratum2+tcp://").expect("an SV2 address");
    rest.split_once('/').expect("a key")
}

/// The address behind the last blank of a line.
fn url(line: &str) -> String {
    line.rsplit_once(' ').expect("words").1.to_owned()
}

/// For what does not announce itself. The bound is there for a program that hangs.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_pool_mines_and_rotates_without_its_authority_s_secret() {
    let two = Two::new();
    let nothing = two.fails(&["keys", "-c", "@pool.toml", "show"]);
    assert!(nothing.contains("there are no keys"), "{nothing}");
    let authority = two.run(&["keys", "authority", "@authority"]);
    let authority = authority.trim();
    let again = two.fails(&["keys", "authority", "@authority"]);
    assert!(again.contains("is there already"), "{again}");
    two.run(&["keys", "-c", "@pool.toml", "request"]);
    let waits = two.fails(&["pool", "-c", "@pool.toml"]);
    assert!(waits.contains("headframe keys install"), "{waits}");
    let wrong = two.fails(&["keys", "-c", "@pool.toml", "install", "@authority"]);
    assert!(
        wrong.contains("a certificate") && wrong.contains("belongs here"),
        "{wrong}"
    );
    two.certify(false);
    let keys = fs::read_to_string(two.path("data").join("keys")).expect("a file");
    assert!(!keys.contains("authority-secret"));

    let mut pool = two.start(&["pool", "-c", "@pool.toml"]);
    let dashboard = pool.dashboard();
    let url = url(&pool.line_with("with Stratum V2 to"));
    assert_eq!(parts(&url).1, authority);
    let told = two.run(&["keys", "-c", "@pool.toml", "show"]);
    assert!(told.contains("not here"), "{told}");
    let arguments = ["miner", &url, "--user", ADDRESS, "--threads", "1"];
    let mut miner = two.start(&[&arguments[..], &["--throttle", "100000"]].concat());
    miner.line_with("accepted");

    let before = shown(&url);
    assert_eq!(shown(&url), before, "it is signed once");
    let error = two.fails(&["keys", "-c", "@pool.toml", "rotate"]);
    assert!(error.contains("keys request --new"), "{error}");
    two.certify(true);
    pool.line_with("is new; connections from now on");
    let after = shown(&url);
    assert_ne!(before.1, after.1);
    let accepted = || {
        let shares = &json(dashboard, "/api/v1/snapshot")["miners"][0]["shares"];
        shares["accepted"].as_u64().expect("a number")
    };
    let then = accepted();
    wait_until(|| accepted() > then);
    let (rest, code) = miner.interrupt();
    assert_eq!(code, Some(0), "{rest}");
    assert!(!rest.contains("mining at"), "it connected again: {rest}");
    let (rest, _) = pool.interrupt();
    assert_eq!(rest.matches("miner connected").count(), 0, "{rest}");
}

#[test]
fn listeners_with_keys_of_their_own_are_served_and_told_apart() {
    let two = Two::new();
    two.configure(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"sv2\"]\nkeys = \"second\"\n\
         shares_per_minute = 4\n",
    );
    let mut pool = two.start(&["pool", "-c", "@pool.toml"]);
    let dashboard = pool.dashboard();
    let first = url(&pool.line_with("and with Stratum V2 to"));
    let second = url(&pool.line_with("with Stratum V2 alone to"));
    let (place, second_key) = parts(&second);
    assert_ne!(parts(&first).1, second_key);
    let named = [
        "keys",
        "-c",
        "@pool.toml",
        "--keys",
        "second",
        "show",
        "--key",
    ];
    assert_eq!(two.run(&named).trim(), second_key);
    let summary = json(dashboard, "/api/v1/summary");
    let listeners = &summary["connect"]["listeners"];
    assert_eq!(listeners[1]["authority_key"], second_key);
    assert_eq!(listeners[1]["protocols"], json!(["sv2"]));

    let mut refused = TcpStream::connect(place).expect("it listens");
    let line = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n";
    refused.write_all(line).expect("it reads");
    let mut answer = Vec::new();
    let _ = refused.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    let line = pool.line_with("is no miner");
    assert!(
        line.contains("speaks Stratum V1, which this port does not"),
        "{line}"
    );

    let wrong = format!("stratum2+tcp://{place}/{}", parts(&first).1);
    let error = two.fails(&["miner", &wrong, "--user", ADDRESS, "--threads", "1"]);
    assert!(
        error.contains("not signed by the configured authority key"),
        "{error}"
    );
    for (url, name) in [(&first, "first"), (&second, "second")] {
        let user = format!("{ADDRESS}.{name}");
        let arguments = ["miner", url, "--user", &user, "--threads", "1"];
        let mut miner = two.start(&[&arguments[..], &["--throttle", "100000"]].concat());
        miner.line_with("mining at");
        wait_until(|| {
            let snapshot = json(dashboard, "/api/v1/snapshot");
            let miners = snapshot["miners"].as_array().expect("a list");
            miners.iter().any(|miner| miner["worker"] == user.as_str())
        });
    }
    let (rest, code) = pool.interrupt();
    assert_eq!(code, Some(0), "{rest}");
}

/// What is typed in place of the configuration holds for that run alone.
#[test]
fn flags_say_where_to_listen_in_place_of_all_listeners() {
    let two = Two::new();
    two.configure("[[listener]]\naddress = \"127.0.0.1:0\"\nkeys = \"second\"\n");
    let arguments = ["--listen", "127.0.0.1:0", "--listen", "localhost:0"];
    let mut pool = two.start(&[&["pool", "-c", "@pool.toml"], &arguments[..]].concat());
    pool.line_with("--listen says where to listen, in place of all of the file");
    let dashboard = pool.dashboard();
    pool.line_with("mining on regtest");
    let summary = json(dashboard, "/api/v1/summary");
    let listeners = summary["connect"]["listeners"].as_array().expect("a list");
    assert_eq!(listeners.len(), 2);
    assert_eq!(listeners[0]["authority_key"], listeners[1]["authority_key"]);
    assert!(!two.path("data").join("keys-second").exists());
}
