//! A Stratum V2 client that does all that a pool has to bear: it opens, updates and closes channels of
//! both kinds and of several owners on one connection, and sends shares of every sort.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use headframe_sv2_wire::common::{CommonMessage, SetupConnection};
use headframe_sv2_wire::extensions::{ExtensionsMessage, RequestExtensions};
use headframe_sv2_wire::mining::{
    CloseChannel, MiningMessage, OpenExtendedMiningChannel, OpenStandardMiningChannel,
    SubmitSharesExtended, SubmitSharesStandard, UpdateChannel,
};
use headframe_sv2_wire::tlv::{self, ByteOrder, TlvTail, UserIdentity};
use headframe_sv2_wire::{
    Bytes32, Extension, Frame, Incoming, Message, Protocol, Seq64K, Str255, U256, codes,
    write_frame,
};
use headframe_work::Target;

use super::{Means, Plan};
use crate::simulator::jobs::{Channel, Claim, Draft, Root, Sent, Tip};
use crate::simulator::users::Users;
use crate::simulator::witness::Violation;

/// Channels that are open at a time.
const MOST: usize = 12;
/// Something is done once in this time, in seconds.
const ACTS: f64 = 20.0;
/// Shares that are kept to be sent again.
const KEPT: usize = 8;
const BIP323_MASK: u32 = 0x1fff_ffe0;
/// Hashes that are tried for a share; a harder one is given up.
const TRIES: u32 = 1 << 16;

/// The client.
#[derive(Debug)]
pub(super) struct Farm {
    /// Whose most of the machines are, so that there are groups.
    user: String,
    channels: BTreeMap<u32, Channel>,
    is_standard_only: bool,
    wants_names: bool,
    has_names: bool,
    next_request: u32,
    next_number: u32,
    /// Shares that were sent.
    sent: VecDeque<Vec<u8>>,
    output: Vec<u8>,
    is_mining: bool,
}

impl Farm {
    pub(super) fn new(user: &str, means: &mut Means) -> Self {
        let is_standard_only = means.chance.happens(0.3);
        let mut farm = Self {
            user: user.to_owned(),
            channels: BTreeMap::new(),
            is_standard_only,
            wants_names: means.chance.happens(0.4),
            has_names: false,
            next_request: 1,
            next_number: u32::MAX - means.chance.below(100) as u32,
            sent: VecDeque::new(),
            output: Vec::new(),
            is_mining: false,
        };
        let word = |word| Str255::new(word).expect("short");
        farm.send(&SetupConnection {
            protocol: Protocol::MINING,
            min_version: 2,
            max_version: 2,
            flags: u32::from(is_standard_only),
            endpoint_host: word("pool"),
            endpoint_port: 3333,
            vendor: word("farm"),
            hardware_version: word("1"),
            firmware: word(""),
            device_id: word(""),
        });
        farm
    }

    pub(super) fn take(
        &mut self,
        now: Instant,
        message: &[u8],
        means: &mut Means,
    ) -> Result<(), Violation> {
        let Some((frame, _)) = Frame::split(message) else {
            return Ok(());
        };
        let message = Incoming::<MiningMessage<'_>>::decode(frame);
        let message = message.map_err(|error| format!("the pool's frame is broken: {error}"))?;
        match message {
            Incoming::Common(CommonMessage::SetupConnectionSuccess(_)) => {
                if self.wants_names {
                    self.ask_for_names();
                }
                means.plans.push((means.chance.wait(1.0), Plan::Act));
            }
            Incoming::Extensions(ExtensionsMessage::RequestExtensionsSuccess(_)) => {
                self.has_names = true;
            }
            Incoming::Protocol(message) => self.take_mining(now, message, means),
            _ => {}
        }
        Ok(())
    }

    /// A good share on one of the channels.
    pub(super) fn find(&mut self, _now: Instant, means: &mut Means) {
        self.plan(means);
        let Some(id) = self.choose(means) else { return };
        if let Some(share) = self.share(id, means, Kind::Good) {
            self.output.extend_from_slice(&share);
            self.sent.push_back(share);
            if self.sent.len() > KEPT {
                self.sent.pop_front();
            }
        }
    }

    pub(super) fn act(&mut self, users: &Users, means: &mut Means) {
        let wait = means.chance.wait(ACTS);
        means.plans.push((wait, Plan::Act));
        let id = self.choose(means);
        match (means.chance.below(14), id) {
            (0..4, _) | (_, None) => self.open(users, means),
            (4, Some(id)) => {
                let group = self.channels[&id].group;
                if means.chance.happens(0.5) {
                    // Nothing is said of it any more; it counts all the same.
                    let last = self.share(id, means, Kind::Good);
                    self.output.extend(last.into_iter().flatten());
                }
                let whole = means.chance.happens(0.2);
                self.close(if whole { group } else { id });
            }
            (5, Some(id)) => {
                let rate = means.rate * [0.0, 1.0, 1e6][means.chance.below(3) as usize];
                let target = match means.chance.below(4) {
                    0 => Target::from_le_bytes([0; 32]),
                    // Shares of sixteen hashes and more.
                    1 => {
                        let mut bytes = [0xff; 32];
                        bytes[31] = 0x0f;
                        Target::from_le_bytes(bytes)
                    }
                    _ => Target::MAX,
                };
                self.send(&UpdateChannel {
                    channel_id: id,
                    nominal_hash_rate: rate as f32,
                    maximum_target: U256::from_le_bytes(target.to_le_bytes()),
                });
            }
            (6, Some(_)) => {
                let again = means.chance.below(KEPT as u64) as usize;
                if let Some(share) = self.sent.get(again).cloned() {
                    self.output.extend_from_slice(&share);
                }
            }
            (7, Some(_)) => self.ask_for_names(),
            (8, Some(_)) => {
                let unknown = means.chance.below(50) as u32;
                self.close(unknown);
            }
            (kind, Some(id)) => {
                let kind = [Kind::Low, Kind::Version, Kind::Early, Kind::Late, Kind::Old]
                    [kind as usize % 5];
                if let Some(share) = self.share(id, means, kind) {
                    self.output.extend_from_slice(&share);
                }
            }
        }
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    fn take_mining(&mut self, now: Instant, message: MiningMessage<'_>, means: &mut Means) {
        use MiningMessage as M;
        match message {
            M::OpenStandardMiningChannelSuccess(m) => {
                let prefix = m.extranonce_prefix.as_bytes();
                let channel = Channel::new(m.channel_id, m.group_channel_id, prefix, None);
                self.add(channel, m.target, means);
            }
            M::OpenExtendedMiningChannelSuccess(m) => {
                let size = Some(m.extranonce_size.into());
                let prefix = m.extranonce_prefix.as_bytes();
                let channel = Channel::new(m.channel_id, m.group_channel_id, prefix, size);
                self.add(channel, m.target, means);
            }
            M::NewMiningJob(m) => {
                let root = Root::Given(m.merkle_root.to_le_bytes());
                self.take_job(now, m.channel_id, m.job_id, m.version, m.min_ntime, root);
            }
            M::NewExtendedMiningJob(m) => {
                let root = Root::Coinbase {
                    prefix: m.coinbase_tx_prefix.as_bytes().to_vec(),
                    suffix: m.coinbase_tx_suffix.as_bytes().to_vec(),
                    path: m
                        .merkle_path
                        .iter()
                        .map(|hash| hash.to_le_bytes())
                        .collect(),
                };
                self.take_job(now, m.channel_id, m.job_id, m.version, m.min_ntime, root);
            }
            M::SetNewPrevHash(m) => {
                let tip = Tip {
                    prev_hash: m.prev_hash.to_le_bytes(),
                    bits: m.nbits,
                    min_time: m.min_ntime,
                };
                for channel in self.channels.values_mut() {
                    if channel.is_addressed_by(m.channel_id) {
                        channel.activate(Sent::at(now), m.channel_id, m.job_id, tip);
                    }
                }
            }
            M::SetTarget(m) => {
                for channel in self.channels.values_mut() {
                    if channel.is_addressed_by(m.channel_id) {
                        channel.target = Target::from_le_bytes(m.maximum_target.to_le_bytes());
                    }
                }
            }
            M::SubmitSharesSuccess(m) => {
                means.acknowledged += u64::from(m.new_submits_accepted_count);
            }
            _ => {}
        }
    }

    fn add(&mut self, mut channel: Channel, target: U256, means: &mut Means) {
        channel.target = Target::from_le_bytes(target.to_le_bytes());
        self.channels.insert(channel.id, channel);
        if !core::mem::replace(&mut self.is_mining, true) {
            self.plan(means);
        }
    }

    fn take_job(
        &mut self,
        now: Instant,
        to: u32,
        id: u32,
        version: u32,
        min_time: Option<u32>,
        root: Root,
    ) {
        let draft = Rc::new(Draft { id, version, root });
        let channels = self.channels.values_mut();
        for channel in channels.filter(|channel| channel.is_addressed_by(to)) {
            match min_time {
                None => channel.future.push((to, Rc::clone(&draft))),
                Some(time) => {
                    channel.begin(Sent::at(now), Rc::clone(&draft), time);
                }
            }
        }
    }

    /// Plans the next share, which is one of all channels' together.
    fn plan(&self, means: &mut Means) {
        let hardest = self.channels.values().map(|channel| channel.target).min();
        means.plan_find(hardest.unwrap_or(Target::MAX), 0, 0);
    }

    fn choose(&self, means: &mut Means) -> Option<u32> {
        let at = means.chance.below(self.channels.len() as u64) as usize;
        self.channels.keys().nth(at).copied()
    }

    fn open(&mut self, users: &Users, means: &mut Means) {
        if self.channels.len() >= MOST {
            return;
        }
        let user = match means.chance.happens(0.7) {
            true => users.sibling(&self.user, &mut means.chance),
            false => users.choose(&mut means.chance),
        };
        let user_identity = Str255::new(&user).expect("a short name");
        let request_id = self.next_request;
        self.next_request += 1;
        let nominal_hash_rate = means.rate as f32;
        let max_target = U256::MAX;
        match self.is_standard_only || means.chance.happens(0.4) {
            true => self.send(&OpenStandardMiningChannel {
                request_id,
                user_identity,
                nominal_hash_rate,
                max_target,
            }),
            false => self.send(&OpenExtendedMiningChannel {
                request_id,
                user_identity,
                nominal_hash_rate,
                max_target,
                // Most are alike, so that there are groups; the last is too long.
                min_extranonce_size: [8, 8, 8, 4, 16, 29][means.chance.below(6) as usize],
            }),
        }
    }

    /// Closes a channel or group; what comes for it from now on is not heard.
    fn close(&mut self, id: u32) {
        self.channels
            .retain(|_, channel| !channel.is_addressed_by(id));
        self.send(&CloseChannel {
            channel_id: id,
            reason_code: codes::Code::new("done").expect("printable"),
        });
    }

    fn ask_for_names(&mut self) {
        let wanted = [Extension::WORKER_HASHRATE_TRACKING.number()];
        self.send(&RequestExtensions {
            request_id: 7,
            requested_extensions: Seq64K::new(&wanted).expect("one number"),
        });
    }

    /// A share as a frame; `None` where there is no work.
    fn share(&mut self, id: u32, means: &mut Means, kind: Kind) -> Option<Vec<u8>> {
        let channel = self.channels.get(&id)?;
        let jobs = &channel.jobs;
        let job = match kind {
            Kind::Old => jobs.get(means.chance.below(jobs.len() as u64) as usize)?,
            _ => jobs.back()?,
        };
        let rolled: [u8; 32] = means.chance.bytes();
        let bits = means.chance.number() as u32 & BIP323_MASK;
        let mut version = job.draft.version & !BIP323_MASK | bits;
        let mut time = job.min_time + means.chance.below(3) as u32;
        match kind {
            Kind::Version => version ^= 1,
            Kind::Early => time = job.min_time - 10_000,
            Kind::Late => time += 10_000,
            Kind::Good | Kind::Low | Kind::Old => {}
        }
        let claim = Claim {
            job_id: job.draft.id,
            version,
            time,
            nonce: means.chance.number() as u32,
            extranonce: rolled.get(..channel.size)?,
        };
        let mut header = channel.header(job, &claim);
        let mut tries = TRIES;
        // A low share is as good as chance makes it.
        while kind != Kind::Low && !job.target.is_met_by(&header.block_hash()) {
            header.nonce = header.nonce.wrapping_add(1);
            tries = tries.checked_sub(1)?;
        }
        let nonce = header.nonce;
        Some(self.frame(id, Claim { nonce, ..claim }, means))
    }

    fn frame(&mut self, channel_id: u32, claim: Claim<'_>, means: &mut Means) -> Vec<u8> {
        let sequence_number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let mut tail = Vec::new();
        if self.has_names {
            let name = format!("m{}", means.chance.below(5));
            let name = UserIdentity::new(name.as_bytes()).expect("short");
            tlv::write(&mut [name.to_tlv()], ByteOrder::Little, &mut tail);
        }
        let mut frame = Vec::new();
        let (job_id, nonce) = (claim.job_id, claim.nonce);
        let (ntime, version) = (claim.time, claim.version);
        match self.channels[&channel_id].is_extended {
            true => write_frame(
                &SubmitSharesExtended {
                    channel_id,
                    sequence_number,
                    job_id,
                    nonce,
                    ntime,
                    version,
                    extranonce: Bytes32::new(claim.extranonce).expect("at most 32 bytes"),
                    tlvs: TlvTail::new(&tail).expect("short"),
                },
                &mut frame,
            ),
            false => write_frame(
                &SubmitSharesStandard {
                    channel_id,
                    sequence_number,
                    job_id,
                    nonce,
                    ntime,
                    version,
                },
                &mut frame,
            ),
        }
        frame
    }

    fn send<'a>(&mut self, message: &impl Message<'a>) {
        write_frame(message, &mut self.output);
    }
}

/// What is right or wrong with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    Low,
    Version,
    Early,
    Late,
    /// Of any job that the client remembers.
    Old,
}
