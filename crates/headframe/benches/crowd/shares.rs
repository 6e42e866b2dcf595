//! What a share costs the pool's process, with the limits on strangers and without, and what its bytes,
//! its hash and its system calls cost alone.

use std::time::Duration;

use anyhow::Context as _;
use bitcoin::hashes::Hash as _;
use headframe_ledger::{
    BestShare, DataDir, Ledger as _, Retention, ShareBatch, SqliteLedger, WorkerId,
};
use headframe_miner::{Pace, SwarmSettings};
use headframe_sv2_noise::{Opener, Sealer};
use headframe_testkit::address;
use headframe_work::{Rung, UnixTime, Work};

use crate::child::{Child, Protocol};
use crate::floor::{calls, cpu, hash_header, time};
use crate::load::{WORKERS, load, swarm};
use crate::runtime;
use crate::spread::Spread;

/// Connections, each with one standard channel, and the shares of each that wait for an answer.
const CONNECTIONS: usize = 100;
const WINDOW: usize = 64;
const ROUNDS: usize = 5;
/// Short enough that the limits never hold a connection: twenty thousand messages at once are free.
const ROUND: Duration = Duration::from_secs(4);
/// A `SubmitSharesStandard`, and a `SubmitSharesSuccess`, in clear.
const SHARE: usize = 6 + 24;
const SUCCESS: usize = 6 + 20;
/// A sealed `SubmitSharesStandard`.
const SEALED: usize = 22 + SHARE - 6 + 16;

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(2)?;
    runtime.block_on(measure(protocol))
}

async fn measure(protocol: Protocol) -> anyhow::Result<()> {
    let pools = [
        Child::start(&["pool"])?,
        Child::start(&["pool", "limited"])?,
    ];
    let mut costs = [Spread::default(), Spread::default()];
    let mut rates = Spread::default();
    let mut ratio = Spread::default();
    for _ in 0..ROUNDS {
        let mut round = [0.0; 2];
        for (number, pool) in pools.iter().enumerate() {
            let (cost, rate) = cost_of(pool, protocol).await?;
            round[number] = cost;
            costs[number].add(cost);
            rates.add(rate);
        }
        ratio.add(round[1] / round[0]);
    }
    let floor = Floor::measure()?;
    println!(
        "  {CONNECTIONS} connections, {WINDOW} shares of each wait; {rates:.0} shares a second"
    );
    println!(
        "    pool: {:.2} \u{b5}s a share; with limits {:.2} \u{b5}s, ratio {ratio:.2}",
        costs[0], costs[1]
    );
    println!(
        "    floor: {:.2} \u{b5}s = open {:.2}, hash {:.2}, ledger {:.2}, seal {:.2}, system calls {:.2}; \
         {:.0} % of the pool's",
        floor.sum(),
        floor.open,
        floor.hash,
        floor.ledger,
        floor.seal,
        floor.calls,
        100.0 * floor.sum() / costs[0].median()
    );
    Ok(())
}

/// Microseconds of processor time a share, and shares a second.
async fn cost_of(pool: &Child, protocol: Protocol) -> anyhow::Result<(f64, f64)> {
    let settings = SwarmSettings {
        duration: ROUND,
        pace: Pace::AsAnswered { window: WINDOW },
        ..swarm(pool, protocol, CONNECTIONS)?
    };
    let report = load(settings).await?;
    let cost = report.process.and_then(|cost| cost.cpu_us_per_share);
    Ok((cost.context("no cost")?, report.shares.answered_per_second))
}

/// Microseconds of each part of a share's road, done alone.
struct Floor {
    open: f64,
    hash: f64,
    ledger: f64,
    seal: f64,
    calls: f64,
}

impl Floor {
    fn measure() -> anyhow::Result<Self> {
        Ok(Self {
            open: open()?,
            hash: hash_header()?,
            ledger: ledger()?,
            seal: seal()? / WINDOW as f64,
            calls: calls(1, SEALED * WINDOW, 22 + SUCCESS - 6 + 16)? / WINDOW as f64,
        })
    }

    fn sum(&self) -> f64 {
        self.open + self.hash + self.ledger + self.seal + self.calls
    }
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    frame[3] = (len - 6) as u8;
    frame
}

fn open() -> anyhow::Result<f64> {
    const COUNT: usize = 1_000;
    let mut sealed = Vec::new();
    let mut sealer = Sealer::from_key(&[1; 32], 0);
    for _ in 0..COUNT {
        sealer.seal_frame(&frame(SHARE), &mut sealed)?;
    }
    time(COUNT, || {
        let mut opener = Opener::from_key(&[1; 32], 0);
        let mut bytes = sealed.clone();
        for share in bytes.chunks_mut(SEALED) {
            let (header, payload) = share.split_first_chunk_mut().context("a header")?;
            opener.open_header(header)?;
            opener.open_payload(payload)?;
        }
        Ok(())
    })
}

fn seal() -> anyhow::Result<f64> {
    const COUNT: usize = 1_000;
    let mut sealer = Sealer::from_key(&[1; 32], 0);
    let success = frame(SUCCESS);
    time(COUNT, || {
        let mut out = Vec::with_capacity(1 << 17);
        (0..COUNT).try_for_each(|_| sealer.seal_frame(&success, &mut out))?;
        Ok(())
    })
}

/// Commits of a thousand shares, of as many workers as the swarm has. They wait for the disk, so that
/// processor time is taken, and over many.
fn ledger() -> anyhow::Result<f64> {
    const COUNT: usize = 1_000;
    const COMMITS: usize = 300;
    let directory = tempfile::tempdir()?;
    let data = DataDir::open(directory.path())?;
    let mut ledger = SqliteLedger::open(&data, Retention::default())?;
    let workers: Result<Vec<_>, _> = (0..WORKERS)
        .map(|it| WorkerId::new(&address(it).to_string(), &address(it).to_string()))
        .collect();
    let workers = workers?;
    let at = UnixTime::from_secs(1_800_000_000);
    let hash = bitcoin::BlockHash::all_zeros();
    let began = cpu()?;
    for _ in 0..COMMITS {
        let mut batch = ShareBatch::default();
        for worker in workers.iter().cycle().take(COUNT) {
            batch.accept(worker, Work::of_rung(Rung::ONE), BestShare { hash, at });
        }
        ledger.record(&batch)?;
    }
    Ok((cpu()? - began) / (COUNT * COMMITS) as f64)
}
