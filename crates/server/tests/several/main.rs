//! Three nodes that disagree, lag, freeze and flap for simulated weeks, and what is mined on meanwhile.
//!
//! The chooser and the hub are the real ones; the nodes and the network between them are a model in simulated
//! time, with all chance from one seed. After each event: no work is staler than the grace allows, no node is
//! mined on that is behind for longer, no tip goes back and forth, and no block that was found is lost.
//!
//! Not here: sessions and shares, which the simulator of `headframe-testkit` has, and connections to nodes, which
//! the conformance tests have.

mod network;
mod pool;

use std::time::Duration;

use network::Figures;
use pool::Run;

const DAY: u64 = 86_400;

fn weeks(seed: u64, weeks: u64) -> Figures {
    let run = Run::new(seed, Duration::from_secs(weeks * 7 * DAY));
    run.finish()
        .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"))
}

#[test]
fn weeks_with_three_nodes_that_flap() {
    for seed in 1..=4 {
        let figures = weeks(seed, 2);
        // A run that nothing happens in proves nothing.
        assert!(figures.blocks > 1_000, "{figures:?}");
        assert!(figures.forks > 10, "{figures:?}");
        assert!(figures.own_blocks > 50, "{figures:?}");
        assert!(figures.failures > 100, "{figures:?}");
        assert!(figures.freezes > 10, "{figures:?}");
        assert!(figures.lags > 10, "{figures:?}");
        assert!(figures.left_for_lag > 5, "{figures:?}");
        assert!(figures.taken_back > 10, "{figures:?}");
        assert!(figures.without_any > 0, "{figures:?}");
    }
}

/// `SEEDS=20 WEEKS=8 cargo test --release -p headframe-server --test several -- --ignored --nocapture`
#[test]
#[ignore = "takes as long as one has"]
fn as_many_weeks_as_one_likes() {
    let text = |name: &str| std::env::var(name).ok();
    let last: u64 = text("SEEDS").and_then(|it| it.parse().ok()).unwrap_or(20);
    let long: u64 = text("WEEKS").and_then(|it| it.parse().ok()).unwrap_or(8);
    for seed in 1..=last {
        println!("seed {seed}: {:?}", weeks(seed, long));
    }
}
