//! ESP-Miner's client of Stratum V2, as its behaviour is known (v2.15.0).

use bitcoin::Target;
use headframe_sv2_wire::common::{CommonMessage, SetupConnection};
use headframe_sv2_wire::mining::{
    MiningMessage, NewExtendedMiningJob, NewMiningJob, OpenExtendedMiningChannel,
    OpenStandardMiningChannel, SetNewPrevHash, SubmitSharesExtended, SubmitSharesStandard,
};
use headframe_sv2_wire::tlv::TlvTail;
use headframe_sv2_wire::{
    Bytes32, Frame, Incoming, Message, Protocol, Str255, U256, try_write_frame,
};
use headframe_testkit::{MinerJob, Nonce, RootSource};

use crate::client::{Client, Heard};

/// What the firmware declares, whatever it is.
const DECLARED: f32 = 1e12;
/// Pending jobs have as many places, by their number.
const PLACES: usize = 8;
/// Longer messages are dropped, and the connection with them.
const LONGEST_PAYLOAD: usize = 8192;
const MOST_BRANCHES: usize = 20;

#[derive(Debug)]
pub(crate) struct Sv2Client {
    is_extended: bool,
    user: String,
    state: State,
    channel: u32,
    prefix: Vec<u8>,
    extranonce_size: usize,
    target: Target,
    /// Jobs for a tip that is yet to come.
    pending: [Option<MinerJob>; PLACES],
    tip: Option<SetNewPrevHash>,
    next_sequence: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SettingUp,
    Opening,
    Mining,
}

impl Sv2Client {
    pub(crate) fn new(is_extended: bool, user: &str) -> Self {
        Self {
            is_extended,
            user: user.to_owned(),
            state: State::SettingUp,
            channel: 0,
            prefix: Vec::new(),
            extranonce_size: 0,
            target: Target::MAX,
            pending: Default::default(),
            tip: None,
            next_sequence: 0,
        }
    }

    fn open(&self) -> Vec<u8> {
        let user_identity = Str255::new(&self.user).unwrap();
        match self.is_extended {
            true => frame(&OpenExtendedMiningChannel {
                request_id: 1,
                user_identity,
                nominal_hash_rate: DECLARED,
                max_target: U256::MAX,
                min_extranonce_size: 2,
            }),
            false => frame(&OpenStandardMiningChannel {
                request_id: 1,
                user_identity,
                nominal_hash_rate: DECLARED,
                max_target: U256::MAX,
            }),
        }
    }

    /// The very next frame must be the answer; all else is a refusal.
    fn handle_answer(&mut self, message: &Incoming<'_, MiningMessage<'_>>) -> Heard {
        match (self.state, message) {
            (State::SettingUp, Incoming::Common(CommonMessage::SetupConnectionSuccess(_))) => {
                self.state = State::Opening;
                Heard::Say(self.open())
            }
            (
                State::Opening,
                Incoming::Protocol(MiningMessage::OpenStandardMiningChannelSuccess(open)),
            ) if !self.is_extended => self.handle_open(
                open.channel_id,
                open.target,
                open.extranonce_prefix.as_bytes(),
                0,
            ),
            (
                State::Opening,
                Incoming::Protocol(MiningMessage::OpenExtendedMiningChannelSuccess(open)),
            ) if self.is_extended => self.handle_open(
                open.channel_id,
                open.target,
                open.extranonce_prefix.as_bytes(),
                open.extranonce_size.into(),
            ),
            (state, other) => Heard::Leave(format!("{other:?} while {state:?}")),
        }
    }

    fn handle_open(&mut self, channel: u32, target: U256, prefix: &[u8], size: usize) -> Heard {
        assert!(
            !self.is_extended || (2..=32).contains(&size),
            "0 is mined for ever"
        );
        self.state = State::Mining;
        self.channel = channel;
        self.target = Target::from_le_bytes(target.to_le_bytes());
        self.prefix = prefix.to_vec();
        self.extranonce_size = size;
        Heard::Open
    }

    /// All messages that it does not know are passed over, whatever they ask for.
    fn handle_mining(&mut self, message: &MiningMessage<'_>) -> Option<Heard> {
        match message {
            MiningMessage::NewMiningJob(job) => self.handle_standard_job(job),
            MiningMessage::NewExtendedMiningJob(job) => self.handle_extended_job(job),
            MiningMessage::SetNewPrevHash(tip) => self.handle_tip(tip),
            MiningMessage::SetTarget(target) => {
                self.target = Target::from_le_bytes(target.maximum_target.to_le_bytes());
                None
            }
            MiningMessage::SubmitSharesSuccess(success) => Some(Heard::AcceptedUpTo {
                number: success.last_sequence_number,
                count: success.new_submits_accepted_count,
            }),
            MiningMessage::SubmitSharesError(error) => Some(Heard::Rejected {
                number: error.sequence_number,
                code: error.error_code.to_string(),
            }),
            _ => None,
        }
    }

    fn handle_standard_job(&mut self, job: &NewMiningJob) -> Option<Heard> {
        assert!(
            !self.is_extended,
            "it mines garbage then, and finds wrong blocks"
        );
        let root = RootSource::Given(job.merkle_root.to_le_bytes());
        self.take_job(job.job_id, job.version, job.min_ntime, root)
    }

    fn handle_extended_job(&mut self, job: &NewExtendedMiningJob<'_>) -> Option<Heard> {
        assert!(self.is_extended, "it overwrites its memory then");
        assert!(
            job.merkle_path.iter().count() <= MOST_BRANCHES,
            "it drops the job"
        );
        let root = RootSource::Coinbase {
            prefix: job.coinbase_tx_prefix.as_bytes().to_vec(),
            extranonce_prefix: self.prefix.clone(),
            rolled_len: self.extranonce_size,
            suffix: job.coinbase_tx_suffix.as_bytes().to_vec(),
            path: job
                .merkle_path
                .iter()
                .map(|hash| hash.to_le_bytes())
                .collect(),
        };
        self.take_job(job.job_id, job.version, job.min_ntime, root)
    }

    /// Channel ids are not looked at. A time of 0 is none.
    fn take_job(
        &mut self,
        id: u32,
        version: u32,
        min_ntime: Option<u32>,
        root: RootSource,
    ) -> Option<Heard> {
        let job = MinerJob {
            id,
            version,
            prev_hash: [0; 32],
            bits: 0,
            time: 0,
            root,
            target: self.target,
        };
        match (min_ntime, self.tip) {
            (Some(time), Some(tip)) => Some(Heard::Work(Box::new(on_tip(job, &tip, time)))),
            (None, _) | (_, None) => {
                let place = id as usize % PLACES;
                self.pending[place] = Some(job);
                None
            }
        }
    }

    /// The first tip begins all pending jobs, so that the last place wins; a later one that which it
    /// names. If that is not there, the old block is mined on.
    fn handle_tip(&mut self, tip: &SetNewPrevHash) -> Option<Heard> {
        let is_first = self.tip.replace(*tip).is_none();
        let pending = self.pending.iter().flatten().count();
        assert!(!is_first || pending == 1, "it begins with any of {pending}");
        let place = &mut self.pending[tip.job_id as usize % PLACES];
        let job = place.take_if(|job| job.id == tip.job_id);
        let mut job = job.expect("it stays on the old block");
        job.target = self.target;
        Some(Heard::Work(Box::new(on_tip(job, tip, tip.min_ntime))))
    }
}

impl Client for Sv2Client {
    fn greet(&mut self) -> Vec<Vec<u8>> {
        let word = |word| Str255::new(word).unwrap();
        vec![frame(&SetupConnection {
            protocol: Protocol::MINING,
            min_version: 2,
            max_version: 2,
            flags: u32::from(!self.is_extended),
            endpoint_host: word("pool.example"),
            endpoint_port: 3333,
            vendor: word("bitaxe"),
            hardware_version: word("BM1370"),
            firmware: word(""),
            device_id: word(""),
        })]
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut rest = bytes;
        while let Some((frame, after)) = Frame::split(rest) {
            rest = after;
            assert!(
                frame.payload().len() <= LONGEST_PAYLOAD,
                "it drops the connection"
            );
            let message = Incoming::<MiningMessage<'_>>::decode(frame).unwrap();
            match &message {
                Incoming::Protocol(message) if self.state == State::Mining => {
                    heard.extend(self.handle_mining(message));
                }
                other => heard.push(self.handle_answer(other)),
            }
        }
        assert!(rest.is_empty(), "half a frame");
        heard
    }

    fn submit(&mut self, _user: &str, nonce: &Nonce) -> (u32, Vec<u8>) {
        let sequence_number = self.next_sequence;
        self.next_sequence += 1;
        let (job_id, version) = (nonce.job_id, nonce.version());
        let (ntime, nonce_bits) = (nonce.header.time, nonce.header.nonce);
        let message = match self.is_extended {
            true => frame(&SubmitSharesExtended {
                channel_id: self.channel,
                sequence_number,
                job_id,
                nonce: nonce_bits,
                ntime,
                version,
                extranonce: Bytes32::new(&nonce.extranonce).unwrap(),
                tlvs: TlvTail::EMPTY,
            }),
            false => frame(&SubmitSharesStandard {
                channel_id: self.channel,
                sequence_number,
                job_id,
                nonce: nonce_bits,
                ntime,
                version,
            }),
        };
        (sequence_number, message)
    }

    /// On an extended channel: for channel 0, without an extranonce.
    fn submit_too_early(&mut self, nonce: &Nonce) -> Option<(u32, Vec<u8>)> {
        let mut nonce = nonce.clone();
        nonce.extranonce.clear();
        self.is_extended.then(|| self.submit("", &nonce))
    }

    /// A counter, big endian.
    fn extranonce(&self, count: u64) -> Vec<u8> {
        let count = count.to_be_bytes();
        let zeros = self.extranonce_size.saturating_sub(count.len());
        let kept = count.len() - self.extranonce_size.min(count.len());
        [&vec![0; zeros], &count[kept..]].concat()
    }
}

fn on_tip(mut job: MinerJob, tip: &SetNewPrevHash, time: u32) -> MinerJob {
    job.prev_hash = tip.prev_hash.to_le_bytes();
    job.bits = tip.nbits;
    job.time = time;
    job
}

fn frame<'a>(message: &impl Message<'a>) -> Vec<u8> {
    let mut frame = Vec::new();
    try_write_frame(message, &mut frame).unwrap();
    frame
}
