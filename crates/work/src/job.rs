//! What a miner works on: a prepared template joined to a payout.

use std::sync::{Arc, OnceLock};

use bitcoin::{BlockHash, VarInt, consensus};
use sha2::{Digest, Sha256};

use crate::sha256d::finish;
use crate::{
    BlockHex, Coinbase, CoinbaseError, Header, Payout, PoolTag, PreparedTemplate, UniqueBytes,
    merkle_root,
};

/// A prepared template with a coinbase: all that is missing for a block is an extranonce and a
/// header that meets the target.
///
/// Immutable: a change of fee, payout or tag makes another job. The same parts always make the same job,
/// so that nobody has to keep it.
#[derive(Debug, Clone)]
pub struct Job {
    prepared: Arc<PreparedTemplate>,
    payout: Payout,
    coinbase: Coinbase,
    /// SHA-256 after the coinbase's prefix, the same for every share, where shares have to hash it.
    midstate: OnceLock<Box<Sha256>>,
}

/// A block that meets the network's target.
#[derive(Debug, Clone)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The coinbase as it stands in the block.
    pub coinbase: Vec<u8>,
    /// The template that the other transactions come from.
    pub prepared: Arc<PreparedTemplate>,
    /// Whom the block pays.
    pub payout: Payout,
}

impl Job {
    /// Joins `prepared` to `payout`.
    ///
    /// # Errors
    ///
    /// When the coinbase cannot be built: see [`Coinbase::new`].
    pub fn new(
        prepared: Arc<PreparedTemplate>,
        payout: Payout,
        tag: &PoolTag,
        unique: UniqueBytes,
        extranonce_len: usize,
    ) -> Result<Self, CoinbaseError> {
        let coinbase = Coinbase::new(&prepared, &payout, tag, unique, extranonce_len)?;
        Ok(Self {
            prepared,
            payout,
            coinbase,
            midstate: OnceLock::new(),
        })
    }

    /// Shares will come whose miners roll the extranonce: what they have in common is hashed once, and
    /// kept. Without this nothing is, and each [`Self::merkle_root`] hashes the whole coinbase.
    pub fn expect_extranonces(&self) {
        self.midstate.get_or_init(|| Box::new(self.after_prefix()));
    }

    /// The template that the job is made of.
    pub fn prepared(&self) -> &Arc<PreparedTemplate> {
        &self.prepared
    }

    /// Whom a block of this job pays.
    pub fn payout(&self) -> &Payout {
        &self.payout
    }

    /// The coinbase.
    pub fn coinbase(&self) -> &Coinbase {
        &self.coinbase
    }

    /// The merkle root with the extranonce `prefix` ‖ `rolled`, as the hash function gives it. The
    /// two have [`Coinbase::extranonce_len`] bytes together; the caller has checked a peer's.
    #[inline]
    pub fn merkle_root(&self, prefix: &[u8], rolled: &[u8]) -> [u8; 32] {
        debug_assert_eq!(prefix.len() + rolled.len(), self.coinbase.extranonce_len());
        let kept = self.midstate.get();
        let txid = kept
            .map_or_else(|| self.after_prefix(), |kept| Sha256::clone(kept))
            .chain_update(prefix)
            .chain_update(rolled)
            .chain_update(self.coinbase.suffix());
        merkle_root(finish(txid), self.prepared.merkle_path())
    }

    /// The block that `header` and `extranonce` (the whole of it) make of this job.
    pub fn block(&self, header: Header, extranonce: &[u8]) -> Block {
        Block {
            header,
            coinbase: self.coinbase.serialize(extranonce),
            prepared: Arc::clone(&self.prepared),
            payout: self.payout.clone(),
        }
    }

    fn after_prefix(&self) -> Sha256 {
        Sha256::new_with_prefix(self.coinbase.prefix())
    }
}

impl Block {
    /// The block's height.
    pub fn height(&self) -> u32 {
        self.prepared.template().height
    }

    /// The block's hash.
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// The whole block in hexadecimal, as `submitblock` takes it. Takes microseconds once the template's
    /// [digits](PreparedTemplate::transactions_hex) are made.
    pub fn to_hex(&self) -> BlockHex {
        BlockHex::new(&self.head(), Arc::clone(self.prepared.transactions_hex()))
    }

    /// The whole block as nodes send it to each other.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        for transaction in &self.prepared.template().transactions {
            bytes.extend_from_slice(&transaction.data);
        }
        bytes
    }

    /// Header, number of transactions, coinbase.
    fn head(&self) -> Vec<u8> {
        let count = VarInt::from(self.prepared.template().transactions.len() + 1);
        [
            self.header.to_bytes().as_slice(),
            &consensus::serialize(&count),
            &self.coinbase,
        ]
        .concat()
    }
}
