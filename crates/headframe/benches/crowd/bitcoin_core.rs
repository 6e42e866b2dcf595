//! A Bitcoin Core on regtest whose mempool fills a block, and what a client that does nothing else sees of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Block, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Transactions that wait, and so of each template.
pub(crate) const TRANSACTIONS: u32 = 4_000;
/// Blocks that the bench can make: each spends one more coin.
const BLOCKS: u32 = 400;
/// The coinbases of regtest halve at each 150th block, on which nothing is begun ahead: the bench begins
/// after one of them.
const BEGIN: u32 = 151;
/// With so many bytes in each of two places of the witness the transactions fill a block.
const WITNESS: usize = 300;
/// Bytes of an output that makes a block large, as others' blocks are.
const LARGE: usize = 950_000;
/// An answer that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(60);

/// The node; it ends with this value.
pub(crate) struct BitcoinCore {
    process: Child,
    directory: TempDir,
    pub(crate) rpc: Rpc,
    coins: Txid,
    blocks: u32,
}

/// Calls to the node, a connection each.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    pub(crate) address: SocketAddr,
    cookie: PathBuf,
}

/// A block that the node does not have yet.
pub(crate) struct NextBlock {
    pub(crate) hash: String,
    pub(crate) bytes: Vec<u8>,
    hex: String,
}

impl BitcoinCore {
    /// The one that `variable` names, with its mempool full; `None` where it names none.
    pub(crate) fn start(variable: &str) -> anyhow::Result<Option<Self>> {
        let Some(program) = std::env::var_os(variable) else {
            println!("  not measured: {variable} names no Bitcoin Core");
            return Ok(None);
        };
        let directory = tempfile::tempdir()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(program);
        command
            .arg(format!("-datadir={}", directory.path().display()))
            .arg(format!("-rpcport={}", address.port()))
            .args(["-regtest", "-server", "-listen=0", "-connect=0"])
            .args(["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"])
            .args(["-acceptnonstdtxn=1", "-debug=bench", "-printtoconsole=0"]);
        if variable == "BITCOIN_NODE" {
            command.arg("-ipcbind=unix");
        }
        let process = command.stdout(Stdio::null()).spawn()?;
        let mut core = Self {
            process,
            rpc: Rpc {
                address,
                cookie: directory.path().join("regtest/.cookie"),
            },
            directory,
            coins: bitcoin::hashes::Hash::all_zeros(),
            blocks: 0,
        };
        core.wait_until_it_answers()?;
        core.fill()?;
        Ok(Some(core))
    }

    pub(crate) fn cookie(&self) -> String {
        self.rpc.cookie.display().to_string()
    }

    /// Its mining interface.
    pub(crate) fn socket(&self) -> String {
        let socket = self.directory.path().join("regtest/node.sock");
        socket.display().to_string()
    }

    /// A block on the tip, large and of none of the transactions that wait.
    pub(crate) fn next_block(&mut self) -> anyhow::Result<NextBlock> {
        ensure!(self.blocks < BLOCKS, "all coins are spent");
        let coin = OutPoint::new(self.coins, TRANSACTIONS + self.blocks);
        self.blocks += 1;
        let large = ScriptBuf::from_bytes([vec![0x6a], vec![0; LARGE]].concat());
        let spent = spend(coin, 0, [(Amount::ZERO, large)]);
        let made = self.rpc.call(
            "generateblock",
            &json!([address(), [serialize_hex(&spent)], false]),
        )?;
        let text = |name: &str| made[name].as_str().map(str::to_owned);
        let (hash, hex) = text("hash").zip(text("hex")).context("a block")?;
        let bytes = bitcoin::hex::FromHex::from_hex(&hex)?;
        Ok(NextBlock { hash, bytes, hex })
    }

    pub(crate) fn submit(&self, block: &NextBlock) -> anyhow::Result<()> {
        let refused = self.rpc.call("submitblock", &json!([block.hex]))?;
        ensure!(refused.is_null(), "the node refused a block: {refused}");
        Ok(())
    }

    /// How long the node says that it took to make each full template so far, in milliseconds.
    pub(crate) fn times(&self) -> anyhow::Result<Vec<f64>> {
        let log = fs::read_to_string(self.directory.path().join("regtest/debug.log"))?;
        // The blocks that it makes for the bench have one transaction.
        let full = format!(" txs: {TRANSACTIONS} ");
        let templates = log.split("CreateNewBlock(): block weight:").skip(1);
        templates
            .filter(|it| it.contains(&full))
            .map(total)
            .collect()
    }

    fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + LONGEST;
        while self.rpc.call("getblockcount", &json!([])).is_err() {
            let ended = self.process.try_wait()?;
            ensure!(ended.is_none(), "the node ended: {ended:?}");
            ensure!(Instant::now() < deadline, "the node does not answer");
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A coin for each transaction and each block, and the transactions.
    fn fill(&mut self) -> anyhow::Result<()> {
        self.rpc
            .call("generatetoaddress", &json!([101, address()]))?;
        let first = self.rpc.call("getblockhash", &json!([1]))?;
        let first = self.rpc.call("getblock", &json!([first, 0]))?;
        let first: Block = deserialize_hex(first.as_str().context("digits")?)?;
        let coinbase = first.txdata.first().context("a coinbase")?;
        let count = TRANSACTIONS + BLOCKS;
        let each = Amount::from_sat(49 * Amount::ONE_BTC.to_sat() / u64::from(count));
        let coins = vec![(each, script().to_p2wsh()); count as usize];
        let coins = spend(OutPoint::new(coinbase.compute_txid(), 0), 0, coins);
        self.coins = coins.compute_txid();
        self.rpc.call(
            "generateblock",
            &json!([address(), [serialize_hex(&coins)]]),
        )?;
        let more = BEGIN - 102;
        self.rpc
            .call("generatetoaddress", &json!([more, address()]))?;
        let numbers: Vec<u32> = (0..TRANSACTIONS).collect();
        for numbers in numbers.chunks(500) {
            let calls = numbers.iter().map(|&number| {
                let value = each - Amount::from_sat(2_000 + u64::from(number));
                let coin = OutPoint::new(self.coins, number);
                let spent = spend(coin, WITNESS, [(value, script().to_p2wsh())]);
                json!({"method": "sendrawtransaction", "params": [serialize_hex(&spent), 0]})
            });
            let answers = self.rpc.post(&Value::Array(calls.collect()))?;
            for answer in answers.as_array().context("answers")? {
                ensure!(answer["error"].is_null(), "refused: {answer}");
            }
        }
        let offered = self.rpc.template(None)?;
        let offered = offered["transactions"].as_array().map_or(0, Vec::len);
        ensure!(offered == TRANSACTIONS as usize, "a template of {offered}");
        Ok(())
    }
}

impl Drop for BitcoinCore {
    fn drop(&mut self) {
        // It is this bench's own, and its chain is thrown away.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Rpc {
    pub(crate) fn call(&self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut answer = self.post(&json!({"method": method, "params": params}))?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].take()),
            error => bail!("{method}: {error}"),
        }
    }

    /// A template, when there is another than that of `long_poll`.
    pub(crate) fn template(&self, long_poll: Option<&str>) -> anyhow::Result<Value> {
        self.call("getblocktemplate", &template_request(long_poll))
    }

    /// When the whole answer is there that [`Self::template`] would read.
    pub(crate) fn template_at(&self, long_poll: &str) -> anyhow::Result<Instant> {
        let params = template_request(Some(long_poll));
        self.post_unread(&json!({"method": "getblocktemplate", "params": params}))?;
        Ok(Instant::now())
    }

    /// When the node tells of a block after `tip`.
    pub(crate) fn new_block_at(&self, tip: &str) -> anyhow::Result<Instant> {
        self.call("waitfornewblock", &json!([LONGEST.as_millis() as u64, tip]))?;
        Ok(Instant::now())
    }

    fn post(&self, body: &Value) -> anyhow::Result<Value> {
        let answer = self.post_unread(body)?;
        let text = std::str::from_utf8(&answer)?;
        let (_, body) = text.split_once("\r\n\r\n").context("an answer")?;
        Ok(serde_json::from_str(body)?)
    }

    fn post_unread(&self, body: &Value) -> anyhow::Result<Vec<u8>> {
        let credentials = BASE64_STANDARD.encode(fs::read(&self.cookie)?);
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(LONGEST))?;
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.0\r\nAuthorization: Basic {credentials}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut answer = Vec::with_capacity(10 << 20);
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// What stands at the end of the node's lines on a template.
fn total(lines: &str) -> anyhow::Result<f64> {
    let (_, total) = lines.split_once("(total ").context("a total")?;
    let (total, _) = total.split_once("ms)").context("milliseconds")?;
    Ok(total.parse()?)
}

fn template_request(long_poll: Option<&str>) -> Value {
    match long_poll {
        Some(id) => json!([{"rules": ["segwit"], "longpollid": id}]),
        None => json!([{"rules": ["segwit"]}]),
    }
}

/// Lets anybody spend who gives two pieces of data.
fn script() -> ScriptBuf {
    use bitcoin::opcodes::all::{OP_2DROP, OP_PUSHNUM_1};
    let script = ScriptBuf::builder();
    let script = script.push_opcode(OP_2DROP).push_opcode(OP_PUSHNUM_1);
    script.into_script()
}

fn address() -> String {
    Address::p2wsh(&script(), Network::Regtest).to_string()
}

/// Spends a coin with a witness of twice so many bytes.
fn spend(
    coin: OutPoint,
    witness: usize,
    outputs: impl IntoIterator<Item = (Amount, ScriptBuf)>,
) -> Transaction {
    let data = vec![coin.vout as u8; witness];
    let outputs = outputs.into_iter();
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[&data, &data, script().as_bytes()]),
        }],
        output: outputs
            .map(|(value, script_pubkey)| TxOut {
                value,
                script_pubkey,
            })
            .collect(),
    }
}
