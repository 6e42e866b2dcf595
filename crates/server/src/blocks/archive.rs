//! Found blocks as they lie in a data directory that another process may hold: what the ledger knows of
//! them, and what only the journal has. Nothing is written.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use bitcoin::BlockHash;
use headframe_ledger::{BlockFate, BlockRecord, LedgerError, SqliteLedger, Text};
use headframe_work::Network;

use super::journal::Unanswered;
use super::recovery::record_of;
use super::{INCONCLUSIVE, Journal};

/// A block that the pool found.
#[derive(Debug, Clone)]
pub struct ArchivedBlock {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Who found it, when, and whom it pays. Of a block that the ledger does not have it says what
    /// stands in the block; `None` where its file holds no block of this network.
    pub record: Option<BlockRecord>,
    /// What became of it.
    pub fate: BlockFate,
    /// Where it lies, for `submitblock`.
    pub file: Option<PathBuf>,
}

impl ArchivedBlock {
    /// The block in hexadecimal digits; `None` where it has no file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn hex(&self) -> Option<io::Result<String>> {
        let text = std::fs::read_to_string(self.file.as_ref()?);
        Some(text.map(|text| text.trim().to_owned()))
    }
}

/// Why the blocks of a data directory cannot be told. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal cannot be read.
    #[error("cannot read the found blocks in {directory}: {error}")]
    Journal {
        /// The data directory.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The blocks in a data directory, the highest first, at most `limit` of the ledger's, and those that it does not
/// have: all, or where it has so many, those above the lowest of them. `network` is for the addresses of blocks
/// that the ledger does not have. Blocks its thread.
///
/// # Errors
///
/// Ledger or journal cannot be read.
pub fn read_archive(
    data_directory: &Path,
    network: Option<Network>,
    limit: usize,
) -> Result<Vec<ArchivedBlock>, ArchiveError> {
    // The ledger first: what is found meanwhile is in the journal then.
    let records = SqliteLedger::blocks_in(data_directory, limit)?;
    let journal = Journal::look_at(data_directory);
    let files = journal.all().map_err(|error| ArchiveError::Journal {
        directory: data_directory.to_owned(),
        error,
    })?;
    let files = files.into_iter();
    let mut files: HashMap<_, _> = files
        .map(|(height, hash, word)| (hash, (height, word)))
        .collect();
    let recorded = records.into_iter().map(|record| {
        let (height, hash) = (record.found.height, record.found.hash);
        let has_file = files.remove(&hash).is_some();
        ArchivedBlock {
            height,
            hash,
            fate: record.fate.clone(),
            record: Some(record),
            file: has_file.then(|| journal.path(height, hash)),
        }
    });
    let mut blocks: Vec<_> = recorded.collect();
    // Where the ledger has more than it was asked for, files of lower blocks may be theirs.
    let lowest = blocks.iter().map(|block| block.height).min();
    let lowest = lowest.filter(|_| blocks.len() >= limit);
    let strays = files.into_iter();
    let strays = strays.filter(|(_, (height, _))| lowest.is_none_or(|lowest| *height > lowest));
    blocks.extend(
        strays.map(|(hash, (height, word))| stray(&journal, (height, hash), word, network)),
    );
    blocks.sort_by_key(|block| core::cmp::Reverse((block.height, block.found_at(), block.hash)));
    Ok(blocks)
}

impl ArchivedBlock {
    fn found_at(&self) -> u32 {
        let record = self.record.as_ref();
        record.map_or(0, |record| record.found.found_at.as_secs())
    }
}

/// A block that the ledger does not have: the pool was killed, or its ledger moved away.
fn stray(
    journal: &Journal,
    (height, hash): (u32, BlockHash),
    word: Option<String>,
    network: Option<Network>,
) -> ArchivedBlock {
    let fate = fate_of(word.as_deref());
    let hex = journal.read(height, hash).ok();
    let found = hex.and_then(|hex| record_of(&Unanswered { height, hash, hex }, network?));
    ArchivedBlock {
        height,
        hash,
        record: found.map(|found| BlockRecord {
            found,
            fate: fate.clone(),
            answers: Vec::new(),
        }),
        fate,
        file: Some(journal.path(height, hash)),
    }
}

/// What the journal's word for it means.
pub(super) fn fate_of(word: Option<&str>) -> BlockFate {
    match word {
        None => BlockFate::Found,
        Some(INCONCLUSIVE) => BlockFate::Submitted,
        Some(word) => match word.strip_prefix("refused: ") {
            Some(reason) => BlockFate::Refused {
                reason: Text::clip(reason),
            },
            None => BlockFate::Accepted,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use headframe_ledger::{DataDir, FoundBlock, Ledger as _, Retention, WorkerId};
    use headframe_work::UnixTime;

    fn hash(byte: u8) -> BlockHash {
        BlockHash::from_byte_array([byte; 32])
    }

    fn record(height: u32, byte: u8) -> FoundBlock {
        FoundBlock {
            height,
            hash: hash(byte),
            found_at: UnixTime::from_secs(60),
            worker: WorkerId::new("user", "address").unwrap(),
            paid: bitcoin::Amount::from_sat(50),
            fee: None,
            bits: None,
            protocol: None,
            work_before: None,
            job: "job".into(),
        }
    }

    #[test]
    fn the_journal_s_words_are_understood() {
        let rows = [
            (None, BlockFate::Found),
            (Some("accepted"), BlockFate::Accepted),
            (Some("known"), BlockFate::Accepted),
            (Some("inconclusive"), BlockFate::Submitted),
            (
                Some("refused: high-hash"),
                BlockFate::Refused {
                    reason: "high-hash".into(),
                },
            ),
        ];
        for (word, fate) in rows {
            assert_eq!(fate_of(word), fate, "{word:?}");
        }
    }

    #[test]
    fn what_ledger_and_journal_have_is_one_list_though_a_pool_runs() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        assert!(
            read_archive(path, Some(Network::Regtest), 9)
                .unwrap()
                .is_empty()
        );
        let dir = DataDir::open(path).unwrap();
        let mut ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        let journal = Journal::open(path).unwrap();
        ledger.record_block(&record(100, 1)).unwrap();
        ledger.record_block(&record(102, 2)).unwrap();
        journal.write(102, hash(2), &"aa".into()).unwrap();
        journal.write(101, hash(3), &"bb".into()).unwrap();
        journal.write(103, hash(4), &"cc".into()).unwrap();
        journal.settle(103, hash(4), "refused: high-hash").unwrap();
        let blocks = read_archive(path, Some(Network::Regtest), 9).unwrap();
        let shown: Vec<_> = blocks
            .iter()
            .map(|block| {
                (
                    block.height,
                    block.fate.code(),
                    block.hex().map(Result::unwrap),
                )
            })
            .collect();
        let expected = [
            (103, "refused", Some("cc".to_owned())),
            (102, "found", Some("aa".to_owned())),
            (101, "found", Some("bb".to_owned())),
            (100, "found", None),
        ];
        assert_eq!(shown, expected);
        assert!(blocks[2].record.is_none(), "its file holds no block");
    }

    /// The pool was killed before the ledger had it: of all blocks the one that somebody has to look after.
    #[test]
    fn a_new_block_that_the_ledger_does_not_have_is_told_however_few_are_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        let dir = DataDir::open(path).unwrap();
        let mut ledger = SqliteLedger::open(&dir, Retention::default()).unwrap();
        let journal = Journal::open(path).unwrap();
        for (height, byte) in [(100, 1), (101, 2), (102, 3)] {
            ledger.record_block(&record(height, byte)).unwrap();
            journal.write(height, hash(byte), &"aa".into()).unwrap();
        }
        journal.write(103, hash(4), &"bb".into()).unwrap();
        let blocks = read_archive(path, Some(Network::Regtest), 2).unwrap();
        let heights: Vec<_> = blocks.iter().map(|block| block.height).collect();
        assert_eq!(heights, [103, 102, 101]);
    }
}
