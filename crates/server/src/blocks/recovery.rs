//! What an earlier run of the pool left undone about its blocks.

use std::io;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Address, Block};
use headframe_ledger::{BlockFate, FoundBlock, Ledger, Text, WorkerId};
use headframe_work::{Network, UnixTime};
use tracing::{info, warn};

use super::Journal;
use super::courier::Followed;
use super::journal::Unanswered;

/// Blocks of earlier runs that are to be looked after.
#[derive(Debug)]
pub(crate) struct Left {
    /// Submitted again.
    pub(super) unanswered: Vec<Unanswered>,
    /// Those whose place in the chain is not settled.
    pub(super) followed: Vec<Followed>,
}

impl Left {
    /// Reads journal and ledger. A block that only the journal knows, because the pool was killed
    /// in between, is entered into the ledger; all that is to be known of it stands in the block,
    /// but for the worker's label. A ledger that fails keeps no block from being submitted.
    pub(crate) fn read(
        journal: &Journal,
        ledger: &mut dyn Ledger,
        network: Network,
    ) -> io::Result<Self> {
        let unanswered = journal.unanswered()?;
        for left in &unanswered {
            info!(
                "block {} {} has no answer yet; it is submitted again",
                left.height, left.hash
            );
            match record_of(left, network) {
                Some(record) => {
                    if let Err(error) = ledger.record_block(&record) {
                        warn!("block {} is not in the ledger: {error}", left.height);
                    }
                }
                None => warn!("the file of block {} does not hold a block", left.height),
            }
        }
        let unsettled = ledger.unsettled_blocks().unwrap_or_else(|error| {
            warn!("the ledger does not say which blocks to follow: {error}");
            Vec::new()
        });
        let followed = unsettled.into_iter().rev().map(|block| Followed {
            height: block.found.height,
            hash: block.found.hash,
            was_accepted: matches!(
                block.fate,
                BlockFate::Accepted | BlockFate::Confirmed { .. }
            ),
        });
        let is_answered = |block: &Followed| unanswered.iter().all(|left| left.hash != block.hash);
        Ok(Self {
            followed: followed.filter(is_answered).collect(),
            unanswered,
        })
    }
}

fn record_of(left: &Unanswered, network: Network) -> Option<FoundBlock> {
    let block: Block = deserialize_hex(left.hex.trim()).ok()?;
    let miner = block.txdata.first()?.output.first()?;
    let address =
        Address::from_script(&miner.script_pubkey, bitcoin::Network::from(network)).ok()?;
    let address = address.to_string();
    Some(FoundBlock {
        height: left.height,
        hash: left.hash,
        found_at: UnixTime::from_secs(block.header.time),
        worker: WorkerId::new(&address, &address).ok()?,
        paid: miner.value,
        job: Text::clip(&block.header.prev_blockhash.to_string()),
    })
}
