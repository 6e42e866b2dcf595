//! A real Bitcoin Core of the test's own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use bitcoin::hex::DisplayHex;
use headframe_node::embedded::{EmbeddedChain, PREMINE};
use headframe_node::rpc::{RpcAddress, RpcAuth, RpcSettings};
use headframe_work::{Network, TemplateTransaction};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Bitcoind {
    binary: PathBuf,
    network: Network,
    arguments: Vec<String>,
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Bitcoind {
    /// Starts the daemon that BITCOIND names, or says that the test was skipped.
    pub(crate) fn start(network: Network, arguments: &[&str]) -> Option<Self> {
        Self::start_program("BITCOIND", network, arguments)
    }

    /// Starts the daemon with the mining interface that BITCOIN_NODE names, or says that the test was skipped.
    #[cfg(feature = "ipc")]
    pub(crate) fn start_with_ipc(network: Network, arguments: &[&str]) -> Option<Self> {
        let arguments = [&["-ipcbind=unix"], arguments].concat();
        Self::start_program("BITCOIN_NODE", network, &arguments)
    }

    fn start_program(variable: &str, network: Network, arguments: &[&str]) -> Option<Self> {
        let Some(binary) = std::env::var_os(variable).map(PathBuf::from) else {
            eprintln!(
                "skipped: set {variable} to a program of Bitcoin Core (bitcoincore.org/en/download) to run this test"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut all: Vec<String> = vec![
            format!("-chain={}", network.core_name()),
            format!("-datadir={}", directory.path().display()),
            format!("-rpcport={port}"),
            "-server=1".to_owned(),
            "-listen=0".to_owned(),
            "-connect=0".to_owned(),
            "-printtoconsole=0".to_owned(),
        ];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let process = spawn(&binary, &all);
        Some(Self {
            binary,
            network,
            arguments: all,
            directory,
            port,
            process,
        })
    }

    /// How the mining interface is reached, and nothing else.
    #[cfg(feature = "ipc")]
    pub(crate) fn ipc(&self) -> headframe_node::ipc::IpcSettings {
        headframe_node::ipc::IpcSettings::local(self.network, vec![self.socket()])
    }

    /// Waits until the node answers questions.
    pub(crate) fn wait(&self) {
        while self.try_call("getblockcount", &json!([])).is_none() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    pub(crate) fn settings(&self) -> RpcSettings {
        let address = format!("127.0.0.1:{}", self.port);
        RpcSettings {
            address: RpcAddress::parse(&address, self.network).unwrap(),
            auth: RpcAuth::Cookie(vec![self.cookie()]),
            ..RpcSettings::local(self.network, None)
        }
    }

    fn cookie(&self) -> PathBuf {
        self.folder().join(".cookie")
    }

    /// Where `-ipcbind=unix` puts the socket.
    #[cfg(feature = "ipc")]
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("node.sock")
    }

    /// Sends the process a signal: `STOP` freezes it, `CONT` lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn folder(&self) -> PathBuf {
        let folder = match self.network {
            Network::Mainnet => "",
            Network::Testnet4 => "testnet4",
            Network::Signet => "signet",
            Network::Regtest => "regtest",
        };
        self.directory.path().join(folder)
    }

    /// Ends the daemon as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) {
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.binary, &self.arguments);
    }

    /// Starts it again with one more argument.
    pub(crate) fn start_again_with(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
        self.start_again();
        self.arguments.pop();
    }

    /// Has it mine blocks, and gives the hash of the last.
    pub(crate) fn mine(&self, blocks: u32) -> String {
        let hashes = self.call("generatetodescriptor", &json!([blocks, "raw(51)"]));
        let last = hashes.as_array().and_then(|hashes| hashes.last());
        last.unwrap().as_str().unwrap().to_owned()
    }

    /// Makes a call by other means than the crate's.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let reply = self.try_call(method, params).expect("the node answers");
        assert_eq!(reply["error"], Value::Null, "{method}");
        reply["result"].clone()
    }

    /// Waits for the node, and gives it the blocks that an embedded chain begins with.
    pub(crate) fn copy(&self, chain: &EmbeddedChain) {
        self.wait();
        let blocks = (1..=PREMINE).map(|height| chain.block(height).unwrap());
        self.replay(blocks.map(|block| block.to_lower_hex_string()));
    }

    /// Puts transactions into its mempool.
    pub(crate) fn send(&self, transactions: &[TemplateTransaction]) {
        for transaction in transactions {
            let digits = transaction.data.to_lower_hex_string();
            self.call("sendrawtransaction", &json!([digits]));
        }
    }

    /// Gives the node blocks, in hexadecimal digits.
    pub(crate) fn replay(&self, blocks: impl Iterator<Item = String>) {
        let calls: Vec<Value> = blocks
            .map(|block| json!({ "id": 0, "method": "submitblock", "params": [block] }))
            .collect();
        let replies = self.post(&Value::from(calls)).expect("the node answers");
        for reply in replies.as_array().unwrap() {
            assert_eq!(reply["result"], Value::Null, "{reply}");
        }
    }

    /// The node's reply; nothing while it starts.
    fn try_call(&self, method: &str, params: &Value) -> Option<Value> {
        self.post(&json!({ "id": 0, "method": method, "params": params }))
    }

    fn post(&self, body: &Value) -> Option<Value> {
        let body = body.to_string();
        let cookie = std::fs::read(self.cookie()).ok()?;
        let authorization = base64::engine::general_purpose::STANDARD.encode(cookie);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let reply: Value = serde_json::from_str(body).ok()?;
        (reply["error"]["code"] != json!(-28)).then_some(reply)
    }
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(binary: &PathBuf, arguments: &[String]) -> Child {
    Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the variable names a program")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
