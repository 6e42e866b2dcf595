//! A channel of `channels_sv2`, of either kind, and the jobs that it holds.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};
use channels_sv2::chain_tip::ChainTip;
use channels_sv2::client::extended::{ExtendedChannel, ExtendedJob};
use channels_sv2::client::share_accounting::ShareValidationResult;
use channels_sv2::client::share_accounting::{ShareAccounting, ShareValidationError};
use channels_sv2::client::standard::{StandardChannel, StandardJob};
use channels_sv2::extranonce_manager::ExtranoncePrefix;
use channels_sv2::merkle_root::merkle_root_from_path;
use mining_sv2::{
    NewExtendedMiningJobOwned, NewMiningJobOwned, OpenExtendedMiningChannelSuccessOwned,
    OpenStandardMiningChannelSuccessOwned, SetNewPrevHashOwned, SubmitSharesExtendedOwned,
    SubmitSharesStandardOwned,
};

use super::{Found, Share};

/// A channel as the reference implementation has it.
#[derive(Debug)]
pub(super) enum Channel {
    Standard(StandardChannel),
    Extended(ExtendedChannel),
}

/// A job as the client's channel has it.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) target: Target,
    version: u32,
    min_time: u32,
    root: Root,
}

#[derive(Debug, Clone)]
enum Root {
    Given([u8; 32]),
    Rolled {
        job: Box<NewExtendedMiningJobOwned>,
        prefix: Vec<u8>,
        rolled: usize,
    },
}

/// One thing asked of either kind.
macro_rules! either {
    ($channel:expr, $inner:ident => $ask:expr) => {
        match $channel {
            Channel::Standard($inner) => $ask,
            Channel::Extended($inner) => $ask,
        }
    };
}

impl Channel {
    pub(super) fn standard(open: &OpenStandardMiningChannelSuccessOwned) -> Self {
        let channel = StandardChannel::new(
            open.channel_id,
            String::new(),
            prefix(open.extranonce_prefix.to_owned_bytes()),
            Target::from_le_bytes(*open.target.as_array()),
            1.0,
            None,
        );
        Self::Standard(channel.expect("a channel that can be used"))
    }

    pub(super) fn extended(open: &OpenExtendedMiningChannelSuccessOwned) -> Self {
        let channel = ExtendedChannel::new(
            open.channel_id,
            String::new(),
            prefix(open.extranonce_prefix.to_owned_bytes()),
            Target::from_le_bytes(*open.target.as_array()),
            1.0,
            true,
            open.extranonce_size,
            None,
        );
        Self::Extended(channel.expect("a channel that can be used"))
    }

    /// The length of the whole extranonce.
    pub(super) fn extranonce_len(&self) -> usize {
        match self {
            Self::Standard(channel) => channel.get_extranonce_prefix().len(),
            Self::Extended(channel) => channel.get_full_extranonce_size(),
        }
    }

    pub(super) fn tip(&self) -> Option<&ChainTip> {
        either!(self, channel => channel.get_chain_tip())
    }

    pub(super) fn prev_hash(&self) -> Option<BlockHash> {
        let hash = self.tip()?.prev_hash().to_array();
        Some(BlockHash::from_byte_array(hash))
    }

    pub(super) fn target(&self) -> Target {
        either!(self, channel => *channel.get_target())
    }

    pub(super) fn accounting(&self) -> &ShareAccounting {
        either!(self, channel => channel.get_share_accounting())
    }

    pub(super) fn active(&self) -> Option<Job> {
        match self {
            Self::Standard(channel) => channel.get_active_job().map(Job::standard),
            Self::Extended(channel) => {
                let rolled = channel.get_rollable_extranonce_size();
                let job = channel.get_active_job()?;
                Some(Job::extended(job, rolled))
            }
        }
    }

    /// Jobs that were replaced and take shares, oldest first.
    pub(super) fn past(&self) -> Vec<Job> {
        let mut past: Vec<Job> = match self {
            Self::Standard(channel) => {
                let past = channel.get_past_jobs();
                past.map(|(_, job)| Job::standard(job)).collect()
            }
            Self::Extended(channel) => {
                let rolled = channel.get_rollable_extranonce_size();
                let past = channel.get_past_jobs();
                past.map(|(_, job)| Job::extended(job, rolled)).collect()
            }
        };
        past.sort_unstable_by_key(|job| job.id);
        past
    }

    /// A job that takes shares.
    pub(super) fn job(&self, id: u32) -> Option<Job> {
        let mut jobs = self.active().into_iter().chain(self.past());
        jobs.find(|job| job.id == id)
    }

    pub(super) fn take_standard_job(&mut self, job: NewMiningJobOwned) {
        match self {
            Self::Standard(channel) => {
                let taken = channel.on_new_mining_job(job);
                taken.expect("a standard job that can be used");
            }
            Self::Extended(_) => panic!("a standard job on an extended channel"),
        }
    }

    pub(super) fn take_extended_job(&mut self, job: NewExtendedMiningJobOwned, is_group_s: bool) {
        match self {
            Self::Extended(channel) => {
                let taken = channel.on_new_extended_mining_job(job);
                taken.expect("an extended job that can be used");
            }
            Self::Standard(channel) if is_group_s => {
                let taken = channel.on_new_group_channel_job(job);
                taken.expect("a group's job that can be used");
            }
            Self::Standard(_) => panic!("an extended job on a standard channel"),
        }
    }

    pub(super) fn take_tip(&mut self, tip: SetNewPrevHashOwned) {
        let is_known = "a tip that names a future job of the channel";
        either!(self, channel => channel.on_set_new_prev_hash(tip).expect(is_known));
    }

    pub(super) fn take_target(&mut self, target: Target) {
        either!(self, channel => channel.set_target(target).expect("a target above 0"));
    }

    pub(super) fn acknowledge(&mut self, count: u32, sum: u64) {
        either!(self, channel => channel.on_share_acknowledgement(count, sum));
    }

    pub(super) fn reject(&mut self, code: &str) {
        either!(self, channel => channel.on_share_rejection(code));
    }

    /// What a standard channel says of a share: whether it is a block, or a code.
    pub(super) fn judge_standard(
        &mut self,
        share: SubmitSharesStandardOwned,
    ) -> Result<bool, String> {
        match self {
            Self::Standard(channel) => channel
                .validate_share(share)
                .map(|result| is_block(&result))
                .map_err(code),
            Self::Extended(_) => panic!("a standard share on an extended channel"),
        }
    }

    /// What an extended channel says of a share: whether it is a block, or a code.
    pub(super) fn judge_extended(
        &mut self,
        share: SubmitSharesExtendedOwned,
    ) -> Result<bool, String> {
        match self {
            Self::Extended(channel) => channel
                .validate_share(share)
                .map(|result| is_block(&result))
                .map_err(code),
            Self::Standard(_) => panic!("an extended share on a standard channel"),
        }
    }

    /// Searches `job` for a header that is as wanted.
    pub(super) fn find(
        &self,
        job: &Job,
        seed: u32,
        adjust: impl FnOnce(&mut Share),
        is_wanted: impl Fn(BlockHash) -> bool,
    ) -> Found {
        let tip = self.tip().expect("a job has a tip");
        let mut share = Share {
            job: job.id,
            version: job.version,
            time: job.min_time,
            nonce: 0,
            extranonce: job.extranonce(seed),
        };
        adjust(&mut share);
        let mut header = Header {
            version: Version::from_consensus(share.version.cast_signed()),
            prev_blockhash: BlockHash::from_byte_array(tip.prev_hash().to_array()),
            merkle_root: TxMerkleNode::from_byte_array(job.merkle_root(&share.extranonce)),
            time: share.time,
            bits: CompactTarget::from_consensus(tip.nbits()),
            nonce: seed,
        };
        while !is_wanted(header.block_hash()) {
            header.nonce = header.nonce.wrapping_add(1);
        }
        share.nonce = header.nonce;
        let hash = header.block_hash();
        Found { share, hash }
    }
}

impl Job {
    fn standard(job: &StandardJob) -> Self {
        let message = &job.job_message;
        Self {
            id: message.job_id,
            version: message.version,
            min_time: min_time(message.min_ntime.as_ref()),
            target: job.target,
            root: Root::Given(message.merkle_root.to_array()),
        }
    }

    fn extended(job: &ExtendedJob, rolled: u16) -> Self {
        let message = &job.job_message;
        Self {
            id: message.job_id,
            version: message.version,
            min_time: min_time(message.min_ntime.as_ref()),
            target: job.target,
            root: Root::Rolled {
                job: Box::new(message.clone()),
                prefix: job.extranonce_prefix.clone(),
                rolled: rolled.into(),
            },
        }
    }

    /// Bytes to roll that are others for each seed.
    fn extranonce(&self, seed: u32) -> Vec<u8> {
        match &self.root {
            Root::Given(_) => Vec::new(),
            Root::Rolled { rolled, .. } => {
                let mut bytes = seed.to_le_bytes().to_vec();
                bytes.resize(*rolled, 0);
                bytes
            }
        }
    }

    fn merkle_root(&self, extranonce: &[u8]) -> [u8; 32] {
        match &self.root {
            Root::Given(root) => *root,
            Root::Rolled { job, prefix, .. } => merkle_root_from_path(
                job.coinbase_tx_prefix.as_bytes(),
                job.coinbase_tx_suffix.as_bytes(),
                &[prefix, extranonce].concat(),
                job.merkle_path.as_slice(),
            )
            .expect("a coinbase"),
        }
    }
}

fn prefix(bytes: Vec<u8>) -> ExtranoncePrefix {
    ExtranoncePrefix::from_wire(bytes).expect("at most 32 bytes")
}

fn min_time(time: Option<&u32>) -> u32 {
    *time.expect("a job that has begun has a time")
}

fn is_block(result: &ShareValidationResult) -> bool {
    matches!(result, ShareValidationResult::BlockFound(_))
}

fn code(error: ShareValidationError) -> String {
    match error {
        ShareValidationError::Invalid(code)
        | ShareValidationError::Stale(code)
        | ShareValidationError::InvalidJobId(code)
        | ShareValidationError::DoesNotMeetTarget(code)
        | ShareValidationError::VersionRollingNotAllowed(code)
        | ShareValidationError::DuplicateShare(code)
        | ShareValidationError::BadExtranonceSize(code) => code.to_owned(),
        ShareValidationError::NoChainTip => panic!("a share before the first tip"),
    }
}
