//! The same channels on the server side of `channels_sv2`, put together as a pool does it: they are
//! given each message that our server sends, as if it were theirs to send.

use std::collections::BTreeMap;

use bitcoin::{Amount, Target, TxOut, consensus};
use channels_sv2::extranonce_manager::ExtranonceAllocator;
use channels_sv2::server::extended::ExtendedChannel;
use channels_sv2::server::group::GroupChannel;
use channels_sv2::server::jobs::extended::ExtendedJob;
use channels_sv2::server::share_accounting::{ShareValidationError, ShareValidationResult};
use channels_sv2::server::standard::StandardChannel;
use headframe_sv2_wire::mining::{MiningMessage, SetNewPrevHash};
use headframe_sv2_wire::{Frame, Incoming};
use headframe_testkit::{MinerJob, Nonce, RootSource, address};
use mining_sv2::{SubmitSharesExtendedOwned, SubmitSharesStandardOwned};
use template_distribution_sv2::{NewTemplateOwned, SetNewPrevHashOwned};

use crate::Verdict;

/// The length of a whole extranonce, and what a miner rolls of it.
const EXTRANONCE_LEN: usize = 12;
const ROLLED_LEN: u16 = 8;
/// Shares a minute that a channel is made for: it chooses the memory for shares.
pub(crate) const SHARES_PER_MINUTE: f32 = 3.0;
/// The least memory that a channel is made with.
pub(crate) const SHARES_REMEMBERED: usize = 4_096;
/// What is said where theirs wants the channel to be closed.
pub(crate) const CLOSE: &str = "(the channel is to be closed)";
const NO_TEMPLATE: u64 = u64::MAX;

/// Channels, groups, and which of our jobs theirs stand for.
pub(crate) struct Theirs {
    settings: Settings,
    allocator: ExtranonceAllocator,
    channels: BTreeMap<u32, Channel>,
    groups: BTreeMap<u32, Group>,
    tip: Option<([u8; 32], u32, u32)>,
    /// Their jobs, by channel and our job's id.
    jobs: BTreeMap<(u32, u32), MinerJob>,
}

/// How a pool of theirs may be set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) is_rolling_allowed: bool,
    /// Numbers that a group's jobs pass over. A group numbers its jobs itself and so do its channels,
    /// so that numbers come twice on a channel where it passes over none.
    pub(crate) passed_over: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            is_rolling_allowed: true,
            passed_over: 500,
        }
    }
}

struct Group {
    channel: GroupChannel,
    members: Vec<u32>,
    /// A template that waits for its tip.
    future: Option<u64>,
}

enum Channel {
    Standard(StandardChannel),
    Extended(ExtendedChannel),
}

/// A job of ours, as far as it is the template's.
struct Work<'a> {
    id: u32,
    is_future: bool,
    version: u32,
    path: &'a [[u8; 32]],
}

impl Theirs {
    pub(crate) fn new(settings: Settings) -> Self {
        let allocator = ExtranonceAllocator::new(vec![1, 2, 3], EXTRANONCE_LEN as u8, 256);
        Self {
            settings,
            allocator: allocator.expect("a good division"),
            channels: BTreeMap::new(),
            groups: BTreeMap::new(),
            tip: None,
            jobs: BTreeMap::new(),
        }
    }

    /// Takes what our server sent.
    pub(crate) fn mirror(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((frame, after)) = Frame::split(rest) {
            match Incoming::<MiningMessage<'_>>::decode(frame).expect("a message") {
                Incoming::Protocol(message) => self.take(message),
                other => panic!("our server sent {other:?}"),
            }
            rest = after;
        }
    }

    pub(crate) fn close(&mut self, id: u32) {
        let members = self.groups.remove(&id).map(|group| group.members);
        for member in members.unwrap_or_else(|| vec![id]) {
            self.channels.remove(&member);
            for group in self.groups.values_mut() {
                group.channel.remove_channel_id(member);
                group.members.retain(|other| *other != member);
            }
        }
        self.groups.retain(|_, group| !group.members.is_empty());
    }

    /// Their job in the place of ours with this id.
    pub(crate) fn job(&self, channel: u32, our_id: u32) -> &MinerJob {
        &self.jobs[&(channel, our_id)]
    }

    pub(crate) fn submit(&mut self, channel: u32, is_extended: bool, nonce: &Nonce) -> Verdict {
        // What no channel has is the pool's to refuse; the reference pool's code is the same.
        let code = mining_sv2::ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID;
        let nobody = Verdict::rejected(code);
        let (job_id, version) = (nonce.job_id, nonce.version());
        let (ntime, bits) = (nonce.header.time, nonce.header.nonce);
        let result = match (self.channels.get_mut(&channel), is_extended) {
            (Some(Channel::Standard(channel)), false) => {
                channel.validate_share(SubmitSharesStandardOwned {
                    channel_id: channel.channel_id,
                    sequence_number: 1,
                    job_id,
                    nonce: bits,
                    ntime,
                    version,
                })
            }
            (Some(Channel::Extended(channel)), true) => {
                channel.validate_share(SubmitSharesExtendedOwned {
                    channel_id: channel.get_channel_id(),
                    sequence_number: 1,
                    job_id,
                    nonce: bits,
                    ntime,
                    version,
                    extranonce: nonce.extranonce.clone().try_into().expect("short"),
                })
            }
            _ => return nobody,
        };
        match result {
            Ok(result) => Verdict {
                code: None,
                is_block: matches!(result, ShareValidationResult::BlockFound(..)),
            },
            Err(error) => Verdict::rejected(code_of(&error)),
        }
    }

    fn take(&mut self, message: MiningMessage<'_>) {
        match message {
            MiningMessage::OpenStandardMiningChannelSuccess(open) => {
                let target = Target::from_le_bytes(open.target.to_le_bytes());
                let channel = self.standard(open.channel_id, target);
                self.add(open.channel_id, open.group_channel_id, channel);
            }
            MiningMessage::OpenExtendedMiningChannelSuccess(open) => {
                assert_eq!(open.extranonce_size, ROLLED_LEN);
                let target = Target::from_le_bytes(open.target.to_le_bytes());
                let channel = self.extended(open.channel_id, target);
                self.add(open.channel_id, open.group_channel_id, channel);
            }
            MiningMessage::NewMiningJob(job) => {
                let work = Work {
                    id: job.job_id,
                    is_future: job.min_ntime.is_none(),
                    version: job.version,
                    path: &[],
                };
                self.take_job(job.channel_id, &work);
            }
            MiningMessage::NewExtendedMiningJob(job) => {
                let path = job.merkle_path.iter();
                let path: Vec<_> = path.map(|hash| hash.to_le_bytes()).collect();
                let work = Work {
                    id: job.job_id,
                    is_future: job.min_ntime.is_none(),
                    version: job.version,
                    path: &path,
                };
                match self.groups.contains_key(&job.channel_id) {
                    true => self.take_group_job(job.channel_id, &work),
                    false => self.take_job(job.channel_id, &work),
                }
            }
            MiningMessage::SetNewPrevHash(tip) => self.take_tip(&tip),
            MiningMessage::SetTarget(message) => {
                let target = Target::from_le_bytes(message.maximum_target.to_le_bytes());
                let channel = self.channels.get_mut(&message.channel_id);
                channel.expect("the channel is open").set_target(target);
            }
            // Answers are compared where they are asked for.
            MiningMessage::SubmitSharesSuccess(_) | MiningMessage::SubmitSharesError(_) => {}
            other => panic!("our server sent {}", other.info().name),
        }
    }

    fn standard(&mut self, id: u32, target: Target) -> Channel {
        let prefix = self.allocator.allocate_standard();
        let channel = StandardChannel::new_for_pool(
            id,
            String::new(),
            prefix.expect("256 are enough"),
            any_target(),
            1.0,
            1,
            SHARES_PER_MINUTE,
            String::new(),
            None,
        );
        let mut channel = Channel::Standard(channel.expect("a channel"));
        channel.set_target(target);
        channel
    }

    fn extended(&mut self, id: u32, target: Target) -> Channel {
        let prefix = self.allocator.allocate_extended(ROLLED_LEN.into());
        let channel = ExtendedChannel::new_for_pool(
            id,
            String::new(),
            prefix.expect("256 are enough"),
            any_target(),
            1.0,
            self.settings.is_rolling_allowed,
            ROLLED_LEN,
            1,
            SHARES_PER_MINUTE,
            String::new(),
            None,
        );
        let mut channel = Channel::Extended(channel.expect("a channel"));
        channel.set_target(target);
        channel
    }

    fn add(&mut self, id: u32, group: u32, channel: Channel) {
        if !self.groups.contains_key(&group) {
            let made = Group::new(group, self.settings, self.tip);
            self.groups.insert(group, made);
        }
        let group = self.groups.get_mut(&group).expect("it was just made");
        let joined = group.channel.add_channel_id(id, EXTRANONCE_LEN);
        joined.expect("one length");
        group.members.push(id);
        self.channels.insert(id, channel);
    }

    fn take_job(&mut self, id: u32, work: &Work<'_>) {
        let channel = self.channels.get_mut(&id).expect("the channel is open");
        let (template, outputs) = (template(work), outputs());
        match channel {
            Channel::Standard(channel) => channel
                .on_new_template(template, outputs)
                .expect("a good template"),
            Channel::Extended(channel) => channel
                .on_new_template(template, outputs)
                .expect("a good template"),
        }
        if !work.is_future {
            self.note_active(id, work.id);
        }
    }

    fn take_group_job(&mut self, id: u32, work: &Work<'_>) {
        let group = self.groups.get_mut(&id).expect("it was looked for");
        let channel = &mut group.channel;
        let taken = channel.on_new_template(template(work), outputs());
        taken.expect("a good template");
        let job = match work.is_future {
            true => {
                group.future = Some(work.id.into());
                let future = channel.get_future_job_id_from_template_id(work.id.into());
                future.and_then(|future| channel.get_future_job(future))
            }
            false => channel.get_active_job(),
        };
        let job = job.expect("it was just made").clone();
        let members = group.members.clone();
        for id in members {
            match self.channels.get_mut(&id) {
                Some(Channel::Standard(channel)) => channel
                    .on_group_channel_job(job.clone())
                    .expect("a good job"),
                Some(Channel::Extended(channel)) => channel
                    .on_group_channel_job(job.clone())
                    .expect("a good job"),
                None => panic!("a member that is closed"),
            }
            if !work.is_future {
                self.note_active(id, work.id);
            }
        }
    }

    fn take_tip(&mut self, message: &SetNewPrevHash) {
        let prev_hash = message.prev_hash.to_le_bytes();
        self.tip = Some((prev_hash, message.nbits, message.min_ntime));
        let tip = tip(message.job_id.into(), self.tip.expect("just set"));
        for (id, group) in &mut self.groups {
            let is_addressed = *id == message.channel_id;
            group.take_tip(&tip, is_addressed);
        }
        let members = match self.groups.get(&message.channel_id) {
            Some(group) => group.members.clone(),
            None => vec![message.channel_id],
        };
        for id in members {
            match self.channels.get_mut(&id) {
                Some(Channel::Standard(channel)) => channel
                    .on_set_new_prev_hash(tip.clone())
                    .expect("it names a future job of the channel"),
                Some(Channel::Extended(channel)) => channel
                    .on_set_new_prev_hash(tip.clone())
                    .expect("it names a future job of the channel"),
                None => panic!("a tip for nobody"),
            }
            self.note_active(id, message.job_id);
        }
    }

    /// The channel's present job is theirs in the place of ours.
    fn note_active(&mut self, id: u32, our_id: u32) {
        let (prev_hash, bits, time) = self.tip.expect("a job that began has a tip");
        let job = match &self.channels[&id] {
            Channel::Standard(channel) => {
                let job = channel.get_active_job().expect("it was activated");
                let root = RootSource::Given(job.get_merkle_root().to_array());
                let (id, version) = (job.get_job_id(), job.get_version());
                let time = job.get_min_ntime().unwrap_or(time);
                let target = *channel.get_target();
                MinerJob {
                    id,
                    version,
                    prev_hash,
                    bits,
                    time,
                    root,
                    target,
                }
            }
            Channel::Extended(channel) => {
                let job = channel.get_active_job().expect("it was activated");
                MinerJob {
                    id: job.get_job_id(),
                    version: job.get_version(),
                    prev_hash,
                    bits,
                    time: job.get_min_ntime().unwrap_or(time),
                    root: root(job),
                    target: *channel.get_target(),
                }
            }
        };
        self.jobs.insert((id, our_id), job);
    }
}

impl Channel {
    fn set_target(&mut self, target: Target) {
        match self {
            Self::Standard(channel) => channel.set_target(target).expect("above 0"),
            Self::Extended(channel) => channel.set_target(target).expect("above 0"),
        }
    }
}

impl Group {
    fn new(id: u32, settings: Settings, present: Option<([u8; 32], u32, u32)>) -> Self {
        let allowed = settings.is_rolling_allowed;
        let channel = GroupChannel::new_for_pool(id, EXTRANONCE_LEN, allowed, String::new());
        let mut group = Self {
            channel: channel.expect("a group"),
            members: Vec::new(),
            future: None,
        };
        let pass = Work {
            id: 0,
            is_future: true,
            version: 0,
            path: &[],
        };
        for _ in 0..settings.passed_over {
            let template = NewTemplateOwned {
                template_id: NO_TEMPLATE,
                ..template(&pass)
            };
            let taken = group.channel.on_new_template(template, outputs());
            taken.expect("a good template");
        }
        group.future = Some(NO_TEMPLATE);
        if let Some(present) = present {
            group.take_tip(&tip(NO_TEMPLATE, present), true);
        }
        group
    }

    /// A group whose members are told of the tip one by one learns it all the same.
    fn take_tip(&mut self, tip: &SetNewPrevHashOwned, is_addressed: bool) {
        let waiting = self.future.take();
        let template_id = match is_addressed {
            true => tip.template_id,
            false => waiting.unwrap_or(NO_TEMPLATE),
        };
        let taken = self.channel.on_set_new_prev_hash(SetNewPrevHashOwned {
            template_id,
            ..tip.clone()
        });
        taken.expect("it names a future job of the group");
    }
}

/// The target of a client that has no wish.
pub(crate) fn any_target() -> Target {
    Target::from_le_bytes([0xff; 32])
}

/// The target with which a channel is opened, if it is.
pub(crate) fn granted(hash_rate: f32, max_target: Target) -> Option<Target> {
    let allocator = ExtranonceAllocator::new(Vec::new(), EXTRANONCE_LEN as u8, 256);
    let prefix = allocator.and_then(|mut allocator| allocator.allocate_standard());
    let channel = StandardChannel::new_for_pool(
        1,
        String::new(),
        prefix.expect("the first"),
        max_target,
        hash_rate,
        1,
        SHARES_PER_MINUTE,
        String::new(),
        None,
    );
    channel.ok().map(|channel| *channel.get_target())
}

fn root(job: &ExtendedJob) -> RootSource {
    RootSource::Coinbase {
        prefix: job.get_coinbase_tx_prefix_without_bip141(),
        extranonce_prefix: job.get_extranonce_prefix().to_vec(),
        rolled_len: ROLLED_LEN.into(),
        suffix: job.get_coinbase_tx_suffix_without_bip141(),
        path: job
            .get_merkle_path()
            .iter()
            .map(|hash| hash.to_array())
            .collect(),
    }
}

fn template(work: &Work<'_>) -> NewTemplateOwned {
    let path: Vec<_> = work.path.iter().map(|hash| (*hash).into()).collect();
    let commitment = TxOut {
        value: Amount::ZERO,
        script_pubkey: bitcoin::ScriptBuf::from_bytes([&[0x6a, 0x24][..], &[7; 36]].concat()),
    };
    NewTemplateOwned {
        template_id: work.id.into(),
        future_template: work.is_future,
        version: work.version,
        coinbase_tx_version: 2,
        coinbase_prefix: vec![2, 0xe8, 3].try_into().expect("short"),
        coinbase_tx_input_sequence: 0xffff_fffe,
        coinbase_tx_value_remaining: outputs()[0].value.to_sat(),
        coinbase_tx_outputs_count: 1,
        coinbase_tx_outputs: consensus::serialize(&commitment).try_into().expect("short"),
        coinbase_tx_locktime: 0,
        merkle_path: path.try_into().expect("short"),
    }
}

fn outputs() -> Vec<TxOut> {
    vec![TxOut {
        value: Amount::from_sat(5_000_000_000),
        script_pubkey: address(1).script_pubkey(),
    }]
}

fn tip(template_id: u64, (prev_hash, bits, time): ([u8; 32], u32, u32)) -> SetNewPrevHashOwned {
    let target = Target::from_compact(bitcoin::CompactTarget::from_consensus(bits));
    SetNewPrevHashOwned {
        template_id,
        prev_hash: prev_hash.into(),
        header_timestamp: time,
        n_bits: bits,
        target: target.to_le_bytes().into(),
    }
}

fn code_of(error: &ShareValidationError) -> &'static str {
    match error {
        ShareValidationError::Invalid(code)
        | ShareValidationError::Stale(code)
        | ShareValidationError::InvalidJobId(code)
        | ShareValidationError::DoesNotMeetTarget(code)
        | ShareValidationError::VersionRollingNotAllowed(code)
        | ShareValidationError::DuplicateShare(code)
        | ShareValidationError::BadExtranonceSize(code) => code,
        ShareValidationError::SeenSharesBudgetExhausted => CLOSE,
        other => panic!("{other:?}"),
    }
}
