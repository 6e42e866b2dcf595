//! A transaction as it lies in a block: where it ends, what it weighs, and its two hashes (BIP141, BIP144).
//!
//! A template has thousands, of which nothing else is wanted: no input, output or script is copied, and what is hashed
//! are the bytes themselves. Not here: what a transaction means, which the node has judged.

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256d};
use bitcoin::{Txid, Wtxid};
use thiserror::Error;

/// `version` before the inputs, and the lock time behind the outputs or the witnesses.
const EDGE: usize = 4;
/// BIP144's marker, where a transaction without witnesses has the number of its inputs, and its flag.
const MARKER: u8 = 0;
const FLAG: u8 = 1;
/// An output that is spent: a transaction's hash and the place in it.
const OUTPOINT: usize = 36;
/// What a coinbase has in the place of an outpoint.
const NULL_OUTPOINT: [u8; OUTPOINT] = {
    let mut outpoint = [0; OUTPOINT];
    let mut place = 32;
    while place < OUTPOINT {
        outpoint[place] = 0xff;
        place += 1;
    }
    outpoint
};

/// One transaction's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawTransaction<'a> {
    /// All of it.
    data: &'a [u8],
    /// Inputs and outputs with their numbers.
    body: &'a [u8],
    is_coinbase: bool,
}

/// Why bytes are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    #[error("it ends too early")]
    Short,
    #[error("a length is not written the shortest way")]
    Length,
    #[error("its flag {0} is not known")]
    Flag(u8),
    #[error("it says that it has witnesses, and has none")]
    NoWitness,
}

impl<'a> RawTransaction<'a> {
    /// Takes the transaction that `rest` begins with off it.
    pub(crate) fn take(rest: &mut &'a [u8]) -> Result<Self, Malformed> {
        let whole = *rest;
        bytes(rest, EDGE)?;
        let has_witnesses = rest.first() == Some(&MARKER);
        if has_witnesses {
            flag(rest)?;
        }
        let start = *rest;
        let (inputs, is_coinbase) = inputs(rest)?;
        outputs(rest)?;
        let body = before(start, rest);
        if has_witnesses {
            witnesses(rest, inputs)?;
        }
        bytes(rest, EDGE)?;
        Ok(Self {
            data: before(whole, rest),
            body,
            is_coinbase,
        })
    }

    /// Consensus serialisation, with witness.
    pub(crate) fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Whether it spends nothing that there was.
    pub(crate) fn is_coinbase(&self) -> bool {
        self.is_coinbase
    }

    /// Hash of what is in it without the witnesses.
    pub(crate) fn txid(&self) -> Txid {
        if !self.has_witnesses() {
            return Txid::from_byte_array(headframe_work::sha256d(self.data));
        }
        let (first, rest) = self.data.split_at(EDGE);
        let last = rest.split_at(rest.len() - EDGE).1;
        let mut engine = sha256d::Hash::engine();
        for part in [first, self.body, last] {
            engine.input(part);
        }
        Txid::from_engine(engine)
    }

    /// Hash of all of it.
    pub(crate) fn wtxid(&self) -> Wtxid {
        Wtxid::from_byte_array(headframe_work::sha256d(self.data))
    }

    /// BIP141 weight units.
    pub(crate) fn weight(&self) -> usize {
        3 * self.stripped() + self.data.len()
    }

    fn stripped(&self) -> usize {
        self.body.len() + 2 * EDGE
    }

    fn has_witnesses(&self) -> bool {
        self.stripped() != self.data.len()
    }
}

/// The marker and the one flag that there is.
fn flag(rest: &mut &[u8]) -> Result<(), Malformed> {
    match bytes(rest, 2)? {
        [MARKER, FLAG] => Ok(()),
        [_, flag] => Err(Malformed::Flag(*flag)),
        _ => Err(Malformed::Short),
    }
}

/// How many inputs there are, and whether they are those of a coinbase.
fn inputs(rest: &mut &[u8]) -> Result<(u64, bool), Malformed> {
    let count = number(rest)?;
    let is_null = rest.starts_with(&NULL_OUTPOINT);
    for _ in 0..count {
        bytes(rest, OUTPOINT)?;
        script(rest)?;
        bytes(rest, size_of::<u32>())?;
    }
    Ok((count, count == 1 && is_null))
}

fn outputs(rest: &mut &[u8]) -> Result<(), Malformed> {
    for _ in 0..number(rest)? {
        bytes(rest, size_of::<u64>())?;
        script(rest)?;
    }
    Ok(())
}

/// As many witnesses as inputs, not all of them empty.
fn witnesses(rest: &mut &[u8], inputs: u64) -> Result<(), Malformed> {
    let mut items = false;
    for _ in 0..inputs {
        let count = number(rest)?;
        items |= count > 0;
        for _ in 0..count {
            script(rest)?;
        }
    }
    match items || inputs == 0 {
        true => Ok(()),
        false => Err(Malformed::NoWitness),
    }
}

/// Bytes with their number before them.
fn script(rest: &mut &[u8]) -> Result<(), Malformed> {
    let len = number(rest)?;
    bytes(rest, usize::try_from(len).map_err(|_| Malformed::Short)?).map(drop)
}

/// Bitcoin's "compact size", which has to be the shortest that says the number.
fn number(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let (width, least) = match bytes(rest, 1)? {
        [0xfd] => (2, 0xfd),
        [0xfe] => (4, 0x1_0000),
        [0xff] => (8, 0x1_0000_0000),
        short => return Ok(little_endian(short)),
    };
    let number = little_endian(bytes(rest, width)?);
    (number >= least).then_some(number).ok_or(Malformed::Length)
}

fn little_endian(bytes: &[u8]) -> u64 {
    let digits = bytes.iter().rev();
    digits.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn bytes<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(len).ok_or(Malformed::Short)?;
    *rest = left;
    Ok(taken)
}

/// What of `whole` was taken before `rest`, which is its end.
fn before<'a>(whole: &'a [u8], rest: &[u8]) -> &'a [u8] {
    whole
        .get(..whole.len() - rest.len())
        .expect("the rest is no longer than the whole")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::Decodable;
    use bitcoin::consensus::encode::serialize;
    use bitcoin::transaction::Version;
    use bitcoin::{
        Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
        absolute::LockTime,
    };
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn input() -> impl Strategy<Value = TxIn> {
        let script = vec(any::<u8>(), 0..300);
        let witness = vec(vec(any::<u8>(), 0..300), 0..4);
        let outpoint = prop_oneof![
            Just(OutPoint::null()),
            (any::<[u8; 32]>(), any::<u32>())
                .prop_map(|(txid, vout)| OutPoint::new(Txid::from_byte_array(txid), vout)),
        ];
        (outpoint, script, any::<u32>(), witness).prop_map(
            |(outpoint, script, sequence, witness)| TxIn {
                previous_output: outpoint,
                script_sig: ScriptBuf::from_bytes(script),
                sequence: Sequence(sequence),
                witness: Witness::from_slice(&witness),
            },
        )
    }

    fn transaction() -> impl Strategy<Value = Transaction> {
        let output = (any::<u64>(), vec(any::<u8>(), 0..300)).prop_map(|(value, script)| TxOut {
            value: Amount::from_sat(value),
            script_pubkey: ScriptBuf::from_bytes(script),
        });
        let puts = (vec(input(), 0..4), vec(output, 0..4));
        (any::<i32>(), puts, any::<u32>()).prop_map(|(version, (input, output), lock)| {
            Transaction {
                version: Version(version),
                lock_time: LockTime::from_consensus(lock),
                input,
                output,
            }
        })
    }

    /// The same is taken, or refused, as by `bitcoin`, and is worth the same.
    fn agrees(bytes: &[u8]) {
        let (mut ours, mut theirs) = (bytes, bytes);
        match (
            RawTransaction::take(&mut ours),
            Transaction::consensus_decode(&mut theirs),
        ) {
            (Ok(raw), Ok(transaction)) => {
                assert_eq!(ours, theirs);
                assert_eq!(raw.data(), serialize(&transaction));
                assert_eq!(raw.txid(), transaction.compute_txid());
                assert_eq!(raw.wtxid(), transaction.compute_wtxid());
                assert_eq!(raw.weight() as u64, transaction.weight().to_wu());
                assert_eq!(raw.is_coinbase(), transaction.is_coinbase());
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{ours:?}, and not {theirs:?}"),
        }
    }

    proptest! {
        #[test]
        fn what_is_a_transaction_is_read_as_by_bitcoin(
            transaction in transaction(),
            after in vec(any::<u8>(), 0..3),
        ) {
            let bytes = [serialize(&transaction), after].concat();
            let mut rest = bytes.as_slice();
            prop_assert!(RawTransaction::take(&mut rest).is_ok());
            agrees(&bytes);
        }

        #[test]
        fn what_is_none_is_refused_as_by_bitcoin(
            transaction in transaction(),
            place: prop::sample::Index,
            byte: u8,
            cut: prop::sample::Index,
        ) {
            let whole = serialize(&transaction);
            let mut changed = whole.clone();
            changed[place.index(whole.len())] = byte;
            agrees(&changed);
            agrees(&whole[..cut.index(whole.len())]);
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in vec(prop_oneof![any::<u8>(), 0..3_u8, 0xfd..=0xff_u8], 0..200)) {
            agrees(&bytes);
        }
    }

    #[test]
    fn each_flaw_has_its_name() {
        let take = |bytes: &[u8]| RawTransaction::take(&mut &*bytes).unwrap_err();
        let version = [2, 0, 0, 0];
        let input = [&[1][..], &[7; 36], &[0], &[0; 4]].concat();
        assert_eq!(take(&version), Malformed::Short);
        assert_eq!(take(&[&version[..], &[0, 2]].concat()), Malformed::Flag(2));
        let long = [&version[..], &[0xfd, 0xfc, 0]].concat();
        assert_eq!(take(&long), Malformed::Length);
        // An input, no output, and a witness of nothing.
        let bare = [&version[..], &[MARKER, FLAG], &input, &[0, 0], &[0; 4]].concat();
        assert_eq!(take(&bare), Malformed::NoWitness);
    }
}
