//! The first transaction of a block: what it says, and whom it pays.

use std::sync::Arc;

use bitcoin::consensus::Encodable;
use bitcoin::{Amount, Script, VarInt};

use crate::{Payout, PreparedTemplate, Template};

/// The longest script that consensus allows in a coinbase input, in bytes.
const MAX_SCRIPT_SIG: usize = 100;
/// The pushes of the longest height, tag, unique bytes and extranonce.
const LONGEST_SCRIPT_SIG: usize =
    (1 + 5) + (1 + PoolTag::MAX_LEN) + (1 + 8) + (1 + Coinbase::MAX_EXTRANONCE_LEN);
const _: () = assert!(LONGEST_SCRIPT_SIG <= MAX_SCRIPT_SIG);
/// Version, number of inputs, what the input spends, and the length of its script.
const PREFIX_LEN: usize = 4 + 1 + 32 + 4 + 1;
/// The longest coinbase, in bytes, stripped and without its outputs: the longest script, its sequence, the number of
/// outputs where it takes one byte, and the lock time.
pub(crate) const LONGEST_COINBASE_WITHOUT_OUTPUTS: usize =
    PREFIX_LEN + LONGEST_SCRIPT_SIG + 4 + 1 + 4;
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

/// The pool's name in the coinbase: printable ASCII, at most 32 bytes. A clone is another pointer to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolTag(Arc<str>);

/// What all coinbases of a pool's process have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imprint {
    /// The pool's name.
    pub tag: PoolTag,
    /// Random, drawn when the process starts.
    pub process: [u8; 4],
}

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

impl UniqueBytes {
    const LEN: usize = 4 + 4;

    /// As they stand in the script.
    fn bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.process);
        bytes[4..].copy_from_slice(&self.job.to_be_bytes());
        bytes
    }
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
        Ok(Self(text.into()))
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
        let height = height_push(template.height);
        let script_len = height.len() + 1 + tag.as_str().len() + 1 + UniqueBytes::LEN + 1;
        let mut pieces = Vec::with_capacity(PREFIX_LEN + script_len + suffix_len(template, payout));
        append_input(script_len + extranonce_len, &mut pieces);
        pieces.extend_from_slice(&height);
        append_push(tag.as_str().as_bytes(), &mut pieces);
        append_push(&unique.bytes(), &mut pieces);
        pieces.push(push_opcode(extranonce_len));
        let prefix_len = pieces.len();
        append_suffix(template, payout, &mut pieces);
        let coinbase = Self {
            pieces: pieces.into_boxed_slice(),
            prefix_len,
            extranonce_len,
            has_witness: template.witness_commitment.is_some(),
        };
        coinbase.check_budget(prepared, payout)?;
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

    /// The length of what is hashed: all of it but BIP141's marker, flag and witness, in bytes.
    pub fn stripped_len(&self) -> usize {
        self.pieces.len() + self.extranonce_len
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
        payout: &Payout,
    ) -> Result<(), CoinbaseError> {
        let stripped = self.stripped_len() as u64;
        let witness = match self.has_witness {
            true => (MARKER_AND_FLAG.len() + WITNESS.len()) as u64,
            false => 0,
        };
        // The input's script is pushes only, so that all signature operations are in the outputs.
        let sigops: usize = outputs(prepared.template(), payout)
            .map(|(_, script)| script.count_sigops_legacy())
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

/// All before the script: version, one input that spends nothing (no hash, the last index), and the length
/// of its script, which ends with the extranonce.
fn append_input(script_len: usize, to: &mut Vec<u8>) {
    to.extend_from_slice(&VERSION.to_le_bytes());
    to.push(1);
    to.extend_from_slice(&[0; 32]);
    to.extend_from_slice(&[0xff; 4]);
    to.push(u8::try_from(script_len).expect("the longest script is checked above"));
}

/// BIP34's height: the shortest push of the number, which for 1 to 16 is `OP_1` to `OP_16`.
fn height_push(height: u32) -> Vec<u8> {
    bitcoin::script::Builder::new()
        .push_int(height.into())
        .into_bytes()
}

fn append_push(data: &[u8], to: &mut Vec<u8>) {
    to.push(push_opcode(data.len()));
    to.extend_from_slice(data);
}

/// The opcode that pushes `len` bytes is `len` itself, up to 75: more than any part here has.
fn push_opcode(len: usize) -> u8 {
    debug_assert!(len <= 75, "longer pushes need another opcode");
    len as u8
}

fn suffix_len(template: &Template, payout: &Payout) -> usize {
    let outputs = outputs(template, payout).map(|(_, script)| 8 + 1 + script.len());
    4 + 1 + outputs.sum::<usize>() + 4
}

fn append_suffix(template: &Template, payout: &Payout, to: &mut Vec<u8>) {
    to.extend_from_slice(&template.coinbase_sequence.to_le_bytes());
    append(&VarInt::from(outputs(template, payout).count()), to);
    for (value, script) in outputs(template, payout) {
        append(&value, to);
        append(script, to);
    }
    to.extend_from_slice(&template.coinbase_lock_time.to_le_bytes());
}

fn append<T: Encodable + ?Sized>(value: &T, to: &mut Vec<u8>) {
    value
        .consensus_encode(to)
        .expect("writing to a vector does not fail");
}

/// What is paid, each an amount and the script: the payout, and the commitment, which is paid nothing.
fn outputs<'a>(
    template: &'a Template,
    payout: &'a Payout,
) -> impl Iterator<Item = (Amount, &'a Script)> {
    let commitment = template.witness_commitment.as_ref();
    let commitment = commitment.map(|script| (Amount::ZERO, script.as_script()));
    payout.outputs(template.coinbase_value).chain(commitment)
}
