//! A Bitcoin Core in a directory of its own, that knows nobody.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use bitcoin::base64::{Engine as _, prelude::BASE64_STANDARD};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Address, Block, Transaction};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::process::Process;
use crate::program;
use crate::wait::{until, until_true};
use crate::way::Way;

/// Ports are chosen by the system and taken a moment later; somebody else may be quicker.
const ATTEMPTS: usize = 5;
/// Hashes that `generatetoaddress` may try: enough for the easiest difficulty of any network.
const TRIES: u32 = 1 << 30;
/// Has a node serve its mining interface at the usual socket.
const SERVES_IPC: &str = "-ipcbind=unix";

/// The chain that a node follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// Every second hash is a block.
    Regtest,
    /// A signet that anybody can mine, challenge `OP_TRUE`: about five million hashes a block.
    OpenSignet,
    /// The signet of the whole world, which only its keepers can mine. It never gets past its first
    /// block here.
    Signet,
    /// The chain whose coins have value. It never gets past its first block here.
    Mainnet,
}

impl Chain {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Regtest => &["-regtest"],
            // The first block is old, and a node is still syncing while its tip is.
            Self::OpenSignet => &["-signet", "-signetchallenge=51", "-maxtipage=3153600000"],
            Self::Signet => &["-signet", "-maxtipage=3153600000"],
            Self::Mainnet => &["-chain=main"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Regtest => "regtest",
            Self::OpenSignet | Self::Signet => "signet",
            Self::Mainnet => "",
        }
    }

    /// What the pool calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regtest => "regtest",
            Self::OpenSignet | Self::Signet => "signet",
            Self::Mainnet => "mainnet",
        }
    }

    /// What its addresses look like.
    pub fn network(self) -> bitcoin::Network {
        match self {
            Self::Regtest => bitcoin::Network::Regtest,
            Self::OpenSignet | Self::Signet => bitcoin::Network::Signet,
            Self::Mainnet => bitcoin::Network::Bitcoin,
        }
    }
}

/// A node, running or not.
#[derive(Debug)]
pub struct Bitcoind {
    // Dropped in this order: the process has ended when its directory is removed.
    process: Process,
    directory: TempDir,
    program: PathBuf,
    chain: Chain,
    /// How pools reach it.
    way: Way,
    /// Whom it listens to and whom it connects to, as arguments.
    peering: Vec<String>,
    address: SocketAddr,
}

impl Bitcoind {
    /// Starts a node at the beginning of its chain, and waits until it answers. `None`, with a word
    /// on the terminal, where there is no Bitcoin Core.
    pub fn start(chain: Chain) -> Option<Self> {
        Self::start_for(chain, Way::Rpc)
    }

    /// The same for pools that reach it in some way.
    pub fn start_for(chain: Chain, way: Way) -> Option<Self> {
        let program = way.program()?;
        let peering = || owned(&["-listen=0", "-connect=0"]);
        Self::start_with(&program, chain, way, peering)
    }

    /// Starts two nodes of which the first is connected to the second.
    pub fn start_pair(chain: Chain) -> Option<(Self, Self)> {
        let program = program::bitcoind()?;
        let second = Self::start_with(&program, chain, Way::Rpc, || {
            let bind = format!("-bind={}", free_address());
            owned(&["-listen=1", "-connect=0", &bind])
        })?;
        let place = second
            .peering
            .iter()
            .find_map(|argument| argument.strip_prefix("-bind="));
        let connect = format!("-connect={}", place.expect("it listens"));
        let peering = || owned(&["-listen=0", &connect]);
        let first = Self::start_with(&program, chain, Way::Rpc, peering)?;
        until_true("the connection between two nodes", || {
            first.call("getconnectioncount", json!([])) == 1
        });
        Some((first, second))
    }

    fn start_with(
        program: &Path,
        chain: Chain,
        way: Way,
        peering: impl Fn() -> Vec<String>,
    ) -> Option<Self> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let started = (0..ATTEMPTS).find_map(|_| {
            let (address, mut peering) = (free_address(), peering());
            peering.extend(way.has_socket().then(|| SERVES_IPC.to_owned()));
            let process = run(program, directory.path(), chain, &peering, address)?;
            Some((address, peering, process))
        });
        let (address, peering, process) = started.expect("bitcoind can be started");
        Some(Self {
            program: program.to_owned(),
            directory,
            chain,
            way,
            peering,
            address,
            process,
        })
    }

    /// Ends it without a word of warning. What it has learnt since it last wrote its state is lost;
    /// [`flush`](Self::flush) goes before where that matters.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it in the middle of whatever it does; its connections stay.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.call("stop", json!([]));
        self.process.ended();
    }

    /// Starts it again where it was.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.restart_at(self.address);
    }

    /// The same, having it make its index and its state anew from its blocks.
    ///
    /// # Panics
    ///
    /// As [`restart`](Self::restart).
    pub fn restart_with_reindex(&mut self) {
        self.peering.push("-reindex".to_owned());
        self.restart();
        self.peering.pop();
    }

    /// Starts it where the pool does not know it, does something, and stops it.
    pub fn aside(&mut self, work: impl FnOnce(&Self)) {
        let (usual, known) = (self.address, self.peering.clone());
        self.peering.retain(|argument| argument != SERVES_IPC);
        self.restart_at(free_address());
        work(self);
        self.stop();
        (self.address, self.peering) = (usual, known);
    }

    fn restart_at(&mut self, address: SocketAddr) {
        let directory = self.directory.path();
        let started = run(&self.program, directory, self.chain, &self.peering, address);
        self.process = started.expect("bitcoind can be started again");
        self.address = address;
    }

    /// Where its RPC server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How pools reach it.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The chain that it follows.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Its cookie file.
    pub fn cookie_file(&self) -> PathBuf {
        cookie_file(self.directory.path(), self.chain)
    }

    /// The socket of its mining interface, if it has one.
    pub fn socket(&self) -> Option<PathBuf> {
        let folder = self.directory.path().join(self.chain.folder());
        self.way.has_socket().then(|| folder.join("node.sock"))
    }

    /// Calls a method.
    ///
    /// # Errors
    ///
    /// The node's error, or why there was none, in words.
    pub fn try_call(&self, method: &str, params: &Value) -> Result<Value, String> {
        call(self.address, &self.cookie_file(), method, params)
    }

    /// Calls a method that does not fail.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, &params)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The height of the tip.
    pub fn height(&self) -> u64 {
        let height = self.call("getblockcount", json!([]));
        height.as_u64().expect("a height is a number")
    }

    /// The hash of the tip.
    pub fn tip(&self) -> String {
        text(&self.call("getbestblockhash", json!([])))
    }

    /// The hash of the block at a height of the best chain.
    pub fn hash_at(&self, height: u64) -> String {
        text(&self.call("getblockhash", json!([height])))
    }

    /// A block.
    pub fn block(&self, hash: &str) -> Block {
        let hex = text(&self.call("getblock", json!([hash, 0])));
        deserialize_hex(&hex).expect("a node's block is a block")
    }

    /// Gives it all blocks of another node's chain that it lacks.
    pub fn copy_chain(&self, other: &Self) {
        for height in self.height() + 1..=other.height() {
            let hex = other.call("getblock", json!([other.hash_at(height), 0]));
            self.call("submitblock", json!([hex]));
        }
    }

    /// Whether the block is part of the best chain.
    pub fn has_in_chain(&self, hash: &str) -> bool {
        let header = self.try_call("getblockheader", &json!([hash]));
        header.is_ok_and(|header| header["confirmations"].as_i64().unwrap_or(-1) >= 1)
    }

    /// Mines blocks by the node itself.
    pub fn mine(&self, count: u32, address: &Address) {
        let params = json!([count, address.to_string(), TRIES]);
        let hashes = self.call("generatetoaddress", params);
        let mined = hashes.as_array().map_or(0, Vec::len);
        assert_eq!(mined, count as usize, "the node mines what it is asked for");
    }

    /// Gives the node a transaction that it accepts.
    pub fn send(&self, transaction: &Transaction) {
        self.call(
            "sendrawtransaction",
            json!([serialize_hex(transaction), 0, 21]),
        );
    }

    /// Writes everything it knows to the disk: what is left out of a [`kill`](Self::kill).
    pub fn flush(&self) {
        self.call("gettxoutsetinfo", json!(["none"]));
    }
}

/// An address on this machine at which nobody listens.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("there are free ports")
}

/// A node that answers; `None` when it ended, as for a port that is taken.
fn run(
    program: &Path,
    directory: &Path,
    chain: Chain,
    peering: &[String],
    address: SocketAddr,
) -> Option<Process> {
    let cookie = cookie_file(directory, chain);
    // One that was killed has left its cookie.
    let _ = fs::remove_file(&cookie);
    let mut command = Command::new(program);
    command
        .args(chain.arguments())
        .arg(format!("-datadir={}", directory.display()))
        .arg(format!("-rpcport={}", address.port()))
        .args(["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"])
        .args(["-server", "-dbcache=16", "-printtoconsole=1"])
        .args(peering);
    let mut process = Process::start("bitcoind", &mut command);
    let answers = until("bitcoind to answer", || {
        if !process.is_running() {
            return Some(false);
        }
        let answer = call(address, &cookie, "getblockcount", &json!([]));
        answer.is_ok().then_some(true)
    });
    answers.then_some(process)
}

fn cookie_file(directory: &Path, chain: Chain) -> PathBuf {
    directory.join(chain.folder()).join(".cookie")
}

fn call(address: SocketAddr, cookie: &Path, method: &str, params: &Value) -> Result<Value, String> {
    let cookie = fs::read_to_string(cookie).map_err(|error| format!("no cookie: {error}"))?;
    let request = json!({ "method": method, "params": params }).to_string();
    let answer = http::post(address, &BASE64_STANDARD.encode(cookie), &request);
    let answer = answer.map_err(|error| error.to_string())?;
    let mut answer: Value = serde_json::from_str(&answer.body)
        .map_err(|error| format!("HTTP {}, {error}", answer.status))?;
    match &answer["error"] {
        Value::Null => Ok(answer["result"].take()),
        error => Err(error.to_string()),
    }
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("the node gives a text").to_owned()
}
