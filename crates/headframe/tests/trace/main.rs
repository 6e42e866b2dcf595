//! `headframe trace`, the built program, beside a demonstration: what it writes loads as a transcript and
//! can be played to a pool, and tells nobody's address or password. `headframe close` asks the same way, and what
//! our own miner makes of it, and of a pool that ends, is here too.

#[path = "../program/process.rs"]
mod process;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use headframe_testkit::transcript::{Message, Protocol, Step, Transcript, replay};
use process::{Process, event_with, run};

/// The address of the private key 1 (BIP173), which the demonstration's first miner has too.
const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// What it pays to.
const HASH: &str = "751e76e8199196d454941c45d1b3a323f1433bd6";
const PASSWORD: &str = "hunter2";

/// A demonstration with a data directory, and what miners need to connect.
struct Demo {
    home: tempfile::TempDir,
    dashboard: SocketAddr,
    sv1: String,
    sv2: String,
    process: Process,
}

impl Demo {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("data");
        let directory = directory.to_str().expect("text");
        let mut process = Process::start(
            home.path(),
            &[
                "demo",
                "--data-dir",
                directory,
                "--listen",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
            ],
        );
        let dashboard = process.dashboard();
        let line = process.line_with("miners connect to ");
        let (_, urls) = line.split_once("connect to ").expect("it was looked for");
        let (sv1, sv2) = urls.split_once(" or ").expect("two ways to connect");
        Self {
            dashboard,
            sv1: sv1.to_owned(),
            sv2: sv2.to_owned(),
            home,
            process,
        }
    }

    fn data_dir(&self) -> String {
        let directory = self.home.path().join("data");
        directory.to_str().expect("text").to_owned()
    }

    fn output(&self) -> PathBuf {
        self.home.path().join("trace.jsonl")
    }

    fn arguments<'a>(&'a self, worker: &'a str, more: &[&'a str]) -> Vec<String> {
        let output = self.output();
        let output = output.to_str().expect("text").to_owned();
        let directory = self.data_dir();
        let begin = [
            "trace",
            worker,
            "--data-dir",
            &directory,
            "--output",
            &output,
        ];
        let all = begin.iter().chain(more);
        all.map(|argument| (*argument).to_owned()).collect()
    }

    fn trace(&self, worker: &str, more: &[&str]) -> Output {
        let arguments = self.arguments(worker, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(self.home.path(), &arguments)
    }
}

fn failure(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// For what does not announce itself. The bound is there for a program that hangs.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The conversation of a miner that connects while it is traced, until its first share is answered.
fn conversation(protocol: Protocol, more: &[&str]) -> (String, Transcript) {
    let demo = Demo::start();
    let (url, answered) = match protocol {
        Protocol::Sv1 => (&demo.sv1, "mining.submit"),
        Protocol::Sv2 => (&demo.sv2, "SubmitShares.Success"),
    };
    let user = format!("{ADDRESS}.attic");
    let arguments = demo.arguments(&user, &["--wait"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut trace = Process::start(demo.home.path(), &arguments);
    trace.line_with("writing what ");
    let miner = ["miner", url, "--user", &user, "--password", PASSWORD];
    let miner: Vec<&str> = miner.iter().chain(more).copied().collect();
    let miner = Process::start(demo.home.path(), &miner);
    let written = || fs::read_to_string(demo.output()).unwrap_or_default();
    wait_until(|| written().contains(answered));
    drop(miner);
    wait_until(|| written().contains("disconnect"));
    let (rest, code) = trace.interrupt();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains(" messages in "), "{rest}");
    let text = written();
    let transcript = Transcript::read(&text).expect("a transcript");
    (text, transcript)
}

fn assert_is_masked(text: &str) {
    let address = ADDRESS.as_bytes();
    let in_hex: String = address.iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [ADDRESS, HASH, PASSWORD, &in_hex, "127.0.0.1:"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(text.contains(".attic"), "{text}");
}

/// The names of the messages, in order.
fn names(transcript: &Transcript) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Client(Message::Fields(name, _), _) | Step::Pool(Message::Fields(name, _)) => {
            Some((*name).to_owned())
        }
        Step::Client(Message::Line(line), _) | Step::Pool(Message::Line(line)) => {
            let line = line.as_str()?;
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line["method"].as_str().unwrap_or("reply").to_owned())
        }
        _ => None,
    };
    let steps = transcript.lines.iter().map(|line| &line.step);
    steps.filter_map(name).collect()
}

#[test]
fn a_stratum_v1_miner_is_traced_from_its_first_word_and_the_trace_can_be_played() {
    let (text, transcript) = conversation(Protocol::Sv1, &[]);
    assert_is_masked(&text);
    assert!(transcript.is_trace());
    assert_eq!(transcript.header.protocol, Protocol::Sv1);
    let names = names(&transcript);
    for name in [
        "mining.subscribe",
        "mining.authorize",
        "mining.set_difficulty",
        "mining.notify",
        "mining.submit",
    ] {
        assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
    }
    replay(&transcript).expect("a pool serves it");
}

#[test]
fn stratum_v2_miners_are_traced_from_their_first_word_and_the_traces_can_be_played() {
    for (kind, open, job) in [
        ("standard", "OpenStandardMiningChannel", "NewMiningJob"),
        (
            "extended",
            "OpenExtendedMiningChannel",
            "NewExtendedMiningJob",
        ),
    ] {
        let (text, transcript) = conversation(Protocol::Sv2, &["--channel", kind]);
        assert_is_masked(&text);
        assert!(transcript.is_trace());
        assert_eq!(transcript.header.protocol, Protocol::Sv2);
        let names = names(&transcript);
        assert_eq!(names[0], "SetupConnection", "{names:?}");
        for name in [open, job, "SetNewPrevHash", "SubmitShares.Success"] {
            assert!(names.iter().any(|it| it == name), "{name} in {names:?}");
        }
        replay(&transcript).expect("a pool serves it");
    }
}

#[test]
fn a_miner_that_is_there_is_traced_by_the_end_of_its_name_until_the_time_is_over() {
    let demo = Demo::start();
    event_with(demo.dashboard, "\"connected\":3");
    let output = demo.trace("standard", &["--for", "3"]);
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(demo.output()).expect("the trace");
    Transcript::read(&text).expect("a transcript");
    assert!(!text.contains(ADDRESS) && !text.contains(HASH), "{text}");
    let last = text.lines().last().expect("there are lines");
    assert!(last.starts_with("# the time is over"), "{last}");
    // What is there is not written over.
    let error = failure(&demo.trace("standard", &["--for", "1"]));
    assert!(error.contains("--output"), "{error}");
    let nobody = failure(&demo.trace("nobody", &[]));
    let named = "nobody is not connected; these are: bcrt1p";
    assert!(
        nobody.contains(named) && nobody.contains(".standard"),
        "{nobody}"
    );
}

fn trace_of(home: &Path, directory: &Path) -> String {
    let directory = directory.to_str().expect("text");
    failure(&run(home, &["trace", "a", "--data-dir", directory]))
}

#[test]
fn without_a_pool_it_says_where_it_looked() {
    let home = tempfile::tempdir().expect("a directory");
    let error = trace_of(home.path(), &home.path().join("none"));
    assert!(
        error.contains("no pool runs") && error.contains("none"),
        "{error}"
    );
    assert!(error.contains("--data-dir"), "{error}");
    // As a pool that was killed leaves it.
    let socket = home.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(socket).expect("a socket"));
    let error = trace_of(home.path(), home.path());
    assert!(error.contains("has ended"), "{error}");
    let leftovers = fs::read_dir(home.path()).expect("a directory");
    assert_eq!(leftovers.count(), 1, "nothing is written");
}

/// Our own miner bears both messages: it loses its channel, comes back, and is called back when the pool ends.
#[test]
fn a_worker_is_closed_and_comes_back_and_is_told_of_the_end() {
    let demo = Demo::start();
    let user = format!("{ADDRESS}.attic");
    let mut miner = Process::start(demo.home.path(), &["miner", &demo.sv2, "--user", &user]);
    miner.line_with("share accepted");
    let directory = demo.data_dir();
    let close = |worker: &str| {
        let arguments = ["close", worker, "--data-dir", &directory];
        run(demo.home.path(), &arguments)
    };
    let closed = close("attic");
    assert!(closed.status.success(), "{closed:?}");
    let told = String::from_utf8(closed.stdout).expect("text");
    assert_eq!(told, format!("1 channel of {user} closed\n"));
    miner.line_with("the pool closed the channel: closed-by-operator");
    miner.line_with("mining at ");
    let nobody = failure(&close("nobody"));
    assert!(
        nobody.contains("nobody is not connected; these are: ") && !nobody.contains("--wait"),
        "{nobody}"
    );
    let Demo { process, home, .. } = demo;
    let (_, code) = process.interrupt();
    assert_eq!(code, Some(0));
    miner.line_with("the pool asks to connect to ");
    drop(home);
}
