//! The pieces that the scenes are made of.

use std::collections::BTreeMap;

use headframe_api::*;

pub(super) const NETWORK_DIFFICULTY: f64 = 150_839_487_445_890.5;
pub(super) const ADDRESS: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";

pub(super) fn running(now: u64, tick: u64) -> Snapshot {
    let miners = vec![
        miner(
            1,
            "garage",
            "bitaxe BM1370",
            Protocol::Sv2,
            Some(ChannelKind::Extended),
            1.21e12,
            now,
            tick,
        ),
        miner(
            2,
            "attic",
            "bitaxe BM1368",
            Protocol::Sv2,
            Some(ChannelKind::Standard),
            0.62e12,
            now,
            tick,
        ),
        miner(
            3,
            "nerdqaxe",
            "NerdQAxe++/1.0.36",
            Protocol::Sv1,
            None,
            4.78e12,
            now,
            tick,
        ),
        miner(
            4,
            "nerd",
            "NerdMinerV2",
            Protocol::Sv1,
            None,
            78_000.0,
            now,
            tick,
        ),
    ];
    let blocks = vec![
        block(917_412, now - 86_400 * 4, 3),
        block(871_003, now - 86_400 * 310, 1),
    ];
    let summary = Summary {
        sequence: tick + 1,
        taken_at: now,
        software: Software {
            name: "headframe".into(),
            version: "0.1.0".into(),
        },
        network: Some(Network::Mainnet),
        demo: false,
        state: PoolState::Running,
        started_at: now - 435_600 - tick,
        uptime_seconds: 435_600 + tick,
        hashes_per_second: HashrateWindows {
            one_minute: 6.31e12 + 1e11 * (tick % 7) as f64,
            five_minutes: 6.58e12 + 1e10 * (tick % 5) as f64,
            one_hour: 6.61e12,
            one_day: 6.44e12,
            observed_seconds: 435_600 + tick,
        },
        miners: MinerCounts {
            connected: 4,
            sv1: 2,
            sv2_standard: 1,
            sv2_extended: 1,
            quiet: 0,
            gone: 0,
        },
        shares: ShareCounts {
            accepted: 1_284_112 + tick,
            accepted_work: 1.02e9,
            rejected: 214,
            rejected_by_reason: [
                (RejectReason::Stale, 171),
                (RejectReason::Duplicate, 40),
                (RejectReason::LowDifficulty, 3),
            ]
            .into(),
        },
        ledger: LedgerSummary {
            persistent: true,
            ..LedgerSummary::default()
        },
        best: BestShares {
            this_round: Some(best(4.12e10, "garage", now - 7_300)),
            ever: Some(best(3.77e12, "nerdqaxe", now - 86_400 * 41)),
        },
        odds: Odds {
            network_difficulty: Some(NETWORK_DIFFICULTY),
            network_hashes_per_second: Some(1.08e21),
            expected_seconds_to_block: Some(NETWORK_DIFFICULTY * 4_294_967_296.0 / 6.61e12),
            chance_per_day_percent: Some(8.8e-5),
            round_started_at: Some(now - 86_400 * 4),
            round_work: 5.2e8,
            round_effort_percent: 3.4e-4,
        },
        blocks: BlockCounts::default(),
        empty_blocks: EmptyBlocks {
            tips_begun: 1_306,
            tips_awaited: 11,
            seconds: 61.25,
        },
        node: Node {
            kind: Some(NodeKind::Rpc),
            endpoint: "http://127.0.0.1:8332".into(),
            software: Some("/Satoshi:31.0.0/".into()),
            state: NodeState::Ready,
            height: Some(917_999),
            tip_hash: Some(
                "00000000000000000001f3a6c2b7d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3".into(),
            ),
            tip_seen_at: Some(now - 341),
            peers: Some(11),
            last_answer_at: Some(now - 1),
            template: Some(TemplateSummary {
                height: 918_000,
                transactions: 3_021,
                fees_sats: 2_104_331,
                value_sats: 314_604_331,
                received_at: now - 12,
            }),
            publishers: vec![publisher(PublisherState::Connected, now)],
        },
        nodes: Vec::new(),
        proof: Some(BlockProof {
            checked_at: now - 93,
            height: 918_000,
            payout_address: ADDRESS.into(),
            paid_sats: 314_604_331,
            node: "the node at 127.0.0.1:8332".into(),
            verdict: ProofVerdict::Accepted,
        }),
        payout: Payout {
            fee_percent: 0.0,
            fee_address: None,
            plain_name_address: None,
        },
        connect: Connect {
            public_host: None,
            lan_hosts: vec!["192.168.1.20".into()],
            listeners: vec![
                listener(3333, vec![ListenerProtocol::Sv1, ListenerProtocol::Sv2]),
                listener(3334, vec![ListenerProtocol::Sv1Tls]),
            ],
            authority_key: Some(AUTHORITY.into()),
            example_address: "bc1q…".into(),
        },
        alarms: Vec::new(),
    };
    Snapshot {
        summary,
        miners,
        blocks,
    }
}

const AUTHORITY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

const FINGERPRINT: &str = "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

pub(super) fn listener(port: u16, protocols: Vec<ListenerProtocol>) -> Listener {
    let is_sv2 = protocols.contains(&ListenerProtocol::Sv2);
    let is_tls = protocols.contains(&ListenerProtocol::Sv1Tls);
    Listener {
        address: "0.0.0.0".into(),
        port,
        protocols,
        authority_key: is_sv2.then(|| AUTHORITY.into()),
        tls_fingerprint: is_tls.then(|| FINGERPRINT.into()),
        tls_self_signed: is_tls,
        has_password: false,
        loopback_only: false,
        open: true,
    }
}

#[allow(clippy::too_many_arguments)]
pub(super) fn miner(
    id: u64,
    name: &str,
    device: &str,
    protocol: Protocol,
    channel: Option<ChannelKind>,
    rate: f64,
    now: u64,
    tick: u64,
) -> Miner {
    let accepted = 9_000 + (noise(id) * 4_000.0) as u64 + tick / 4;
    Miner {
        id,
        worker: format!("{ADDRESS}.{name}"),
        payout_address: Some(ADDRESS.into()),
        device: device.into(),
        peer: format!("192.168.1.{}", 30 + id % 200),
        protocol,
        channel,
        encryption: if protocol == Protocol::Sv2 {
            Encryption::Noise
        } else {
            Encryption::None
        },
        state: MinerState::Mining,
        connected_at: now - 80_000 - id * 61 - tick,
        hashes_per_second: HashrateWindows {
            one_minute: rate * (0.9 + 0.2 * noise(id + tick)),
            five_minutes: rate * (0.98 + 0.04 * noise(id + tick / 5)),
            one_hour: rate,
            one_day: rate,
            observed_seconds: 80_000 + id * 61 + tick,
        },
        difficulty: if rate < 1e9 {
            0.000_1
        } else {
            (rate * 4.0 / 4.29e9).log2().round().exp2()
        },
        shares: ShareCounts {
            accepted,
            accepted_work: accepted as f64 * 1024.0,
            rejected: id % 4,
            rejected_by_reason: match id % 4 {
                0 => BTreeMap::new(),
                1 => BTreeMap::from([(RejectReason::Stale, 1)]),
                2 => BTreeMap::from([(RejectReason::Stale, 2)]),
                _ => BTreeMap::from([(RejectReason::Stale, 2), (RejectReason::Duplicate, 1)]),
            },
        },
        best_difficulty: 4.12e10 * (noise(id) + 0.01) * rate / 1.2e12,
        last_share_at: Some(now - (id + tick) % 9),
        silence: None,
        coinbase_too_long: None,
    }
}

pub(super) fn block(height: u64, found_at: u64, worker: usize) -> Block {
    let workers = ["attic", "garage", "nerd", "nerdqaxe"];
    Block {
        height,
        hash: format!(
            "00000000000000000001{:044x}",
            u128::from(height) * 0x9e37_79b9_7f4a_7c15_f39c
        ),
        found_at,
        worker: format!("{ADDRESS}.{}", workers[worker % 4]),
        protocol: Protocol::Sv2,
        payout_address: Some(ADDRESS.into()),
        value_sats: 314_604_331,
        fee_sats: 0,
        difficulty: NETWORK_DIFFICULTY * 1.72,
        network_difficulty: NETWORK_DIFFICULTY,
        effort_percent: Some(0.31),
        fate: BlockFate::Accepted {
            confirmations: if height > 917_990 { 1 } else { 588 },
        },
        answers: vec![answer("127.0.0.1:8332", "accepted")],
    }
}

/// What the node at this address said to a block.
pub(super) fn answer(address: &str, answer: &str) -> NodeAnswer {
    NodeAnswer {
        node: format!("the node at {address}"),
        answer: answer.into(),
    }
}

pub(super) fn best(difficulty: f64, name: &str, at: u64) -> BestShare {
    BestShare {
        difficulty,
        percent_of_block: 100.0 * difficulty / NETWORK_DIFFICULTY,
        worker: format!("{ADDRESS}.{name}"),
        at,
    }
}

pub(super) fn alarm(
    code: &str,
    severity: Severity,
    title: &str,
    detail: &str,
    next_step: &str,
    since_at: u64,
) -> Alarm {
    Alarm {
        code: code.into(),
        severity,
        title: title.into(),
        detail: detail.into(),
        next_step: next_step.into(),
        since_at,
    }
}

pub(super) fn count_blocks(blocks: &[Block]) -> BlockCounts {
    let mut counts = BlockCounts {
        found: blocks.len() as u64,
        ..BlockCounts::default()
    };
    for block in blocks {
        match block.fate {
            BlockFate::Accepted { .. } => counts.accepted += 1,
            BlockFate::Submitting { .. } | BlockFate::Waiting => counts.pending += 1,
            BlockFate::Orphaned => counts.orphaned += 1,
            BlockFate::Refused { .. } => counts.refused += 1,
        }
    }
    counts
}

/// The same number between 0 and 1 for the same seed (SplitMix64).
pub(super) fn noise(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A publisher of new blocks in this state.
pub(super) fn publisher(state: PublisherState, now: u64) -> Publisher {
    let healthy = Publisher {
        address: "tcp://127.0.0.1:28332".into(),
        state,
        since_at: now - 90_000,
        last_block_at: Some(now - 341),
        reason: None,
        next_step: None,
        last_error: None,
        last_error_at: None,
    };
    match state {
        PublisherState::Connected => healthy,
        PublisherState::Connecting => Publisher {
            since_at: now - 75,
            reason: Some("Nothing listens there.".into()),
            next_step: Some(
                "See whether the node runs and its bitcoin.conf has zmqpubrawblock or zmqpubhashblock with this \
                 address; long polls go on."
                    .into(),
            ),
            last_error: Some("Nothing listens there.".into()),
            last_error_at: Some(now - 75),
            ..healthy
        },
        PublisherState::Mute => Publisher {
            since_at: now - 310,
            last_block_at: None,
            reason: Some("It says nothing of blocks, and there was a new one.".into()),
            next_step: Some(
                "Check the node's -zmqpub options: this address wants zmqpubrawblock or zmqpubhashblock; long polls \
                 go on."
                    .into(),
            ),
            ..healthy
        },
    }
}
