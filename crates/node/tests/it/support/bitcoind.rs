//! A real Bitcoin Core of the test's own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use headframe_node::rpc::{RpcAddress, RpcAuth, RpcSettings};
use headframe_work::Network;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Bitcoind {
    network: Network,
    arguments: Vec<String>,
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Bitcoind {
    /// Starts the daemon that BITCOIND names, or says that the test was skipped.
    pub(crate) fn start(network: Network, arguments: &[&str]) -> Option<Self> {
        let Some(binary) = std::env::var_os("BITCOIND") else {
            eprintln!(
                "skipped: set BITCOIND to a bitcoind (bitcoincore.org/en/download) to run this test"
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
        let process = spawn(&binary.into(), &all);
        Some(Self {
            network,
            arguments: all,
            directory,
            port,
            process,
        })
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
        let folder = match self.network {
            Network::Mainnet => "",
            Network::Testnet4 => "testnet4",
            Network::Signet => "signet",
            Network::Regtest => "regtest",
        };
        self.directory.path().join(folder).join(".cookie")
    }

    /// Ends the daemon as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        let binary = std::env::var_os("BITCOIND").unwrap();
        self.process = spawn(&binary.into(), &self.arguments);
    }

    /// Makes a call by other means than the crate's.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let body = json!({ "id": 0, "method": method, "params": params }).to_string();
        let cookie = std::fs::read(self.cookie()).unwrap();
        let authorization = base64::engine::general_purpose::STANDARD.encode(cookie);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let reply: Value = serde_json::from_str(body).unwrap();
        assert_eq!(reply["error"], Value::Null, "{method}");
        reply["result"].clone()
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
        .expect("BITCOIND names a program")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
