//! The block journal: every found block is a file before anything can go wrong with it.
//!
//! `blocks/HEIGHT-HASH.hex` holds the block as `bitcoin-cli -stdin submitblock` takes it. When a node has
//! it, or all nodes have refused it, `blocks/HEIGHT-HASH.answer` stands beside it; a block without
//! an answer is submitted again when the pool starts.
//!
//! The first line of an answer is what the block came to: `accepted`, `known` (a node had it already) or
//! `refused: REASON`. Where there are several nodes, a line `NODE: ANSWER` follows for each that has answered by
//! then, where `ANSWER` is one of these words, `inconclusive` (valid, and not on its best chain) or
//! `no answer: WHAT STOOD IN THE WAY`. The file is written anew when another node has its last word.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bitcoin::BlockHash;
use headframe_work::{BlockHex, Network};

/// For the owner alone, as everything in the data directory.
const PRIVATE: u32 = 0o600;

/// The directory of found blocks.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
}

/// A block of the journal that no node has answered for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) height: u32,
    pub(crate) hash: BlockHash,
    pub(crate) hex: String,
}

impl Journal {
    /// Opens the journal in the data directory.
    pub(crate) fn open(data_directory: &Path) -> io::Result<Self> {
        let directory = data_directory.join("blocks");
        fs::create_dir_all(&directory)?;
        sync_directory(data_directory)?;
        Ok(Self { directory })
    }

    /// The journal in a data directory that another process may hold, to be read only; there may be none.
    pub(crate) fn look_at(data_directory: &Path) -> Self {
        Self {
            directory: data_directory.join("blocks"),
        }
    }

    /// The blocks that are there, in no order, each with what it came to if nodes have had their last word.
    pub(crate) fn all(&self) -> io::Result<Vec<(u32, BlockHash, Option<String>)>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut blocks = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if let Some((height, hash)) = parse_name(&path) {
                let answer = fs::read_to_string(path.with_extension("answer")).ok();
                let first = answer.and_then(|text| text.lines().next().map(str::to_owned));
                blocks.push((height, hash, first));
            }
        }
        Ok(blocks)
    }

    /// Where a block lies, or would.
    pub(crate) fn path(&self, height: u32, hash: BlockHash) -> PathBuf {
        self.directory.join(format!("{height}-{hash}.hex"))
    }

    /// Writes a block, and returns when it is on the disk.
    pub(crate) fn write(&self, height: u32, hash: BlockHash, hex: &BlockHex) -> io::Result<()> {
        self.write_whole(&self.path(height, hash), &hex.pieces())
    }

    /// Reads a block back.
    pub(crate) fn read(&self, height: u32, hash: BlockHash) -> io::Result<String> {
        Ok(fs::read_to_string(self.path(height, hash))?
            .trim()
            .to_owned())
    }

    /// Writes a node's last word on a block.
    pub(crate) fn settle(&self, height: u32, hash: BlockHash, answer: &str) -> io::Result<()> {
        let path = self.path(height, hash).with_extension("answer");
        self.write_whole(&path, &[answer, "\n"])
    }

    /// The blocks that no node has answered for, lowest first. Files that are no blocks are left
    /// alone.
    pub(crate) fn unanswered(&self) -> io::Result<Vec<Unanswered>> {
        let mut blocks = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let Some((height, hash)) = parse_name(&path) else {
                continue;
            };
            if path.with_extension("answer").exists() {
                continue;
            }
            match fs::read_to_string(&path) {
                Ok(text) => blocks.push(Unanswered {
                    height,
                    hash,
                    hex: text.trim().to_owned(),
                }),
                // The others are not to wait for it.
                Err(error) => tracing::error!(
                    "the found block {} cannot be read and is not submitted: {error}",
                    path.display()
                ),
            }
        }
        blocks.sort_by_key(|block| (block.height, block.hash));
        Ok(blocks)
    }

    /// A file is whole or not there: it gets its name when its content is on the disk.
    fn write_whole(&self, path: &Path, content: &[&str]) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = options.mode(PRIVATE).open(&beside)?;
        for piece in content {
            file.write_all(piece.as_bytes())?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_directory(&self.directory)
    }
}

/// The command that submits the block in `file` to a node of `network`. By standard input, since an
/// argument may have no more than 128 KiB on Linux.
pub(crate) fn by_hand(file: &str, network: Network) -> String {
    let chain = match network {
        Network::Mainnet => String::new(),
        Network::Testnet4 | Network::Signet | Network::Regtest => {
            format!(" -{}", network.core_name())
        }
    };
    let file = file.replace('\'', r"'\''");
    format!("bitcoin-cli{chain} -stdin submitblock < '{file}'")
}

fn parse_name(path: &Path) -> Option<(u32, BlockHash)> {
    if path.extension() != Some(OsStr::new("hex")) {
        return None;
    }
    let (height, hash) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((height.parse().ok()?, BlockHash::from_str(hash).ok()?))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;

    fn hash(byte: u8) -> BlockHash {
        BlockHash::from_byte_array([byte; 32])
    }

    #[test]
    fn a_block_waits_until_it_is_answered_for_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        journal.write(101, hash(2), &"bb".into()).unwrap();
        journal.write(100, hash(1), &"aa".into()).unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let heights = |journal: &Journal| -> Vec<_> {
            let blocks = journal.unanswered().unwrap();
            blocks
                .into_iter()
                .map(|block| (block.height, block.hex))
                .collect()
        };
        assert_eq!(heights(&journal), [(100, "aa".into()), (101, "bb".into())]);
        journal.settle(100, hash(1), "accepted").unwrap();
        assert_eq!(heights(&journal), [(101, "bb".into())]);
    }

    /// A file that somebody has put back ends with a line; no node takes a block that does.
    #[test]
    fn what_is_around_a_block_in_its_file_is_no_part_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        fs::write(journal.path(7, hash(7)), "aa\n").unwrap();
        assert_eq!(journal.unanswered().unwrap()[0].hex, "aa");
    }

    #[test]
    fn blocks_and_answers_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        journal.write(100, hash(1), &"aa".into()).unwrap();
        journal.settle(100, hash(1), "accepted").unwrap();
        let block = journal.path(100, hash(1));
        for file in [block.with_extension("answer"), block] {
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn the_command_names_the_chain_where_the_node_s_tool_would_take_another() {
        let chains = Network::ALL.map(|network| by_hand("/it's/1.hex", network));
        let expected = ["", " -testnet4", " -signet", " -regtest"]
            .map(|chain| format!(r"bitcoin-cli{chain} -stdin submitblock < '/it'\''s/1.hex'"));
        assert_eq!(chains, expected);
    }

    #[test]
    fn a_half_written_block_and_other_files_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let path = journal.path(7, hash(7));
        fs::write(path.with_extension("hex.part"), "a").unwrap();
        fs::write(directory.path().join("blocks/notes.hex"), "hello").unwrap();
        assert_eq!(journal.unanswered().unwrap(), []);
    }
}
