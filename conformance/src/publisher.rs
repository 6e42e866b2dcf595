//! What a Bitcoin Core with ZeroMQ would publish, by libzmq itself: the one here has none.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use crate::process::Process;
use crate::program;

/// A publisher of libzmq, in Python.
#[derive(Debug)]
pub struct Publisher {
    process: Process,
    address: String,
    control: String,
}

impl Publisher {
    /// Starts one at a port that the system chooses. `None`, with a word on the terminal, where there is no
    /// `pyzmq`.
    pub fn start() -> Option<Self> {
        Self::at("tcp://127.0.0.1:*")
    }

    /// Starts one at an address that one had before.
    pub fn at(address: &str) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/publisher.py");
        let mut command = Command::new(program::zmq_python()?);
        let process = Process::start("publisher", command.args([script, address]));
        let after = |word: &str| {
            let line = process.line(word);
            line.split_once(word)
                .map(|(_, rest)| rest.trim().to_owned())
        };
        let address = after("publishing at ")?;
        let control = after("control at ")?;
        Some(Self {
            process,
            address,
            control,
        })
    }

    /// Where it publishes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it prints.
    pub fn log(&self) -> &Process {
        &self.process
    }

    /// Waits until somebody hears of blocks.
    pub fn subscribed(&self) {
        self.process.line("subscribed rawblock");
    }

    /// Publishes bytes, in hexadecimal digits, under a topic.
    ///
    /// # Panics
    ///
    /// When it does not listen.
    pub fn publish(&self, topic: &str, hex: &str) {
        let mut control = TcpStream::connect(&self.control).expect("it listens");
        writeln!(control, "{topic} {hex}").expect("it reads");
    }

    /// Ends it without a word of warning.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
