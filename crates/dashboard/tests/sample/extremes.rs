//! The pool at the edges of what it lets in: the longest names, every reason, the greatest numbers.

use headframe_api::*;

use super::parts::{ADDRESS, NETWORK_DIFFICULTY, alarm, best, block, miner};

/// As long as a user name may be in SV1's usual clients.
fn long_name(number: u64) -> String {
    format!(
        "{:x<127}",
        format!("{ADDRESS}.the-one-in-the-cellar-{number}-")
    )
}

const REASONS: [RejectReason; 11] = [
    RejectReason::Stale,
    RejectReason::Duplicate,
    RejectReason::LowDifficulty,
    RejectReason::UnknownJob,
    RejectReason::UnknownChannel,
    RejectReason::Time,
    RejectReason::Version,
    RejectReason::Extranonce,
    RejectReason::Unauthorized,
    RejectReason::Malformed,
    RejectReason::Other,
];

/// Fifty miners, a hundred blocks, one exahash a second.
pub(super) fn fill(snapshot: &mut Snapshot, now: u64, tick: u64) {
    let kinds = [
        None,
        Some(ChannelKind::Standard),
        Some(ChannelKind::Extended),
    ];
    snapshot.miners = (1..=50)
        .map(|id| {
            let channel = kinds[id as usize % 3];
            let protocol = channel.map_or(Protocol::Sv1, |_| Protocol::Sv2);
            let device = "Extraordinary Mining Machines S99 Pro Hydro \
                          2026.11.3-nightly+build.4471 firmware/9.9.9";
            let mut miner = miner(id, "", device, protocol, channel, 2e16, now, tick);
            miner.worker = long_name(id);
            miner.peer = "2001:db8:1234:5678:9abc:def0:1234:5678".into();
            miner.difficulty = 1e15;
            miner.best_difficulty = 9.87e17;
            miner.shares.accepted = 9_999_999_999;
            miner.shares.rejected_by_reason =
                (1_000_000..).zip(REASONS).map(|(n, r)| (r, n)).collect();
            miner.shares.rejected = miner.shares.rejected_by_reason.values().sum();
            match id {
                1 => miner.worker = "\u{202e}backwards\u{2066}\nand on".into(),
                2 => miner.worker = "<b>bold</b>&amp;".into(),
                3 => miner.worker = String::new(),
                4 => miner.worker = "矿机🔥👩‍🏭".into(),
                _ => return miner,
            }
            miner.payout_address = None;
            miner
        })
        .collect();
    snapshot.blocks = (0..100)
        .map(|i| {
            let mut block = block(918_000 - i, now - 5_000 - i * 600, 0);
            block.worker = long_name(i);
            block.fee_sats = 4_719_065;
            block.effort_percent = Some(123_456.7);
            block
        })
        .collect();
    let summary = &mut snapshot.summary;
    summary.hashes_per_second = HashrateWindows {
        one_minute: 1.003e18,
        five_minutes: 1.0e18,
        one_hour: 999.6e15,
        one_day: 1.01e18,
        observed_seconds: 435_600 + tick,
    };
    summary.miners = MinerCounts {
        connected: 50,
        sv1: 16,
        sv2_standard: 17,
        sv2_extended: 17,
        ..MinerCounts::default()
    };
    summary.shares = ShareCounts {
        accepted: 9_999_999_999_999,
        accepted_work: 1e25,
        ..snapshot.miners[9].shares.clone()
    };
    let mut nearest = best(NETWORK_DIFFICULTY * 0.999, "", now - 60);
    nearest.worker = long_name(7);
    summary.best.this_round = Some(nearest.clone());
    summary.best.ever = Some(BestShare {
        difficulty: 1e18,
        percent_of_block: 662_956.0,
        ..nearest
    });
    summary.odds.expected_seconds_to_block = Some(647_000.0);
    summary.odds.chance_per_day_percent = Some(12.5);
    summary.odds.round_effort_percent = 123_456.7;
    summary.connect.lan_hosts = vec!["fd12:3456:789a::20".into(), "192.168.1.20".into()];
    summary.connect.public_host = Some("fd12:3456:789a::20".into());
    summary.alarms = [Severity::Critical, Severity::Warning, Severity::Notice]
        .map(|severity| {
            let detail = format!(
                "Last: {} from 2001:db8:1234:5678:9abc:def0:1234:5678.",
                long_name(3)
            );
            alarm(
                "name_refused",
                severity,
                "Miners were refused for their names",
                &detail,
                "Correct the user name in them.",
                now - 600,
            )
        })
        .into();
}
