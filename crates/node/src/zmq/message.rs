//! What Bitcoin Core publishes about blocks: `hashblock` and `rawblock` (its doc/zmq.md).
//!
//! Both are sent when a block has become the tip: validated, connected, and not during the initial download
//! (`CZMQNotificationInterface::UpdatedBlockTip`). Of a block no more is read than says what comes after it.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash;

use super::wire::{HEAD, Part};

/// The topics that are subscribed to.
pub(super) const TOPICS: [&[u8]; 2] = [HASH, RAW];
const HASH: &[u8] = b"hashblock";
const RAW: &[u8] = b"rawblock";

/// A message of a topic that is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: Topic,
    /// Counts the topic's messages, from 0.
    pub(super) sequence: Option<u32>,
    pub(super) block: Announced,
}

/// Which topic it is, as an index of [`TOPICS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Hash,
    Raw,
}

/// The numbers of the messages that came.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// What the next message of each topic is to have.
    next: [Option<u32>; TOPICS.len()],
}

impl Sequences {
    /// How many messages of its topic were lost before this one. A publisher that has been restarted counts
    /// from 0 again, on a connection of its own.
    pub(super) fn lost_before(&mut self, message: &Message) -> u32 {
        let next = match message.topic {
            Topic::Hash => &mut self.next[0],
            Topic::Raw => &mut self.next[1],
        };
        let follows = message.sequence.map(|this| this.wrapping_add(1));
        match (core::mem::replace(next, follows), message.sequence) {
            (Some(expected), Some(this)) => this.wrapping_sub(expected),
            _ => 0,
        }
    }
}

/// A block that has become a node's tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    /// Its hash, and no more.
    Hash(BlockHash),
    /// The block, as far as it matters.
    Block(BlockHead),
}

impl Announced {
    /// The block that a message is of whose part `coming` is not whole, once as much of it has come as matters;
    /// `before` are the parts before. The rest of a block is not looked at when it is there either.
    pub(super) fn read_ahead(before: &[Part], coming: &Part) -> Option<Self> {
        match before {
            [topic] if topic.whole() == Some(RAW) && coming.head.len() == HEAD => {
                BlockHead::read(&coming.head).map(Self::Block)
            }
            _ => None,
        }
    }

    pub(crate) fn hash(&self) -> BlockHash {
        match self {
            Self::Hash(hash) => *hash,
            Self::Block(head) => head.header.block_hash(),
        }
    }
}

/// The beginning of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHead {
    /// Its header, whose hash meets the target that it names.
    pub(crate) header: Header,
    /// Its height, as its coinbase says (BIP34).
    pub(crate) height: u32,
}

impl Message {
    /// Reads a message; `None` where it is not one of these.
    pub(super) fn read(parts: &[Part]) -> Option<Self> {
        let (topic, body, sequence) = match parts {
            [topic, body] => (topic, body, None),
            [topic, body, sequence] => (topic, body, sequence.whole()),
            _ => return None,
        };
        let (topic, block) = match topic.whole()? {
            HASH => (Topic::Hash, Announced::Hash(read_hash(body)?)),
            RAW => (Topic::Raw, Announced::Block(BlockHead::read(&body.head)?)),
            _ => return None,
        };
        let sequence = sequence.and_then(|bytes| bytes.try_into().ok());
        Some(Self {
            topic,
            sequence: sequence.map(u32::from_le_bytes),
            block,
        })
    }
}

/// A hash is published in the order in which people write it.
fn read_hash(body: &Part) -> Option<BlockHash> {
    let mut bytes = <[u8; 32]>::try_from(body.whole()?).ok()?;
    bytes.reverse();
    Some(BlockHash::from_byte_array(bytes))
}

impl BlockHead {
    /// Reads the beginning of a block; `None` where it is none, or has no proof of work by its own account.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (header, transactions) = bytes.split_at_checked(Header::SIZE)?;
        let header: Header = deserialize(header).ok()?;
        header.validate_pow(header.target()).ok()?;
        let height = coinbase_height(transactions)?;
        Some(Self { header, height })
    }
}

/// The height that the coinbase of a block begins with; `bytes` follow the header.
fn coinbase_height(bytes: &[u8]) -> Option<u32> {
    let rest = after_count(bytes)?;
    // Version; marker and flag where there are witnesses; one input, which spends nothing.
    let rest = rest.get(4..)?;
    let rest = rest.strip_prefix(&[0, 1]).unwrap_or(rest);
    let rest = rest.strip_prefix(&[1])?;
    let rest = rest.strip_prefix(&[0; 32])?.strip_prefix(&[0xff; 4])?;
    // The length of a coinbase's script fits into one byte.
    let (len, script) = rest.split_first()?;
    let script = script.get(..usize::from(*len).min(script.len()))?;
    read_height(script)
}

/// BIP34, in its shortest form as Bitcoin Core demands it.
fn read_height(script: &[u8]) -> Option<u32> {
    const OP_1: u8 = 0x51;
    const OP_16: u8 = 0x60;
    match script {
        [op @ OP_1..=OP_16, ..] => Some(u32::from(op - OP_1) + 1),
        [len @ 1..=4, rest @ ..] => {
            let mut bytes = [0; 4];
            let len = usize::from(*len);
            bytes.get_mut(..len)?.copy_from_slice(rest.get(..len)?);
            let height = u32::from_le_bytes(bytes);
            i32::try_from(height).is_ok().then_some(height)
        }
        _ => None,
    }
}

/// What follows a number of transactions, which is in one, three, five or nine bytes.
fn after_count(bytes: &[u8]) -> Option<&[u8]> {
    let len = match bytes.first()? {
        0 => return None,
        ..=0xfc => 1,
        0xfd => 3,
        0xfe => 5,
        0xff => 9,
    };
    bytes.get(len..)
}

/// Whatever the three parts of a message hold, it is read or passed over.
pub(super) fn fuzz(data: &[u8]) {
    for topic in TOPICS {
        let part = |bytes: &[u8], len: usize| Part {
            head: bytes.to_vec(),
            len: len as u64,
        };
        let head = data.get(..HEAD).unwrap_or(data);
        let parts = [
            part(topic, topic.len()),
            part(head, data.len()),
            part(&[1, 0, 0, 0], 4),
        ];
        let _ = Message::read(&parts);
        let _ = coinbase_height(data);
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::blockdata::constants::genesis_block;
    use bitcoin::consensus::serialize;
    use bitcoin::hex::FromHex;
    use bitcoin::opcodes::all::OP_PUSHNUM_16;
    use bitcoin::script::Builder;
    use bitcoin::{Block, Network, ScriptBuf};

    use super::*;

    /// Heights as they stand in blocks of the main chain, and in the first ones of a regtest.
    #[test]
    fn heights_are_read_as_blocks_have_them() {
        let rows: [(&str, Option<u32>); 10] = [
            ("03503403", Some(210_000)),
            ("039f8c0c2f", Some(822_431)),
            ("51", Some(1)),
            ("60", Some(16)),
            ("0111", Some(17)),
            ("028000", Some(128)),
            ("0400e1f505", Some(100_000_000)),
            ("04ffffffff", None),
            ("0344", None),
            ("05aabbccddee", None),
        ];
        for (script, height) in rows {
            assert_eq!(
                read_height(&Vec::from_hex(script).unwrap()),
                height,
                "{script}"
            );
        }
    }

    fn easy_block(height: u32, script: ScriptBuf) -> Block {
        let mut block = genesis_block(Network::Regtest);
        block.txdata[0].input[0].script_sig = script;
        block.header.prev_blockhash = block.block_hash();
        block.header.nonce = height;
        while block.header.validate_pow(block.header.target()).is_err() {
            block.header.nonce += 1;
        }
        block
    }

    fn parts(topic: &[u8], body: &[u8]) -> Vec<Part> {
        let head = &body[..body.len().min(HEAD)];
        let part = |head: &[u8], len: usize| Part {
            head: head.to_vec(),
            len: len as u64,
        };
        vec![
            part(topic, topic.len()),
            part(head, body.len()),
            part(&[5, 1, 0, 0], 4),
        ]
    }

    #[test]
    fn a_raw_block_tells_its_header_and_its_height() {
        let scripts = [
            (16, Builder::new().push_opcode(OP_PUSHNUM_16).into_script()),
            (840_000, Builder::new().push_int(840_000).into_script()),
        ];
        for (height, script) in scripts {
            let mut block = easy_block(height, script);
            for witness in [false, true] {
                if witness {
                    block.txdata[0].input[0].witness.push([0; 32]);
                }
                let message = Message::read(&parts(RAW, &serialize(&block))).unwrap();
                let head = BlockHead {
                    header: block.header,
                    height,
                };
                assert_eq!(message.block, Announced::Block(head));
                assert_eq!(message.sequence, Some(261));
            }
        }
    }

    #[test]
    fn a_header_without_its_work_is_nothing() {
        let mut block = easy_block(20, Builder::new().push_int(20).into_script());
        while block.header.validate_pow(block.header.target()).is_ok() {
            block.header.nonce += 1;
        }
        assert_eq!(Message::read(&parts(RAW, &serialize(&block))), None);
        // Bits that stand for no target at all.
        block.header.bits = bitcoin::CompactTarget::from_consensus(0x04ff_ffff);
        assert_eq!(Message::read(&parts(RAW, &serialize(&block))), None);
    }

    #[test]
    fn a_gap_in_the_numbers_of_a_topic_is_noticed() {
        let mut sequences = Sequences::default();
        let mut lost = |topic, sequence| {
            let block = Announced::Hash(BlockHash::all_zeros());
            sequences.lost_before(&Message {
                topic,
                sequence,
                block,
            })
        };
        assert_eq!(lost(Topic::Raw, Some(7)), 0, "the first");
        assert_eq!(lost(Topic::Hash, Some(3)), 0, "of another topic");
        assert_eq!(lost(Topic::Raw, Some(8)), 0);
        assert_eq!(lost(Topic::Raw, Some(11)), 2);
        assert_eq!(lost(Topic::Raw, Some(u32::MAX)), u32::MAX - 12);
        assert_eq!(lost(Topic::Raw, Some(0)), 0, "the numbers begin anew");
        assert_eq!(lost(Topic::Raw, None), 0);
        assert_eq!(lost(Topic::Raw, Some(9)), 0);
    }

    #[test]
    fn a_hash_is_read_in_the_order_of_its_digits() {
        let text = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let bytes = Vec::from_hex(text).unwrap();
        let message = Message::read(&parts(HASH, &bytes)).unwrap();
        assert_eq!(message.block.hash().to_string(), text);
        assert_eq!(Message::read(&parts(HASH, &bytes[1..])), None);
        assert_eq!(Message::read(&parts(b"hashtx", &bytes)), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_passed_over(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            fuzz(&bytes);
        }
    }
}
