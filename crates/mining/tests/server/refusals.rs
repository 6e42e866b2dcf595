//! What is refused without harm to the rest: channels beyond the cap, and custom jobs.

use std::collections::HashSet;
use std::sync::Arc;

use headframe_mining::server::{SessionEvent, Sv2Session};
use headframe_sv2_wire::mining::{
    CloseChannel, MiningMessage, OpenStandardMiningChannel, SetCustomMiningJob,
};
use headframe_sv2_wire::{
    Bytes64K, Bytes255, Frame, Incoming, Message, Seq255, Str255, U256, codes, write_frame,
};
use headframe_testkit::{Device, Pool, PoolSettings, Server, Sv2Miner, address};

use crate::{MILLISECOND, STANDARD_JOBS, pool, share, with_channel};

/// A session that is spoken to without a scripted miner, which would look at all its channels again
/// and again.
struct Bare {
    pool: Pool,
    session: Sv2Session,
    request_id: u32,
}

impl Bare {
    fn new() -> Self {
        let pool = Pool::new(&PoolSettings {
            transactions: 0,
            ..PoolSettings::default()
        });
        let mut session = Sv2Session::new(Arc::clone(&pool.rules), pool.work(), pool.now);
        let mut miner = Sv2Miner::default();
        miner.set_up(STANDARD_JOBS);
        for frame in miner.take_output() {
            session
                .handle_input(pool.now, &frame)
                .expect("the set-up is good");
        }
        session.output();
        Self {
            pool,
            session,
            request_id: 0,
        }
    }

    fn send<'a>(&mut self, message: &impl Message<'a>) -> Vec<u8> {
        let mut frame = Vec::new();
        write_frame(message, &mut frame);
        self.session
            .handle_input(self.pool.now, &frame)
            .expect("the connection goes on");
        while let Some(event) = self.session.poll_event() {
            if let SessionEvent::PrefixReturned(prefix) = event {
                self.pool.hub.give_back_prefix(prefix);
            }
        }
        self.session.output()
    }

    /// The id of a new channel, or the code of the refusal.
    fn open(&mut self) -> Result<u32, String> {
        self.request_id += 1;
        let user = address(1).to_string();
        let output = self.send(&OpenStandardMiningChannel {
            request_id: self.request_id,
            user_identity: Str255::new(&user).expect("short"),
            nominal_hash_rate: 0.0,
            max_target: U256::MAX,
        });
        match only(&output) {
            MiningMessage::OpenStandardMiningChannelSuccess(open) => Ok(open.channel_id),
            MiningMessage::OpenMiningChannelError(error) => {
                assert_eq!(error.request_id, self.request_id);
                Err(error.error_code.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    fn open_with_prefix(&mut self) -> Result<u32, String> {
        if self.session.wants_prefix() {
            let prefix = self.pool.hub.lease_prefix().expect("2^32 are enough");
            self.session.add_prefix(prefix);
        }
        self.open()
    }

    fn close(&mut self, channel_id: u32) {
        let reason_code = codes::Code::new("done").expect("printable");
        let output = self.send(&CloseChannel {
            channel_id,
            reason_code,
        });
        assert!(output.is_empty());
    }
}

/// The first message of `output`.
fn only(output: &[u8]) -> MiningMessage<'_> {
    let (frame, _) = Frame::split(output).expect("an answer");
    match Incoming::decode(frame) {
        Ok(Incoming::Protocol(message)) => message,
        other => panic!("{other:?}"),
    }
}

const FULL: &str = "channel-capacity-exhausted";

/// MP-44: a connection has ten thousand channels at most. What is opened beyond them is refused, and
/// is no harm to those that there are; when one is closed there is room again.
#[test]
fn a_connection_has_so_many_channels_and_no_more() {
    let mut bare = Bare::new();
    let ids: Vec<u32> = (0..10_000)
        .map(|_| bare.open_with_prefix().unwrap())
        .collect();
    for _ in 0..3 {
        assert_eq!(bare.open_with_prefix(), Err(FULL.to_owned()));
    }
    bare.pool.new_tip();
    let work = bare.pool.work();
    Server::handle_work(&mut bare.session, bare.pool.now, &work);
    let output = bare.session.output();
    let mut rest = &output[..];
    let mut told = HashSet::new();
    while let Some((frame, after)) = Frame::split(rest) {
        if let Ok(Incoming::Protocol(MiningMessage::NewMiningJob(job))) = Incoming::decode(frame) {
            told.insert(job.channel_id);
        }
        rest = after;
    }
    assert_eq!(told, ids.iter().copied().collect());
    bare.close(ids[5_000]);
    assert!(bare.open_with_prefix().is_ok());
    assert_eq!(bare.open_with_prefix(), Err(FULL.to_owned()));
}

/// MP-44, R-6: the prefix of a closed channel rests until the next tip, so that what one connection
/// opens until then has a bound too.
#[test]
fn a_connection_opens_so_many_channels_on_a_tip() {
    let mut bare = Bare::new();
    for _ in 0..30_000 {
        let id = bare.open_with_prefix().unwrap();
        bare.close(id);
    }
    assert_eq!(bare.open_with_prefix(), Err(FULL.to_owned()));
    bare.pool.new_template();
    let work = bare.pool.work();
    Server::handle_work(&mut bare.session, bare.pool.now, &work);
    assert_eq!(bare.open_with_prefix(), Err(FULL.to_owned()));
    bare.pool.new_tip();
    let work = bare.pool.work();
    Server::handle_work(&mut bare.session, bare.pool.now, &work);
    bare.session.output();
    assert!(bare.open_with_prefix().is_ok());
}

/// MP-44: a pool that has no prefix left refuses the channel; what was asked for is not kept waiting,
/// and the next one that can be given is.
#[test]
fn without_a_prefix_there_is_no_channel() {
    let mut bare = Bare::new();
    assert_eq!(bare.open(), Err(FULL.to_owned()));
    assert!(bare.open_with_prefix().is_ok());
    assert_eq!(bare.open(), Err(FULL.to_owned()));
    assert!(bare.open_with_prefix().is_ok());
}

/// MP-111: a client that did not ask to choose its work, or was refused it, is told so, and mines on.
#[test]
fn a_custom_job_is_refused_and_mining_goes_on() {
    let mut pool = pool();
    let (link, id) = with_channel(&mut pool, true, 1);
    let mut frame = Vec::new();
    let job = SetCustomMiningJob {
        channel_id: id,
        request_id: 77,
        mining_job_token: Bytes255::new(b"token").unwrap(),
        version: 0x2000_0000,
        prev_hash: U256::from_le_bytes([1; 32]),
        min_ntime: 1,
        nbits: 0x207f_ffff,
        coinbase_tx_version: 2,
        coinbase_prefix: Bytes255::new(&[]).unwrap(),
        coinbase_tx_input_n_sequence: u32::MAX,
        coinbase_tx_outputs: Bytes64K::new(&[0]).unwrap(),
        coinbase_tx_locktime: 0,
        merkle_path: Seq255::from_hashes(&[]).unwrap(),
    };
    write_frame(&job, &mut frame);
    let now = pool.now;
    let session = &mut pool.sv2[link].session;
    session.handle_input(now, &frame).unwrap();
    let output = session.output();
    let MiningMessage::SetCustomMiningJobError(error) = only(&output) else {
        panic!("{:?}", only(&output));
    };
    assert_eq!((error.channel_id, error.request_id), (id, 77));
    assert_eq!(error.error_code, codes::JD_NOT_SUPPORTED);
    let nonce = share(&pool, link, id, 1);
    pool.sv2[link].miner.submit(id, &nonce);
    pool.advance(200 * MILLISECOND);
    assert_eq!(pool.sv2[link].miner.acknowledged.len(), 1);
    assert_eq!(pool.sv2[link].fault, None);
}
