//! What a provider gives: a template, and the tip that it is for.

use std::time::Instant;

use bitcoin::consensus::Decodable as _;
use bitcoin::hashes::Hash as _;
use bitcoin::script::Instruction;
use bitcoin::{Amount, BlockHash, CompactTarget, Script, ScriptBuf, TxOut, opcodes};
use headframe_sv2_wire::template_distribution::{NewTemplate, SetNewPrevHash};
use headframe_work::{Target, UnixTime};

use super::ProviderFault;

/// A template as a provider describes it: all but its transactions, of which it has the merkle path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedTemplate {
    /// Its number on this connection.
    pub id: u64,
    /// The header's version.
    pub version: u32,
    /// The height of the block, as the start of the coinbase's script has it (BIP34).
    pub height: u32,
    /// What the coinbase's script has to begin with, the height included.
    pub coinbase_prefix: Vec<u8>,
    /// The coinbase transaction's version.
    pub coinbase_version: u32,
    /// `nSequence` of the coinbase's input.
    pub coinbase_sequence: u32,
    /// `nLockTime` of the coinbase.
    pub coinbase_lock_time: u32,
    /// What the client's outputs may spend; the provider's own outputs have theirs besides.
    pub value: Amount,
    /// The outputs that the coinbase has to end with.
    pub outputs: Vec<TxOut>,
    /// The hashes from the coinbase to the merkle root, deepest first, in raw order.
    pub merkle_path: Vec<[u8; 32]>,
}

/// A tip as a provider told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTip {
    /// The block at the end of the chain.
    pub prev_hash: BlockHash,
    /// The height of blocks on it.
    pub height: u32,
    /// The network's target in its compact form.
    pub bits: CompactTarget,
    /// What a hash must not exceed for the provider to want it; never above that of the bits.
    pub target: Target,
    /// The header time to begin with. Consensus may allow an earlier one (TD-32).
    pub time: UnixTime,
    /// When it was told.
    pub received: Instant,
}

impl OfferedTemplate {
    pub(super) fn read(message: &NewTemplate<'_>) -> Result<Self, ProviderFault> {
        let id = message.template_id;
        let prefix = message.coinbase_prefix.as_bytes();
        let height = height_of(prefix).ok_or(ProviderFault::Height { id })?;
        let count = message.coinbase_tx_outputs_count;
        let outputs = read_outputs(message.coinbase_tx_outputs.as_bytes(), count);
        Ok(Self {
            id,
            version: message.version,
            height,
            coinbase_prefix: prefix.to_vec(),
            coinbase_version: message.coinbase_tx_version,
            coinbase_sequence: message.coinbase_tx_input_sequence,
            coinbase_lock_time: message.coinbase_tx_locktime,
            value: Amount::from_sat(message.coinbase_tx_value_remaining),
            outputs: outputs.ok_or(ProviderFault::Outputs { id, count })?,
            merkle_path: (message.merkle_path.iter())
                .map(|hash| hash.to_le_bytes())
                .collect(),
        })
    }

    /// What follows the height in what the coinbase's script has to begin with.
    pub fn beyond_height(&self) -> &[u8] {
        let height = bitcoin::script::Builder::new().push_int(self.height.into());
        let height = height.as_bytes();
        self.coinbase_prefix.strip_prefix(height).unwrap_or(&[])
    }
}

impl ProviderTip {
    pub(super) fn read(
        message: &SetNewPrevHash,
        height: u32,
        now: Instant,
    ) -> Result<Self, ProviderFault> {
        let bits = CompactTarget::from_consensus(message.nbits);
        let target = Target::from_le_bytes(message.target.to_le_bytes());
        let network = Target::from_compact(bits);
        if network == Target::ZERO || target > network {
            return Err(ProviderFault::Target {
                bits: message.nbits,
            });
        }
        Ok(Self {
            prev_hash: BlockHash::from_byte_array(message.prev_hash.to_le_bytes()),
            height,
            bits,
            target,
            time: UnixTime::from_secs(message.header_timestamp),
            received: now,
        })
    }
}

/// The height at the start of a coinbase's script, in its shortest form (BIP34).
fn height_of(prefix: &[u8]) -> Option<u32> {
    let first = Script::from_bytes(prefix).instructions().next()?.ok()?;
    let height = match first {
        Instruction::PushBytes(bytes) => bitcoin::script::read_scriptint(bytes.as_bytes()).ok()?,
        Instruction::Op(op) => {
            let op = op.to_u8();
            let one = opcodes::all::OP_PUSHNUM_1.to_u8();
            let number = op.checked_sub(one)?;
            (number < 16).then(|| i64::from(number) + 1)?
        }
    };
    let shortest: ScriptBuf = bitcoin::script::Builder::new()
        .push_int(height)
        .into_script();
    let is_shortest = prefix.starts_with(shortest.as_bytes());
    u32::try_from(height)
        .ok()
        .filter(|height| is_shortest && *height > 0)
}

/// Outputs one after the other, without a count; `None` where they are not `count`.
fn read_outputs(mut bytes: &[u8], count: u32) -> Option<Vec<TxOut>> {
    let mut outputs = Vec::new();
    while !bytes.is_empty() && outputs.len() < count as usize {
        outputs.push(TxOut::consensus_decode(&mut bytes).ok()?);
    }
    (bytes.is_empty() && outputs.len() == count as usize).then_some(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::serialize;

    /// TD-21: heights as Bitcoin Core pushes them, `OP_1` to `OP_16` included.
    #[test]
    fn heights_are_read_in_their_shortest_form_alone() {
        for (prefix, height) in [
            (&[0x51][..], Some(1)),
            (&[0x60], Some(16)),
            (&[0x51, 0x00], Some(1)),
            (&[0x01, 0x11], Some(17)),
            (&[0x03, 0x40, 0x0d, 0x03], Some(200_000)),
            (&[0x03, 0x40, 0x0d, 0x03, 0x00], Some(200_000)),
            (&[], None),
            (&[0x00], None),
            (&[0x4f], None),
            (&[0x61], None),
            (&[0x01, 0x01], None),
            (&[0x02, 0x11, 0x00], None),
            (&[0x03, 0x40], None),
            (&[0x01, 0x81], None),
        ] {
            assert_eq!(height_of(prefix), height, "{prefix:02x?}");
        }
    }

    /// TD-23, TD-24: no count before them, and as many as are counted beside them.
    #[test]
    fn outputs_are_as_many_as_are_counted() {
        let output = TxOut {
            value: Amount::from_sat(7),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51; 34]),
        };
        let bytes = serialize(&output);
        for count in [0, 1, 3] {
            let all = bytes.repeat(count);
            let count = count as u32;
            let read = read_outputs(&all, count).unwrap();
            assert!(read.iter().all(|it| *it == output) && read.len() == count as usize);
            assert_eq!(read_outputs(&all, count + 1), None);
            let counted = [&[count as u8][..], &all].concat();
            assert_eq!(read_outputs(&counted, count), None, "a list with a count");
        }
        assert_eq!(read_outputs(&bytes.repeat(3), 2), None);
        assert_eq!(read_outputs(&bytes[..20], 1), None);
        assert_eq!(read_outputs(&[], u32::MAX), None);
    }
}
