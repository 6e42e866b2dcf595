//! The board as a whole: what is told, and what is then shown.

mod alarms;
mod blocks;
mod miners;
mod nodes;
mod properties;
mod publishers;
mod restart;
mod silence;
mod state;
mod task;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, CompactTarget};
use headframe_api::{
    Alarm, Connect, Encryption, History, Listener, MinerCounts, MinerState, NodeKind, Overview,
    Payout, PoolState, RejectReason, Severity, Snapshot,
};
use headframe_channels::{ChannelId, ChannelKind};
use headframe_ledger::{
    Ban, BestShare, BlockFate, BlockUpdate, ClientKind, DataDir, FoundBlock, Ledger, MemoryLedger,
    Rejection, Retention, ShareBatch, Sighting, SqliteLedger, Text, WorkerId,
};
use headframe_mining::server::{Device, Joined, LongCoinbase, Protocol};
use headframe_node::{Condition, NodeError, NodeStatus, SubmitAnswer, Tip};
use headframe_transport::Fingerprint;
use headframe_work::{Hashrate, Miner, Network, Rung, UnixTime, Work};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::board::model::{Facts, Model, Urgency};
use crate::board::{Board, Feed, Past};
use crate::ledger::LedgerState;
use crate::news::{BlockNews, CertificateNews, MinerKey, News, ShareTally, TlsNews, WorkNews};

/// 2024-01-01 00:00 UTC.
const DAWN: u32 = 1_704_067_200;
const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const DAY: u64 = 86_400;

/// A board on a clock of its own; times are seconds since it began.
struct Stage {
    model: Model,
    start: Instant,
}

impl Stage {
    fn new(past: Past) -> Self {
        let start = Instant::now();
        Self {
            model: Model::new(facts(), past, start, UnixTime::from_secs(DAWN)),
            start,
        }
    }

    /// A board with work of difficulty 1,000 at height 101.
    fn running() -> Self {
        let mut stage = Self::new(Past::default());
        stage.tell(0, work(0, 1_000.0));
        stage
    }

    fn tell(&mut self, at: u64, news: News) -> Urgency {
        self.model
            .handle(news, self.start + Duration::from_secs(at), wall(at))
    }

    fn look(&mut self, at: u64) -> Snapshot {
        let (now, wall) = (self.start + Duration::from_secs(at), wall(at));
        let Overview { summary, blocks } = self.model.overview(now, wall);
        let miners = self.model.miners(now, wall);
        assert_counts(&summary.miners, &miners);
        Snapshot {
            summary,
            miners,
            blocks,
        }
    }

    fn alarm(&mut self, at: u64, code: &str) -> Option<Alarm> {
        let alarms = self.look(at).summary.alarms;
        alarms.into_iter().find(|alarm| alarm.code == code)
    }
}

/// The summary counts whom the list names.
fn assert_counts(counts: &MinerCounts, miners: &[headframe_api::Miner]) {
    let is = |state| miners.iter().filter(|miner| miner.state == state).count() as u64;
    assert_eq!(counts.gone, is(MinerState::Gone));
    assert_eq!(counts.quiet, is(MinerState::Quiet));
    assert_eq!(counts.connected, counts.quiet + is(MinerState::Mining));
}

fn facts() -> Facts {
    Facts {
        network: Some(Network::Mainnet),
        demo: false,
        persistent: true,
        connect: connect(),
        payout: Payout::default(),
        node_kind: NodeKind::Rpc,
        node_endpoint: "http://127.0.0.1:8332".into(),
        backups: vec![(NodeKind::Ipc, "/node.sock".into())],
    }
}

fn connect() -> Connect {
    Connect {
        listeners: vec![Listener {
            address: "0.0.0.0".into(),
            port: 3333,
            protocols: vec![],
            authority_key: None,
            tls_fingerprint: Some(Fingerprint::of(b"one").to_string()),
            tls_self_signed: true,
            has_password: false,
            loopback_only: false,
            open: false,
        }],
        example_address: ADDRESS.into(),
        ..Connect::default()
    }
}

fn wall(seconds: u64) -> UnixTime {
    UnixTime::from_secs(DAWN).saturating_add(Duration::from_secs(seconds))
}

fn key(number: u64) -> MinerKey {
    MinerKey {
        connection: number,
        seat: ChannelId::new(1),
    }
}

fn joined(at: u64, number: u64, user: &str, protocol: Protocol) -> News {
    let address: bitcoin::Address<_> = ADDRESS.parse().unwrap();
    let address = address.assume_checked();
    News::Joined {
        key: key(number),
        worker: WorkerId::new(user, ADDRESS).unwrap(),
        joined: Box::new(Joined {
            seat: ChannelId::new(1),
            miner: Miner {
                user: user.into(),
                worker: "".into(),
                payout: headframe_work::Payout::new(address.script_pubkey(), None),
                address,
            },
            protocol,
            kind: ChannelKind::Extended,
            device: Device::new("bitaxe"),
            rung: Rung::from_exponent(10),
            declared: Hashrate::ZERO,
            easiest: Rung::EASIEST,
        }),
        peer: SocketAddr::from(([10, 0, 0, 7], 4_000)),
        encryption: match protocol {
            Protocol::Sv1 => Encryption::None,
            Protocol::Sv2 => Encryption::Noise,
        },
        at: wall(at),
    }
}

fn left(at: u64, number: u64) -> News {
    let at = wall(at);
    News::Left {
        key: key(number),
        at,
        vacated: false,
    }
}

/// Accepted shares of rung 10, the best of which has a hash of about `difficulty`.
fn shares(at: u64, number: u64, accepted: u64, difficulty: f64) -> News {
    let units = Work::of_rung(Rung::from_exponent(10)).units() * u128::from(accepted);
    News::Shares {
        key: key(number),
        tally: Box::new(ShareTally {
            accepted,
            work: Work::from_units(units),
            best: (accepted > 0).then(|| share(at, difficulty)),
            last_accepted: (accepted > 0).then(|| wall(at)),
            ..ShareTally::default()
        }),
    }
}

fn rejects(number: u64, accepted: u64, rejected: &[(Rejection, u64)]) -> News {
    News::Shares {
        key: key(number),
        tally: Box::new(ShareTally {
            accepted,
            rejected: rejected.iter().copied().collect(),
            ..ShareTally::default()
        }),
    }
}

fn share(at: u64, difficulty: f64) -> BestShare {
    BestShare {
        hash: hash(difficulty),
        at: wall(at),
    }
}

/// A hash of about the given difficulty, 1 or more.
fn hash(difficulty: f64) -> BlockHash {
    let top = (65535.0 * 2f64.powi(112) / difficulty) as u128;
    let mut bytes = [0; 32];
    bytes[12..28].copy_from_slice(&top.to_le_bytes());
    BlockHash::from_byte_array(bytes)
}

fn work(at: u64, network_difficulty: f64) -> News {
    News::Work(WorkNews {
        height: 101,
        prev_hash: BlockHash::from_byte_array([1; 32]),
        transactions: 2,
        fees: Amount::from_sat(300),
        value: Amount::from_sat(5_000_000_300),
        network_difficulty,
        at: wall(at),
    })
}

fn found(at: u64, height: u32, difficulty: f64) -> News {
    News::BlockFound(Box::new(BlockNews {
        record: FoundBlock {
            height,
            hash: hash(difficulty),
            found_at: wall(at),
            worker: WorkerId::new("finder", ADDRESS).unwrap(),
            paid: Amount::from_sat(99),
            fee: Some(Amount::from_sat(1)),
            bits: Some(bits()),
            protocol: Some(headframe_ledger::Protocol::Sv1),
            work_before: None,
            job: Text::clip("job"),
        },
        file: Some("/data/blocks/it.hex".into()),
    }))
}

/// The target of difficulty 1,024.
fn bits() -> CompactTarget {
    CompactTarget::from_consensus(0x1b3f_ffc0)
}

fn ledger(committed: u64, trouble: Option<&str>) -> News {
    News::Ledger(LedgerState {
        committed,
        trouble: trouble.map(str::to_owned),
        ..LedgerState::default()
    })
}

fn fate(difficulty: f64, fate: BlockFate, attempts: u32, trouble: Option<&str>) -> News {
    News::BlockFate {
        hash: hash(difficulty),
        fate,
        attempts,
        trouble: trouble.map(str::to_owned),
        answers: Vec::new(),
    }
}

fn refused() -> BlockFate {
    let reason = "high-hash".into();
    BlockFate::Refused { reason }
}

fn status(condition: Condition, height: u32) -> News {
    let mut status = NodeStatus::starting("node".into(), Network::Mainnet);
    status.condition = condition;
    status.tip = Some(Tip {
        height,
        hash: BlockHash::from_byte_array([1; 32]),
    });
    News::Node(status)
}

fn syncing() -> Condition {
    Condition::Unusable(NodeError::Syncing("block 1 of 9".into()))
}
