//! Stratum V2 against a scripted pool at the other end of a pipe. Frames are written out by hand.

use core::num::NonZeroU32;
use std::future::{Future, pending};
use std::pin::pin;

use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode, Txid};
use headframe_transport::{Filled, FrameStream, LineSocket};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::oneshot;

use super::*;
use crate::{Miner, Observer};

const CHANNEL: u32 = 7;
const PREV_HASH: [u8; 32] = [0x31; 32];
const ROOT: [u8; 32] = [0x32; 32];
const NTIME: u32 = 1_700_000_000;
/// Mainnet's.
const NBITS: u32 = 0x1703_4219;
/// Regtest's.
const EASY_NBITS: u32 = 0x207f_ffff;

/// Message types, spec §3.6 and §5.3.
const SETUP: u8 = 0x00;
const OPEN_STANDARD: u8 = 0x10;
const OPEN_EXTENDED: u8 = 0x13;
const SUBMIT_STANDARD: u8 = 0x1a;
const SUBMIT_EXTENDED: u8 = 0x1b;
const CLOSE: u8 = 0x18;

/// The pool's end of the pipe.
struct Pool {
    stream: FrameStream<DuplexStream>,
}

impl Pool {
    fn send(&mut self, message_type: u8, parts: &[&[u8]]) {
        let payload = parts.concat();
        let [low, high, ..] = payload.len().to_le_bytes();
        let frame = [&[0, 0, message_type, low, high, 0], &payload[..]].concat();
        self.stream.queue_frame(&frame).unwrap();
    }

    /// The type and payload of the next frame; `None` when the miner has gone.
    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.stream.next_frame().unwrap() {
                return Some((frame[2], frame[6..].to_vec()));
            }
            if self.stream.fill().await.unwrap() == Filled::Closed {
                return None;
            }
        }
    }

    /// Set-up and channel, with `exponent` of two for the difficulty; the target is made by `bitcoin`.
    async fn open(&mut self, open_type: u8, target: Target) {
        self.set_up(open_type == OPEN_STANDARD).await;
        self.open_channel(open_type, target).await;
    }

    async fn set_up(&mut self, standard: bool) {
        let (message_type, setup) = self.receive().await.unwrap();
        assert_eq!(message_type, SETUP);
        assert_eq!(setup[5], u8::from(standard));
        self.send(0x01, &[&[2, 0], &[0; 4]]);
    }

    /// Extension 0x0002 is asked for and granted.
    async fn grant_worker_names(&mut self) {
        self.stream.flush().await.unwrap();
        let (message_type, request) = self.receive().await.unwrap();
        assert_eq!((message_type, &request[2..]), (0, &[1, 0, 2, 0][..]));
        let frame = [&[1, 0, 1, 6, 0, 0], &request[..]].concat();
        self.stream.queue_frame(&frame).unwrap();
    }

    async fn open_channel(&mut self, open_type: u8, target: Target) {
        let standard = open_type == OPEN_STANDARD;
        let (message_type, open) = self.receive().await.unwrap();
        assert_eq!(message_type, open_type);
        let size: &[u8] = if standard { &[] } else { &[8, 0] };
        let head = [&open[..4], &CHANNEL.to_le_bytes(), &target.to_le_bytes()].concat();
        self.send(
            open_type + 1,
            &[&head, size, &[4, 0xe1, 0xe2, 0xe3, 0xe4], &[1, 0, 0, 0]],
        );
    }

    fn new_prev_hash(&mut self, job_id: u32, nbits: u32) {
        self.send(
            0x20,
            &[
                &CHANNEL.to_le_bytes(),
                &job_id.to_le_bytes(),
                &PREV_HASH,
                &NTIME.to_le_bytes(),
                &nbits.to_le_bytes(),
            ],
        );
    }

    fn standard_job(&mut self, job_id: u32) {
        let version = 0x2000_0000_u32.to_le_bytes();
        self.send(
            0x15,
            &[
                &CHANNEL.to_le_bytes(),
                &job_id.to_le_bytes(),
                &[0],
                &version,
                &ROOT,
            ],
        );
    }

    /// A job whose coinbase is `prefix`, extranonce, `suffix`.
    fn extended_job(&mut self, job_id: u32, prefix: &[u8], suffix: &[u8]) {
        let version = 0x2000_0000_u32.to_le_bytes();
        let head = [
            &CHANNEL.to_le_bytes()[..],
            &job_id.to_le_bytes(),
            &[0],
            &version,
            &[1],
        ]
        .concat();
        let len = |part: &[u8]| (part.len() as u16).to_le_bytes();
        self.send(
            0x1f,
            &[
                &head,
                &[1],
                &ROOT,
                &len(prefix),
                prefix,
                &len(suffix),
                suffix,
            ],
        );
    }

    /// Passes over shares until the miner closes its channel and goes.
    async fn see_off(mut self) {
        loop {
            match self.receive().await.expect("a farewell") {
                (CLOSE, payload) => {
                    assert_eq!(payload[..4], CHANNEL.to_le_bytes());
                    break;
                }
                (SUBMIT_STANDARD | SUBMIT_EXTENDED, _) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.receive().await, None);
    }
}

fn field(payload: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(payload[4 * index..4 * index + 4].try_into().unwrap())
}

fn header(share: &[u8], root: [u8; 32], nbits: u32) -> bitcoin::block::Header {
    bitcoin::block::Header {
        version: Version::from_consensus(field(share, 5).cast_signed()),
        prev_blockhash: BlockHash::from_byte_array(PREV_HASH),
        merkle_root: TxMerkleNode::from_byte_array(root),
        time: field(share, 4),
        bits: CompactTarget::from_consensus(nbits),
        nonce: field(share, 3),
    }
}

/// Runs a miner against `script`; it is told to stop by the script's sender.
async fn against<F: Future<Output = ()>>(
    channel: Channel,
    script: impl FnOnce(Pool, Observer, oneshot::Sender<()>) -> F,
) -> MinerReport {
    against_worker(None, channel, script).await
}

/// The same for a miner that names itself in each share.
async fn against_worker<F: Future<Output = ()>>(
    worker: Option<&str>,
    channel: Channel,
    script: impl FnOnce(Pool, Observer, oneshot::Sender<()>) -> F,
) -> MinerReport {
    let url = PoolUrl::parse("stratum2+tcp://pool.example:3333", true).unwrap();
    let settings = MinerSettings {
        channel: Some(channel),
        throttle: NonZeroU32::new(200_000),
        threads: NonZeroU32::new(2),
        worker: worker.map(str::to_owned),
        ..MinerSettings::new(url, "user")
    };
    let endpoint = settings.url.endpoint().clone();
    let (miner, observer) = Miner::new(settings);
    let Miner {
        settings,
        events,
        progress,
    } = miner;
    let crew = Crew::start(settings.thread_count(), settings.throttle).unwrap();
    let rate = Hashrate::from_hashes_per_second(1e6).unwrap();
    let mut shift = Shift::new(settings, rate, crew, events, progress);

    let (ours, theirs) = duplex(64 * 1024);
    let session = shift.sv2_session(&endpoint).unwrap();
    let stream = FrameStream::plain(ours, FRAME_LIMIT, 1 << 20);
    let connection: Connection<LineSocket, _> = Connection::Sv2(stream, Box::new(session));
    let pool = Pool {
        stream: FrameStream::plain(theirs, FRAME_LIMIT, 1 << 20),
    };

    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        match stopped.await {
            Ok(()) => {}
            Err(_) => pending().await,
        }
    };
    let mut stopped = pin!(stopped);
    let (ending, ()) = tokio::join!(
        shift.mine(&endpoint, connection, &mut stopped),
        script(pool, observer, stop)
    );
    assert!(matches!(ending, Ending::Shutdown), "{ending:?}");
    shift.end().await
}

fn target(exponent: i32) -> Target {
    Rung::from_exponent(exponent).target()
}

/// Shares on a standard channel are judged by `bitcoin`; answers are counted; the channel is closed.
#[tokio::test]
async fn a_standard_channel_is_mined() {
    let script = async |mut pool: Pool, mut observer: Observer, stop: oneshot::Sender<()>| {
        pool.open(OPEN_STANDARD, target(-20)).await;
        pool.standard_job(5);
        pool.new_prev_hash(5, NBITS);
        let mut seen = Vec::new();
        for sequence in 0..5 {
            let (message_type, share) = pool.receive().await.unwrap();
            assert_eq!((message_type, share.len()), (SUBMIT_STANDARD, 24));
            assert_eq!(
                (field(&share, 0), field(&share, 1), field(&share, 2)),
                (CHANNEL, sequence, 5)
            );
            let hash = header(&share, ROOT, NBITS).block_hash();
            assert!(bitcoin::Target::from(target(-20)).is_met_by(hash));
            // A version of BIP 323, rolled.
            assert_eq!(field(&share, 5) & !0x1fff_ffe0, 0x2000_0000);
            assert_ne!(field(&share, 5), 0x2000_0000);
            assert!(!seen.contains(&hash));
            seen.push(hash);
        }
        let channel = CHANNEL.to_le_bytes();
        pool.send(0x1d, &[&channel, &2u32.to_le_bytes(), &[3], b"odd"]);
        let counts = [4u32.to_le_bytes(), 4u32.to_le_bytes()].concat();
        pool.send(0x1c, &[&channel, &counts, &[0; 8]]);
        pool.stream.flush().await.unwrap();
        while observer.events.recv().await.unwrap() != (MinerEvent::Accepted { count: 4 }) {}
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    let report = against(Channel::Standard, script).await;
    assert_eq!(
        report.to_json(),
        r#"{"protocol":"sv2","channel":"standard","shares_accepted":4,"shares_rejected":{"odd":1}}"#
    );
    assert!(report.hashes > 0);
    assert!(!report.mining);
}

/// The same on an extended channel, where the miner makes the merkle root.
#[tokio::test]
async fn an_extended_channel_is_mined() {
    let script = async |mut pool: Pool, mut observer: Observer, stop: oneshot::Sender<()>| {
        let (prefix, suffix) = ([2; 50], [3; 60]);
        pool.open(OPEN_EXTENDED, target(-20)).await;
        pool.extended_job(5, &prefix, &suffix);
        pool.new_prev_hash(5, NBITS);
        for _ in 0..3 {
            let (message_type, share) = pool.receive().await.unwrap();
            assert_eq!(
                (message_type, share.len(), share[24]),
                (SUBMIT_EXTENDED, 33, 8)
            );
            let coinbase = [
                &prefix[..],
                &[0xe1, 0xe2, 0xe3, 0xe4],
                &share[25..],
                &suffix,
            ]
            .concat();
            let leaves = [Txid::hash(&coinbase), Txid::from_byte_array(ROOT)];
            let root = bitcoin::merkle_tree::calculate_root(leaves.into_iter()).unwrap();
            let hash = header(&share, root.to_byte_array(), NBITS).block_hash();
            assert!(bitcoin::Target::from(target(-20)).is_met_by(hash));
        }
        let counts = [2u32.to_le_bytes(), 3u32.to_le_bytes()].concat();
        pool.send(0x1c, &[&CHANNEL.to_le_bytes(), &counts, &[0; 8]]);
        pool.stream.flush().await.unwrap();
        while observer.events.recv().await.unwrap() != (MinerEvent::Accepted { count: 3 }) {}
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    let report = against(Channel::Extended, script).await;
    assert_eq!(report.shares_accepted, 3);
}

/// EX-35: a miner that was given a name asks for the extension, and puts the name behind each share.
#[tokio::test]
async fn a_worker_is_named_in_each_share() {
    let script = async |mut pool: Pool, _: Observer, stop: oneshot::Sender<()>| {
        pool.set_up(false).await;
        pool.grant_worker_names().await;
        pool.open_channel(OPEN_EXTENDED, target(-20)).await;
        pool.extended_job(5, &[2; 50], &[3; 60]);
        pool.new_prev_hash(5, NBITS);
        for _ in 0..3 {
            let (message_type, share) = pool.receive().await.unwrap();
            assert_eq!(message_type, SUBMIT_EXTENDED);
            assert_eq!(share[33..], *b"\x02\x00\x01\x04\x00rig7");
        }
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    against_worker(Some("rig7"), Channel::Extended, script).await;
}

/// On an easy chain a block is sent although the share target is far beyond it, once a piece of work.
#[tokio::test]
async fn a_block_is_sent_once_whatever_the_share_target() {
    let script = async |mut pool: Pool, mut observer: Observer, stop: oneshot::Sender<()>| {
        pool.open(OPEN_STANDARD, target(40)).await;
        for job in 1..4 {
            pool.standard_job(job);
            pool.new_prev_hash(job, EASY_NBITS);
            let (message_type, share) = pool.receive().await.unwrap();
            assert_eq!((message_type, field(&share, 2)), (SUBMIT_STANDARD, job));
            let header = header(&share, ROOT, EASY_NBITS);
            assert!(header.validate_pow(header.target()).is_ok());
        }
        while observer.events.recv().await.unwrap() != (MinerEvent::BlockCandidate { count: 3 }) {}
        stop.send(()).unwrap();
        pool.see_off().await;
    };
    let report = against(Channel::Standard, script).await;
    assert_eq!(report.block_candidates, 3);
}

/// FR-37, FR-38: wherever a Stratum V2 pool sends the miner, the new host is asked for the same
/// proof as the old one, and never spoken to in clear. A Stratum V1 pool names another port only.
#[test]
fn a_redirected_miner_demands_the_same_authority() {
    let key = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";
    let go = |from: &str, host: &str, port: u16| {
        let demand = Reconnect {
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: (port != 0).then_some(port),
            wait: Duration::ZERO,
        };
        let url = PoolUrl::parse(from, true).unwrap();
        redirected(&url, &demand)
            .map(|url| url.to_string())
            .map_err(str::to_owned)
    };
    let sealed = format!("stratum2+tcp://a.example:1/{key}");
    for (host, port, place) in [
        ("", 0, "a.example:1"),
        ("b.example", 0, "b.example:1"),
        ("", 2, "a.example:2"),
        ("::1", 2, "[::1]:2"),
        ("no host", 2, "a.example:1"),
    ] {
        let expected = format!("stratum2+tcp://{place}/{key}");
        assert_eq!(go(&sealed, host, port), Ok(expected));
    }
    let clear = "stratum+tcp://a.example:1";
    let moved = Ok("stratum+tcp://a.example:2".to_owned());
    assert_eq!(go(clear, "", 2), moved);
    assert_eq!(go(clear, "a.example", 2), moved);
    assert_eq!(go(clear, "b.example", 2), Err("b.example".to_owned()));
    let unknown = "stratum+ssl://a.example:1";
    assert_eq!(go(unknown, "b.example", 2), Err("b.example".to_owned()));
    let pin = ["AB"; 32].join(":");
    let moved = format!("stratum+ssl://b.example:2/{pin}");
    assert_eq!(go(&format!("{unknown}/{pin}"), "b.example", 2), Ok(moved));
}
