//! A Stratum V2 client that speaks frames, and minds what deployed firmware minds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bitcoin::Target;
use headframe_sv2_wire::common::{CommonMessage, SetupConnection};
use headframe_sv2_wire::extensions::{ExtensionsMessage, RequestExtensions};
use headframe_sv2_wire::mining::{
    CloseChannel, MiningMessage, NewExtendedMiningJob, NewMiningJob, OpenExtendedMiningChannel,
    OpenStandardMiningChannel, SetNewPrevHash, SubmitSharesError, SubmitSharesExtended,
    SubmitSharesStandard, SubmitSharesSuccess, UpdateChannel,
};
use headframe_sv2_wire::tlv::TlvTail;
use headframe_sv2_wire::{
    Bytes32, Frame, Incoming, Message, Protocol, Seq64K, Str255, U256, codes, try_write_frame,
};

use crate::pool::Device;
use crate::{MinerJob, Nonce, RootSource};

/// The extensions that are supported; or those that are not, and those that are required.
pub type ExtensionsAnswer = Result<Vec<u16>, (Vec<u16>, Vec<u16>)>;

/// The client's end of a connection.
#[derive(Debug, Default)]
pub struct Sv2Miner {
    /// The channels by id.
    pub channels: BTreeMap<u32, MinerChannel>,
    /// The channels in the order in which they were opened.
    pub opened: Vec<u32>,
    /// The names of all messages that came, in order, each with its channel.
    pub transcript: Vec<String>,
    /// Shares that were acknowledged.
    pub acknowledged: Vec<(u32, u32, u32, u64)>,
    /// Shares that were rejected: channel, sequence number, code.
    pub rejected: Vec<(u32, u32, String)>,
    /// The answer to `SetupConnection`: used version and flags, or flags and code.
    pub setup: Option<Result<(u16, u32), (u32, String)>>,
    /// Refused channels: request id and code.
    pub refused: Vec<(u32, String)>,
    /// Codes of `UpdateChannel.Error`.
    pub update_errors: Vec<(u32, String)>,
    /// Channels and groups that the pool closed, each with its reason.
    pub closed: Vec<(u32, String)>,
    /// Where the pool wants it to connect again: host and port. Nothing may come after that.
    pub sent_to: Option<(String, u16)>,
    /// Answers to requests for extensions, each with the request's id.
    pub extensions: Vec<(u16, ExtensionsAnswer)>,
    /// Bytes that follow each extended share from now on.
    pub tail: Vec<u8>,
    /// The frames that came, where they are kept.
    pub heard: Option<Vec<Vec<u8>>>,
    /// The frames that are to be sent.
    pub output: Vec<Vec<u8>>,
    flags: u32,
    bears_all: bool,
    next_sequence: u32,
    next_request: u32,
}

/// A channel as the client sees it.
#[derive(Debug)]
pub struct MinerChannel {
    /// The channel's id.
    pub id: u32,
    /// The group it belongs to.
    pub group: u32,
    /// Whether the client rolls the extranonce.
    pub is_extended: bool,
    /// The pool's part of the extranonce.
    pub extranonce_prefix: Vec<u8>,
    /// Bytes that the client rolls.
    pub extranonce_size: usize,
    /// The target with which it was opened.
    pub opened_with: Target,
    /// The target for jobs that come now.
    pub target: Target,
    /// All jobs that were ever active, in order.
    pub jobs: Vec<MinerJob>,
    /// Jobs that wait for a `SetNewPrevHash`, each with the id that it was addressed to.
    pub future: Vec<(u32, MinerJob)>,
    /// All job ids that ever came.
    pub job_ids: BTreeSet<u32>,
    tip: Option<([u8; 32], u32, u32)>,
}

impl MinerChannel {
    /// The job to work on.
    pub fn job(&self) -> &MinerJob {
        self.jobs.last().expect("the channel has no job")
    }
}

impl Sv2Miner {
    /// Introduces itself with `flags`.
    pub fn set_up(&mut self, flags: u32) {
        self.set_up_as(Protocol::MINING, 2, 2, flags);
    }

    /// Introduces itself as our own miner, which bears what others do not.
    pub fn set_up_as_ours(&mut self, flags: u32) {
        let name = ("headframe 0.0.0", "cpu");
        self.introduce(name, Protocol::MINING, (2, 2), flags);
    }

    /// Introduces itself with whatever a client may say.
    pub fn set_up_as(
        &mut self,
        protocol: Protocol,
        min_version: u16,
        max_version: u16,
        flags: u32,
    ) {
        let name = ("scripted", "testkit");
        self.introduce(name, protocol, (min_version, max_version), flags);
    }

    fn introduce(
        &mut self,
        (vendor, hardware): (&str, &str),
        protocol: Protocol,
        (min_version, max_version): (u16, u16),
        flags: u32,
    ) {
        fn word(word: &str) -> Str255<'_> {
            Str255::new(word).expect("short")
        }
        self.bears_all = vendor.starts_with("headframe");
        self.send(&SetupConnection {
            protocol,
            min_version,
            max_version,
            flags,
            endpoint_host: word("pool"),
            endpoint_port: 34254,
            vendor: word(vendor),
            hardware_version: word(hardware),
            firmware: word(""),
            device_id: word(""),
        });
    }

    /// Asks for extensions.
    pub fn request_extensions(&mut self, request_id: u16, numbers: &[u16]) {
        self.send(&RequestExtensions {
            request_id,
            requested_extensions: Seq64K::new(numbers).expect("at most 65535"),
        });
    }

    /// Opens a standard channel.
    pub fn open_standard(&mut self, user: &str, nominal_hash_rate: f32, max_target: U256) -> u32 {
        let request_id = self.next_request();
        self.send(&OpenStandardMiningChannel {
            request_id,
            user_identity: Str255::new(user).expect("at most 255 bytes"),
            nominal_hash_rate,
            max_target,
        });
        request_id
    }

    /// Opens an extended channel.
    pub fn open_extended(
        &mut self,
        user: &str,
        nominal_hash_rate: f32,
        max_target: U256,
        min_extranonce_size: u16,
    ) -> u32 {
        let request_id = self.next_request();
        self.send(&OpenExtendedMiningChannel {
            request_id,
            user_identity: Str255::new(user).expect("at most 255 bytes"),
            nominal_hash_rate,
            max_target,
            min_extranonce_size,
        });
        request_id
    }

    /// Declares another hashrate or target.
    pub fn update(&mut self, channel_id: u32, nominal_hash_rate: f32, maximum_target: U256) {
        self.send(&UpdateChannel {
            channel_id,
            nominal_hash_rate,
            maximum_target,
        });
    }

    /// Closes a channel or group.
    pub fn close(&mut self, channel_id: u32) {
        self.send(&CloseChannel {
            channel_id,
            reason_code: codes::Code::new("done").expect("printable"),
        });
    }

    /// Submits `nonce` on a channel of its own, and says under which sequence number.
    pub fn submit(&mut self, channel_id: u32, nonce: &Nonce) -> u32 {
        let is_extended = self.channels[&channel_id].is_extended;
        self.submit_as(channel_id, is_extended, nonce)
    }

    /// Submits `nonce` in the message for extended or for standard channels.
    pub fn submit_as(&mut self, channel_id: u32, is_extended: bool, nonce: &Nonce) -> u32 {
        let sequence_number = self.next_sequence;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        let (job_id, version) = (nonce.job_id, nonce.version());
        let (ntime, nonce_bits) = (nonce.header.time, nonce.header.nonce);
        let tail = self.tail.clone();
        match is_extended {
            true => self.send(&SubmitSharesExtended {
                channel_id,
                sequence_number,
                job_id,
                nonce: nonce_bits,
                ntime,
                version,
                extranonce: Bytes32::new(&nonce.extranonce).expect("at most 32 bytes"),
                tlvs: TlvTail::new(&tail).expect("short"),
            }),
            false => self.send(&SubmitSharesStandard {
                channel_id,
                sequence_number,
                job_id,
                nonce: nonce_bits,
                ntime,
                version,
            }),
        }
        sequence_number
    }

    /// Begins the sequence numbers anew from `number`.
    pub fn count_from(&mut self, number: u32) {
        self.next_sequence = number;
    }

    /// Sends any message.
    pub fn send<'a>(&mut self, message: &impl Message<'a>) {
        let mut frame = Vec::new();
        try_write_frame(message, &mut frame).expect("fits a frame");
        self.output.push(frame);
    }

    /// The code that share `sequence` was rejected with.
    pub fn rejection(&self, sequence: u32) -> Option<&str> {
        let rejected = self
            .rejected
            .iter()
            .find(|(_, number, _)| *number == sequence);
        rejected.map(|(_, _, code)| code.as_str())
    }

    fn next_request(&mut self) -> u32 {
        self.next_request += 1;
        self.next_request
    }

    fn note(&mut self, name: &str, channel: u32) {
        self.transcript.push(format!("{name} {channel}"));
    }

    fn handle_common(&mut self, message: &CommonMessage<'_>) {
        match message {
            CommonMessage::SetupConnectionSuccess(success) => {
                self.setup = Some(Ok((success.used_version, success.flags)));
                self.transcript.push("SetupConnection.Success".to_owned());
            }
            CommonMessage::SetupConnectionError(error) => {
                self.setup = Some(Err((error.flags, error.error_code.to_string())));
                self.transcript.push("SetupConnection.Error".to_owned());
            }
            CommonMessage::Reconnect(demand) if self.bears_all => {
                self.transcript.push("Reconnect".to_owned());
                self.sent_to = Some((demand.new_host.to_string(), demand.new_port));
            }
            other => panic!("the pool sent {}", other.info().name),
        }
    }

    fn handle_extensions(&mut self, message: &ExtensionsMessage<'_>) {
        let (request_id, answer) = match message {
            ExtensionsMessage::RequestExtensionsSuccess(success) => {
                let supported = success.supported_extensions.iter().collect();
                (success.request_id, Ok(supported))
            }
            ExtensionsMessage::RequestExtensionsError(error) => {
                let unsupported = error.unsupported_extensions.iter().collect();
                let required = error.required_extensions.iter().collect();
                (error.request_id, Err((unsupported, required)))
            }
            other => panic!("the pool sent {}", other.info().name),
        };
        self.transcript.push(message.info().name.to_owned());
        self.extensions.push((request_id, answer));
    }

    fn handle_mining(&mut self, message: MiningMessage<'_>) {
        match message {
            MiningMessage::OpenStandardMiningChannelSuccess(open) => self.handle_opened(
                MinerChannel::new(open.channel_id, open.group_channel_id, open.target),
                open.extranonce_prefix.as_bytes(),
                None,
            ),
            MiningMessage::OpenExtendedMiningChannelSuccess(open) => self.handle_opened(
                MinerChannel::new(open.channel_id, open.group_channel_id, open.target),
                open.extranonce_prefix.as_bytes(),
                Some(open.extranonce_size.into()),
            ),
            MiningMessage::OpenMiningChannelError(error) => {
                self.note("OpenMiningChannel.Error", error.request_id);
                let code = error.error_code.to_string();
                self.refused.push((error.request_id, code));
            }
            MiningMessage::NewMiningJob(job) => self.handle_standard_job(&job),
            MiningMessage::NewExtendedMiningJob(job) => self.handle_extended_job(&job),
            MiningMessage::SetNewPrevHash(tip) => self.handle_tip(&tip),
            MiningMessage::SetTarget(target) => {
                self.note("SetTarget", target.channel_id);
                let new = Target::from_le_bytes(target.maximum_target.to_le_bytes());
                for channel in self.addressed(target.channel_id) {
                    channel.target = new;
                    // MP-121: it holds for future jobs that came already.
                    channel
                        .future
                        .iter_mut()
                        .for_each(|(_, job)| job.target = new);
                }
            }
            MiningMessage::SubmitSharesSuccess(success) => self.handle_success(&success),
            MiningMessage::SubmitSharesError(error) => self.handle_error(&error),
            MiningMessage::UpdateChannelError(error) => {
                let code = error.error_code.to_string();
                self.update_errors.push((error.channel_id, code));
            }
            MiningMessage::SetCustomMiningJobError(error) => {
                self.note("SetCustomMiningJob.Error", error.channel_id);
            }
            MiningMessage::CloseChannel(close) if self.bears_all => {
                self.note("CloseChannel", close.channel_id);
                let ids: Vec<u32> = self
                    .addressed(close.channel_id)
                    .iter()
                    .map(|it| it.id)
                    .collect();
                self.channels.retain(|id, _| !ids.contains(id));
                let reason = close.reason_code.to_string();
                self.closed.push((close.channel_id, reason));
            }
            other => panic!("the pool sent {}", other.info().name),
        }
    }

    fn handle_opened(&mut self, mut channel: MinerChannel, prefix: &[u8], size: Option<usize>) {
        let name = match size {
            Some(_) => "OpenExtendedMiningChannel.Success",
            None => "OpenStandardMiningChannel.Success",
        };
        self.note(name, channel.id);
        channel.is_extended = size.is_some();
        channel.extranonce_size = size.unwrap_or(0);
        channel.extranonce_prefix = prefix.to_vec();
        assert!(prefix.len() + channel.extranonce_size <= 32, "MP-41");
        assert_ne!(channel.id, channel.group, "MP-16");
        let is_new = self
            .channels
            .values()
            .all(|other| other.group != channel.id);
        assert!(is_new && !self.opened.contains(&channel.id), "MP-14, MP-16");
        self.opened.push(channel.id);
        self.channels.insert(channel.id, channel);
    }

    fn handle_standard_job(&mut self, job: &NewMiningJob) {
        self.note(job_name("NewMiningJob", job.min_ntime), job.channel_id);
        let root = RootSource::Given(job.merkle_root.to_le_bytes());
        let channel = self.channels.get_mut(&job.channel_id);
        let channel = channel.expect("MP-4: a standard job is for one channel");
        assert!(
            !channel.is_extended,
            "MP-4: a standard job on an extended channel"
        );
        channel.take_job(job.channel_id, job.job_id, job.version, job.min_ntime, root);
    }

    fn handle_extended_job(&mut self, job: &NewExtendedMiningJob<'_>) {
        self.note(
            job_name("NewExtendedMiningJob", job.min_ntime),
            job.channel_id,
        );
        let is_fixed = matches!(self.setup, Some(Ok((_, flags))) if flags & 1 == 1);
        assert_ne!(
            job.version_rolling_allowed, is_fixed,
            "MP-28; SRI's translator leaves a pool that forbids it"
        );
        assert_eq!(self.flags & 1, 0, "MP-24: the client takes standard jobs");
        let is_for_one = self.channels.contains_key(&job.channel_id);
        let path: Vec<_> = job
            .merkle_path
            .iter()
            .map(|hash| hash.to_le_bytes())
            .collect();
        for channel in self.addressed(job.channel_id) {
            assert!(
                channel.is_extended || !is_for_one,
                "MP-5: an extended job on a standard channel"
            );
            let rolled_len = channel.extranonce_size;
            let root = RootSource::Coinbase {
                prefix: job.coinbase_tx_prefix.as_bytes().to_vec(),
                extranonce_prefix: channel.extranonce_prefix.clone(),
                rolled_len,
                suffix: job.coinbase_tx_suffix.as_bytes().to_vec(),
                path: path.clone(),
            };
            let taken =
                channel.take_job(job.channel_id, job.job_id, job.version, job.min_ntime, root);
            let coinbase = taken.coinbase(&vec![0; rolled_len]);
            assert!(coinbase.is_some_and(|tx| tx.is_coinbase()), "MP-99");
        }
    }

    fn handle_tip(&mut self, tip: &SetNewPrevHash) {
        self.note("SetNewPrevHash", tip.channel_id);
        assert_ne!(tip.min_ntime, 0, "ESP takes 0 for a future job");
        let prev_hash = tip.prev_hash.to_le_bytes();
        for channel in self.addressed(tip.channel_id) {
            channel.tip = Some((prev_hash, tip.nbits, tip.min_ntime));
            let named = channel
                .future
                .iter()
                .position(|(to, job)| *to == tip.channel_id && job.id == tip.job_id);
            let named = named.expect("R-9: SetNewPrevHash names no future job of this address");
            let (_, mut job) = channel.future.remove(named);
            (job.prev_hash, job.bits, job.time) = (prev_hash, tip.nbits, tip.min_ntime);
            channel.future.clear();
            channel.jobs.push(job);
        }
    }

    fn handle_success(&mut self, success: &SubmitSharesSuccess) {
        self.note("SubmitShares.Success", success.channel_id);
        assert!(self.channels.contains_key(&success.channel_id), "MP-51");
        self.acknowledged.push((
            success.channel_id,
            success.last_sequence_number,
            success.new_submits_accepted_count,
            success.new_shares_sum,
        ));
    }

    fn handle_error(&mut self, error: &SubmitSharesError<'_>) {
        self.note("SubmitShares.Error", error.channel_id);
        let code = error.error_code.to_string();
        self.rejected
            .push((error.channel_id, error.sequence_number, code));
    }

    /// The channels that a message to `id` is for: one, or those of a group.
    fn addressed(&mut self, id: u32) -> Vec<&mut MinerChannel> {
        let channels = self.channels.values_mut();
        let addressed: Vec<_> = channels
            .filter(|channel| channel.id == id || channel.group == id)
            .collect();
        let is_group = addressed.iter().all(|channel| channel.group == id);
        assert!(
            !addressed.is_empty(),
            "the pool addressed {id}, which is no open channel"
        );
        assert!(
            !is_group || addressed.len() > 1,
            "R-9: a group of one is addressed by its channel's id"
        );
        addressed
    }
}

impl MinerChannel {
    fn new(id: u32, group: u32, target: U256) -> Self {
        let target = Target::from_le_bytes(target.to_le_bytes());
        Self {
            id,
            group,
            is_extended: false,
            extranonce_prefix: Vec::new(),
            extranonce_size: 0,
            opened_with: target,
            target,
            jobs: Vec::new(),
            future: Vec::new(),
            job_ids: BTreeSet::new(),
            tip: None,
        }
    }

    fn take_job(
        &mut self,
        to: u32,
        id: u32,
        version: u32,
        min_ntime: Option<u32>,
        root: RootSource,
    ) -> &MinerJob {
        assert!(self.job_ids.insert(id), "job id {id} came twice");
        assert_ne!(id, 0, "0 is no job id");
        let target = self.target;
        let job = |(prev_hash, bits, _): ([u8; 32], u32, u32), time| MinerJob {
            id,
            version,
            prev_hash,
            bits,
            time,
            root,
            target,
        };
        match (min_ntime, self.tip) {
            (None, tip) => {
                let may_wait = if tip.is_some() { 8 } else { 1 };
                assert!(self.future.len() < may_wait, "MP-88: too many future jobs");
                self.future.push((to, job(([0; 32], 0, 0), 0)));
                &self.future.last().expect("just pushed").1
            }
            (Some(_), None) => panic!("a job that begins at once, before any SetNewPrevHash"),
            (Some(time), Some(tip)) => {
                assert!(time >= tip.2, "SRI's translator leaves such a pool");
                self.jobs.push(job(tip, time));
                self.jobs.last().expect("just pushed")
            }
        }
    }
}

impl Device for Sv2Miner {
    fn receive(&mut self, _now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((frame, after)) = Frame::split(rest) {
            assert_eq!(self.sent_to, None, "the pool goes on after Reconnect");
            if let Some(heard) = &mut self.heard {
                heard.push(rest[..rest.len() - after.len()].to_vec());
            }
            match Incoming::<MiningMessage<'_>>::decode(frame).expect("the pool's frame is broken")
            {
                Incoming::Common(message) => self.handle_common(&message),
                Incoming::Protocol(message) => self.handle_mining(message),
                Incoming::Extensions(message) => self.handle_extensions(&message),
                other => panic!("the pool sent {other:?}"),
            }
            rest = after;
        }
        assert!(rest.is_empty(), "half a frame");
    }

    fn take_output(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.output)
    }

    fn forget(&mut self, input: &[u8]) {
        let Some((frame, _)) = Frame::split(input) else {
            return;
        };
        match Incoming::<MiningMessage<'_>>::decode(frame) {
            // What comes from now on has to fit it.
            Ok(Incoming::Common(CommonMessage::SetupConnection(setup))) => {
                self.flags = setup.flags;
            }
            // Nothing may come for the channel after it (MP-51).
            Ok(Incoming::Protocol(MiningMessage::CloseChannel(close))) => {
                let id = close.channel_id;
                self.channels
                    .retain(|_, channel| channel.id != id && channel.group != id);
            }
            _ => {}
        }
    }
}

fn job_name(name: &'static str, min_ntime: Option<u32>) -> &'static str {
    assert_ne!(min_ntime, Some(0), "ESP takes 0 for a future job");
    match (name, min_ntime) {
        ("NewMiningJob", None) => "NewMiningJob(future)",
        ("NewExtendedMiningJob", None) => "NewExtendedMiningJob(future)",
        (name, _) => name,
    }
}
