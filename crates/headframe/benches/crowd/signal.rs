//! From a real node's word of a new block to the first of many miners, against a bare subscriber to the same word;
//! and on to the full job, against the time that the node takes for its template.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::bare::{JOB, TIP};
use crate::bitcoin_core::{BitcoinCore, NextBlock, TRANSACTIONS};
use crate::child::{Child, Protocol};
use crate::client::Miners;
use crate::fan_out::sealed;
use crate::publisher::Publisher;
use crate::reader::Crowd;
use crate::runtime;
use crate::spread::Spread;

const MINERS: Miners = Miners {
    connections: 1_000,
    channels: 1,
    distinct: true,
};
/// Blocks with the pool, unless the variable `ROUNDS` says another number.
const ROUNDS: usize = 100;
/// Blocks with a bare client alone.
const BARE_ROUNDS: usize = 20;
/// What is sent ahead of the next tip comes after a second.
const STAGED: Duration = Duration::from_millis(1_300);

/// How the pool hears of a block.
enum Signal {
    /// Under this topic.
    Published(Publisher, &'static str),
    /// By the mining interface, with the node's RPC beside it or without, and a bare client by `waitfornewblock`, which
    /// waits for the same event in the node.
    Pushed { has_rpc: bool },
}

pub(crate) fn zmq(_: Protocol) -> anyhow::Result<()> {
    for topic in ["rawblock", "hashblock"] {
        if let Some(core) = BitcoinCore::start("BITCOIND")? {
            println!("  {topic}");
            measure(core, Signal::Published(Publisher::start()?, topic))?;
        }
    }
    Ok(())
}

pub(crate) fn ipc(_: Protocol) -> anyhow::Result<()> {
    if cfg!(not(feature = "ipc")) {
        println!("  not measured: built without the feature `ipc`");
        return Ok(());
    }
    for has_rpc in [true, false] {
        if let Some(core) = BitcoinCore::start("BITCOIN_NODE")? {
            println!("  {} RPC", if has_rpc { "with" } else { "without" });
            measure(core, Signal::Pushed { has_rpc })?;
        }
    }
    Ok(())
}

fn measure(mut core: BitcoinCore, mut signal: Signal) -> anyhow::Result<()> {
    let runtime = runtime(1)?;
    let before = core.times()?.len();
    let mut answers = Spread::default();
    for round in 0..=BARE_ROUNDS {
        let answered = bare_template(&mut core)?;
        // The first may be answered before the block, for the transactions that had just come.
        if round > 0 {
            answers.add(answered);
        }
    }
    let alone = core.times()?.len();
    println!("    {TRANSACTIONS} transactions, {BARE_ROUNDS} blocks without a pool:");
    println!(
        "      the node makes a template: {} ms",
        times(&core, before)?
    );
    println!("      from the block to the whole answer of a long poll: {answers:.1} ms");
    runtime.block_on(with_the_pool(&mut core, &mut signal))?;
    println!(
        "      the node made its templates meanwhile: {} ms",
        times(&core, alone)?
    );
    Ok(())
}

/// Milliseconds from word of a block to a bare client's whole template.
fn bare_template(core: &mut BitcoinCore) -> anyhow::Result<f64> {
    let block = core.next_block()?;
    let present = core.rpc.template(None)?;
    let id = present["longpollid"].as_str().context("an id")?.to_owned();
    let tip = present["previousblockhash"]
        .as_str()
        .context("a tip")?
        .to_owned();
    let (polling, waiting) = (core.rpc.clone(), core.rpc.clone());
    let polled = thread::spawn(move || polling.template_at(&id));
    let told = thread::spawn(move || waiting.new_block_at(&tip));
    settle();
    core.submit(&block)?;
    let told = told.join().ok().context("a thread panicked")??;
    let polled = polled.join().ok().context("a thread panicked")??;
    Ok(milliseconds(told, polled))
}

async fn with_the_pool(core: &mut BitcoinCore, signal: &mut Signal) -> anyhow::Result<()> {
    let arguments = signal.arguments(core)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pool = Child::start(&arguments)?;
    if let Signal::Published(publisher, _) = signal {
        publisher.greet()?;
    }
    let crowd = Crowd::of_miners(&pool.url(Protocol::Sv2)?, MINERS).await?;
    let marks = [sealed(TIP), sealed(TIP) + sealed(JOB)];
    let (mut tips, mut jobs) = (Spread::default(), Spread::default());
    let rounds = std::env::var("ROUNDS").ok().and_then(|it| it.parse().ok());
    for round in 0..=rounds.unwrap_or(ROUNDS) {
        let block = core.next_block()?;
        tokio::time::sleep(STAGED).await;
        crowd.quiet().await;
        let mut word = None;
        let taken = crowd
            .round(marks, || {
                word = Some(signal.give(core, &block)?);
                Ok(())
            })
            .await?;
        let word = word.context("the block was told of")?;
        // In the first the pool learns the times of the blocks before.
        if round > 0 {
            tips.add(milliseconds(word, taken.first[0]));
            jobs.add(milliseconds(word, taken.first[1]));
        }
    }
    println!(
        "    {} miners, after a bare subscriber has the word:",
        MINERS.connections
    );
    println!("      SetNewPrevHash to the first: {} ms", tips.tail());
    println!("      the full job to the first: {} ms", jobs.tail());
    println!(
        "      processor time of the pool: {:.0} ms a block",
        pool.cpu()? * 1e3 / tips.len() as f64
    );
    Ok(())
}

impl Signal {
    /// How the pool is started.
    fn arguments(&self, core: &BitcoinCore) -> anyhow::Result<Vec<String>> {
        let rpc = [
            format!("rpc={}", core.rpc.address),
            format!("cookie={}", core.cookie()),
        ];
        let arguments = match self {
            Self::Published(publisher, _) => {
                [&rpc[..], &[format!("zmq=tcp://{}", publisher.address()?)]].concat()
            }
            Self::Pushed { has_rpc } => {
                let rpc = if *has_rpc { &rpc[..] } else { &[] };
                [rpc, &[format!("ipc={}", core.socket())]].concat()
            }
        };
        Ok([vec!["pool".to_owned()], arguments].concat())
    }

    /// Gives the node a block, and says when a bare client had word of it.
    fn give(&mut self, core: &BitcoinCore, block: &NextBlock) -> anyhow::Result<Instant> {
        match self {
            Self::Published(publisher, topic) => {
                core.submit(block)?;
                match *topic {
                    "rawblock" => publisher.publish(topic, &block.bytes),
                    _ => publisher.publish(topic, &hex(&block.hash)?),
                }
            }
            Self::Pushed { .. } => {
                let tip = core.rpc.call("getbestblockhash", &json!([]))?;
                let tip = tip.as_str().context("a hash")?.to_owned();
                let waiting = core.rpc.clone();
                let told = thread::spawn(move || waiting.new_block_at(&tip));
                settle();
                core.submit(block)?;
                told.join().ok().context("a thread panicked")?
            }
        }
    }
}

/// Those that wait for the node do so by now.
fn settle() {
    thread::sleep(Duration::from_millis(100));
}

fn hex(digits: &str) -> anyhow::Result<Vec<u8>> {
    Ok(bitcoin::hex::FromHex::from_hex(digits)?)
}

fn times(core: &BitcoinCore, from: usize) -> anyhow::Result<String> {
    let mut times = Spread::default();
    core.times()?
        .into_iter()
        .skip(from)
        .for_each(|time| times.add(time));
    Ok(times.tail())
}

/// Below zero where the bare one was later.
fn milliseconds(from: Instant, to: Instant) -> f64 {
    let later = to.saturating_duration_since(from).as_secs_f64();
    let earlier = from.saturating_duration_since(to).as_secs_f64();
    (later - earlier) * 1e3
}
