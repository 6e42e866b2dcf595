//! What the node gives of a template → [`Template`].
//!
//! As over RPC, nothing is taken on trust that can be computed: ids, weights and the witness commitment are made from
//! the transactions, so that a template that contradicts itself is refused here. The merkle path is not asked for: it is
//! that of the block's transactions.
//!
//! A job waits for all of this, and most of it are hashes, which are shared out to threads.

use std::num::NonZero;
use std::thread;

use bitcoin::block::Header;
use bitcoin::consensus::Decodable;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::script::{Builder, Instruction};
use bitcoin::{Amount, Block, Script, ScriptBuf, Target, Transaction, TxOut, VarInt};
use headframe_work::{
    BlockLimits, Network, Template, TemplateTransaction, UnixTime, merkle_path, witness_commitment,
};

use crate::NodeError;
use crate::raw_transaction::RawTransaction;
use crate::solution::Solution;

/// The witness that BIP141 reserves, as our coinbases have it.
const WITNESS: [u8; 32] = [0; 32];
/// More nonces than this are not tried for a block without work; of each two one is none even on regtest.
const MOST_NONCES: u32 = 256;
/// Threads among which the hashes of a template are shared out: more gain less than it takes to start them.
const MOST_THREADS: usize = 4;
/// Fewer transactions than this are not worth a thread.
const LEAST_SHARE: usize = 256;

/// The answers of one template's calls.
pub(super) struct Parts {
    /// The whole block, with a coinbase that is not to be used.
    pub(super) block: Vec<u8>,
    /// Of each transaction after the coinbase, in satoshis.
    pub(super) fees: Vec<i64>,
    /// Of each transaction after the coinbase, in BIP141 units.
    pub(super) sigops: Vec<i64>,
    /// What the coinbase has to be.
    pub(super) coinbase: CoinbaseParts,
}

/// What is made of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) template: Template,
    /// The hashes from the coinbase to the merkle root, deepest first.
    pub(super) path: Vec<[u8; 32]>,
}

/// The answer of `getCoinbaseTx`.
pub(super) struct CoinbaseParts {
    pub(super) sequence: u32,
    pub(super) script_sig_prefix: Vec<u8>,
    pub(super) witness: Vec<u8>,
    pub(super) value: i64,
    pub(super) required_outputs: Vec<Vec<u8>>,
    pub(super) lock_time: u32,
}

/// Reads a template.
///
/// The node does not tell the earliest time that consensus allows, so it is the template's own time, which is
/// never before that.
pub(super) fn read(parts: &Parts, network: Network) -> Result<Read, NodeError> {
    let mut rest = parts.block.as_slice();
    let header = decode::<Header>("header", &mut rest)?;
    if header.target() == Target::ZERO {
        return Err(wrong("bits", "its target is zero"));
    }
    let transactions = read_transactions(parts, &mut rest)?;
    let coinbase = &parts.coinbase;
    let ids = || transactions.iter().map(|tx| tx.txid.to_byte_array());
    let (path, witness_commitment) = both(
        || merkle_path(ids()),
        || read_commitment(coinbase, &transactions),
    );
    let height = read_height(&coinbase.script_sig_prefix)?;
    let time = UnixTime::from_secs(header.time);
    let template = Template {
        network,
        height,
        version: u32::try_from(header.version.to_consensus())
            .map_err(|_| wrong("version", "it is negative"))?,
        fixed_version_bits: 0,
        prev_hash: header.prev_blockhash,
        bits: header.bits,
        min_time: time,
        current_time: time,
        coinbase_value: read_value(coinbase.value, network, height, &transactions)?,
        coinbase_sequence: coinbase.sequence,
        coinbase_lock_time: coinbase.lock_time,
        witness_commitment: witness_commitment?,
        transactions,
        limits: BlockLimits::default(),
    };
    Ok(Read { template, path })
}

/// A template's block with a nonce that is none, as a solution and whole.
pub(super) fn without_work(block: &[u8]) -> Result<(Solution, Vec<u8>), NodeError> {
    let mut block: Block = deserialize(block).map_err(|error| wrong("block", error))?;
    block.header.merkle_root = block
        .compute_merkle_root()
        .ok_or_else(|| wrong("block", "it is empty"))?;
    let target = block.header.target();
    for nonce in 0..MOST_NONCES {
        block.header.nonce = nonce;
        if !target.is_met_by(block.header.block_hash()) {
            let bytes = serialize(&block);
            let solution = Solution::of_bytes(&bytes);
            let solution = solution.ok_or_else(|| wrong("block", "it has no coinbase"))?;
            return Ok((solution, bytes));
        }
    }
    Err(wrong("bits", "every hash is a block"))
}

fn wrong(field: impl Into<String>, reason: impl std::fmt::Display) -> NodeError {
    NodeError::Template {
        field: field.into(),
        reason: reason.to_string(),
    }
}

fn decode<T: Decodable>(field: &str, rest: &mut &[u8]) -> Result<T, NodeError> {
    T::consensus_decode(rest).map_err(|error| wrong(field, error))
}

fn read_transactions(
    parts: &Parts,
    rest: &mut &[u8],
) -> Result<Vec<TemplateTransaction>, NodeError> {
    let VarInt(count) = decode("transactions", rest)?;
    let coinbase: Transaction = decode("coinbase", rest)?;
    if !coinbase.is_coinbase() {
        return Err(wrong("coinbase", "the first transaction is none"));
    }
    let others = count.saturating_sub(1);
    if parts.fees.len() as u64 != others || parts.sigops.len() as u64 != others {
        return Err(wrong("fees", "they are not as many as the transactions"));
    }
    let raw = take(parts, rest)?;
    if !rest.is_empty() {
        return Err(wrong("transactions", "there is something after them"));
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let transactions = hashed(&raw, threads.min(MOST_THREADS))?;
    check_limits(&transactions)?;
    Ok(transactions)
}

/// What a transaction is made of: its bytes, its fee and its signature operations.
type Told<'a> = (RawTransaction<'a>, Amount, u32);

/// Takes as many transactions as there are fees.
fn take<'a>(parts: &Parts, rest: &mut &'a [u8]) -> Result<Vec<Told<'a>>, NodeError> {
    let told = parts.fees.iter().zip(&parts.sigops).enumerate();
    told.map(|(index, (&fee, &sigops))| {
        take_one(rest, fee, sigops).map_err(|error| within(index, error))
    })
    .collect()
}

fn take_one<'a>(rest: &mut &'a [u8], fee: i64, sigops: i64) -> Result<Told<'a>, NodeError> {
    let raw = RawTransaction::take(rest).map_err(|error| wrong("data", error))?;
    if raw.is_coinbase() {
        return Err(wrong("data", "it is a coinbase"));
    }
    let fee = u64::try_from(fee).map_err(|_| wrong("fee", "it is negative"))?;
    let sigops = u32::try_from(sigops).map_err(|error| wrong("sigops", error))?;
    Ok((raw, Amount::from_sat(fee), sigops))
}

/// The transactions with their ids, in their order, by so many threads.
fn hashed(told: &[Told<'_>], threads: usize) -> Result<Vec<TemplateTransaction>, NodeError> {
    if threads < 2 || told.len() < 2 * LEAST_SHARE {
        return told.iter().map(transaction).collect();
    }
    let (first, last) = told.split_at(told.len() / 2);
    let half = threads / 2;
    let (last, first) = both(|| hashed(last, half), || hashed(first, threads - half));
    let mut all = first?;
    all.extend(last?);
    Ok(all)
}

/// Does both at a time, `beside` on a thread of its own, if the system gives one.
fn both<A: Send, B>(beside: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("ipc-hash".to_owned());
        let started = thread.spawn_scoped(scope, &beside);
        let here = here();
        let beside = match started.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => beside(),
        };
        (beside, here)
    })
}

fn transaction((raw, fee, sigops): &Told<'_>) -> Result<TemplateTransaction, NodeError> {
    Ok(TemplateTransaction {
        data: raw.data().to_vec(),
        txid: raw.txid(),
        wtxid: raw.wtxid(),
        fee: *fee,
        sigops: *sigops,
        weight: u32::try_from(raw.weight()).map_err(|error| wrong("weight", error))?,
    })
}

/// Says in which transaction the field is.
fn within(index: usize, error: NodeError) -> NodeError {
    match error {
        NodeError::Template { field, reason } => {
            wrong(format!("transactions[{index}].{field}"), reason)
        }
        other => other,
    }
}

fn check_limits(transactions: &[TemplateTransaction]) -> Result<(), NodeError> {
    let limits = BlockLimits::default();
    let sum = |part: fn(&TemplateTransaction) -> u64| transactions.iter().map(part).sum::<u64>();
    for (name, sum, limit) in [
        ("weight", sum(|tx| tx.weight.into()), limits.weight),
        ("sigops", sum(|tx| tx.sigops.into()), limits.sigops),
    ] {
        if sum > u64::from(limit) {
            let reason = format_args!("together {sum}, more than the limit {limit}");
            return Err(wrong(format!("transactions[].{name}"), reason));
        }
    }
    Ok(())
}

/// The height of which the coinbase's script has to begin (BIP34). More than that is not known what it is for.
fn read_height(prefix: &[u8]) -> Result<u32, NodeError> {
    const NAME: &str = "scriptSigPrefix";
    let script = Script::from_bytes(prefix);
    let height = match script.instructions().next() {
        Some(Ok(Instruction::Op(op))) => i64::from(op.to_u8()) - 0x50,
        Some(Ok(Instruction::PushBytes(bytes))) => {
            bitcoin::script::read_scriptint(bytes.as_bytes()).map_err(|error| wrong(NAME, error))?
        }
        Some(Err(_)) | None => return Err(wrong(NAME, "it holds no height")),
    };
    if Builder::new().push_int(height).as_bytes() != prefix {
        return Err(wrong(NAME, "it is not a height alone"));
    }
    match u32::try_from(height) {
        Ok(0) | Err(_) => Err(wrong(NAME, "no such block is mined")),
        Ok(height) => Ok(height),
    }
}

/// A block that creates more than subsidy and fees would be refused.
fn read_value(
    value: i64,
    network: Network,
    height: u32,
    transactions: &[TemplateTransaction],
) -> Result<Amount, NodeError> {
    const NAME: &str = "blockRewardRemaining";
    let value = u64::try_from(value).map_err(|_| wrong(NAME, "it is negative"))?;
    let subsidy = network.subsidy(height);
    let allowed = transactions
        .iter()
        .try_fold(subsidy, |sum, transaction| sum.checked_add(transaction.fee));
    match allowed {
        Some(allowed) if Amount::from_sat(value) <= allowed => Ok(Amount::from_sat(value)),
        _ => Err(wrong(NAME, "it is more than subsidy and fees")),
    }
}

/// The one output that a coinbase has to have is the witness commitment, and it has to be that of the
/// transactions. Any other belongs to a rule that is not known here.
fn read_commitment(
    coinbase: &CoinbaseParts,
    transactions: &[TemplateTransaction],
) -> Result<Option<ScriptBuf>, NodeError> {
    const NAME: &str = "requiredOutputs";
    let output = match coinbase.required_outputs.as_slice() {
        [] => {
            let has_witness =
                |tx: &TemplateTransaction| tx.txid.to_raw_hash() != tx.wtxid.to_raw_hash();
            return match transactions.iter().any(has_witness) {
                false => Ok(None),
                true => Err(wrong(
                    NAME,
                    "there are witnesses, and no commitment to them",
                )),
            };
        }
        [output] => deserialize::<TxOut>(output).map_err(|error| wrong(NAME, error))?,
        [_, _, ..] => return Err(wrong(NAME, "there are several")),
    };
    if output.value != Amount::ZERO
        || output.script_pubkey != witness_commitment(transactions.iter().map(|tx| tx.wtxid))
    {
        return Err(wrong(NAME, "it is not the commitment of the transactions"));
    }
    if coinbase.witness != WITNESS {
        return Err(wrong("witness", "it is not 32 zero bytes"));
    }
    Ok(Some(output.script_pubkey))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{ChainSettings, Difficulty, EmbeddedChain};
    use bitcoin::block::Version;
    use bitcoin::transaction;
    use bitcoin::{BlockHash, OutPoint, Sequence, TxIn, TxMerkleNode, Witness};

    fn expected() -> Template {
        let difficulty = Difficulty::Regtest;
        let chain = EmbeddedChain::open(None, ChainSettings { difficulty }).unwrap();
        let template = chain.template();
        Template {
            // The interface does not tell it.
            min_time: template.current_time,
            ..template
        }
    }

    /// The template as the node would give it.
    fn parts(template: &Template) -> Parts {
        let coinbase = Transaction {
            version: transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: Vec::new(),
        };
        let others = template.transactions.iter();
        let others = others.map(|tx| deserialize::<Transaction>(&tx.data).unwrap());
        let block = Block {
            header: Header {
                version: Version::from_consensus(template.version as i32),
                prev_blockhash: template.prev_hash,
                merkle_root: TxMerkleNode::all_zeros(),
                time: template.current_time.as_secs(),
                bits: template.bits,
                nonce: 0,
            },
            txdata: std::iter::once(coinbase).chain(others).collect(),
        };
        let commitment = TxOut {
            value: Amount::ZERO,
            script_pubkey: template.witness_commitment.clone().unwrap(),
        };
        Parts {
            block: serialize(&block),
            fees: fees(template),
            sigops: template
                .transactions
                .iter()
                .map(|tx| tx.sigops.into())
                .collect(),
            coinbase: CoinbaseParts {
                sequence: template.coinbase_sequence,
                script_sig_prefix: Builder::new().push_int(template.height.into()).into_bytes(),
                witness: WITNESS.to_vec(),
                value: template.coinbase_value.to_sat() as i64,
                required_outputs: vec![serialize(&commitment)],
                lock_time: template.coinbase_lock_time,
            },
        }
    }

    fn path(template: &Template) -> Vec<[u8; 32]> {
        let ids = template.transactions.iter().map(|tx| tx.txid);
        merkle_path(ids.map(|txid| txid.to_byte_array()))
    }

    fn fees(template: &Template) -> Vec<i64> {
        let fees = template.transactions.iter().map(|tx| tx.fee.to_sat());
        fees.map(|fee| fee as i64).collect()
    }

    #[test]
    fn a_template_is_read_as_it_is() {
        let expected = expected();
        assert_eq!(expected.transactions.len(), 3);
        let read = read(&parts(&expected), Network::Regtest).unwrap();
        assert_eq!(read.path, path(&expected));
        assert_eq!(read.template, expected);
    }

    /// Whichever thread has hashed which.
    #[test]
    fn many_transactions_keep_their_order() {
        let one = expected().transactions.swap_remove(0);
        let data = |number| {
            let mut other: Transaction = deserialize(&one.data).unwrap();
            other.lock_time = bitcoin::absolute::LockTime::from_consensus(number);
            serialize(&other)
        };
        let data: Vec<_> = (0..9 * LEAST_SHARE as u32 + 7).map(data).collect();
        let told: Vec<Told<'_>> = (0..)
            .zip(&data)
            .map(|(number, data)| {
                let raw = RawTransaction::take(&mut data.as_slice()).unwrap();
                (raw, Amount::from_sat(number.into()), number)
            })
            .collect();
        let by_one: Vec<_> = told.iter().map(|told| transaction(told).unwrap()).collect();
        let whole: Transaction = deserialize(&data[8]).unwrap();
        assert_eq!(by_one[8].txid, whole.compute_txid());
        for count in [0, 1, 2 * LEAST_SHARE - 1, 2 * LEAST_SHARE, told.len()] {
            for threads in 1..=MOST_THREADS + 1 {
                let hashed = hashed(&told[..count], threads).unwrap();
                assert!(hashed == by_one[..count], "{count} by {threads}");
            }
        }
    }

    #[test]
    fn each_contradiction_is_named() {
        type Fault = fn(&mut Parts);
        let faults: [(&str, Fault); 18] = [
            ("header", |parts| parts.block.truncate(79)),
            ("transactions", |parts| parts.block.truncate(80)),
            ("coinbase", |parts| parts.block.truncate(90)),
            ("transactions[2].data", |parts| {
                parts.block.truncate(parts.block.len() - 1);
            }),
            ("transactions", |parts| parts.block.push(0)),
            // The coinbase's input begins after header, number of transactions, version and number of inputs.
            ("coinbase", |parts| parts.block[80 + 1 + 4 + 1] = 1),
            ("fees", |parts| parts.fees.truncate(2)),
            ("fees", |parts| parts.sigops.push(0)),
            ("transactions[1].fee", |parts| parts.fees[1] = -1),
            ("transactions[1].sigops", |parts| parts.sigops[1] = -1),
            ("transactions[].sigops", |parts| parts.sigops[1] = 80_001),
            ("version", |parts| parts.block[3] |= 0x80),
            ("bits", |parts| parts.block[72..76].fill(0)),
            ("scriptSigPrefix", |parts| {
                parts.coinbase.script_sig_prefix.push(0);
            }),
            ("blockRewardRemaining", |parts| parts.coinbase.value += 1),
            ("blockRewardRemaining", |parts| parts.coinbase.value = -1),
            ("requiredOutputs", |parts| {
                parts.coinbase.required_outputs.clear();
            }),
            ("witness", |parts| parts.coinbase.witness[0] = 1),
        ];
        for (name, fault) in faults {
            let mut parts = parts(&expected());
            fault(&mut parts);
            match read(&parts, Network::Regtest) {
                Err(NodeError::Template { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn no_byte_of_a_block_can_be_cut_or_changed_unseen() {
        let expected = expected();
        let whole = parts(&expected).block;
        let read_block = |block: Vec<u8>| {
            let mut parts = parts(&expected);
            parts.block = block;
            read(&parts, Network::Regtest)
        };
        for length in 0..whole.len() {
            assert!(read_block(whole[..length].to_vec()).is_err(), "{length}");
        }
        let coinbase = Block::consensus_decode(&mut whole.as_slice()).unwrap();
        let others = 80 + 1 + serialize(&coinbase.txdata[0]).len();
        for place in others..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(read_block(changed).is_err(), "{place}");
        }
    }

    /// A later rule may ask for one: a block without it would be refused.
    #[test]
    fn an_output_of_an_unknown_rule_is_refused() {
        let mut two = parts(&expected());
        two.coinbase
            .required_outputs
            .push(two.coinbase.required_outputs[0].clone());
        let mut other = parts(&expected());
        other.coinbase.required_outputs[0][0] = 1;
        for parts in [two, other] {
            let error = read(&parts, Network::Regtest).unwrap_err();
            assert!(error.to_string().contains("requiredOutputs"), "{error}");
        }
    }

    #[test]
    fn heights_are_those_that_our_coinbases_begin_with() {
        for height in [1, 16, 17, 127, 128, 840_000, 0x7fff_ffff] {
            let prefix = Builder::new().push_int(height).into_bytes();
            assert_eq!(read_height(&prefix).unwrap(), height as u32);
        }
        for prefix in [
            &[][..],
            &[0],
            &[0x4f],
            &[0x01, 0x10],
            &[0x02, 0x11, 0x00],
            &[0x05],
        ] {
            assert!(read_height(prefix).is_err(), "{prefix:?}");
        }
    }

    #[test]
    fn a_block_for_the_rehearsal_has_no_work_and_is_whole() {
        let template = expected();
        let (solution, bytes) = without_work(&parts(&template).block).unwrap();
        let block: Block = deserialize(&bytes).unwrap();
        assert!(!block.header.target().is_met_by(block.block_hash()));
        assert!(block.check_merkle_root());
        assert_eq!(solution.header, block.header);
        assert_ne!(block.header.prev_blockhash, BlockHash::all_zeros());
        assert!(solution.is_on(&path(&template)));
    }
}
