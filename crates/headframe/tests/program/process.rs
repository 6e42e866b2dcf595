//! The built program as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A run of the program. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// The program, with nothing of this computer's own in its surroundings.
pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headframe"));
    command
        .env_clear()
        .env("HOME", home)
        // What a program that is killed leaves goes with the test.
        .env("TMPDIR", home)
        .stdin(Stdio::null());
    command
}

/// Runs the program to its end.
#[allow(dead_code, reason = "only some of the test programs wait for the end")]
pub(crate) fn run(home: &Path, arguments: &[&str]) -> Output {
    program(home)
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Sends a signal, without a program that not every computer has.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(id.expect("a child's id"), signal).expect("it is there");
}

impl Process {
    pub(crate) fn start(home: &Path, arguments: &[&str]) -> Self {
        let mut child = program(home)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        Self {
            child,
            lines: BufReader::new(stdout),
        }
    }

    /// The next line that holds `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let len = self.lines.read_line(&mut line).expect("lines are text");
            assert_ne!(len, 0, "no line with {text:?} in:\n{seen}");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
            seen.push_str(&line);
        }
    }

    /// Where the dashboard is.
    pub(crate) fn dashboard(&mut self) -> SocketAddr {
        let line = self.line_with("dashboard: http://");
        let (_, address) = line.rsplit_once("http://").expect("it was looked for");
        address.parse().expect("an address")
    }

    /// Asks the program to stop as Ctrl-C does, and gives all that it still printed and its exit
    /// code.
    #[allow(dead_code, reason = "only some of the test programs stop it politely")]
    pub(crate) fn interrupt(mut self) -> (String, Option<i32>) {
        signal(&self.child, Signal::INT);
        let mut rest = String::new();
        self.lines
            .read_to_string(&mut rest)
            .expect("lines are text");
        (rest, self.child.wait().expect("it ends").code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(address: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("the dashboard listens");
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .expect("it takes requests");
    socket
}

/// Follows what the dashboard shows until it shows `text`, and gives the event that did.
#[allow(
    dead_code,
    reason = "only some of the test programs look at the dashboard"
)]
pub(crate) fn event_with(address: SocketAddr, text: &str) -> String {
    let stream = BufReader::new(request(address, "/api/v1/events"));
    let mut lines = stream.lines().map(|line| line.expect("events are text"));
    let found = lines.find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("the stream of events ended without {text:?}"))
}

/// What the dashboard answers to a request.
#[allow(
    dead_code,
    reason = "only some of the test programs look at the dashboard"
)]
pub(crate) fn text(address: SocketAddr, path: &str) -> String {
    let mut socket = request(address, path);
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// What the dashboard answers to a request for JSON.
#[allow(
    dead_code,
    reason = "only some of the test programs look at the dashboard"
)]
pub(crate) fn json(address: SocketAddr, path: &str) -> Value {
    let body = text(address, path);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}
