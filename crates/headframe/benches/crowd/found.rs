//! From a share that is a block to the node, while ten thousand connections send theirs; against a program that
//! reads as many bytes and writes as many.

use std::io::Write as _;
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use headframe_miner::{Pace, SwarmSettings};
use headframe_testkit::Chance;
use headframe_transport::CurvePool;
use headframe_work::Header;

use crate::child::{Child, Protocol};
use crate::client::{Client, Miners};
use crate::load::{load, swarm};
use crate::spread::Spread;
use crate::taker;
use crate::{room_for, runtime};

/// Connections that send shares, and how many a second all of them send: one every two seconds for each.
const WANTED: usize = 10_000;
const RATE: f64 = 5_000.0;
/// They come within this time.
const RAMP: Duration = Duration::from_secs(15);
/// Blocks with the load, unless the variable `ROUNDS` says another number.
const ROUNDS: usize = 80;
/// A tip has reached all connections after this time.
const SETTLED: Duration = Duration::from_millis(700);
/// A share as it is on the wire.
const SHARE: usize = 62;
/// Digits of a block of the pool's templates.
const DIGITS: usize = 2 * crate::pool::BLOCK;

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(2)?;
    runtime.block_on(measure(protocol))
}

async fn measure(protocol: Protocol) -> anyhow::Result<()> {
    let mut taker = Child::start(&["taker"])?;
    let address = taker.address.to_string();
    let relay = Child::start(&["relay", &address, &DIGITS.to_string()])?;
    let mut pool = Child::start(&["pool", &format!("blocks={address}")])?;
    let mut finder = Finder::new(&pool, &relay, protocol).await?;
    for (connections, name) in [(0, "no others"), (room_for(WANTED, 1), "others that send")] {
        let rounds = std::env::var("ROUNDS").ok().and_then(|it| it.parse().ok());
        let rounds = match connections {
            0 => ROUNDS / 4,
            _ => rounds.unwrap_or(ROUNDS),
        };
        let each = SETTLED * 2 + Duration::from_secs(1);
        let mining = (connections > 0).then(|| {
            let settings = SwarmSettings {
                ramp: RAMP,
                pace: Pace::PerSecond(RATE),
                duration: each * u32::try_from(rounds).unwrap_or(u32::MAX),
                ..swarm(&pool, protocol, connections)?
            };
            anyhow::Ok(tokio::spawn(load(settings)))
        });
        let mining = mining.transpose()?;
        if mining.is_some() {
            tokio::time::sleep(RAMP * 2).await;
        }
        println!("  {connections} {name}, {rounds} blocks:");
        let mut table = Table::default();
        for round in 0..=rounds {
            let found = finder.find(&mut pool, &mut taker).await?;
            let bare = finder.bring_bare(&mut taker).await?;
            if round > 0 {
                table.add(found, bare);
            }
        }
        table.print();
        if let Some(mining) = mining {
            let report = mining.await??;
            println!(
                "    {:.0} shares a second, reply p99 {:.1} ms",
                report.shares.answered_per_second,
                report.reply_ms.p99.unwrap_or(f64::NAN)
            );
        }
    }
    Ok(())
}

/// Milliseconds from a share to the first byte of its block, and to the last.
type Taken = [f64; 2];

/// A miner that finds a block whenever it is to, and the bare program's other end.
struct Finder {
    client: Client,
    relay: TcpStream,
    chance: Chance,
}

impl Finder {
    async fn new(pool: &Child, relay: &Child, protocol: Protocol) -> anyhow::Result<Self> {
        let source = IpAddr::from([127, 0, 0, 100]);
        let mut client = Client::dial(&pool.url(protocol)?, source, CurvePool::new()).await?;
        let alone = Miners {
            connections: 1,
            channels: 1,
            distinct: true,
        };
        client.open(0, alone);
        client.until(|it| it.has_work(1)).await?;
        let relay = TcpStream::connect(relay.address)?;
        relay.set_nodelay(true)?;
        Ok(Self {
            client,
            relay,
            chance: Chance::new(1),
        })
    }

    /// Finds a block on a new tip, when all have settled on it.
    async fn find(&mut self, pool: &mut Child, taker: &mut Child) -> anyhow::Result<Taken> {
        let tip = pool.ask("prepare")?;
        pool.tell("tip")?;
        self.client.until(|it| it.is_on(&tip)).await?;
        // The full job comes after the empty one.
        tokio::time::sleep(SETTLED).await;
        self.client.catch_up().await?;
        let nonce = self.client.mine(&mut self.chance);
        tokio::time::sleep(SETTLED / 2).await;
        let sent = taker::now();
        self.client.submit(&nonce).await?;
        taken(taker, sent, nonce.hash())
    }

    async fn bring_bare(&mut self, taker: &mut Child) -> anyhow::Result<Taken> {
        tokio::time::sleep(SETTLED / 2).await;
        let sent = taker::now();
        self.relay.write_all(&[0; SHARE])?;
        taken(taker, sent, BlockHash::hash(&[0; Header::LEN]))
    }
}

/// What the taker says of the block with this hash.
fn taken(taker: &mut Child, sent: u64, hash: BlockHash) -> anyhow::Result<Taken> {
    loop {
        let line = tokio::task::block_in_place(|| taker.ask("wait"))?;
        let words: Vec<&str> = line.split(' ').collect();
        let [of, first, last] = words[..] else {
            anyhow::bail!("no block came");
        };
        // One of the others may have found one.
        if of == hash.to_string() {
            let since = |at: &str| anyhow::Ok((at.parse::<u64>()? - sent) as f64 / 1e6);
            return Ok([since(first)?, since(last)?]);
        }
    }
}

#[derive(Default)]
struct Table {
    ours: [Spread; 2],
    bare: [Spread; 2],
    ratios: Spread,
}

impl Table {
    fn add(&mut self, ours: Taken, bare: Taken) {
        for end in [0, 1] {
            self.ours[end].add(ours[end]);
            self.bare[end].add(bare[end]);
        }
        self.ratios.add(ours[1] / bare[1]);
    }

    fn print(&self) {
        for (end, name) in ["first", "last"].iter().enumerate() {
            println!(
                "    to the {name} byte of submitblock: {} ms",
                self.ours[end].tail()
            );
            println!("      a bare write: {} ms", self.bare[end].tail());
        }
        println!("    last byte, ratio {:.2}", self.ratios);
    }
}
