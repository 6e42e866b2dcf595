//! Random templates, payouts and tags for the tests of this crate, made with `bitcoin` so that a
//! block built from them is valid but for its inputs and its proof of work.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxOut, Txid, Witness, WitnessMerkleNode, Wtxid, absolute, consensus, merkle_tree, transaction,
};
use headframe_work::{
    BasisPoints, BlockLimits, Fee, Job, Network, Payout, PoolTag, PreparedTemplate, Template,
    TemplateTransaction, UniqueBytes, UnixTime,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// The scripts of P2PKH, P2SH, P2WPKH, P2WSH and P2TR outputs.
pub(crate) fn script() -> impl Strategy<Value = ScriptBuf> {
    (0usize..5, any::<[u8; 32]>()).prop_map(|(kind, hash)| {
        let (before, len, after): (&[u8], usize, &[u8]) = [
            (&[0x76, 0xa9, 20][..], 20, &[0x88, 0xac][..]),
            (&[0xa9, 20], 20, &[0x87]),
            (&[0, 20], 20, &[]),
            (&[0, 32], 32, &[]),
            (&[0x51, 32], 32, &[]),
        ][kind];
        ScriptBuf::from_bytes([before, &hash[..len], after].concat())
    })
}

pub(crate) fn payout() -> impl Strategy<Value = Payout> {
    let part = || (0u16..=10_000).prop_map(|part| BasisPoints::new(part).expect("in range"));
    let split = proptest::option::of((part(), script()));
    let fee = (part(), script(), split).prop_map(|(rate, script, split)| Fee {
        rate,
        script,
        split,
    });
    (script(), proptest::option::of(fee)).prop_map(|(miner, fee)| Payout::new(miner, fee))
}

pub(crate) fn tag() -> impl Strategy<Value = PoolTag> {
    "[ -~]{0,32}".prop_map(|text| PoolTag::new(&text).expect("printable and short"))
}

pub(crate) fn unique() -> impl Strategy<Value = UniqueBytes> {
    (any::<[u8; 4]>(), any::<u32>()).prop_map(|(process, job)| UniqueBytes { process, job })
}

/// All heights, those at which the length of BIP34's push changes more often.
pub(crate) fn height() -> impl Strategy<Value = u32> {
    let boundary = (0u32..32, -2i64..=2).prop_map(|(shift, by)| {
        u32::try_from((i64::from(1u32 << shift) + by).max(0)).unwrap_or(u32::MAX)
    });
    prop_oneof![0u32..20, boundary, any::<u32>()]
}

pub(crate) fn transaction() -> impl Strategy<Value = Transaction> {
    let outputs = vec((0u64..1_000_000, script()), 1..3);
    let witness = prop_oneof![Just(vec![]), vec(vec(any::<u8>(), 0..80), 1..3)];
    let input = (any::<[u8; 32]>(), any::<u32>(), vec(any::<u8>(), 0..60));
    (input, witness, outputs).prop_map(|((txid, vout, script_sig), witness, outputs)| Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint {
                txid: Txid::from_byte_array(txid),
                vout,
            },
            script_sig: ScriptBuf::from_bytes(script_sig),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&witness),
        }],
        output: outputs
            .into_iter()
            .map(|(value, script_pubkey)| TxOut {
                value: Amount::from_sat(value),
                script_pubkey,
            })
            .collect(),
    })
}

/// A template that Bitcoin Core could have made: with a commitment whenever a transaction has a
/// witness, and in some cases also when none has.
pub(crate) fn template() -> impl Strategy<Value = Template> {
    let times = (any::<u32>(), any::<u32>());
    let coinbase = (
        0u64..5_000_000_000,
        any::<u32>(),
        any::<u32>(),
        any::<bool>(),
    );
    let transactions = vec(transaction(), 0..9);
    let block = (height(), any::<u32>(), any::<[u8; 32]>());
    (block, times, coinbase, transactions).prop_map(|(block, times, coinbase, transactions)| {
        let (height, version, prev_hash) = block;
        let (subsidy, coinbase_sequence, coinbase_lock_time, commit_anyway) = coinbase;
        let segwit = transactions.iter().any(has_witness);
        let transactions: Vec<_> = transactions.iter().map(template_transaction).collect();
        let fees: Amount = transactions.iter().map(|tx| tx.fee).sum();
        Template {
            network: Network::Mainnet,
            height,
            version,
            fixed_version_bits: 0,
            prev_hash: BlockHash::from_byte_array(prev_hash),
            bits: CompactTarget::from_consensus(0x1703_4219),
            min_time: UnixTime::from_secs(times.0),
            current_time: UnixTime::from_secs(times.1),
            coinbase_value: fees + Amount::from_sat(subsidy),
            coinbase_sequence,
            coinbase_lock_time,
            witness_commitment: (segwit || commit_anyway).then(|| commitment(&transactions)),
            transactions,
            limits: BlockLimits::default(),
        }
    })
}

fn has_witness(transaction: &Transaction) -> bool {
    transaction
        .input
        .iter()
        .any(|input| !input.witness.is_empty())
}

pub(crate) fn template_transaction(transaction: &Transaction) -> TemplateTransaction {
    TemplateTransaction {
        data: consensus::serialize(transaction),
        txid: transaction.compute_txid(),
        wtxid: transaction.compute_wtxid(),
        fee: Amount::from_sat(1_000),
        sigops: u32::try_from(transaction.total_sigop_cost(|_| None)).expect("a small number"),
        weight: u32::try_from(transaction.weight().to_wu()).expect("a small number"),
    }
}

/// BIP141's commitment, as a node puts it into `default_witness_commitment`.
pub(crate) fn commitment(transactions: &[TemplateTransaction]) -> ScriptBuf {
    let leaves = core::iter::once(Wtxid::all_zeros()).chain(transactions.iter().map(|tx| tx.wtxid));
    let root = merkle_tree::calculate_root(leaves.map(|wtxid| wtxid.to_raw_hash()));
    let root = WitnessMerkleNode::from_raw_hash(root.expect("there is the coinbase"));
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let script = [
        &[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed],
        commitment.as_byte_array().as_slice(),
    ];
    ScriptBuf::from_bytes(script.concat())
}

/// All that makes a job, and an extranonce for it in two parts.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) template: Template,
    pub(crate) payout: Payout,
    pub(crate) tag: PoolTag,
    pub(crate) unique: UniqueBytes,
    pub(crate) prefix: Vec<u8>,
    pub(crate) rolled: Vec<u8>,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let extranonce = (0usize..=16, 0usize..=16)
        .prop_flat_map(|(prefix, rolled)| (vec(any::<u8>(), prefix), vec(any::<u8>(), rolled)));
    (template(), payout(), tag(), unique(), extranonce).prop_map(
        |(template, payout, tag, unique, (prefix, rolled))| Case {
            template,
            payout,
            tag,
            unique,
            prefix,
            rolled,
        },
    )
}

impl Case {
    pub(crate) fn extranonce(&self) -> Vec<u8> {
        [self.prefix.as_slice(), &self.rolled].concat()
    }

    pub(crate) fn job(&self) -> Job {
        let prepared = PreparedTemplate::new(self.template.clone()).expect("a good template");
        self.job_on(&Arc::new(prepared))
    }

    pub(crate) fn job_on(&self, prepared: &Arc<PreparedTemplate>) -> Job {
        Job::new(
            Arc::clone(prepared),
            self.payout.clone(),
            &self.tag,
            self.unique,
            self.extranonce().len(),
        )
        .expect("the coinbase fits")
    }
}
