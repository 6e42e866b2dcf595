//! What an earlier run of the pool left undone about its blocks.

use std::io;

use bitcoin::amount::CheckedSum as _;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Address, Block};
use headframe_ledger::{BlockFate, FoundBlock, Ledger, Text, WorkerId};
use headframe_work::{Network, UnixTime};
use tracing::{info, warn};

use super::Journal;
use super::archive::fate_of;
use super::follower::{Followed, MAX_FOLLOWED};
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
    let unsettled = unsettled.into_iter().rev();
    let followed =
        unsettled.map(|block| Followed::new(block.found.height, block.found.hash, &block.fate));
    followed.collect()
}

/// The blocks that a journal without a ledger knows to be with a node, the oldest first. How deep they are it does
/// not say; those that a block which a node had on its best chain has buried are left out.
pub(crate) fn followed_of(journal: &Journal) -> io::Result<Vec<Followed>> {
    let blocks = journal.all()?.into_iter();
    let mut blocks: Vec<_> = blocks
        .map(|(height, hash, word)| (height, hash, fate_of(word.as_deref())))
        .filter(|(_, _, fate)| matches!(fate, BlockFate::Accepted | BlockFate::Submitted))
        .collect();
    blocks.sort_by_key(|(height, hash, _)| (*height, *hash));
    let was_tip = |fate: &BlockFate| *fate == BlockFate::Accepted;
    let tip = blocks.iter().rfind(|(_, _, fate)| was_tip(fate));
    let buried = tip.map_or(0, |(height, _, _)| height.saturating_sub(BlockFate::MATURE));
    blocks.retain(|(height, _, _)| *height > buried);
    let surplus = blocks.len().saturating_sub(MAX_FOLLOWED);
    let followed = blocks.into_iter().skip(surplus);
    let followed = followed.map(|(height, hash, fate)| Followed::new(height, hash, &fate));
    Ok(followed.collect())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash as _;

    use super::*;

    /// Blocks by their heights, each with what the journal says of it.
    fn followed_of_these(blocks: &[(u32, Option<&str>)]) -> Vec<Followed> {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        for (height, word) in blocks {
            let path = journal.path(*height, hash(*height));
            fs::write(&path, "ab").unwrap();
            if let Some(word) = word {
                fs::write(path.with_extension("answer"), word).unwrap();
            }
        }
        followed_of(&journal).unwrap()
    }

    fn hash(height: u32) -> BlockHash {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&height.to_le_bytes());
        BlockHash::from_byte_array(bytes)
    }

    fn of(height: u32, fate: &BlockFate) -> Followed {
        Followed::new(height, hash(height), fate)
    }

    #[test]
    fn a_journal_tells_which_blocks_a_node_has() {
        let followed = followed_of_these(&[
            (205, Some("known\na node: known")),
            (201, Some("accepted")),
            (202, Some("inconclusive")),
            (203, Some("refused: high-hash")),
            (204, None),
        ]);
        let taken = BlockFate::Accepted;
        let expected = [
            of(201, &taken),
            of(202, &BlockFate::Submitted),
            of(205, &taken),
        ];
        assert_eq!(followed, expected);
        assert_ne!(of(201, &taken), of(201, &BlockFate::Submitted));
    }

    /// A provider has no ledger that would know which of all its years' blocks are settled.
    #[test]
    fn blocks_that_others_have_buried_are_not_asked_for() {
        let accepted = Some("accepted");
        let followed = followed_of_these(&[
            (100, accepted),
            (101, accepted),
            (200, accepted),
            (400, Some("inconclusive")),
        ]);
        let expected = [(101, BlockFate::Accepted), (200, BlockFate::Accepted)];
        let mut expected = expected.map(|(height, fate)| of(height, &fate)).to_vec();
        expected.push(of(400, &BlockFate::Submitted));
        assert_eq!(followed, expected);
        let many: Vec<_> = (1_000..1_300)
            .map(|height| (height, Some("inconclusive")))
            .collect();
        let followed = followed_of_these(&many);
        assert_eq!(followed.len(), MAX_FOLLOWED);
        assert_eq!(followed.last(), Some(&of(1_299, &BlockFate::Submitted)));
    }
}
