//! What a template of 4,000 transactions costs on its way from the node's answer to the pool: processor time
//! and memory, against reading the same text as `serde_json::Value`, and against looking at each byte once.
//!
//! `cargo bench -p headframe-node --bench template`; the figures stand in docs/benchmarks.md. The node is a
//! child process, so that time and memory are the reader's alone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Txid, Witness,
};
use headframe_node::rpc::{self, RpcAddress, RpcAuth, RpcSettings};
use headframe_node::{Node, TemplateUpdate};
use headframe_testkit::CountingAllocator;
use headframe_work::{
    BlockLimits, Network, Template, TemplateTransaction, UnixTime, witness_commitment,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

#[path = "../tests/it/support/fake_node.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "it is the tests', which use more of it"
)]
mod fake_node;

use fake_node::{FakeNode, Reply, gbt, healthy};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const TRANSACTIONS: u32 = 4_000;
/// With this much witness the transactions fill a block.
const WITNESS: usize = 740;
const ROUNDS: usize = 11;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("node") => serve(),
        _ => measure(),
    }
}

/// Answers until its input ends. Each template has another transaction in the first place, as if somebody paid
/// more; the others are the same.
fn serve() -> anyhow::Result<()> {
    let number = AtomicU64::new(0);
    let node = FakeNode::start(move |call| match call.method.as_str() {
        "getblocktemplate" => {
            let is_long_poll = call.params[0].get("longpollid").is_some();
            match is_long_poll {
                true => Reply::Hang,
                false => {
                    Reply::Result(gbt(&template(number.fetch_add(1, Ordering::Relaxed)), "id"))
                }
            }
        }
        _ => match healthy(call, Network::Regtest) {
            Some(result) => Reply::Result(result),
            None => Reply::Error(-32_601, "Method not found"),
        },
    });
    println!("{}", node.address);
    for line in std::io::stdin().lines() {
        line?;
    }
    Ok(())
}

fn template(first: u64) -> Template {
    let transactions: Vec<_> = (0..TRANSACTIONS)
        .map(|number| match number {
            0 => transaction(u64::from(u32::MAX) + first),
            number => transaction(number.into()),
        })
        .collect();
    let fees = transactions.iter().map(|transaction| transaction.fee);
    Template {
        network: Network::Regtest,
        height: 111,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: prev_hash(),
        bits: CompactTarget::from_consensus(0x207f_ffff),
        min_time: UnixTime::from_secs(1_800_000_000),
        current_time: UnixTime::from_secs(1_800_000_000),
        coinbase_value: Network::Regtest.subsidy(111) + fees.sum(),
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: 110,
        witness_commitment: Some(witness_commitment(transactions.iter().map(|tx| tx.wtxid))),
        transactions,
        limits: BlockLimits::default(),
    }
}

/// As [`healthy`] says it.
fn prev_hash() -> BlockHash {
    "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
        .parse()
        .expect("64 digits")
}

fn transaction(number: u64) -> TemplateTransaction {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let witness: Vec<u8> = (0..WITNESS)
        .map(|at| (at as u64 * 31 + number) as u8)
        .collect();
    let transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array(seed), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[witness]),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1_000),
            script_pubkey: ScriptBuf::new(),
        }],
    };
    TemplateTransaction {
        data: bitcoin::consensus::serialize(&transaction),
        txid: transaction.compute_txid(),
        wtxid: transaction.compute_wtxid(),
        fee: Amount::from_sat(100),
        sigops: 0,
        weight: u32::try_from(transaction.weight().to_wu()).expect("a small transaction"),
    }
}

/// The node in its process.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("node")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let output = child.stdout.take().context("it is piped")?;
        BufReader::new(output).read_line(&mut address)?;
        Ok(Self {
            child,
            address: address.trim().to_owned(),
        })
    }

    fn connect(&self) -> anyhow::Result<Node> {
        Ok(rpc::connect(RpcSettings {
            address: RpcAddress::parse(&self.address, Network::Regtest)?,
            auth: RpcAuth::UserPassword {
                user: "ann".to_owned(),
                password: "secret".to_owned(),
            },
            refresh: Duration::from_millis(500),
            ..RpcSettings::local(Network::Regtest, None)
        })?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A child that is gone already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure() -> anyhow::Result<()> {
    ALLOCATOR.begin();
    let served = Served::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = serde_json::to_vec(&gbt(&template(0), "id"))?;
    let megabytes = |bytes: i64| bytes as f64 / 1e6;
    println!(
        "an answer of {:.2} MB, {TRANSACTIONS} transactions",
        megabytes(answer.len() as i64)
    );
    let (mut cold, mut warm) = (Rounds::default(), Rounds::default());
    for round in 0..ROUNDS {
        runtime.block_on(async {
            let mut node = served.connect()?;
            let first = take(&mut cold, round, &mut node).await?;
            // The next has all but one of its transactions.
            let next = take(&mut warm, round, &mut node).await?;
            anyhow::ensure!(first.template.transactions.len() == next.template.transactions.len());
            anyhow::ensure!(first.template.transactions[1] == next.template.transactions[1]);
            Ok(())
        })?;
    }
    let (mut value, mut scan) = (Rounds::default(), Rounds::default());
    for round in 0..ROUNDS {
        value.time(round, || {
            let value: Value = serde_json::from_slice(&answer)?;
            std::hint::black_box(value);
            Ok(())
        })?;
        scan.time(round, || {
            let sum: u64 = answer.iter().map(|byte| u64::from(*byte)).sum();
            std::hint::black_box(sum);
            Ok(())
        })?;
    }
    let mut out = std::io::stdout();
    for (name, rounds) in [
        ("the first template, from the question on", &mut cold),
        ("a refresh that shares all but one", &mut warm),
        ("serde_json::Value of the text", &mut value),
        ("each byte once", &mut scan),
    ] {
        let (low, median, high) = rounds.milliseconds();
        let most = *rounds.bytes.iter().max().context("rounds were made")?;
        writeln!(
            out,
            "  {name}: {median:.1} ms ({low:.1}\u{2013}{high:.1}) of processor time; at most {:.1} MB, {:.2} of the answer",
            megabytes(most),
            most as f64 / answer.len() as f64
        )?;
    }
    Ok(())
}

/// The next template, and what it costs since the last.
async fn take(
    rounds: &mut Rounds,
    round: usize,
    node: &mut Node,
) -> anyhow::Result<TemplateUpdate> {
    rounds.begin(round);
    let update = node.templates.next().await?;
    rounds.end();
    Ok(update)
}

/// Processor time and memory of several rounds; the first is not counted.
#[derive(Default)]
struct Rounds {
    began: Option<(Duration, i64)>,
    times: Vec<Duration>,
    bytes: Vec<i64>,
}

impl Rounds {
    fn begin(&mut self, round: usize) {
        let live = ALLOCATOR.live_bytes();
        ALLOCATOR.take_most_bytes();
        self.began = (round > 0).then(|| (processor_time(), live));
    }

    fn end(&mut self) {
        if let Some((began, live)) = self.began.take() {
            self.times.push(processor_time() - began);
            self.bytes.push(ALLOCATOR.take_most_bytes() - live);
        }
    }

    fn time(
        &mut self,
        round: usize,
        act: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.begin(round);
        act()?;
        self.end();
        Ok(())
    }

    fn milliseconds(&mut self) -> (f64, f64, f64) {
        self.times.sort_unstable();
        let at = |place: usize| self.times[place].as_secs_f64() * 1e3;
        (at(0), at(self.times.len() / 2), at(self.times.len() - 1))
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
