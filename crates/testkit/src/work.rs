//! What a miner makes of a job, from what is on the wire.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{BlockHash, CompactTarget, Target, Transaction, TxMerkleNode, consensus};

use crate::Chance;

/// A job as a miner holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinerJob {
    /// The id to name in shares.
    pub id: u32,
    /// The header version before any rolling.
    pub version: u32,
    /// The block that it builds on.
    pub prev_hash: [u8; 32],
    /// The network target.
    pub bits: u32,
    /// The header time to begin with.
    pub time: u32,
    /// Where the merkle root comes from.
    pub root: RootSource,
    /// The target that was in force when the job came.
    pub target: Target,
}

/// Where a job's merkle root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// The pool gave it: a standard job.
    Given([u8; 32]),
    /// A coinbase around the extranonce, and the path from it to the root.
    Coinbase {
        /// Before the extranonce.
        prefix: Vec<u8>,
        /// The pool's part of the extranonce.
        extranonce_prefix: Vec<u8>,
        /// Bytes that the miner rolls.
        rolled_len: usize,
        /// After the extranonce.
        suffix: Vec<u8>,
        /// The hashes that lead to the root.
        path: Vec<[u8; 32]>,
    },
}

/// What a miner found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce {
    /// The job that it was found on.
    pub job_id: u32,
    /// The extranonce that the miner rolled.
    pub extranonce: Vec<u8>,
    /// The whole header.
    pub header: Header,
}

impl Nonce {
    /// The hash.
    pub fn hash(&self) -> BlockHash {
        self.header.block_hash()
    }

    /// The header version as a number.
    pub fn version(&self) -> u32 {
        self.header.version.to_consensus() as u32
    }
}

impl MinerJob {
    /// The coinbase with `rolled`; `None` for a standard job, of which the miner sees none.
    pub fn coinbase(&self, rolled: &[u8]) -> Option<Transaction> {
        let bytes = self.coinbase_bytes(rolled)?;
        Some(consensus::deserialize(&bytes).expect("the pool sent a coinbase that is none"))
    }

    /// The header with `rolled` extranonce bytes, as the miner hashes it.
    pub fn header(&self, rolled: &[u8], version: u32, time: u32, nonce: u32) -> Header {
        Header {
            version: Version::from_consensus(version as i32),
            prev_blockhash: BlockHash::from_byte_array(self.prev_hash),
            merkle_root: TxMerkleNode::from_byte_array(self.merkle_root(rolled)),
            time,
            bits: CompactTarget::from_consensus(self.bits),
            nonce,
        }
    }

    /// Hashes until `target` is met.
    pub fn mine(&self, chance: &mut Chance, target: Target) -> Nonce {
        self.mine_where(chance, |hash| target.is_met_by(hash))
    }

    /// Hashes until one is found that is as `is_wanted` says.
    pub fn mine_where(&self, chance: &mut Chance, is_wanted: impl Fn(BlockHash) -> bool) -> Nonce {
        let extranonce = chance.bytes::<32>()[..self.rolled_len()].to_vec();
        let rolled_bits = (chance.number() as u32) & 0x1fff_e000;
        let version = (self.version & !0x1fff_e000) | rolled_bits;
        let mut header = self.header(&extranonce, version, self.time, chance.number() as u32);
        while !is_wanted(header.block_hash()) {
            header.nonce = header.nonce.wrapping_add(1);
        }
        Nonce {
            job_id: self.id,
            extranonce,
            header,
        }
    }

    /// The network target.
    pub fn network_target(&self) -> Target {
        Target::from_compact(CompactTarget::from_consensus(self.bits))
    }

    /// Bytes of the extranonce that the miner rolls.
    pub fn rolled_len(&self) -> usize {
        match &self.root {
            RootSource::Given(_) => 0,
            RootSource::Coinbase { rolled_len, .. } => *rolled_len,
        }
    }

    fn coinbase_bytes(&self, rolled: &[u8]) -> Option<Vec<u8>> {
        match &self.root {
            RootSource::Given(_) => None,
            RootSource::Coinbase {
                prefix,
                extranonce_prefix,
                suffix,
                ..
            } => Some([prefix, extranonce_prefix, rolled, suffix].concat()),
        }
    }

    fn merkle_root(&self, rolled: &[u8]) -> [u8; 32] {
        match (&self.root, self.coinbase_bytes(rolled)) {
            (RootSource::Coinbase { path, .. }, Some(coinbase)) => {
                let leaf = sha256d::Hash::hash(&coinbase).to_byte_array();
                path.iter().fold(leaf, |left, right| {
                    let mut engine = sha256d::Hash::engine();
                    engine.input(&left);
                    engine.input(right);
                    sha256d::Hash::from_engine(engine).to_byte_array()
                })
            }
            (RootSource::Given(root), _) => *root,
            (RootSource::Coinbase { .. }, None) => unreachable!("an extended job has a coinbase"),
        }
    }
}
