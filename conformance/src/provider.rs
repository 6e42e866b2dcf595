//! The Template Provider under test.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::bitcoind::{Bitcoind, Chain};
use crate::pool::of_node;
use crate::process::Process;
use crate::program;

/// What stands before the address and the key in the provider's log.
const BEFORE: &str = "pools take templates from ";

/// A provider, running or not, with a home directory of its own.
#[derive(Debug)]
pub struct Provider {
    // Dropped in this order: the process has ended when its directory is removed.
    process: Process,
    home: TempDir,
    environment: Vec<(String, String)>,
    chain: Chain,
    /// `host:port/KEY`.
    place: String,
}

impl Provider {
    /// Starts a provider on a node, and waits until pools may come.
    ///
    /// # Panics
    ///
    /// When it does not get that far.
    pub fn on(node: &Bitcoind) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        let environment = of_node(node);
        let process = run(&home, &environment, "127.0.0.1:0");
        let place = place_in(&process);
        Self {
            process,
            home,
            environment,
            chain: node.chain(),
            place,
        }
    }

    /// How pools are configured with it: `host:port/KEY`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The chain that its node follows.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Where pools connect.
    ///
    /// # Panics
    ///
    /// Never: it was printed by a provider that listens.
    pub fn address(&self) -> SocketAddr {
        let address = self.place.split('/').next().and_then(|it| it.parse().ok());
        address.expect("a place begins with an address")
    }

    /// The key that pools know it by.
    ///
    /// # Panics
    ///
    /// Never: it was printed behind the address.
    pub fn key(&self) -> &str {
        let (_, key) = self.place.split_once('/').expect("a place has a key");
        key
    }

    /// Ends it without a word of warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    ///
    /// When it has become another.
    pub fn restart(&mut self) {
        let address = self.address().to_string();
        self.process = run(&self.home, &self.environment, &address);
        assert_eq!(place_in(&self.process), self.place, "it keeps its key");
    }

    /// What it prints.
    pub fn log(&self) -> &Process {
        &self.process
    }
}

fn run(home: &TempDir, environment: &[(String, String)], listen: &str) -> Process {
    let mut command = Command::new(program::headframe());
    command
        .env_clear()
        .env("HOME", home.path())
        .args(["template-provider", "--listen", listen]);
    for (key, value) in environment {
        command.env(format!("HEADFRAME_{key}"), value);
    }
    Process::start("the template provider", &mut command)
}

fn place_in(process: &Process) -> String {
    let line = process.line(BEFORE);
    let (_, place) = line.split_once(BEFORE).expect("it is in the line");
    place.trim().to_owned()
}
