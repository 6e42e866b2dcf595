//! A node that says what a test tells it to, over real HTTP on the loopback interface.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use bitcoin::hex::DisplayHex;
use headframe_node::rpc::{RpcAddress, RpcAuth, RpcSettings};
use headframe_work::{Network, Template};
use serde_json::{Value, json};

/// A call as the node saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Value,
    /// The value of the `Authorization` header.
    pub(crate) authorization: String,
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
}

/// What the node does about a call.
pub(crate) enum Reply {
    /// HTTP 200 with this result.
    Result(Value),
    /// HTTP 500 with this RPC error.
    Error(i64, &'static str),
    /// This HTTP status and body.
    Http(u16, String),
    /// The first half of an answer, then the end of the connection.
    Half,
    /// Nothing, until the caller gives up.
    Hang,
    /// The end of the connection.
    Close,
}

type Handler = dyn Fn(&Call) -> Reply + Send + Sync;

pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    calls: Mutex<Vec<Call>>,
    called: Condvar,
    stopped: AtomicBool,
}

impl FakeNode {
    pub(crate) fn start(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            calls: Mutex::new(Vec::new()),
            called: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                let stream = stream.expect("accept on loopback");
                thread::spawn(move || shared.serve(stream, connection));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn settings(&self, network: Network) -> RpcSettings {
        RpcSettings {
            address: RpcAddress::parse(&self.address.to_string(), network).unwrap(),
            auth: RpcAuth::UserPassword {
                user: "ann".to_owned(),
                password: "secret".to_owned(),
            },
            ..RpcSettings::local(network, None)
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// Blocks until a call fulfils the condition, and gives it.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&Call) -> bool) -> Call {
        let mut calls = self.shared.calls.lock().unwrap();
        loop {
            if let Some(call) = calls.iter().find(|call| wanted(call)) {
                return call.clone();
            }
            calls = self.shared.called.wait(calls).unwrap();
        }
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// A gate that a reply waits at.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn wait(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream, connection: usize) {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        let mut stream = stream;
        while let Some((authorization, body)) = read_request(&mut reader) {
            let request: Value = serde_json::from_slice(&body).expect("a JSON-RPC request");
            if !self.answer(
                &mut stream,
                &mut reader,
                &request,
                authorization,
                connection,
            ) {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    fn answer(
        &self,
        stream: &mut TcpStream,
        reader: &mut impl Read,
        request: &Value,
        authorization: String,
        connection: usize,
    ) -> bool {
        let single = |request: &Value| {
            let call = Call {
                method: request["method"].as_str().expect("a method").to_owned(),
                params: request["params"].clone(),
                authorization: authorization.clone(),
                connection,
            };
            let reply = (self.handler)(&call);
            self.calls.lock().unwrap().push(call);
            self.called.notify_all();
            (reply, request["id"].clone())
        };
        if let Value::Array(batch) = request {
            let replies: Vec<Value> = batch
                .iter()
                .map(single)
                .map(|(reply, id)| match reply {
                    Reply::Result(result) => json!({ "result": result, "error": null, "id": id }),
                    Reply::Error(code, message) => {
                        json!({ "result": null, "error": { "code": code, "message": message }, "id": id })
                    }
                    _ => panic!("a batch is answered by results and errors"),
                })
                .collect();
            return write(stream, 200, &Value::Array(replies).to_string());
        }
        match single(request) {
            (Reply::Result(result), id) => write(
                stream,
                200,
                &json!({ "result": result, "error": null, "id": id }).to_string(),
            ),
            (Reply::Error(code, message), id) => {
                let error = json!({ "code": code, "message": message });
                write(
                    stream,
                    500,
                    &json!({ "result": null, "error": error, "id": id }).to_string(),
                )
            }
            (Reply::Http(status, body), _) => write(stream, status, &body),
            (Reply::Half, _) => {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\":");
                false
            }
            (Reply::Hang, _) => {
                let _ = std::io::copy(reader, &mut std::io::sink());
                false
            }
            (Reply::Close, _) => false,
        }
    }
}

fn write(stream: &mut TcpStream, status: u16, body: &str) -> bool {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // In one piece, which no acknowledgement is waited for between.
    stream
        .write_all(&[head.as_bytes(), body.as_bytes()].concat())
        .is_ok()
}

/// The `Authorization` header and the body, or nothing at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut authorization = String::new();
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => value.clone_into(&mut authorization),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((authorization, body))
}

/// What a healthy node says to the questions before the template.
pub(crate) fn healthy(call: &Call, network: Network) -> Option<Value> {
    match call.method.as_str() {
        "getblockchaininfo" => Some(json!({
            "chain": network.core_name(),
            "blocks": 110,
            "headers": 110,
            "bestblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            "initialblockdownload": false,
        })),
        "getnetworkinfo" => Some(json!({ "subversion": "/Satoshi:31.0.0/", "connections": 8 })),
        // Another one than before: a block has just come.
        "getbestblockhash" => Some(json!("00".repeat(32))),
        "uptime" => Some(json!(7)),
        _ => None,
    }
}

/// A template as `getblocktemplate` would give it.
pub(crate) fn gbt(template: &Template, longpollid: &str) -> Value {
    let transactions: Vec<Value> = template
        .transactions
        .iter()
        .map(|transaction| {
            json!({
                "data": transaction.data.to_lower_hex_string(),
                "txid": transaction.txid.to_string(),
                "hash": transaction.wtxid.to_string(),
                "depends": [],
                "fee": transaction.fee.to_sat(),
                "sigops": transaction.sigops,
                "weight": transaction.weight,
            })
        })
        .collect();
    let target = bitcoin::Target::from_compact(template.bits);
    let mut result = json!({
        "capabilities": ["proposal"],
        "version": template.version,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": template.prev_hash.to_string(),
        "transactions": transactions,
        "coinbaseaux": {},
        "coinbasevalue": template.coinbase_value.to_sat(),
        "longpollid": longpollid,
        "target": target.to_be_bytes().to_lower_hex_string(),
        "mintime": template.min_time.as_secs(),
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": template.limits.sigops,
        "sizelimit": template.limits.size,
        "weightlimit": template.limits.weight,
        "curtime": template.current_time.as_secs(),
        "bits": format!("{:08x}", template.bits.to_consensus()),
        "height": template.height,
    });
    if let Some(commitment) = &template.witness_commitment {
        result["default_witness_commitment"] = commitment.to_hex_string().into();
    }
    if template.network == Network::Signet {
        result["rules"] = json!(["csv", "!segwit", "!signet", "taproot"]);
        result["signet_challenge"] = "51".into();
    }
    result
}
