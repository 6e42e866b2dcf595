//! Scripted exchanges: what the pool sends is encoded by the wire crate or golden, what the client
//! sends is compared byte for byte or judged by `bitcoin`.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Transaction, TxMerkleNode, Txid};
use headframe_sv2_wire::codes::{self, Code};
use headframe_sv2_wire::common::{
    ChannelEndpointChanged, Reconnect as ReconnectMessage, SetupConnectionError,
    SetupConnectionSuccess,
};
use headframe_sv2_wire::mining::*;
use headframe_sv2_wire::{
    Bytes32, Bytes64K, Frame, Incoming, Message, Seq64K, Seq255, Str255, U256,
};
use headframe_work::{Hashrate, Rung, Target, UnixTime};
use proptest::prelude::*;

use super::settings::framed;
use super::{ChannelKind, Sv2Session, Sv2Settings};
use crate::client::{
    ClientEvent, CloseReason, Extranonce, MAX_JOBS, MiningWork, Reconnect, SessionError, Solution,
    SolutionError, Submission,
};

mod crowd;
mod faults;
mod jobs;
mod naming;
mod opening;
mod shares;

const CHANNEL: u32 = 3;
const GROUP: u32 = 1;
const MIN_NTIME: u32 = 1_700_000_000;
/// Mainnet's, which no share of a test meets.
const NBITS: u32 = 0x1703_4219;
/// Regtest's, which every second hash meets.
const EASY_NBITS: u32 = 0x207f_ffff;
const VERSION: u32 = 0x2000_0000;
const PREV_HASH: [u8; 32] = [0x77; 32];
const BRANCH: [[u8; 32]; 2] = [[0xa1; 32], [0xa2; 32]];

/// A coinbase without BIP 141 bytes, cut where 12 bytes of extranonce belong (4 fixed, 8 rolled).
const COINBASE_PREFIX: &str = "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff16510006537632\
2f2f2f0c";
const COINBASE_SUFFIX: &str = "ffffffff0200f2052a01000000160014ebe1b7dcc293ccaa0ee743a86f89df8258c208fc0000000000000000266a24aa\
21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf900000000";

fn hex(text: &str) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(text).unwrap()
}

fn settings(channel: ChannelKind) -> Sv2Settings {
    Sv2Settings {
        channel,
        user_identity: "user.worker".to_owned(),
        nominal_hashrate: Hashrate::from_hashes_per_second(1e12).unwrap(),
        max_target: Target::MAX,
        min_extranonce_size: 8,
        roll_version: true,
        worker_name: None,
        endpoint_host: "pool.example".to_owned(),
        endpoint_port: 34254,
        vendor: "Acme".to_owned(),
        hardware_version: "HW1".to_owned(),
        firmware: "fw-1.0".to_owned(),
    }
}

/// A session and the clock beside it.
struct Bench {
    session: Sv2Session,
    now: Instant,
}

impl Bench {
    fn new(settings: &Sv2Settings) -> Self {
        let now = Instant::now();
        Self {
            session: Sv2Session::new(now, settings).unwrap(),
            now,
        }
    }

    /// A session whose channel is open and whose events and output are drained.
    fn open(channel: ChannelKind) -> Self {
        let mut bench = Self::new(&settings(channel));
        bench.set_up(0);
        bench.open_success(channel, target(0));
        bench.sent();
        assert_eq!(bench.events(), [ClientEvent::Ready]);
        bench
    }

    fn set_up(&mut self, flags: u32) {
        self.receive(&SetupConnectionSuccess {
            used_version: 2,
            flags,
        })
        .unwrap();
    }

    fn open_success(&mut self, channel: ChannelKind, target: U256) {
        let opened = Opened {
            request_id: 1,
            channel_id: CHANNEL,
            target,
        };
        let success = opened.success(channel, &[0xe1, 0xe2, 0xe3, 0xe4]);
        self.receive_bytes(&success).unwrap();
    }

    fn receive<'a>(&mut self, message: &impl Message<'a>) -> Result<(), SessionError> {
        self.receive_bytes(&framed(message))
    }

    fn receive_bytes(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let (frame, rest) = Frame::split(bytes).unwrap();
        assert!(rest.is_empty());
        self.session.handle_frame(self.now, frame)
    }

    fn events(&mut self) -> Vec<ClientEvent> {
        core::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        core::iter::from_fn(|| self.session.poll_transmit()).collect()
    }

    /// The work that the one event which is there must be.
    fn work(&mut self) -> Arc<MiningWork> {
        match &self.events()[..] {
            [ClientEvent::Work(work)] => work.clone(),
            other => panic!("work expected: {other:?}"),
        }
    }

    fn standard_job(&mut self, job_id: u32, min_ntime: Option<u32>) {
        self.receive(&standard_job(CHANNEL, job_id, min_ntime))
            .unwrap();
    }

    fn extended_job(&mut self, job: &ExtendedJob) {
        let bytes = job.frame();
        self.receive_bytes(&bytes).unwrap();
    }

    fn new_prev_hash(&mut self, job_id: u32) {
        self.receive(&new_prev_hash(CHANNEL, job_id, NBITS))
            .unwrap();
    }

    fn submit(&mut self, solution: &Solution) -> Submission {
        self.session.submit(self.now, solution)
    }
}

fn standard_job(channel_id: u32, job_id: u32, min_ntime: Option<u32>) -> NewMiningJob {
    let merkle_root = U256::from_le_bytes([0x5a; 32]);
    NewMiningJob {
        channel_id,
        job_id,
        min_ntime,
        version: VERSION,
        merkle_root,
    }
}

fn new_prev_hash(channel_id: u32, job_id: u32, nbits: u32) -> SetNewPrevHash {
    SetNewPrevHash {
        channel_id,
        job_id,
        prev_hash: U256::from_le_bytes(PREV_HASH),
        min_ntime: MIN_NTIME,
        nbits,
    }
}

struct ExtendedJob {
    channel: u32,
    id: u32,
    min_ntime: Option<u32>,
    rolling: bool,
}

impl ExtendedJob {
    const FUTURE: Self = Self {
        channel: CHANNEL,
        id: 5,
        min_ntime: None,
        rolling: true,
    };

    fn frame(&self) -> Vec<u8> {
        let (prefix, suffix) = (hex(COINBASE_PREFIX), hex(COINBASE_SUFFIX));
        framed(&NewExtendedMiningJob {
            channel_id: self.channel,
            job_id: self.id,
            min_ntime: self.min_ntime,
            version: VERSION,
            version_rolling_allowed: self.rolling,
            merkle_path: Seq255::from_hashes(&BRANCH).unwrap(),
            coinbase_tx_prefix: Bytes64K::new(&prefix).unwrap(),
            coinbase_tx_suffix: Bytes64K::new(&suffix).unwrap(),
        })
    }
}

/// Difficulty 2^-24 and `harder` rungs more: some 256 hashes a share.
fn target(harder: i32) -> U256 {
    U256::from_le_bytes(rung(harder).target().to_le_bytes())
}

fn rung(harder: i32) -> Rung {
    Rung::from_exponent(-24).harder(harder)
}

/// What a miner does: tries nonces until the hash suits.
fn solve(work: &MiningWork, suits: impl Fn(&BlockHash) -> bool) -> Solution {
    solve_at(work, work.version, work.ntime.earliest(), suits)
}

fn solve_at(
    work: &MiningWork,
    version: u32,
    ntime: UnixTime,
    suits: impl Fn(&BlockHash) -> bool,
) -> Solution {
    let extranonce = Extranonce::new(&vec![0x99; work.root.rolled_len()]).unwrap();
    let mut solution = Solution {
        job: work.job,
        version,
        ntime,
        nonce: 0,
        extranonce,
    };
    while !suits(&work.header(&solution).hash()) {
        solution.nonce += 1;
    }
    solution
}

fn share(work: &MiningWork) -> Solution {
    solve(work, |hash| work.target.is_met_by(hash))
}

/// The header of a submitted standard share, put together by `bitcoin` from what the pool sent.
fn standard_header(share: &SubmitSharesStandard) -> bitcoin::block::Header {
    bitcoin::block::Header {
        version: bitcoin::block::Version::from_consensus(share.version.cast_signed()),
        prev_blockhash: BlockHash::from_byte_array(PREV_HASH),
        merkle_root: TxMerkleNode::from_byte_array([0x5a; 32]),
        time: share.ntime,
        bits: CompactTarget::from_consensus(NBITS),
        nonce: share.nonce,
    }
}

/// The same for an extended share: a transaction that parses, its txid, and a tree of leaves.
fn extended_header(share: &SubmitSharesExtended<'_>, fixed: [u8; 4]) -> bitcoin::block::Header {
    let bytes = [
        &hex(COINBASE_PREFIX)[..],
        &fixed,
        share.extranonce.as_bytes(),
        &hex(COINBASE_SUFFIX),
    ]
    .concat();
    let coinbase: Transaction = bitcoin::consensus::deserialize(&bytes).unwrap();
    assert!(coinbase.is_coinbase());
    let pair = |left: [u8; 32], right: [u8; 32]| {
        let leaves = [left, right].map(Txid::from_byte_array);
        bitcoin::merkle_tree::calculate_root(leaves.into_iter())
            .unwrap()
            .to_byte_array()
    };
    let root = BRANCH
        .iter()
        .fold(coinbase.compute_txid().to_byte_array(), |acc, b| {
            pair(acc, *b)
        });
    bitcoin::block::Header {
        version: bitcoin::block::Version::from_consensus(share.version.cast_signed()),
        prev_blockhash: BlockHash::from_byte_array(PREV_HASH),
        merkle_root: TxMerkleNode::from_byte_array(root),
        time: share.ntime,
        bits: CompactTarget::from_consensus(NBITS),
        nonce: share.nonce,
    }
}

fn meets(header: &bitcoin::block::Header, target: Target) -> bool {
    bitcoin::Target::from(target).is_met_by(header.block_hash())
}

fn decode(frame: &[u8]) -> MiningMessage<'_> {
    let (frame, rest) = Frame::split(frame).unwrap();
    assert!(rest.is_empty());
    match Incoming::decode(frame).unwrap() {
        Incoming::Protocol(message) => message,
        other => panic!("{other:?}"),
    }
}

fn golden(message: &str) -> Vec<u8> {
    let frames: serde_json::Value =
        serde_json::from_str(include_str!("../../../../testkit/vectors/message_kat.json")).unwrap();
    let frame = frames
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["message"] == message)
        .unwrap();
    hex(frame["frame"].as_str().unwrap())
}

/// What a pool says of a channel that it has opened in the group.
struct Opened {
    request_id: u32,
    channel_id: u32,
    target: U256,
}

impl Opened {
    fn success(self, kind: ChannelKind, extranonce_prefix: &[u8]) -> Vec<u8> {
        let Self {
            request_id,
            channel_id,
            target,
        } = self;
        let extranonce_prefix = Bytes32::new(extranonce_prefix).unwrap();
        match kind {
            ChannelKind::Standard => framed(&OpenStandardMiningChannelSuccess {
                request_id,
                channel_id,
                target,
                extranonce_prefix,
                group_channel_id: GROUP,
            }),
            ChannelKind::Extended => framed(&OpenExtendedMiningChannelSuccess {
                request_id,
                channel_id,
                target,
                extranonce_size: 8,
                extranonce_prefix,
                group_channel_id: GROUP,
            }),
        }
    }
}
