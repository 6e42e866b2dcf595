//! The client: channels and groups of `channels_sv2` behind one connection.

use std::collections::BTreeMap;

use bitcoin::{Address, BlockHash, CompactTarget, Target};
use channels_sv2::client::group::GroupChannel;
use channels_sv2::client::share_accounting::ShareAccounting;
use common_messages_sv2::Protocol;
use mining_sv2::{
    CloseChannelOwned, ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID, NewExtendedMiningJobOwned,
    OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned, SetNewPrevHashOwned,
    SetTargetOwned, SubmitSharesErrorOwned, SubmitSharesExtendedOwned, SubmitSharesStandardOwned,
    SubmitSharesSuccessOwned, UpdateChannelOwned,
};
use parsers_sv2::{AnyMessageOwned, MiningOwned};

use super::Link;
use super::channel::{Channel, Job};
use crate::pool::Pool;
use crate::wait::LIMIT;

/// A client that takes standard jobs only (spec §5.3.1).
pub const REQUIRES_STANDARD_JOBS: u32 = 1;
/// The target of a client that has no wish.
const ANY_TARGET: [u8; 32] = [0xff; 32];

/// The kind of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Header-only mining.
    Standard,
    /// The client rolls an extranonce.
    Extended,
}

/// What the pool granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The channel's id.
    pub channel: u32,
    /// Its group's.
    pub group: u32,
}

/// What is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The job.
    pub job: u32,
    /// The header's version.
    pub version: u32,
    /// The header's time.
    pub time: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// What was rolled, on an extended channel.
    pub extranonce: Vec<u8>,
}

/// A share that was found, and what makes it one.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is submitted.
    pub share: Share,
    /// The header's hash.
    pub hash: BlockHash,
}

/// What both sides say of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The client's own channel: whether it is a block, or a code.
    pub client: Result<bool, String>,
    /// The pool: nothing to say against it, or a code.
    pub pool: Result<(), String>,
}

/// A connection and what was opened on it.
#[derive(Debug)]
pub struct Client {
    link: Link,
    channels: BTreeMap<u32, Channel>,
    groups: BTreeMap<u32, GroupChannel>,
    opened: Option<Opened>,
    next_sequence: u32,
    /// Shares that were sent and not answered, by channel.
    waiting: BTreeMap<u32, Vec<u32>>,
    /// What the pool said of each share, until it is asked for.
    answers: BTreeMap<u32, Result<(), String>>,
    /// `SetTarget` messages that came.
    pub targets: usize,
    /// Jobs and tips that were addressed to a group.
    pub to_groups: usize,
}

impl Client {
    /// Connects and introduces itself.
    ///
    /// # Panics
    ///
    /// When the pool refuses.
    pub fn connect(pool: &Pool, flags: u32) -> Self {
        let mut link = Link::connect(pool.listen(), &pool.authority_key());
        link.set_up(
            Protocol::MiningProtocol,
            flags,
            pool.listen(),
            "channels_sv2",
        );
        Self {
            link,
            channels: BTreeMap::new(),
            groups: BTreeMap::new(),
            opened: None,
            next_sequence: 0,
            waiting: BTreeMap::new(),
            answers: BTreeMap::new(),
            targets: 0,
            to_groups: 0,
        }
    }

    /// Opens a channel and waits for its first job.
    ///
    /// # Panics
    ///
    /// When the pool refuses.
    pub fn open(&mut self, kind: Kind, user: &Address, hash_rate: f32) -> Opened {
        let user = user.to_string();
        let user_identity = user.as_str().try_into().expect("short");
        self.send(match kind {
            Kind::Standard => {
                MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
                    request_id: 1,
                    user_identity,
                    nominal_hash_rate: hash_rate,
                    max_target: ANY_TARGET.into(),
                })
            }
            Kind::Extended => {
                MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
                    request_id: 1,
                    user_identity,
                    nominal_hash_rate: hash_rate,
                    max_target: ANY_TARGET.into(),
                    min_extranonce_size: 8,
                })
            }
        });
        self.step_until("the channel", |client| client.opened.is_some());
        let opened = self.opened.take().expect("it was just looked at");
        self.step_until("the first job", |client| {
            client.channel(opened.channel).active().is_some()
        });
        opened
    }

    /// Declares another hash rate; the answer is counted in [`Self::targets`].
    pub fn update(&mut self, channel: u32, hash_rate: f32) {
        self.send(MiningOwned::UpdateChannel(UpdateChannelOwned {
            channel_id: channel,
            nominal_hash_rate: hash_rate,
            maximum_target: ANY_TARGET.into(),
        }));
    }

    /// Closes a channel, or those of a group.
    pub fn close(&mut self, id: u32) {
        self.send(MiningOwned::CloseChannel(CloseChannelOwned {
            channel_id: id,
            reason_code: "done".try_into().expect("short"),
        }));
        for member in self.members(id) {
            self.channels.remove(&member);
            let groups = self.groups.values_mut();
            groups.for_each(|group| group.remove_channel_id(member));
        }
        self.groups.retain(|_, group| !group.is_empty());
    }

    /// Takes messages until something is so.
    ///
    /// # Panics
    ///
    /// When it is not after some time without a message.
    pub fn step_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let message = self.link.receive_within(LIMIT);
            let message = message.unwrap_or_else(|| panic!("waited in vain for {what}"));
            self.handle(message);
        }
    }

    /// Whether every channel works on the block after `tip`.
    pub fn is_on(&self, tip: &str) -> bool {
        let mut tips = self.channels.values().map(Channel::prev_hash);
        tips.all(|seen| seen.is_some_and(|seen| seen.to_string() == tip))
    }

    /// The target that the next job of a channel will have.
    pub fn target(&self, channel: u32) -> Target {
        self.channel(channel).target()
    }

    /// The id and the target of the newest job of a channel.
    ///
    /// # Panics
    ///
    /// When the channel has none.
    pub fn job(&self, channel: u32) -> (u32, Target) {
        let job = self.channel(channel).active().expect("it has a job");
        (job.id, job.target)
    }

    /// The same of older jobs that still take shares, oldest first.
    pub fn past_jobs(&self, channel: u32) -> Vec<(u32, Target)> {
        let past = self.channel(channel).past().into_iter();
        past.map(|Job { id, target, .. }| (id, target)).collect()
    }

    /// What the client's channel has counted.
    pub fn accounting(&self, channel: u32) -> &ShareAccounting {
        self.channel(channel).accounting()
    }

    /// The network's target for the channel's present block.
    ///
    /// # Panics
    ///
    /// When the channel has no tip.
    pub fn network_target(&self, channel: u32) -> Target {
        let tip = self.channel(channel).tip().expect("it has a tip");
        Target::from_compact(CompactTarget::from_consensus(tip.nbits()))
    }

    /// Searches a job for a header that is as wanted, from the nonce `seed` on; `adjust` may change
    /// what a share is made of before.
    ///
    /// # Panics
    ///
    /// When the channel has no such job for its present tip.
    pub fn find(
        &self,
        channel: u32,
        job: u32,
        seed: u32,
        adjust: impl FnOnce(&mut Share),
        is_wanted: impl Fn(BlockHash) -> bool,
    ) -> Found {
        let channel = self.channel(channel);
        let job = channel.job(job).expect("the job is for the present tip");
        channel.find(&job, seed, adjust, is_wanted)
    }

    /// Submits a share, and gives what both sides say of it.
    ///
    /// # Panics
    ///
    /// When the pool does not answer.
    pub fn submit(&mut self, channel: u32, kind: Kind, share: &Share) -> Judged {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let open = self.channels.get_mut(&channel);
        let closed = Err(ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID.to_owned());
        let (client, message) = match kind {
            Kind::Standard => {
                let message = SubmitSharesStandardOwned {
                    channel_id: channel,
                    sequence_number: sequence,
                    job_id: share.job,
                    nonce: share.nonce,
                    ntime: share.time,
                    version: share.version,
                };
                let own = open.map_or(closed, |channel| channel.judge_standard(message.clone()));
                (own, MiningOwned::SubmitSharesStandard(message))
            }
            Kind::Extended => {
                let message = SubmitSharesExtendedOwned {
                    channel_id: channel,
                    sequence_number: sequence,
                    job_id: share.job,
                    nonce: share.nonce,
                    ntime: share.time,
                    version: share.version,
                    extranonce: share.extranonce.clone().try_into().expect("short"),
                };
                let own = open.map_or(closed, |channel| channel.judge_extended(message.clone()));
                (own, MiningOwned::SubmitSharesExtended(message))
            }
        };
        self.waiting.entry(channel).or_default().push(sequence);
        self.send(message);
        self.step_until("the answer to a share", |client| {
            client.answers.contains_key(&sequence)
        });
        let pool = self.answers.remove(&sequence).expect("it was waited for");
        Judged { client, pool }
    }

    fn send(&mut self, message: MiningOwned) {
        self.link.send(AnyMessageOwned::Mining(message));
    }

    fn channel(&self, id: u32) -> &Channel {
        self.channels.get(&id).expect("the channel is open")
    }

    fn channel_mut(&mut self, id: u32) -> &mut Channel {
        let channel = self.channels.get_mut(&id);
        channel.unwrap_or_else(|| panic!("the pool speaks to channel {id}, which is not open"))
    }

    fn handle(&mut self, message: AnyMessageOwned) {
        let AnyMessageOwned::Mining(message) = message else {
            panic!("the pool sent {message}");
        };
        match message {
            MiningOwned::OpenStandardMiningChannelSuccess(open) => {
                let channel = Channel::standard(&open);
                self.add(open.channel_id, open.group_channel_id, channel);
            }
            MiningOwned::OpenExtendedMiningChannelSuccess(open) => {
                let channel = Channel::extended(&open);
                self.add(open.channel_id, open.group_channel_id, channel);
            }
            MiningOwned::NewMiningJob(job) => {
                self.channel_mut(job.channel_id).take_standard_job(job);
            }
            MiningOwned::NewExtendedMiningJob(job) => self.handle_extended_job(&job),
            MiningOwned::SetNewPrevHash(tip) => self.handle_tip(&tip),
            MiningOwned::SetTarget(target) => self.handle_target(&target),
            MiningOwned::SubmitSharesSuccess(success) => self.handle_success(&success),
            MiningOwned::SubmitSharesError(error) => self.handle_error(&error),
            other => panic!("the pool sent {other}"),
        }
    }

    fn add(&mut self, id: u32, group: u32, channel: Channel) {
        assert_ne!(id, group, "a channel and a group have one id");
        assert!(!self.groups.contains_key(&id) && !self.channels.contains_key(&group));
        let members = self.groups.entry(group);
        let members = members.or_insert_with(|| GroupChannel::new(group));
        let joined = members.add_channel_id(id, channel.extranonce_len());
        joined.expect("one length of extranonce in a group");
        let before = self.channels.insert(id, channel);
        assert!(before.is_none(), "id {id} came twice");
        self.opened = Some(Opened { channel: id, group });
    }

    /// The channels that a message to `id` is for.
    fn members(&self, id: u32) -> Vec<u32> {
        match self.groups.get(&id) {
            Some(group) => group.get_channel_ids().copied().collect(),
            None => vec![id],
        }
    }

    fn handle_extended_job(&mut self, job: &NewExtendedMiningJobOwned) {
        let group = self.groups.get_mut(&job.channel_id);
        let is_group_s = group.is_some();
        if let Some(group) = group {
            group.on_new_extended_mining_job(job.clone());
            self.to_groups += 1;
        }
        for member in self.members(job.channel_id) {
            let channel = self.channel_mut(member);
            channel.take_extended_job(job.clone(), is_group_s);
        }
    }

    fn handle_tip(&mut self, tip: &SetNewPrevHashOwned) {
        if let Some(group) = self.groups.get_mut(&tip.channel_id) {
            let taken = group.on_set_new_prev_hash(tip.clone());
            taken.expect("a tip that names a future job of the group");
            self.to_groups += 1;
        }
        for member in self.members(tip.channel_id) {
            self.channel_mut(member).take_tip(tip.clone());
        }
    }

    fn handle_target(&mut self, message: &SetTargetOwned) {
        self.targets += 1;
        let target = Target::from_le_bytes(*message.maximum_target.as_array());
        for member in self.members(message.channel_id) {
            self.channel_mut(member).take_target(target);
        }
    }

    fn handle_success(&mut self, success: &SubmitSharesSuccessOwned) {
        let waiting = self.waiting.remove(&success.channel_id);
        let (answered, rest): (Vec<u32>, _) = waiting
            .into_iter()
            .flatten()
            .partition(|sequence| *sequence <= success.last_sequence_number);
        let count = success.new_submits_accepted_count;
        assert_eq!(u32::try_from(answered.len()), Ok(count));
        self.waiting.insert(success.channel_id, rest);
        let answers = answered.into_iter().map(|sequence| (sequence, Ok(())));
        self.answers.extend(answers);
        let channel = self.channel_mut(success.channel_id);
        channel.acknowledge(count, success.new_shares_sum);
    }

    fn handle_error(&mut self, error: &SubmitSharesErrorOwned) {
        let code = error.error_code.as_utf8_or_hex();
        let waiting = self.waiting.entry(error.channel_id).or_default();
        waiting.retain(|sequence| *sequence != error.sequence_number);
        // A channel that was closed is spoken of all the same.
        if let Some(channel) = self.channels.get_mut(&error.channel_id) {
            channel.reject(&code);
        }
        self.answers.insert(error.sequence_number, Err(code));
    }
}
