//! A new tip to the last of many connections, against the bare loop.

use std::time::Duration;

use crate::bare::{BRANCHES, JOB, TIP};
use crate::child::{Child, Protocol};
use crate::client::Miners;
use crate::reader::{Crowd, Taken};
use crate::spread::Spread;
use crate::{room_for, runtime};

/// Connections to the pool, and as many to the bare loop.
const WANTED: usize = 10_000;
/// Tips; the first is not counted.
const ROUNDS: usize = 11;
/// A sealed `SetNewPrevHash`.
const SEALED_TIP: u64 = sealed(TIP);

/// Merkle branches in hexadecimal digits and quotes, with commas between.
const HEX_BRANCHES: u64 = BRANCHES as u64 * 67 - 1;

/// The length of a frame on the wire: header and payload each have a tag of 16 bytes.
pub(crate) const fn sealed(frame: usize) -> u64 {
    frame as u64 + 2 * 16
}

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(1)?;
    for distinct in [false, true] {
        let miners = Miners {
            connections: room_for(WANTED, 2),
            channels: 1,
            distinct,
        };
        runtime.block_on(measure(protocol, miners))?;
    }
    Ok(())
}

/// The bytes after which a connection has the tip, and its full job too, of so many that come in all. Of
/// Stratum V1 they are a line each: the full job has merkle branches, and `false` where the other has
/// `true`.
fn marks(protocol: Protocol, channels: usize, all: u64) -> [u64; 2] {
    match protocol {
        Protocol::Sv1 => [
            (all.saturating_sub(HEX_BRANCHES + 1) / 2).max(1),
            all.max(1),
        ],
        Protocol::Sv2 => {
            let tip = SEALED_TIP * channels as u64;
            [tip, all.max(tip)]
        }
    }
}

/// Prints how long it takes until the last connection has the tip, and until it has its full job too.
pub(crate) async fn measure(protocol: Protocol, miners: Miners) -> anyhow::Result<()> {
    let mut pool = Child::start(&["pool"])?;
    let crowd = Crowd::of_miners(&pool.url(protocol)?, miners).await?;
    let mut bare = Child::start(&["bare"])?;
    bare.tell(&format!("accept {}", miners.connections))?;
    let sockets = Crowd::of_sockets(bare.address, miners.connections).await?;
    bare.ask("write 0 0")?;
    let mut all = 0;
    let mut table = Table::default();
    for round in 0..ROUNDS {
        pool.ask("prepare")?;
        let marks = marks(protocol, miners.channels, all);
        let cpu = pool.cpu()?;
        let ours = crowd.round(marks, || pool.tell("tip")).await?;
        let read = crowd.quiet().await;
        let cpu = (pool.cpu()? - cpu) * 1e3;
        // What is sent ahead of the next tip comes after a second.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        crowd.quiet().await;
        if round == 0 {
            all = read;
            continue;
        }
        let write = format!("write {} {}", marks[0], marks[1] - marks[0]);
        let bare_cpu = bare.cpu()?;
        let theirs = sockets.round(marks, || bare.tell(&write)).await?;
        sockets.quiet().await;
        let cpu = [cpu, (bare.cpu()? - bare_cpu) * 1e3];
        table.add(ours, 0, theirs);
        table.add_cpu(cpu);
        if protocol == Protocol::Sv2 {
            let make = format!("make {}", miners.channels);
            let made = marks[0] + sealed(JOB) * miners.channels as u64;
            let made = sockets.round([marks[0], made], || bare.tell(&make));
            table.add(ours, 1, made.await?);
            sockets.quiet().await;
        }
    }
    let names: &[&str] = match protocol {
        Protocol::Sv1 => &["mining.notify of an empty block", "and of the full one"],
        Protocol::Sv2 => &["SetNewPrevHash", "and the full job"],
    };
    table.print(names, miners, marks(protocol, miners.channels, all));
    Ok(())
}

#[derive(Default)]
struct Table {
    ours: [Spread; 2],
    /// Of the bare writes, and of the seals and hashes with them.
    bare: [[Spread; 2]; 2],
    ratios: [[Spread; 2]; 2],
    cpu: [Spread; 2],
}

impl Table {
    /// A round of ours, and one of this kind of bare loop.
    fn add(&mut self, ours: Taken, kind: usize, bare: Taken) {
        for thing in [0, 1] {
            let (ours, bare) = (ours.to_last[thing], bare.to_last[thing]);
            if kind == 0 {
                self.ours[thing].add(ours);
            }
            self.bare[thing][kind].add(bare);
            self.ratios[thing][kind].add(ours / bare);
        }
    }

    fn add_cpu(&mut self, cpu: [f64; 2]) {
        self.cpu[0].add(cpu[0]);
        self.cpu[1].add(cpu[1]);
    }

    fn print(&self, names: &[&str], miners: Miners, bytes: [u64; 2]) {
        let Miners {
            connections,
            channels,
            ..
        } = miners;
        let payouts = miners.payouts();
        println!("  {connections} connections, {channels} channels on each, {payouts}");
        for (thing, name) in names.iter().enumerate() {
            println!(
                "    {name}, {} bytes: {:.1} ms",
                bytes[thing], self.ours[thing]
            );
            for (kind, name) in ["writes", "hashes, seals and writes"].iter().enumerate() {
                let (bare, ratio) = (&self.bare[thing][kind], &self.ratios[thing][kind]);
                if !bare.is_empty() {
                    println!("      bare {name} {bare:.1} ms, ratio {ratio:.2}");
                }
            }
        }
        println!(
            "    processor time of the pool {:.0} ms, of the bare loop {:.0} ms",
            self.cpu[0], self.cpu[1]
        );
    }
}
