//! Miners that connect all at once, while others mine and tips come.

use std::time::{Duration, Instant};

use headframe_miner::{Pace, SwarmReport, SwarmSettings, TipSeen, run_swarm};
use headframe_testkit::address;
use headframe_transport::PoolUrl;
use tokio::sync::mpsc;

use crate::child::{Child, Protocol};
use crate::runtime;
use crate::spread::Spread;

/// Those that mine, and those that come.
const MINERS: usize = 1_000;
/// Within this time.
const RAMP: Duration = Duration::from_secs(10);
/// Shares a second of those that mine.
const RATE: f64 = 1_000.0;
/// From one tip to the next.
const TIP_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(2)?;
    runtime.block_on(measure(protocol))
}

async fn measure(protocol: Protocol) -> anyhow::Result<()> {
    let mut pool = Child::start(&["pool"])?;
    let url = pool.url(protocol)?;
    let (tips, told) = mpsc::channel(64);
    let mining = tokio::spawn(run_swarm(
        SwarmSettings {
            pace: Pace::PerSecond(RATE),
            duration: RAMP * 3,
            ..swarm(&url, RAMP / 5)
        },
        Some(told),
        |_| {},
        std::future::pending(),
    ));
    tokio::time::sleep(RAMP / 2).await;
    let calm = give_tips(&mut pool, &tips, RAMP).await?;
    let coming = tokio::spawn(run_swarm(
        SwarmSettings {
            pace: Pace::PerSecond(1.0),
            duration: Duration::from_secs(1),
            ..swarm(&url, RAMP)
        },
        None,
        |_| {},
        std::future::pending(),
    ));
    let before = pool.cpu()?;
    give_tips(&mut pool, &tips, RAMP).await?;
    let cpu = pool.cpu()? - before;
    let (mining, coming) = (mining.await??, coming.await??);
    print(&mining, &coming, calm, cpu);
    Ok(())
}

fn swarm(url: &PoolUrl, ramp: Duration) -> SwarmSettings {
    SwarmSettings {
        connections: MINERS,
        users: (0..MINERS as u64)
            .map(|it| address(it).to_string())
            .collect(),
        ramp,
        ..SwarmSettings::new(url.clone(), "")
    }
}

/// Gives tips for so long; says how many.
async fn give_tips(
    pool: &mut Child,
    tips: &mpsc::Sender<TipSeen>,
    duration: Duration,
) -> anyhow::Result<usize> {
    let end = Instant::now() + duration;
    let mut count = 0;
    while Instant::now() < end {
        let hash = pool.ask("prepare")?.parse()?;
        let at = Instant::now();
        pool.tell("tip")?;
        tips.send(TipSeen { hash, at }).await?;
        count += 1;
        tokio::time::sleep(TIP_EVERY).await;
    }
    Ok(count)
}

fn print(mining: &SwarmReport, coming: &SwarmReport, calm: usize, cpu: f64) {
    let connect = &coming.connect_to_job_ms;
    let value = |value: Option<f64>| value.unwrap_or(f64::NAN);
    println!(
        "  {} of {MINERS} connected within {RAMP:?}, {} failed or lost; to the first job: p50 {:.1} ms, \
         p99 {:.1} ms, most {:.1} ms",
        coming.ready,
        coming.failed + coming.lost + mining.failed + mining.lost,
        value(connect.p50),
        value(connect.p99),
        value(connect.max),
    );
    println!("    processor time of the pool meanwhile: {cpu:.2} s in {RAMP:?}");
    let (mut before, mut meanwhile) = (Spread::default(), Spread::default());
    for (number, tip) in mining.tips.iter().enumerate() {
        match number < calm {
            true => before.add(tip.last_ms),
            false => meanwhile.add(tip.last_ms),
        }
    }
    println!(
        "    a tip to the last of the {MINERS} that mine: {before:.1} ms before, {meanwhile:.1} ms \
         meanwhile, ratio of medians {:.2}",
        meanwhile.median() / before.median()
    );
}
