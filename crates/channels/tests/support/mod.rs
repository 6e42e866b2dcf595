//! One job, on a channel of ours and on one of `channels_sv2`, with the same bytes.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::sync::Arc;
use std::time::Instant;

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Txid, WitnessProgram, Wtxid};
use channels_sv2::extranonce_manager::ExtranonceAllocator;
use channels_sv2::server::extended::ExtendedChannel;
use channels_sv2::server::standard::StandardChannel;
use headframe_channels::{
    Channel, ChannelKind, ExtranonceSpace, JobId, JobTerms, MemoryBudget, NetworkClock,
};
use headframe_work::{
    BasisPoints, BlockLimits, Fee, Imprint, Job, Network, Payout, PoolTag, PreparedTemplate, Rung,
    Target, Template, TemplateTransaction, UniqueBytes, UnixTime,
};
use mining_sv2::SetCustomMiningJobOwned;
use template_distribution_sv2::{NewTemplateOwned, SetNewPrevHashOwned};

/// The prefix of both channels.
const PREFIX: [u8; 4] = [1, 2, 3, 0];
/// Shares a minute that the rival is told to expect, for the largest memory of shares it has.
const SHARES_PER_MINUTE: f32 = 100.0;
pub(crate) const TIME: u32 = 1_800_000_000;

/// A template on the tip `tip`, with as many transactions.
pub(crate) fn template(tip: u8, bits: u32, transactions: u32) -> Arc<PreparedTemplate> {
    let template = Template {
        network: Network::Mainnet,
        height: 900_000,
        version: 0x2000_0000,
        fixed_version_bits: 0,
        prev_hash: BlockHash::from_byte_array([tip; 32]),
        bits: CompactTarget::from_consensus(bits),
        min_time: UnixTime::from_secs(TIME),
        current_time: UnixTime::from_secs(TIME),
        coinbase_value: Amount::from_sat(312_500_000),
        coinbase_sequence: 0xffff_fffe,
        coinbase_lock_time: 899_999,
        transactions: (0..transactions).map(transaction).collect(),
        witness_commitment: Some(ScriptBuf::from_bytes(
            [&[0x6a, 0x24][..], &[7; 36]].concat(),
        )),
        limits: BlockLimits::default(),
    };
    Arc::new(PreparedTemplate::new(template).expect("a good template"))
}

fn transaction(number: u32) -> TemplateTransaction {
    let hash = bitcoin::hashes::sha256::Hash::hash(&number.to_le_bytes()).to_byte_array();
    TemplateTransaction {
        data: vec![0; 60],
        txid: Txid::from_byte_array(hash),
        wtxid: Wtxid::from_byte_array(hash),
        fee: Amount::ZERO,
        sigops: 0,
        weight: 240,
    }
}

/// Pays a miner, and the operator a fee: a coinbase of some 250 bytes.
pub(crate) fn payout() -> Payout {
    let script = |byte| {
        let program = WitnessProgram::new(bitcoin::WitnessVersion::V1, &[byte; 32]);
        ScriptBuf::new_witness_program(&program.expect("32 bytes"))
    };
    let fee = Fee {
        rate: BasisPoints::new(150).expect("in range"),
        script: script(2),
        split: None,
    };
    Payout::new(script(1), Some(fee))
}

fn imprint() -> Imprint {
    let tag = PoolTag::new("/a tag as long as a tag may be./");
    Imprint {
        tag: tag.expect("32 characters"),
        process: [9; 4],
    }
}

pub(crate) fn job(prepared: &Arc<PreparedTemplate>, id: u32, extranonce_len: usize) -> Job {
    let Imprint { tag, process } = imprint();
    let unique = UniqueBytes { process, job: id };
    let job = Job::new(Arc::clone(prepared), payout(), &tag, unique, extranonce_len);
    job.expect("it fits")
}

/// A channel of ours.
pub(crate) fn ours(kind: ChannelKind) -> Channel {
    drawing_from(kind, &MemoryBudget::default())
}

/// A channel of ours that draws from this budget.
pub(crate) fn drawing_from(kind: ChannelKind, budget: &MemoryBudget) -> Channel {
    let mut space = ExtranonceSpace::new(u32::from_be_bytes(PREFIX));
    let prefix = space.lease().expect("the first");
    Channel::new(kind, prefix, payout(), imprint(), budget)
}

pub(crate) fn terms(id: u32, rung: Rung, now: Instant) -> JobTerms {
    JobTerms {
        id: JobId::new(id).expect("not 0"),
        rung,
        min_time: UnixTime::from_secs(TIME),
        max_time: None,
        clock: NetworkClock::new(UnixTime::from_secs(TIME), now),
        sent: now,
    }
}

/// An extended channel of the rival, with our prefix.
pub(crate) fn theirs(target: Target) -> ExtendedChannel {
    let [first, second, third, _] = PREFIX;
    let allocator = ExtranonceAllocator::new(vec![first, second, third], 12, 256);
    let prefix = allocator.and_then(|mut allocator| allocator.allocate_extended(8));
    let mut channel = ExtendedChannel::new_for_pool(
        1,
        "user".to_owned(),
        prefix.expect("the first"),
        bitcoin::Target::from_le_bytes([0xff; 32]),
        1.0,
        true,
        8,
        1,
        SHARES_PER_MINUTE,
        String::new(),
        None,
    )
    .expect("a channel");
    assert_eq!(channel.get_extranonce_prefix(), PREFIX);
    channel.set_target(target.into()).expect("a target");
    channel
}

/// Our job as a custom job, which takes the coinbase as it is. Says the rival's id for it.
pub(crate) fn send(channel: &mut ExtendedChannel, job: &Job) -> u32 {
    let template = job.prepared().template();
    let script = &job.coinbase().prefix()[42..];
    let suffix = job.coinbase().suffix();
    let path = job.prepared().merkle_path().iter();
    let path: Vec<_> = path.map(|hash| (*hash).into()).collect();
    let custom = SetCustomMiningJobOwned {
        channel_id: 1,
        request_id: 1,
        token: vec![].try_into().expect("short"),
        version: template.version,
        prev_hash: template.prev_hash.to_byte_array().into(),
        min_ntime: TIME,
        nbits: template.bits.to_consensus(),
        coinbase_tx_version: 2,
        coinbase_prefix: script.to_vec().try_into().expect("short"),
        coinbase_tx_input_n_sequence: template.coinbase_sequence,
        coinbase_tx_outputs: suffix[4..suffix.len() - 4]
            .to_vec()
            .try_into()
            .expect("short"),
        coinbase_tx_locktime: template.coinbase_lock_time,
        merkle_path: path.try_into().expect("short"),
    };
    channel
        .on_set_custom_mining_job(custom)
        .expect("a good job")
}

/// A standard channel of the rival with a job of its own making, and the job's id.
pub(crate) fn their_standard(
    prepared: &PreparedTemplate,
    target: Target,
) -> (StandardChannel, u32) {
    let [first, second, third, _] = PREFIX;
    let allocator = ExtranonceAllocator::new(vec![first, second, third], 12, 256);
    let prefix = allocator.and_then(|mut allocator| allocator.allocate_standard());
    let mut channel = StandardChannel::new_for_pool(
        1,
        "user".to_owned(),
        prefix.expect("the first"),
        bitcoin::Target::from_le_bytes([0xff; 32]),
        1.0,
        1,
        SHARES_PER_MINUTE,
        String::new(),
        None,
    )
    .expect("a channel");
    channel.set_target(target.into()).expect("a target");
    let template = prepared.template();
    let path: Vec<_> = prepared
        .merkle_path()
        .iter()
        .map(|hash| (*hash).into())
        .collect();
    let payout = payout();
    let outputs = payout.outputs(template.coinbase_value);
    let outputs = outputs.map(|(value, script)| bitcoin::TxOut {
        value,
        script_pubkey: script.into(),
    });
    let new = NewTemplateOwned {
        template_id: 1,
        future_template: true,
        version: template.version,
        coinbase_tx_version: 2,
        coinbase_prefix: vec![3, 0xa0, 0xbb, 0x0d].try_into().expect("short"),
        coinbase_tx_input_sequence: template.coinbase_sequence,
        coinbase_tx_value_remaining: template.coinbase_value.to_sat(),
        coinbase_tx_outputs_count: 1,
        coinbase_tx_outputs: serialize(&bitcoin::TxOut {
            value: Amount::ZERO,
            script_pubkey: template.witness_commitment.clone().expect("it has one"),
        })
        .try_into()
        .expect("short"),
        coinbase_tx_locktime: template.coinbase_lock_time,
        merkle_path: path.try_into().expect("short"),
    };
    channel
        .on_new_template(new, outputs.collect())
        .expect("a good template");
    let tip = SetNewPrevHashOwned {
        template_id: 1,
        prev_hash: template.prev_hash.to_byte_array().into(),
        header_timestamp: TIME,
        n_bits: template.bits.to_consensus(),
        target: prepared.target().to_le_bytes().into(),
    };
    channel.on_set_new_prev_hash(tip).expect("a good tip");
    let id = channel
        .get_active_job()
        .expect("it was activated")
        .get_job_id();
    (channel, id)
}
