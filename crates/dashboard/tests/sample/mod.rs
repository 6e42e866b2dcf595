//! A made-up pool in each of its states, for the tests and for `examples/sample.rs`.

mod extremes;
mod nodes;
mod parts;
mod stage;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use headframe_api::*;
use parts::{
    ADDRESS, NETWORK_DIFFICULTY, alarm, best, block, count_blocks, listener, miner, noise,
    publisher, running,
};

pub(crate) use stage::Stage;

/// The states of the pool that the page must look right in.
pub(crate) const SCENES: [&str; 13] = [
    "running",
    "empty",
    "setup",
    "node-down",
    "farm",
    "block",
    "refused",
    "demo",
    "starting",
    "young",
    "proxied",
    "extremes",
    "nodes",
];

/// The unix time in seconds.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The pool of the named scene at `now`, `tick` seconds after the sample began.
pub(crate) fn snapshot(scene: &str, now: u64, tick: u64) -> Snapshot {
    let mut snapshot = running(now, tick);
    let summary = &mut snapshot.summary;
    match scene {
        "running" => {}
        "nodes" => nodes::fill(&mut snapshot, now),
        "empty" => {
            clear_work(&mut snapshot);
        }
        "starting" => {
            clear_work(&mut snapshot);
            snapshot.summary.state = PoolState::Starting;
            snapshot.summary.node = Node::default();
        }
        "setup" => {
            clear_work(&mut snapshot);
            let summary = &mut snapshot.summary;
            summary.state = PoolState::Setup(SetupStep {
                missing: "No Bitcoin node was found on this machine.".into(),
                next_step: "Start Bitcoin Core with its server on. headframe looks for it again \
                            every five seconds."
                    .into(),
                command: Some("bitcoind -server -daemon".into()),
            });
            summary.network = None;
            summary.node = Node {
                kind: Some(NodeKind::Rpc),
                ..Node::default()
            };
            summary.odds = Odds::default();
            summary.connect.listeners[0].open = false;
            summary.connect.listeners[1].open = false;
        }
        "node-down" => {
            let reason = "Bitcoin Core at http://127.0.0.1:8332 has not answered for 42 seconds.";
            summary.state = PoolState::NodeUnusable {
                reason: reason.into(),
                next_step: "See whether bitcoind is running; the pool goes on by itself as soon \
                            as it answers."
                    .into(),
                since_at: now - 42,
                release_at: Some(now + 258),
            };
            summary.node.state = NodeState::Unusable {
                reason: reason.into(),
                since_at: now - 42,
            };
            summary.node.last_answer_at = Some(now - 42);
            summary.node.publishers = vec![publisher(PublisherState::Connecting, now)];
        }
        "farm" => farm(&mut snapshot, now, tick),
        "block" => snapshot.blocks.insert(0, block(918_000, now - 4, 1)),
        "refused" => refused(&mut snapshot, now),
        "demo" => demo(&mut snapshot, now, tick),
        "young" => young(&mut snapshot, now, tick),
        "proxied" => {
            summary.connect.public_host = Some("pool.example.org".into());
            for listener in &mut summary.connect.listeners {
                listener.loopback_only = true;
            }
        }
        "extremes" => extremes::fill(&mut snapshot, now, tick),
        other => panic!("there is no scene {other}; there are {SCENES:?}"),
    }
    snapshot.summary.blocks = count_blocks(&snapshot.blocks);
    snapshot
}

/// An hour by five seconds and a day by the minute.
pub(crate) fn history(scene: &str, now: u64) -> History {
    let level = match scene {
        "farm" => 3.98e17,
        "extremes" => 1.0e18,
        "demo" => 3.1e6,
        _ => 6.4e12,
    };
    let filled = match scene {
        "empty" | "setup" | "starting" => 0.0,
        "demo" => 0.1,
        "young" => 0.05,
        _ => 1.0,
    };
    History {
        series: vec![
            series(5, 720, level, filled, now),
            series(60, 1440, level, filled, now),
            series(600, 1008, level, filled * 0.6, now),
        ],
    }
}

fn series(bucket_seconds: u64, buckets: u64, level: f64, filled: f64, now: u64) -> Series {
    let first_at = now / bucket_seconds * bucket_seconds - buckets * bucket_seconds;
    let from = buckets as f64 * (1.0 - filled);
    let rate = |i: u64| {
        let gap = filled == 1.0 && (i * 100 / buckets) == 31;
        let wave = 1.0 + 0.06 * (i as f64 / 37.0).sin() + 0.10 * (noise(i) - 0.5);
        ((i as f64) >= from && !gap).then_some(level * wave)
    };
    Series {
        bucket_seconds,
        first_at,
        hashes_per_second: (0..buckets).map(rate).collect(),
        accepted: vec![3; buckets as usize],
        rejected: vec![0; buckets as usize],
    }
}

fn clear_work(snapshot: &mut Snapshot) {
    snapshot.miners.clear();
    snapshot.blocks.clear();
    let summary = &mut snapshot.summary;
    summary.uptime_seconds %= 3_600;
    summary.hashes_per_second = HashrateWindows::default();
    summary.miners = MinerCounts::default();
    summary.proof = None;
    summary.shares = ShareCounts::default();
    summary.best = BestShares::default();
    summary.odds = Odds {
        expected_seconds_to_block: None,
        chance_per_day_percent: None,
        round_started_at: None,
        round_work: 0.0,
        round_effort_percent: 0.0,
        ..summary.odds.clone()
    };
}

fn silence(id: u64, since_at: u64) -> Silence {
    let (code, text) = match id % 2 {
        0 => (
            SilenceCode::Stopped,
            "It gave shares on this connection, and now nothing arrives: it has stopped hashing, or \
             is cut off and its connection was not closed.",
        ),
        _ => (
            SilenceCode::TargetByteOrder,
            "All 212 shares of this connection were rejected, mostly below the difficulty asked for. \
             It probably reads the target, or hashes the header, in the wrong byte order.",
        ),
    };
    Silence {
        since_at,
        expected_share_seconds: Some(4.9),
        causes: vec![SilenceCause {
            code,
            text: text.into(),
        }],
    }
}

fn farm(snapshot: &mut Snapshot, now: u64, tick: u64) {
    snapshot.miners = (1..=2_000)
        .map(|id| {
            let name = format!("row{:02}.rack{:02}.s21-{:04}", id / 200, id / 20 % 10, id);
            let sv2 = id % 3 == 0;
            let (protocol, channel, device) = if sv2 {
                (
                    Protocol::Sv2,
                    Some(ChannelKind::Extended),
                    "Braiins bosminer",
                )
            } else {
                (Protocol::Sv1, None, "Antminer S21/1.0")
            };
            let rate = 195e12 + 10e12 * noise(id);
            let mut miner = miner(id, &name, device, protocol, channel, rate, now, tick);
            miner.peer = format!("10.8.{}.{}", id / 250, id % 250 + 2);
            if id % 97 == 0 {
                miner.state = MinerState::Quiet;
                miner.last_share_at = Some(now - 900);
                miner.hashes_per_second = HashrateWindows::default();
                miner.silence = Some(silence(id, now - 900));
            }
            miner
        })
        .collect();
    let summary = &mut snapshot.summary;
    summary.hashes_per_second = HashrateWindows {
        one_minute: 3.96e17,
        five_minutes: 3.98e17,
        one_hour: 3.99e17,
        one_day: 3.97e17,
        observed_seconds: 435_600 + tick,
    };
    summary.miners = MinerCounts {
        connected: 2_000,
        sv1: 1_334,
        sv2_standard: 0,
        sv2_extended: 666,
        quiet: 20,
        gone: 0,
    };
    summary.odds.expected_seconds_to_block = Some(NETWORK_DIFFICULTY * 4_294_967_296.0 / 3.99e17);
    summary.odds.chance_per_day_percent = Some(5.2);
    summary.odds.round_effort_percent = 21.0;
    summary.best.this_round = Some(best(5.1e13, "row03.rack02.s21-0651", now - 9_100));
    summary.best.ever = Some(best(3.9e14, "row01.rack07.s21-0260", now - 86_400 * 9));
    summary.ledger.shares_not_yet_durable = 118;
    summary.ledger.shares_acknowledged_early = 1_204;
    summary.payout = Payout {
        fee_percent: 1.5,
        fee_address: Some(ADDRESS.into()),
        plain_name_address: Some(ADDRESS.into()),
    };
    summary.alarms = vec![
        alarm(
            "miner_quiet",
            Severity::Warning,
            "20 miners are quiet",
            "They are connected, but sent no share for 15 minutes or more.",
            "Show the quiet ones in the list below and restart them.",
            now - 840,
        ),
        alarm(
            "shares_not_durable",
            Severity::Notice,
            "The disk is slow",
            "1,204 shares were acknowledged before they were written.",
            "Move the data directory to a faster disk, if this goes on.",
            now - 7_260,
        ),
    ];
}

/// Three minutes old, with a block of its first minute and no share since.
fn young(snapshot: &mut Snapshot, now: u64, tick: u64) {
    let observed_seconds = 170 + tick;
    for miner in &mut snapshot.miners {
        miner.connected_at = now - observed_seconds;
        miner.hashes_per_second.observed_seconds = observed_seconds;
    }
    snapshot.blocks = vec![block(918_000, now - 150, 0)];
    let summary = &mut snapshot.summary;
    summary.uptime_seconds = observed_seconds + 6;
    summary.hashes_per_second.observed_seconds = observed_seconds;
    summary.best.this_round = None;
}

fn refused(snapshot: &mut Snapshot, now: u64) {
    let mut lost = block(917_998, now - 95, 2);
    lost.fate = BlockFate::Refused {
        reason: "bad-cb-amount".into(),
        file: Some("blocks/917998-000000000000000000022a.hex".into()),
    };
    let mut pending = block(918_000, now - 9, 3);
    pending.fate = BlockFate::Submitting {
        attempts: 7,
        last_trouble: Some("the node is still starting (-28)".into()),
    };
    snapshot.blocks.insert(0, lost);
    snapshot.blocks.insert(0, pending);
    snapshot.summary.alarms = vec![alarm(
        "block_refused",
        Severity::Critical,
        "Block 917,998 was refused",
        "The node's reason: bad-cb-amount. The block is kept in \
         blocks/917998-000000000000000000022a.hex.",
        "Save that file and the log, and report it; nothing else is lost by waiting.",
        now - 95,
    )];
}

fn demo(snapshot: &mut Snapshot, now: u64, tick: u64) {
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let kinds = [
        ("sv2-standard", Protocol::Sv2, Some(ChannelKind::Standard)),
        ("sv2-extended", Protocol::Sv2, Some(ChannelKind::Extended)),
        ("sv1", Protocol::Sv1, None),
    ];
    snapshot.miners = (1..)
        .zip(kinds)
        .map(|(id, (name, protocol, channel))| {
            let mut miner = miner(
                id,
                name,
                "headframe/0.1.0",
                protocol,
                channel,
                1.03e6,
                now,
                tick,
            );
            miner.worker = format!("{address}.{name}");
            miner.payout_address = Some(address.into());
            miner.peer = "127.0.0.1".into();
            miner.difficulty = 0.000_244;
            miner.best_difficulty = 0.0061;
            miner
        })
        .collect();
    let height = 118 + tick / 5;
    if let Some(proof) = &mut snapshot.summary.proof {
        proof.height = height;
        proof.payout_address = address.into();
        proof.paid_sats = 5_000_012_400;
        proof.node = "the embedded chain".into();
    }
    snapshot.blocks = (0..12)
        .map(|i| {
            let mut block = block(height - i, now - tick % 5 - i * 5, (i % 3) as usize);
            block.worker = snapshot.miners[(i % 3) as usize].worker.clone();
            block.payout_address = Some(address.into());
            block.hash = format!("00000{:059x}", noise(height - i).to_bits());
            block.value_sats = 5_000_012_400;
            block.fate = BlockFate::Accepted {
                confirmations: i + 1,
            };
            block
        })
        .collect();
    let summary = &mut snapshot.summary;
    summary.network = Some(Network::Regtest);
    summary.demo = true;
    summary.uptime_seconds = 290 + tick;
    summary.hashes_per_second = HashrateWindows {
        one_minute: 3.12e6,
        five_minutes: 3.09e6,
        one_hour: 3.09e6,
        one_day: 3.09e6,
        observed_seconds: 290 + tick,
    };
    summary.miners = MinerCounts {
        connected: 3,
        sv1: 1,
        sv2_standard: 1,
        sv2_extended: 1,
        quiet: 0,
        gone: 0,
    };
    summary.shares = ShareCounts {
        accepted: 913 + tick * 3,
        accepted_work: 0.4,
        rejected: 1,
        rejected_by_reason: BTreeMap::from([(RejectReason::Stale, 1)]),
    };
    summary.odds = Odds {
        network_difficulty: Some(0.0036),
        network_hashes_per_second: None,
        expected_seconds_to_block: Some(5.0),
        chance_per_day_percent: Some(100.0),
        round_started_at: Some(now - tick % 5),
        round_work: 0.001,
        round_effort_percent: 20.0 * (tick % 5) as f64,
    };
    summary.best = BestShares {
        this_round: Some(BestShare {
            difficulty: 0.0011,
            percent_of_block: 30.5,
            worker: format!("{address}.sv1"),
            at: now - 1,
        }),
        ever: Some(BestShare {
            difficulty: 0.41,
            percent_of_block: 11_388.0,
            worker: format!("{address}.sv1"),
            at: now - 120,
        }),
    };
    summary.node = Node {
        kind: Some(NodeKind::Embedded),
        endpoint: String::new(),
        software: Some("embedded chain".into()),
        height: Some(height),
        peers: None,
        publishers: Vec::new(),
        tip_seen_at: Some(now - tick % 5),
        template: Some(TemplateSummary {
            height: height + 1,
            transactions: 4,
            fees_sats: 12_400,
            value_sats: 5_000_012_400,
            received_at: now - tick % 5,
        }),
        ..summary.node.clone()
    };
    summary.connect.listeners = vec![Listener {
        address: "127.0.0.1".into(),
        loopback_only: true,
        ..listener(3333, vec![ListenerProtocol::Sv1, ListenerProtocol::Sv2])
    }];
    summary.connect.example_address = address.into();
}
