//! Shares that miss their target, each judged in full and refused: what one costs the pool's process, what
//! its hashes and system calls cost alone, and what it costs a bare server under the same swarm.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use headframe_miner::{Pace, Quality, SwarmSettings};

use crate::child::{Child, Protocol};
use crate::floor::{calls, hash_extended};
use crate::load::{load, swarm};
use crate::spread::Spread;
use crate::{room_for, runtime};

/// Shares of each connection that wait for an answer.
const WINDOW: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// A second for so many connections to come.
const A_SECOND: f64 = 4_000.0;
/// Bytes of a `mining.submit` and of the reply that refuses it, as the swarm's are.
const SUBMIT: usize = 150;
const REPLY: usize = 60;

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(2)?;
    for wanted in [100, 1_000, 10_000] {
        runtime.block_on(measure(protocol, room_for(wanted, 2)))?;
    }
    Ok(())
}

async fn measure(protocol: Protocol, connections: usize) -> anyhow::Result<()> {
    let pool = Child::start(&["pool", "hard"])?;
    let server = Child::start(&["echo", "hashing"])?;
    let [mut cost, mut rate, mut ratio] = [(); 3].map(|()| Spread::default());
    let [mut hashes, mut system] = [(); 2].map(|()| Spread::default());
    let [mut bare, mut to_bare] = [(); 2].map(|()| Spread::default());
    for _ in 0..ROUNDS {
        let (ours, answered) = cost_of(&pool, protocol, connections).await?;
        let (servers, _) = cost_of(&server, protocol, connections).await?;
        let hash = hash_extended()?;
        let calls = calls(connections, SUBMIT * WINDOW, REPLY * WINDOW)? / WINDOW as f64;
        cost.add(ours);
        rate.add(answered);
        bare.add(servers);
        to_bare.add(servers / ours);
        hashes.add(hash);
        system.add(calls);
        ratio.add((hash + calls) / ours);
    }
    println!(
        "  {connections} connections, {WINDOW} shares of each wait; {rate:.0} shares a second\n    \
         pool: {cost:.2} \u{b5}s a share, {:.0} a second of its processor time\n    \
         floor: hashes {hashes:.2} \u{b5}s, system calls {system:.2} \u{b5}s, ratio {ratio:.2}\n    \
         bare server: {bare:.2} \u{b5}s, ratio {to_bare:.2}",
        1e6 / cost.median()
    );
    Ok(())
}

/// Microseconds of processor time a share, and shares a second.
async fn cost_of(
    server: &Child,
    protocol: Protocol,
    connections: usize,
) -> anyhow::Result<(f64, f64)> {
    let report = load(SwarmSettings {
        ramp: Duration::from_secs_f64(connections as f64 / A_SECOND),
        duration: ROUND,
        pace: Pace::AsAnswered { window: WINDOW },
        quality: Quality::AboveTarget,
        ..swarm(server, protocol, connections)?
    });
    let report = report.await?;
    ensure!(report.shares.accepted == 0, "a share met its target");
    let cost = report.process.and_then(|it| it.cpu_us_per_share);
    Ok((cost.context("no cost")?, report.shares.answered_per_second))
}
