//! What an idle connection costs the pool's process.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::child::{Child, Protocol};
use crate::client::Miners;
use crate::reader::Crowd;
use crate::{room_for, runtime};

/// Connections.
const WANTED: usize = 10_000;
/// Tips that they live through.
const TIPS: u32 = 10;
/// After this time the pool has told its board all, and the board has shown it.
const SETTLED: Duration = Duration::from_millis(2_500);

pub(crate) fn run(protocol: Protocol) -> anyhow::Result<()> {
    let runtime = runtime(1)?;
    for distinct in [true, false] {
        runtime.block_on(measure(protocol, distinct))?;
    }
    Ok(())
}

async fn measure(protocol: Protocol, distinct: bool) -> anyhow::Result<()> {
    let connections = room_for(WANTED, 1);
    let mut pool = Child::start(&["pool", "counting"])?;
    let before = State::of(&mut pool)?;
    let miners = Miners {
        connections,
        channels: 1,
        distinct,
    };
    let crowd = Crowd::of_miners(&pool.url(protocol)?, miners).await?;
    tokio::time::sleep(SETTLED).await;
    let connected = State::of(&mut pool)?;
    for _ in 0..TIPS {
        pool.ask("prepare")?;
        crowd.round([1, 1], || pool.tell("tip")).await?;
        // What is sent ahead of the next tip comes after a second.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        crowd.quiet().await;
    }
    tokio::time::sleep(SETTLED).await;
    let after = State::of(&mut pool)?;
    let payouts = miners.payouts();
    println!(
        "  {connections} connections, {payouts}: resident {} each, {} after {TIPS} tips; \
         allocated {} and {}",
        connected.resident_each(&before, connections),
        after.resident_each(&before, connections),
        connected.live_each(&before, connections),
        after.live_each(&before, connections),
    );
    for (size, count) in after.sizes(&before, connections) {
        println!("    {count:6.2} \u{d7} {size} bytes");
    }
    drop(crowd);
    tokio::time::sleep(SETTLED).await;
    let left = State::of(&mut pool)?;
    println!(
        "    all gone: resident {} kB, allocated {} kB more than before",
        (left.resident - before.resident) / 1_000,
        (left.live - before.live) / 1_000,
    );
    Ok(())
}

/// The memory of the pool at a moment.
struct State {
    resident: i64,
    live: i64,
    sizes: BTreeMap<i64, i64>,
}

impl State {
    fn of(pool: &mut Child) -> anyhow::Result<Self> {
        let line = pool.ask("allocations")?;
        let mut words = line.split(' ');
        let live = words.next().unwrap_or_default().parse()?;
        let mut sizes = BTreeMap::new();
        for word in words {
            if let Some((size, count)) = word.split_once(':') {
                sizes.insert(size.parse()?, count.parse()?);
            }
        }
        Ok(Self {
            resident: i64::try_from(pool.resident()?)?,
            live,
            sizes,
        })
    }

    fn resident_each(&self, before: &Self, connections: usize) -> i64 {
        (self.resident - before.resident) / connections as i64
    }

    fn live_each(&self, before: &Self, connections: usize) -> i64 {
        (self.live - before.live) / connections as i64
    }

    /// Sizes of which there is one for about every fifth connection, or more, by what they take.
    fn sizes(&self, before: &Self, connections: usize) -> Vec<(i64, f64)> {
        let more = |(&size, &count): (&i64, &i64)| {
            let count = count - before.sizes.get(&size).unwrap_or(&0);
            (size, count as f64 / connections as f64)
        };
        let mut sizes: Vec<_> = self.sizes.iter().map(more).collect();
        sizes.retain(|(_, count)| *count > 0.2);
        sizes.sort_by(|a, b| (b.0 as f64 * b.1).total_cmp(&(a.0 as f64 * a.1)));
        sizes
    }
}
