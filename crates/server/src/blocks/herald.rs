//! The thread that tells the log, the ledger and the board what became of found blocks. It may be late;
//! blocks never wait for it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};

use bitcoin::BlockHash;
use headframe_ledger::{BlockFate, BlockUpdate, FoundBlock, Text};
use headframe_mining::server::Protocol;
use headframe_node::SubmitAnswer;
use headframe_work::{BlockHex, Network, UnixTime};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::follower::HearsFates;
use super::parcel::{Delivery, Origin, Parcel};
use super::verdict::{Verdict, words};
use super::{Answer, Found, Journal, LastWord, by_hand};
use crate::clock::wall_clock;
use crate::ledger::{BlockEntry, Entry, LedgerHandle};
use crate::news::{BlockNews, News};

/// What waits for the herald. When the ledger or the board hold him up for longer than this, what
/// follows is not told; the blocks are on disk and on their way all the same.
const QUEUE: usize = 4_096;
/// Blocks for which the answers of several nodes are put together. Of more the oldest are forgotten: a node
/// that answers for one of these is heard as if it were the first.
const MAX_VERDICTS: usize = 1_024;
/// The log has a line for a block of the pool, and leaves it out for the demonstration, which says
/// the same once the block is accepted.
pub(crate) const FOUND: &str = "headframe_server::found";

/// Something that happened to a block.
pub(super) enum Told {
    /// It was found, and is being written to the journal.
    Found {
        record: Box<FoundBlock>,
        hex: BlockHex,
        written: Receiver<io::Result<()>>,
    },
    /// An earlier run left it in the journal.
    Left(Box<FoundBlock>),
    /// A node answered, or did not.
    Answer {
        node: usize,
        block: Delivery,
        answer: SubmitAnswer,
        at: UnixTime,
    },
    /// A node says where it stands.
    Fate {
        height: u32,
        hash: BlockHash,
        fate: BlockFate,
    },
}

#[derive(Debug, Clone)]
pub(super) struct HeraldHandle(SyncSender<Told>);

/// What the herald is made of.
pub(super) struct Parts {
    pub(super) journal: Arc<Journal>,
    /// Where answers for the journal go in the end.
    pub(super) answers: Sender<Answer>,
    pub(super) ledger: LedgerHandle,
    pub(super) news: mpsc::Sender<News>,
    /// What the nodes are called in the log.
    pub(super) nodes: Vec<String>,
    pub(super) network: Network,
}

pub(super) struct Herald {
    told: Receiver<Told>,
    parts: Parts,
    /// Blocks that could not be written to the journal yet.
    unwritten: HashMap<BlockHash, BlockHex>,
    /// What was said of blocks that not all nodes have answered for, the oldest first.
    verdicts: VecDeque<(BlockHash, Verdict)>,
}

impl Told {
    pub(super) fn found(found: &Found, hex: BlockHex, written: Receiver<io::Result<()>>) -> Self {
        let template = found.block.prepared.template();
        let paid = found.block.payout.miner_amount(template.coinbase_value);
        Self::Found {
            record: Box::new(FoundBlock {
                height: found.block.height(),
                hash: found.hash,
                found_at: found.at,
                worker: found.worker.clone(),
                paid,
                fee: template.coinbase_value.checked_sub(paid),
                bits: Some(template.bits),
                protocol: Some(match found.protocol {
                    Protocol::Sv1 => headframe_ledger::Protocol::Sv1,
                    Protocol::Sv2 => headframe_ledger::Protocol::Sv2,
                }),
                work_before: None,
                job: Text::clip(&template.prev_hash.to_string()),
            }),
            hex,
            written,
        }
    }

    pub(super) fn left(record: FoundBlock) -> Self {
        Self::Left(Box::new(record))
    }

    pub(super) fn answer(node: usize, block: &Delivery, answer: SubmitAnswer) -> Self {
        Self::Answer {
            node,
            block: block.clone(),
            answer,
            at: wall_clock(),
        }
    }

    fn height(&self) -> u32 {
        match self {
            Self::Found { record, .. } | Self::Left(record) => record.height,
            Self::Answer { block, .. } => block.parcel.height,
            Self::Fate { height, .. } => *height,
        }
    }
}

impl HeraldHandle {
    pub(super) fn tell(&self, told: Told) {
        if let Err(TrySendError::Full(told) | TrySendError::Disconnected(told)) =
            self.0.try_send(told)
        {
            let height = told.height();
            warn!("news of block {height} is not recorded: the ledger or the dashboard is stuck");
        }
    }
}

impl HearsFates for HeraldHandle {
    fn hear_fate(&mut self, height: u32, hash: BlockHash, fate: BlockFate) {
        self.tell(Told::Fate { height, hash, fate });
    }
}

impl Herald {
    pub(super) fn new(parts: Parts) -> (Self, HeraldHandle) {
        let (sender, told) = sync_channel(QUEUE);
        let herald = Self {
            told,
            parts,
            unwritten: HashMap::new(),
            verdicts: VecDeque::new(),
        };
        (herald, HeraldHandle(sender))
    }

    /// A herald that nobody listens to.
    #[cfg(test)]
    pub(super) fn unheard(journal: Arc<Journal>) -> (Self, HeraldHandle) {
        Self::new(Parts {
            journal,
            answers: std::sync::mpsc::channel().0,
            ledger: LedgerHandle::unheard(),
            news: mpsc::channel(1).0,
            nodes: vec!["one".to_owned(), "two".to_owned()],
            network: Network::Regtest,
        })
    }

    /// What was told and nobody has acted on.
    #[cfg(test)]
    pub(super) fn heard(self) -> Vec<Told> {
        self.told.try_iter().collect()
    }

    pub(super) fn run(mut self) {
        while let Ok(told) = self.told.recv() {
            match told {
                Told::Found {
                    record,
                    hex,
                    written,
                } => self.tell_found(*record, hex, &written),
                Told::Left(record) => {
                    let file = self.path(&record);
                    self.record(*record, Some(file));
                }
                Told::Answer {
                    node,
                    block,
                    answer,
                    at,
                } => self.handle_answer(node, &block, &answer, at),
                Told::Fate { hash, fate, .. } => self.tell_fate(hash, fate),
            }
        }
    }

    fn tell_found(
        &mut self,
        mut record: FoundBlock,
        hex: BlockHex,
        written: &Receiver<io::Result<()>>,
    ) {
        // What the pool does while the disk is busy is of the next round.
        record.work_before = Some(self.parts.ledger.work());
        let (height, hash) = (record.height, record.hash);
        info!(target: FOUND, "block {height} found by {}: {hash}", record.worker.user());
        let path = self.path(&record);
        let mut file = None;
        match written.recv() {
            Ok(Ok(())) => {
                debug!(target: FOUND, "block {height} is in {path}");
                file = Some(path);
            }
            Ok(Err(error)) => {
                error!(
                    "block {height} could not be written to {path}: {error}; it is being submitted, \
                     and is written again while the node does not take it"
                );
                self.unwritten.insert(hash, hex);
            }
            // The journal's thread ends only after it has said how each block went.
            Err(_) => {}
        }
        self.record(record, file);
    }

    /// Tells ledger and board of a block; both pass over one that they know.
    fn record(&self, record: FoundBlock, file: Option<String>) {
        let found = BlockEntry::Found(Box::new(record.clone()));
        self.tell_ledger(record.hash, found);
        self.publish(News::BlockFound(Box::new(BlockNews { record, file })));
    }

    fn handle_answer(
        &mut self,
        node: usize,
        block: &Delivery,
        answer: &SubmitAnswer,
        at: UnixTime,
    ) {
        let mut verdict = self.take_verdict(block.parcel.hash);
        verdict.handle_answer(node, answer.clone());
        log_answer(self.name(node), block, answer);
        if let Some(command) = self.by_hand(block, answer, &verdict) {
            let hash = block.parcel.hash;
            info!(target: FOUND, "to submit it by hand: headframe blocks submit {hash}, or at the node: {command}");
        }
        self.tell_ledger_of_answer(node, block, answer, at);
        self.tell_verdict(block, &verdict);
        if verdict.is_final() && answer.is_final() {
            self.settle(&block.parcel, self.last_word(&verdict));
        }
        if !verdict.is_complete() {
            self.keep_verdict(block.parcel.hash, verdict);
        }
    }

    fn take_verdict(&mut self, hash: BlockHash) -> Verdict {
        let known = self.verdicts.iter().position(|(known, _)| *known == hash);
        let known = known.and_then(|place| self.verdicts.remove(place));
        known.map_or_else(
            || Verdict::of(self.parts.nodes.len()),
            |(_, verdict)| verdict,
        )
    }

    fn keep_verdict(&mut self, hash: BlockHash, verdict: Verdict) {
        self.verdicts.push_back((hash, verdict));
        if self.verdicts.len() > MAX_VERDICTS {
            self.verdicts.pop_front();
        }
    }

    fn name(&self, node: usize) -> &str {
        self.parts
            .nodes
            .get(node)
            .map_or("the node", String::as_str)
    }

    fn tell_ledger_of_answer(
        &self,
        node: usize,
        block: &Delivery,
        answer: &SubmitAnswer,
        at: UnixTime,
    ) {
        if !matches!(block.parcel.origin, Origin::Stranger) {
            let update = BlockUpdate::Answer {
                node: Text::clip(self.name(node)),
                answer: Text::clip(&words(answer)),
                at,
            };
            self.tell_ledger(block.parcel.hash, BlockEntry::Update(update));
        }
    }

    /// Tells ledger and board what a block has come to.
    fn tell_verdict(&self, block: &Delivery, verdict: &Verdict) {
        let hash = block.parcel.hash;
        let fate = verdict.fate();
        if !matches!(block.parcel.origin, Origin::Stranger) {
            self.tell_ledger(hash, BlockEntry::Update(BlockUpdate::Fate(fate.clone())));
        }
        let answers = verdict.answers();
        self.publish(News::BlockFate {
            hash,
            fate,
            attempts: block.attempts,
            trouble: verdict.trouble().map(str::to_owned),
            answers: answers
                .map(|(node, answer)| (self.name(node).to_owned(), words(answer)))
                .collect(),
        });
    }

    /// What the journal keeps beside a block: what it came to, and where there are several nodes, what each of
    /// them said.
    fn last_word(&self, verdict: &Verdict) -> String {
        let mut text = verdict.answer().map_or_else(String::new, words);
        if self.parts.nodes.len() > 1 {
            for (node, answer) in verdict.answers() {
                let line = format!("\n{}: {}", self.name(node), words(answer));
                text.push_str(&line);
            }
        }
        text
    }

    fn tell_fate(&self, hash: BlockHash, fate: BlockFate) {
        let update = BlockUpdate::Fate(fate.clone());
        self.tell_ledger(hash, BlockEntry::Update(update));
        self.publish(News::BlockFate {
            hash,
            fate,
            attempts: 0,
            trouble: None,
            answers: Vec::new(),
        });
    }

    /// The nodes have had their last word. The journal hears it when the ledger has it; what the ledger
    /// will never know of, at once.
    fn settle(&mut self, block: &Parcel, answer: String) {
        self.unwritten.remove(&block.hash);
        let word = LastWord {
            answer: Answer {
                height: block.height,
                hash: block.hash,
                text: answer,
            },
            journal: self.parts.answers.clone(),
        };
        match block.origin {
            Origin::Stranger => word.write_down(),
            Origin::Finder(_) | Origin::Journal | Origin::Forgotten => {
                self.tell_ledger(block.hash, BlockEntry::LastWord(word));
            }
        }
    }

    /// The command that submits a block, when people are to hear of it: no node has it, and the first attempt
    /// failed, or a node has refused the block. One that is not on disk is written, and told of then.
    fn by_hand(
        &mut self,
        block: &Delivery,
        answer: &SubmitAnswer,
        verdict: &Verdict,
    ) -> Option<String> {
        if verdict.is_accepted() {
            return None;
        }
        let is_news = match answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => false,
            SubmitAnswer::Inconclusive => false,
            SubmitAnswer::Refused(_) => true,
            SubmitAnswer::Retry(_) => block.attempts == 1,
        };
        let (height, hash) = (block.parcel.height, block.parcel.hash);
        let was_missing = self.unwritten.contains_key(&hash);
        let is_there = self.write_again(height, hash);
        (is_there && (is_news || was_missing)).then(|| {
            let path = self.parts.journal.path(height, hash);
            by_hand(&path.display().to_string(), self.parts.network)
        })
    }

    /// Writes a block that is not on disk; true when it is there.
    fn write_again(&mut self, height: u32, hash: BlockHash) -> bool {
        let Some(hex) = self.unwritten.get(&hash) else {
            return true;
        };
        let is_written = self.parts.journal.write(height, hash, hex).is_ok();
        if is_written {
            info!("block {height} is on disk now");
            self.unwritten.remove(&hash);
        }
        is_written
    }

    fn path(&self, record: &FoundBlock) -> String {
        let path = self.parts.journal.path(record.height, record.hash);
        path.display().to_string()
    }

    fn tell_ledger(&self, hash: BlockHash, entry: BlockEntry) {
        self.parts.ledger.tell(Entry::Block(hash, entry));
    }

    fn publish(&self, news: News) {
        // The board outlives all who tell it something.
        let _ = self.parts.news.blocking_send(news);
    }
}

/// Says in the log what a node answered for a block.
pub(super) fn log_answer(node: &str, block: &Delivery, answer: &SubmitAnswer) {
    let height = block.parcel.height;
    let what = match &block.parcel.origin {
        Origin::Finder(finder) => format!("block {height} found by {}", finder.user()),
        Origin::Journal | Origin::Stranger => format!("block {height} found before the start"),
        Origin::Forgotten => format!("block {height}, submitted once more,"),
    };
    match answer {
        SubmitAnswer::Accepted => info!("{what} is accepted by {node}"),
        SubmitAnswer::AlreadyKnown => info!("{what} is known to {node}"),
        SubmitAnswer::Inconclusive => {
            info!("{what} is valid but not on the best chain of {node} (yet)");
        }
        SubmitAnswer::Refused(reason) => {
            error!(
                "{what} was refused by {node}: {reason} ({})",
                block.parcel.hash
            );
        }
        SubmitAnswer::Retry(reason) if block.attempts == 1 => {
            warn!("{what} is not delivered yet to {node} ({reason}); it is tried again by itself");
        }
        SubmitAnswer::Retry(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;

    fn block(attempts: u32) -> Delivery {
        let hash = BlockHash::from_byte_array([7; 32]);
        let parcel = Parcel::new(7, hash, "abcd".into(), Origin::Journal);
        Delivery {
            attempts,
            ..Delivery::of(&Arc::new(parcel))
        }
    }

    /// The command for a block, of which one node says this and the other nothing.
    fn by_hand(herald: &mut Herald, attempts: u32, answer: &SubmitAnswer) -> Option<String> {
        let mut verdict = Verdict::of(2);
        verdict.handle_answer(0, answer.clone());
        herald.by_hand(&block(attempts), answer, &verdict)
    }

    fn herald(directory: &tempfile::TempDir) -> Herald {
        let journal = Journal::open(directory.path()).unwrap();
        Herald::unheard(Arc::new(journal)).0
    }

    #[test]
    fn the_command_is_told_of_a_block_that_is_not_delivered_and_of_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let mut herald = herald(&directory);
        let retry = || SubmitAnswer::Retry("no connection".into());
        let refused = || SubmitAnswer::Refused("high-hash".into());
        let rows = [
            (1, SubmitAnswer::Accepted, false),
            (1, SubmitAnswer::AlreadyKnown, false),
            (1, SubmitAnswer::Inconclusive, false),
            (1, retry(), true),
            (2, retry(), false),
            (1, refused(), true),
            (2, refused(), true),
        ];
        for (attempts, answer, is_told) in rows {
            let told = by_hand(&mut herald, attempts, &answer);
            assert_eq!(told.is_some(), is_told, "{attempts}: {answer:?}");
        }
        // What one node cannot be given another has.
        let mut verdict = Verdict::of(2);
        verdict.handle_answer(1, SubmitAnswer::Accepted);
        verdict.handle_answer(0, retry());
        assert_eq!(herald.by_hand(&block(1), &retry(), &verdict), None);
        let path = herald.parts.journal.path(7, block(1).parcel.hash);
        let command = by_hand(&mut herald, 1, &retry()).unwrap();
        let rest = format!(" -regtest -stdin submitblock < '{}'", path.display());
        assert_eq!(command.strip_prefix("bitcoin-cli"), Some(rest.as_str()));
    }

    #[test]
    fn the_command_is_told_when_the_file_is_there_that_it_reads() {
        let directory = tempfile::tempdir().unwrap();
        let mut herald = herald(&directory);
        herald.unwritten.insert(block(1).parcel.hash, "abcd".into());
        let blocks = directory.path().join("blocks");
        let aside = directory.path().join("aside");
        std::fs::rename(&blocks, &aside).unwrap();
        let retry = SubmitAnswer::Retry("no connection".into());
        assert_eq!(by_hand(&mut herald, 1, &retry), None);
        std::fs::rename(&aside, &blocks).unwrap();
        assert!(by_hand(&mut herald, 2, &retry).is_some());
        assert_eq!(
            herald.parts.journal.read(7, block(2).parcel.hash).unwrap(),
            "abcd"
        );
        assert_eq!(by_hand(&mut herald, 3, &retry), None);

        // A refused block is not given up either.
        herald.unwritten.insert(block(4).parcel.hash, "ef".into());
        let refused = SubmitAnswer::Refused("high-hash".into());
        assert!(by_hand(&mut herald, 4, &refused).is_some());
        assert_eq!(
            herald.parts.journal.read(7, block(4).parcel.hash).unwrap(),
            "ef"
        );
    }
}
