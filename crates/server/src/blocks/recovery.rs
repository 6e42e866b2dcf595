//! What an earlier run of the pool left undone about its blocks.

use std::io;

use bitcoin::amount::CheckedSum as _;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Address, Block};
use headframe_ledger::{BlockFate, FoundBlock, Ledger, Text, WorkerId};
use headframe_work::{Network, UnixTime};
use tracing::{info, warn};

use super::Journal;
use super::follower::{AcceptedBy, Followed};
use super::journal::Unanswered;
use super::parcel::Origin;

/// Blocks of earlier runs that are to be looked after.
#[derive(Debug)]
pub(crate) struct Left {
    /// Submitted again.
    pub(super) unanswered: Vec<(Unanswered, Origin)>,
    /// What the ledger is told of them: the pool may have been killed before it was.
    pub(super) records: Vec<FoundBlock>,
    /// Those whose place in the chain is not settled.
    pub(super) followed: Vec<Followed>,
}

impl Left {
    /// Reads journal and ledger. All that is to be known of a block which only the journal knows
    /// stands in the block, but for the worker's label and the protocol. A ledger that fails keeps
    /// no block from being submitted.
    pub(crate) fn read(
        journal: &Journal,
        ledger: &dyn Ledger,
        network: Network,
    ) -> io::Result<Self> {
        let mut left = Self {
            unanswered: Vec::new(),
            records: Vec::new(),
            followed: followed(ledger),
        };
        for block in journal.unanswered()? {
            info!(
                "block {} {} has no answer yet; it is submitted again",
                block.height, block.hash
            );
            left.followed.retain(|other| other.hash != block.hash);
            let record = record_of(&block, network);
            let origin = match record {
                Some(_) => Origin::Journal,
                None => Origin::Stranger,
            };
            if record.is_none() {
                warn!("the file of block {} does not hold a block", block.height);
            }
            left.records.extend(record);
            left.unanswered.push((block, origin));
        }
        Ok(left)
    }
}

/// The blocks of the ledger whose fate is open, the oldest first.
fn followed(ledger: &dyn Ledger) -> Vec<Followed> {
    let unsettled = ledger.unsettled_blocks().unwrap_or_else(|error| {
        warn!("the ledger does not say which blocks to follow: {error}");
        Vec::new()
    });
    let followed = unsettled.into_iter().rev().map(|block| Followed {
        height: block.found.height,
        hash: block.found.hash,
        accepted_by: match block.fate {
            BlockFate::Accepted | BlockFate::Confirmed { .. } => AcceptedBy::Anybody,
            BlockFate::Found
            | BlockFate::Submitted
            | BlockFate::Orphaned
            | BlockFate::Refused { .. } => AcceptedBy::Nodes(Vec::new()),
        },
        forgotten_by: Vec::new(),
    });
    followed.collect()
}

/// What a block says of itself; `None` if it is none, or pays no address of `network`.
pub(super) fn record_of(left: &Unanswered, network: Network) -> Option<FoundBlock> {
    let block: Block = deserialize_hex(left.hex.trim()).ok()?;
    let (miner, others) = block.txdata.first()?.output.split_first()?;
    let address =
        Address::from_script(&miner.script_pubkey, bitcoin::Network::from(network)).ok()?;
    let address = address.to_string();
    let fees = others.iter().map(|output| output.value);
    Some(FoundBlock {
        height: left.height,
        hash: left.hash,
        found_at: UnixTime::from_secs(block.header.time),
        worker: WorkerId::new(&address, &address).ok()?,
        paid: miner.value,
        fee: fees.checked_sum(),
        bits: Some(block.header.bits),
        protocol: None,
        work_before: None,
        job: Text::clip(&block.header.prev_blockhash.to_string()),
    })
}
