//! What a share costs the pool's process, with the limits on strangers and without, and what its bytes,
//! its hash and its system calls cost alone.

use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bitcoin::hashes::Hash as _;
use headframe_ledger::{
    BestShare, DataDir, Ledger as _, Retention, ShareBatch, SqliteLedger, WorkerId,
};
use headframe_miner::{Pace, SwarmSettings, run_swarm};
use headframe_sv2_noise::{Opener, Sealer};
use headframe_testkit::address;
use headframe_transport::PoolUrl;
use headframe_work::{Header, Rung, UnixTime, Work};

use crate::child::Child;
use crate::spread::Spread;

/// Connections, each with one standard channel, and the shares of each that wait for an answer.
const CONNECTIONS: usize = 100;
const WINDOW: usize = 64;
const ROUNDS: usize = 5;
/// Short enough that the limits never hold a connection: twenty thousand messages at once are free.
const ROUND: Duration = Duration::from_secs(4);
/// Names, and so rows of the ledger.
const WORKERS: u64 = 50;
/// A `SubmitSharesStandard`, and a `SubmitSharesSuccess`, in clear.
const SHARE: usize = 6 + 24;
const SUCCESS: usize = 6 + 20;

pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

async fn measure() -> anyhow::Result<()> {
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
            let (cost, rate) = load(pool).await?;
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
async fn load(pool: &Child) -> anyhow::Result<(f64, f64)> {
    let url = format!("stratum2+tcp://{}/{}", pool.address, pool.authority);
    let settings = SwarmSettings {
        connections: CONNECTIONS,
        users: (0..WORKERS).map(|it| address(it).to_string()).collect(),
        duration: ROUND,
        pace: Pace::AsAnswered { window: WINDOW },
        pid: Some(pool.pid()),
        ..SwarmSettings::new(PoolUrl::parse(&url, false)?, "")
    };
    let report = run_swarm(settings, None, |_| {}, std::future::pending()).await?;
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
            hash: hash(),
            ledger: ledger()?,
            seal: seal()? / WINDOW as f64,
            calls: calls()? / WINDOW as f64,
        })
    }

    fn sum(&self) -> f64 {
        self.open + self.hash + self.ledger + self.seal + self.calls
    }
}

/// Microseconds of one of `count` things that wait for nobody, the median of several tries.
fn time(count: usize, mut things: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut taken = Spread::default();
    for _ in 0..101 {
        let began = Instant::now();
        things()?;
        taken.add(began.elapsed().as_secs_f64() * 1e6 / count as f64);
    }
    Ok(taken.median())
}

/// Microseconds of processor time that this thread has used, to a few thousand.
fn cpu() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = stat.split(' ').next().context("a figure")?.parse()?;
    Ok(nanoseconds as f64 / 1e3)
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
        for share in bytes.chunks_mut(22 + SHARE - 6 + 16) {
            let (header, payload) = share.split_first_chunk_mut().context("a header")?;
            opener.open_header(header)?;
            opener.open_payload(payload)?;
        }
        Ok(())
    })
}

fn hash() -> f64 {
    const COUNT: u32 = 1_000;
    let mut header = Header {
        version: 0x2000_0000,
        prev_hash: bitcoin::BlockHash::all_zeros(),
        merkle_root: [7; 32],
        time: UnixTime::from_secs(1_800_000_000),
        bits: bitcoin::CompactTarget::from_consensus(0x1b00_ffff),
        nonce: 0,
    };
    let hashed = time(COUNT as usize, || {
        for nonce in 0..COUNT {
            header.nonce = nonce;
            black_box(black_box(&header).hash());
        }
        Ok(())
    });
    hashed.unwrap_or(f64::NAN)
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

/// One read of a window of shares and one write of an answer, on the loopback.
fn calls() -> anyhow::Result<f64> {
    const COUNT: usize = 200;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let shares = vec![0; WINDOW * (22 + SHARE - 6 + 16)];
    let answer = [0; 22 + SUCCESS - 6 + 16];
    let mut buffer = vec![0; shares.len()];
    let mut taken = Spread::default();
    for _ in 0..COUNT {
        client.write_all(&shares)?;
        let began = Instant::now();
        server.read_exact(&mut buffer)?;
        server.write_all(&answer)?;
        // Neither waits for anybody.
        taken.add(began.elapsed().as_secs_f64() * 1e6);
        client.read_exact(&mut buffer[..answer.len()])?;
    }
    Ok(taken.median())
}
