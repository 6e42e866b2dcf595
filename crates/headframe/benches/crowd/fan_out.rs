//! A new tip to the last of many connections, against the bare loop.

use std::time::Duration;

use crate::bare::{JOB, TIP};
use crate::child::Child;
use crate::reader::{Crowd, Miners, Taken};
use crate::room_for;
use crate::spread::Spread;

/// Connections to the pool, and as many to the bare loop.
const WANTED: usize = 10_000;
/// Tips; the first is not counted.
const ROUNDS: usize = 11;
/// A sealed `SetNewPrevHash`.
pub(crate) const SEALED_TIP: u64 = sealed(TIP);

/// The length of a frame on the wire: header and payload each have a tag of 16 bytes.
const fn sealed(frame: usize) -> u64 {
    frame as u64 + 2 * 16
}

pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    for distinct in [false, true] {
        runtime.block_on(measure(Miners {
            connections: room_for(WANTED, 2),
            channels: 1,
            distinct,
        }))?;
    }
    Ok(())
}

/// Prints how long it takes until the last connection has the tip, and until it has its full job too.
pub(crate) async fn measure(miners: Miners) -> anyhow::Result<()> {
    let mut pool = Child::start(&["pool"])?;
    let (address, authority) = (pool.address, pool.authority.clone());
    let crowd = Crowd::of_miners(address, &authority, miners).await?;
    let mut bare = Child::start(&["bare"])?;
    bare.tell(&format!("accept {}", miners.connections))?;
    let sockets = Crowd::of_sockets(bare.address, miners.connections).await?;
    bare.ask("write 0 0")?;
    let tip = SEALED_TIP * miners.channels as u64;
    let mut all = 0;
    let mut table = Table::default();
    for round in 0..ROUNDS {
        pool.ask("prepare")?;
        let marks = [tip, all.max(tip)];
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
        let write = format!("write {tip} {}", all - tip);
        let bare_cpu = bare.cpu()?;
        let theirs = sockets.round(marks, || bare.tell(&write)).await?;
        sockets.quiet().await;
        let cpu = [cpu, (bare.cpu()? - bare_cpu) * 1e3];
        let make = format!("make {}", miners.channels);
        let made = [tip, tip + sealed(JOB) * miners.channels as u64];
        let made = sockets.round(made, || bare.tell(&make)).await?;
        sockets.quiet().await;
        table.add(ours, [theirs, made], cpu);
    }
    table.print(miners, [tip, all]);
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
    fn add(&mut self, ours: Taken, bare: [Taken; 2], cpu: [f64; 2]) {
        for thing in [0, 1] {
            let ours = ours.to_last[thing];
            self.ours[thing].add(ours);
            for (kind, bare) in bare.iter().enumerate() {
                self.bare[thing][kind].add(bare.to_last[thing]);
                self.ratios[thing][kind].add(ours / bare.to_last[thing]);
            }
        }
        self.cpu[0].add(cpu[0]);
        self.cpu[1].add(cpu[1]);
    }

    fn print(&self, miners: Miners, bytes: [u64; 2]) {
        let Miners {
            connections,
            channels,
            distinct,
        } = miners;
        let payouts = if distinct {
            "a payout each"
        } else {
            "one payout"
        };
        println!("  {connections} connections, {channels} channels on each, {payouts}");
        for (thing, name) in ["SetNewPrevHash", "and the full job"].iter().enumerate() {
            println!(
                "    {name}, {} bytes: {:.1} ms",
                bytes[thing], self.ours[thing]
            );
            for (kind, name) in ["writes", "hashes, seals and writes"].iter().enumerate() {
                println!(
                    "      bare {name} {:.1} ms, ratio {:.2}",
                    self.bare[thing][kind], self.ratios[thing][kind]
                );
            }
        }
        println!(
            "    processor time of the pool {:.0} ms, of the bare loop {:.0} ms",
            self.cpu[0], self.cpu[1]
        );
    }
}
