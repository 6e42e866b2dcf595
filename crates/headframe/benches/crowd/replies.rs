//! How long a share waits for its answer where the pool has half of the load that it can take, and how long
//! it waits for that of a bare server at the same pace.

use std::time::Duration;

use headframe_miner::{Pace, Quality, SwarmReport, SwarmSettings};

use crate::child::{Child, Protocol};
use crate::load::{load, swarm};
use crate::runtime;
use crate::spread::Spread;

const CONNECTIONS: usize = 1_000;
const RAMP: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(2)?;
    for quality in [Quality::AboveTarget, Quality::Valid] {
        runtime.block_on(measure(protocol, quality))?;
    }
    Ok(())
}

async fn measure(protocol: Protocol, quality: Quality) -> anyhow::Result<()> {
    let (part, name): (&[&str], _) = match quality {
        Quality::AboveTarget => (&["pool", "hard"], "rejected"),
        Quality::Valid => (&["pool"], "accepted"),
    };
    let pool = Child::start(part)?;
    let server = Child::start(&["echo"])?;
    let [mut full, mut p50, mut p99, mut busy] = [(); 4].map(|()| Spread::default());
    let [mut bare_p50, mut bare_p99] = [(); 2].map(|()| Spread::default());
    for _ in 0..ROUNDS {
        // As at a pace, shares come one by one.
        let most = run_at(&pool, protocol, quality, Pace::AsAnswered { window: 1 }).await?;
        let most = most.shares.answered_per_second;
        let half = run_at(&pool, protocol, quality, Pace::PerSecond(most / 2.0)).await?;
        full.add(most);
        p50.add(half.reply_ms.p50.unwrap_or(f64::NAN));
        p99.add(half.reply_ms.p99.unwrap_or(f64::NAN));
        let cpu = half.process.map_or(f64::NAN, |cost| cost.cpu_seconds);
        busy.add(100.0 * cpu / half.seconds);
        let pace = Pace::PerSecond(most / 2.0);
        let bare = run_at(&server, protocol, Quality::AboveTarget, pace).await?;
        bare_p50.add(bare.reply_ms.p50.unwrap_or(f64::NAN));
        bare_p99.add(bare.reply_ms.p99.unwrap_or(f64::NAN));
    }
    println!(
        "  {CONNECTIONS} connections, {name}: full load {full:.0} shares a second; at half of it p50 \
         {p50:.1} ms, p99 {p99:.1} ms; the pool takes {busy:.0} % of a core; a bare \
         server: p50 {bare_p50:.1} ms, p99 {bare_p99:.1} ms"
    );
    Ok(())
}

async fn run_at(
    pool: &Child,
    protocol: Protocol,
    quality: Quality,
    pace: Pace,
) -> anyhow::Result<SwarmReport> {
    let settings = SwarmSettings {
        ramp: RAMP,
        duration: ROUND,
        pace,
        quality,
        ..swarm(pool, protocol, CONNECTIONS)?
    };
    load(settings).await
}
