//! The first transaction of a block: what it says, and whom it pays.

use bitcoin::consensus::Encodable;
use bitcoin::{TxOut, VarInt};

use crate::{Payout, PreparedTemplate, Template};

/// The longest script that consensus allows in a coinbase input, in bytes.
const MAX_SCRIPT_SIG: usize = 100;
/// The pushes of the longest height, tag, unique bytes and extranonce.
const LONGEST_SCRIPT_SIG: usize =
    (1 + 5) + (1 + PoolTag::MAX_LEN) + (1 + 8) + (1 + Coinbase::MAX_EXTRANONCE_LEN);
const _: () = assert!(LONGEST_SCRIPT_SIG <= MAX_SCRIPT_SIG);
/// The witness of a coinbase: one item, the 32 zero bytes that BIP141 reserves.
const WITNESS: [u8; 34] = {
    let mut witness = [0; 34];
    witness[0] = 1;
    witness[1] = 32;
    witness
};
/// What tells nodes that a transaction has witnesses (BIP144).
const MARKER_AND_FLAG: [u8; 2] = [0, 1];
/// Version 2, as Bitcoin Core makes it. BIP68, which version 2 turns on, spares coinbases.
const VERSION: u32 = 2;

/// The pool's name in the coinbase: printable ASCII, at most 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolTag(String);

/// A text that cannot be a pool tag. The operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pool tag is at most {} printable ASCII characters",
    PoolTag::MAX_LEN
)]
pub struct PoolTagError;

/// What makes the coinbases of a pool differ from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UniqueBytes {
    /// Random, drawn when the process starts: no coinbase recurs across restarts or nodes.
    pub process: [u8; 4],
    /// Counts jobs: no coinbase recurs in re-issued jobs.
    pub job: u32,
}

/// A coinbase in two pieces, with room for the extranonce between them.
///
/// The pieces are stripped of BIP141's marker, flag and witness, as they are hashed for the txid
/// and sent to miners (FR-47).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {
    /// Prefix and suffix in one piece, since each miner's jobs keep theirs.
    pieces: Box<[u8]>,
    prefix_len: usize,
    extranonce_len: usize,
    has_witness: bool,
}

/// A coinbase that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoinbaseError {
    /// No channel may have an extranonce that long. Our fault: a client's wish is checked before.
    #[error(
        "an extranonce of {len} bytes is more than the {} that fit into a coinbase",
        Coinbase::MAX_EXTRANONCE_LEN
    )]
    ExtranonceTooLong {
        /// The length asked for, in bytes.
        len: usize,
    },
    /// The coinbase does not fit into what the template leaves. The operator's fault.
    #[error(
        "the coinbase needs {needed} of {what}, but the node's template leaves {left}; raise blockreservedweight in bitcoin.conf or pay fewer outputs"
    )]
    OverBudget {
        /// `weight`, `size` or `sigops`.
        what: &'static str,
        /// What the coinbase needs.
        needed: u64,
        /// What the transactions leave.
        left: u64,
    },
}

impl PoolTag {
    /// The longest tag in bytes. With the longest height, unique bytes and extranonce the script
    /// stays within consensus' 100.
    pub const MAX_LEN: usize = 32;

    /// A tag of the given text.
    ///
    /// # Errors
    ///
    /// When it is too long or has other than printable ASCII characters.
    pub fn new(text: &str) -> Result<Self, PoolTagError> {
        let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !printable || text.len() > Self::MAX_LEN {
            return Err(PoolTagError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Coinbase {
    /// The longest extranonce in bytes: SV2's limit for prefix and rolled part together.
    pub const MAX_EXTRANONCE_LEN: usize = 32;

    /// Builds the coinbase of a block from `prepared` that pays `payout`, with room for
    /// `extranonce_len` bytes (at most [`Self::MAX_EXTRANONCE_LEN`]).
    ///
    /// # Errors
    ///
    /// When the extranonce is too long, or the coinbase needs more weight, bytes or signature
    /// operations than the template leaves.
    pub fn new(
        prepared: &PreparedTemplate,
        payout: &Payout,
        tag: &PoolTag,
        unique: UniqueBytes,
        extranonce_len: usize,
    ) -> Result<Self, CoinbaseError> {
        if extranonce_len > Self::MAX_EXTRANONCE_LEN {
            let len = extranonce_len;
            return Err(CoinbaseError::ExtranonceTooLong { len });
        }
        let template = prepared.template();
        let script = script_before_extranonce(template.height, tag, unique, extranonce_len);
        let outputs = outputs(template, payout);
        let scripts = outputs.iter().map(|output| output.script_pubkey.len());
        let suffix_len = 8 + 1 + scripts.map(|len| 8 + 1 + len).sum::<usize>();
        let mut pieces = prefix(&script, extranonce_len, suffix_len);
        let prefix_len = pieces.len();
        append_suffix(template, &outputs, &mut pieces);
        let coinbase = Self {
            pieces: pieces.into_boxed_slice(),
            prefix_len,
            extranonce_len,
            has_witness: template.witness_commitment.is_some(),
        };
        coinbase.check_budget(prepared, &outputs)?;
        Ok(coinbase)
    }

    /// The bytes before the extranonce, without BIP141's marker and flag.
    pub fn prefix(&self) -> &[u8] {
        self.pieces().0
    }

    /// The bytes after the extranonce, without BIP141's witness.
    pub fn suffix(&self) -> &[u8] {
        self.pieces().1
    }

    /// The length of the extranonce, in bytes.
    pub fn extranonce_len(&self) -> usize {
        self.extranonce_len
    }

    /// The whole transaction as it goes into a block, with the witness if the block needs one.
    /// `extranonce` has [`extranonce_len`](Self::extranonce_len) bytes; of another length it makes
    /// no transaction.
    pub fn serialize(&self, extranonce: &[u8]) -> Vec<u8> {
        debug_assert_eq!(extranonce.len(), self.extranonce_len);
        let (prefix, suffix) = self.pieces();
        let (version, inputs) = prefix.split_at(4);
        let (outputs, lock_time) = suffix.split_at(suffix.len() - 4);
        let (marker, witness): (&[u8], &[u8]) = match self.has_witness {
            true => (&MARKER_AND_FLAG, &WITNESS),
            false => (&[], &[]),
        };
        [
            version, marker, inputs, extranonce, outputs, witness, lock_time,
        ]
        .concat()
    }

    fn pieces(&self) -> (&[u8], &[u8]) {
        self.pieces.split_at(self.prefix_len)
    }

    fn check_budget(
        &self,
        prepared: &PreparedTemplate,
        outputs: &[TxOut],
    ) -> Result<(), CoinbaseError> {
        let stripped = (self.pieces.len() + self.extranonce_len) as u64;
        let witness = match self.has_witness {
            true => (MARKER_AND_FLAG.len() + WITNESS.len()) as u64,
            false => 0,
        };
        // The input's script is pushes only, so that all signature operations are in the outputs.
        let sigops: usize = outputs
            .iter()
            .map(|output| output.script_pubkey.count_sigops_legacy())
            .sum();
        let budget = prepared.budget();
        for (what, needed, left) in [
            ("weight", 4 * stripped + witness, budget.weight),
            ("size", stripped + witness, budget.size),
            ("sigops", 4 * sigops as u64, budget.sigops),
        ] {
            if needed > left {
                return Err(CoinbaseError::OverBudget { what, needed, left });
            }
        }
        Ok(())
    }
}

/// Height (BIP34), tag, unique bytes, and the push of an extranonce that is still to come.
fn script_before_extranonce(
    height: u32,
    tag: &PoolTag,
    unique: UniqueBytes,
    extranonce_len: usize,
) -> Vec<u8> {
    let mut script = height_push(height);
    let unique = [unique.process, unique.job.to_be_bytes()].concat();
    for data in [tag.as_str().as_bytes(), &unique] {
        script.push(push_opcode(data.len()));
        script.extend_from_slice(data);
    }
    script.push(push_opcode(extranonce_len));
    script
}

/// BIP34's height: the shortest push of the number, which for 1 to 16 is `OP_1` to `OP_16`.
fn height_push(height: u32) -> Vec<u8> {
    bitcoin::script::Builder::new()
        .push_int(height.into())
        .into_bytes()
}

/// The opcode that pushes `len` bytes is `len` itself, up to 75: more than any part here has.
fn push_opcode(len: usize) -> u8 {
    debug_assert!(len <= 75, "longer pushes need another opcode");
    len as u8
}

/// All up to the extranonce: version, one input that spends nothing (no hash, the last index), and
/// its script, which ends with the extranonce. Has room for so many bytes more.
fn prefix(script: &[u8], extranonce_len: usize, room: usize) -> Vec<u8> {
    let script_len = script.len() + extranonce_len;
    let mut prefix = Vec::with_capacity(42 + script.len() + room);
    prefix.extend_from_slice(&VERSION.to_le_bytes());
    prefix.push(1);
    prefix.extend_from_slice(&[0; 32]);
    prefix.extend_from_slice(&[0xff; 4]);
    prefix.push(u8::try_from(script_len).expect("the longest script is checked above"));
    prefix.extend_from_slice(script);
    prefix
}

fn append_suffix(template: &Template, outputs: &[TxOut], to: &mut Vec<u8>) {
    to.extend_from_slice(&template.coinbase_sequence.to_le_bytes());
    append(&VarInt::from(outputs.len()), to);
    for output in outputs {
        append(output, to);
    }
    to.extend_from_slice(&template.coinbase_lock_time.to_le_bytes());
}

fn append(value: &impl Encodable, to: &mut Vec<u8>) {
    value
        .consensus_encode(to)
        .expect("writing to a vector does not fail");
}

fn outputs(template: &Template, payout: &Payout) -> Vec<TxOut> {
    let commitment = template.witness_commitment.as_ref().map(|script| TxOut {
        value: bitcoin::Amount::ZERO,
        script_pubkey: script.clone(),
    });
    let mut outputs = payout.outputs(template.coinbase_value);
    outputs.extend(commitment);
    outputs
}
