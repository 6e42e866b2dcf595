//! A node that takes twenty seconds for a template, in time that passes by itself when nobody works.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::BlockHash;
use headframe_node::embedded::{ChainSettings, Difficulty, EmbeddedChain};
use headframe_node::rpc::{RpcAddress, RpcAuth, RpcSettings, connect};
use headframe_node::{Cause, SubmitAnswer};
use headframe_work::{Network, UnixTime};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::support::block::{bytes, solved};
use crate::support::fake_node::{Call, gbt, healthy};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
/// What a template takes.
const SLOW: Duration = Duration::from_secs(20);

/// A node in the runtime of the test, whose clock it follows.
#[derive(Clone)]
struct SlowNode {
    chain: EmbeddedChain,
    tip: watch::Receiver<BlockHash>,
    /// When templates were asked for, long polls apart.
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl SlowNode {
    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().converse(stream));
        }
    }

    async fn converse(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream).await {
            let result = self.answer(&request).await;
            let body = json!({ "result": result, "error": null, "id": request["id"] }).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if stream.write_all((head + &body).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, request: &Value) -> Value {
        let call = Call {
            method: request["method"].as_str().unwrap().to_owned(),
            params: request["params"].clone(),
            authorization: String::new(),
            connection: 0,
        };
        if let Some(result) = healthy(&call, Network::Regtest) {
            sleep(SECOND).await;
            return result;
        }
        match call.params[0]["longpollid"].as_str() {
            Some(id) => {
                let mut tip = self.tip.clone();
                let _ = tip.wait_for(|tip| tip.to_string() != id).await;
            }
            None => self.asked.lock().unwrap().push(Instant::now()),
        }
        let template = self.chain.template_at(NOW);
        sleep(SLOW).await;
        gbt(&template, &template.prev_hash.to_string())
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let (mut line, mut len) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if let Some(digits) = header.strip_prefix("content-length: ") {
            len = digits.parse().ok()?;
        }
        if header.is_empty() {
            let mut body = vec![0; len];
            stream.read_exact(&mut body).await.ok()?;
            return serde_json::from_slice(&body).ok();
        }
    }
}

/// It is never given up, it is asked for a fifth of its time at most, and a new tip is there as soon as it has it.
#[tokio::test(start_paused = true)]
async fn a_node_that_takes_twenty_seconds_is_followed_as_it_can() {
    let settings = ChainSettings {
        difficulty: Difficulty::Regtest,
    };
    let chain = EmbeddedChain::open(None, settings).unwrap();
    let (tips, tip) = watch::channel(chain.tip().hash);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let node = SlowNode {
        chain: chain.clone(),
        tip,
        asked: asked.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(node.serve(listener));
    let mut ports = connect(RpcSettings {
        address: RpcAddress::parse(&address, Network::Regtest).unwrap(),
        auth: RpcAuth::UserPassword {
            user: "ann".to_owned(),
            password: "secret".to_owned(),
        },
        ..RpcSettings::local(Network::Regtest, None)
    })
    .unwrap();
    ports.templates.next().await.unwrap();
    for _ in 0..6 {
        // Some refreshes, and a block at any time between.
        for _ in 0..3 {
            let update = ports.templates.next().await.expect("it is slow, and well");
            assert_eq!(update.cause, Cause::Refresh);
        }
        sleep(37 * SECOND).await;
        let block = solved(&chain.template_at(NOW));
        assert_eq!(chain.submit_at(&bytes(&block), NOW), SubmitAnswer::Accepted);
        let found = Instant::now();
        tips.send_replace(block.block_hash());
        let update = loop {
            let update = ports.templates.next().await.expect("it is slow, and well");
            if update.template.prev_hash == block.block_hash() {
                break update;
            }
        };
        assert_eq!(update.cause, Cause::NewTip);
        assert!(found.elapsed() < SLOW + SECOND, "{:?}", found.elapsed());
    }
    let asked = asked.lock().unwrap();
    let since = asked.iter().zip(asked.iter().skip(1));
    let shortest = since.map(|(before, after)| *after - *before).min();
    assert!(shortest >= Some(5 * SLOW), "{shortest:?}");
    assert!(ports.status.borrow().is_ready());
}
