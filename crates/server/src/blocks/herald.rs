//! The thread that tells the log, the ledger and the board what became of found blocks, and writes
//! the node's last word into the journal. It may be late; blocks never wait for it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use bitcoin::BlockHash;
use headframe_ledger::{BlockFate, BlockUpdate, FoundBlock, Text, WorkerId};
use headframe_node::SubmitAnswer;
use headframe_work::{Difficulty, UnixTime};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::{Found, Journal, Pending, by_hand};
use crate::clock::wall_clock;
use crate::ledger::{Entry, LedgerHandle};
use crate::news::{BlockNews, News};

/// What waits for the herald. When the ledger or the board hold him up for longer than this, what
/// follows is not told; the blocks are on disk and on their way all the same.
const QUEUE: usize = 4_096;
/// The log has a line for a block of the pool, and leaves it out for the demonstration, which says
/// the same once the block is accepted.
const FOUND: &str = "headframe_server::found";
/// What the ledger and the journal keep of a node that took a block but not on its best chain. The
/// board knows by it, after a restart, that such a block waits.
pub(crate) const INCONCLUSIVE: &str = "inconclusive";

/// Something that happened to a block.
pub(super) enum Told {
    /// It was found, and is being written to the journal.
    Found {
        record: Box<FoundBlock>,
        news: Box<BlockNews>,
        hex: Arc<str>,
        written: Receiver<io::Result<()>>,
    },
    /// The node answered, or did not.
    Answer {
        height: u32,
        hash: BlockHash,
        finder: Option<WorkerId>,
        answer: SubmitAnswer,
        attempts: u32,
        at: UnixTime,
    },
    /// The node says where it stands.
    Fate {
        height: u32,
        hash: BlockHash,
        fate: BlockFate,
    },
}

#[derive(Debug, Clone)]
pub(super) struct HeraldHandle(SyncSender<Told>);

pub(super) struct Herald {
    told: Receiver<Told>,
    journal: Arc<Journal>,
    ledger: LedgerHandle,
    news: mpsc::Sender<News>,
    node_name: String,
    /// Blocks that could not be written to the journal yet.
    unwritten: HashMap<BlockHash, Arc<str>>,
}

impl Told {
    pub(super) fn found(found: &Found, hex: Arc<str>, written: Receiver<io::Result<()>>) -> Self {
        let template = found.block.prepared.template();
        let paid = found.block.payout.miner_amount(template.coinbase_value);
        let (height, hash, found_at) = (found.block.height(), found.hash, found.at);
        Self::Found {
            record: Box::new(FoundBlock {
                height,
                hash,
                found_at,
                worker: found.worker.clone(),
                paid,
                job: Text::clip(&template.prev_hash.to_string()),
            }),
            news: Box::new(BlockNews {
                height,
                hash,
                found_at,
                user: found.worker.user().to_owned(),
                protocol: found.protocol,
                address: found.worker.payout().to_owned(),
                paid,
                fee: template.coinbase_value - paid,
                network_difficulty: Difficulty::of_target(found.block.prepared.target()).as_f64(),
                file: None,
            }),
            hex,
            written,
        }
    }

    pub(super) fn answer(block: &Pending, answer: &SubmitAnswer) -> Self {
        Self::Answer {
            height: block.height,
            hash: block.hash,
            finder: block.finder.clone(),
            answer: answer.clone(),
            attempts: block.attempts,
            at: wall_clock(),
        }
    }

    fn height(&self) -> u32 {
        match self {
            Self::Found { record, .. } => record.height,
            Self::Answer { height, .. } | Self::Fate { height, .. } => *height,
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

impl Herald {
    pub(super) fn new(
        journal: Arc<Journal>,
        ledger: LedgerHandle,
        news: mpsc::Sender<News>,
        node_name: String,
    ) -> (Self, HeraldHandle) {
        let (sender, told) = sync_channel(QUEUE);
        let herald = Self {
            told,
            journal,
            ledger,
            news,
            node_name,
            unwritten: HashMap::new(),
        };
        (herald, HeraldHandle(sender))
    }

    /// A herald that nobody listens to.
    #[cfg(test)]
    pub(super) fn unheard(journal: Arc<Journal>) -> (Self, HeraldHandle) {
        let (news, _) = mpsc::channel(1);
        Self::new(journal, LedgerHandle::unheard(), news, String::new())
    }

    pub(super) fn run(mut self) {
        while let Ok(told) = self.told.recv() {
            match told {
                Told::Found {
                    record,
                    news,
                    hex,
                    written,
                } => self.tell_found(record, news, hex, &written),
                Told::Answer {
                    height,
                    hash,
                    finder,
                    answer,
                    attempts,
                    at,
                } => {
                    self.log_answer(height, hash, finder.as_ref(), &answer, attempts);
                    self.tell_answer(height, hash, answer, attempts, at);
                }
                Told::Fate { hash, fate, .. } => self.tell_fate(hash, fate, 0, None),
            }
        }
    }

    fn tell_found(
        &mut self,
        record: Box<FoundBlock>,
        mut news: Box<BlockNews>,
        hex: Arc<str>,
        written: &Receiver<io::Result<()>>,
    ) {
        let (height, hash) = (record.height, record.hash);
        info!(target: FOUND, "block {height} found by {}: {hash}", news.user);
        let path = self.journal.path(height, hash).display().to_string();
        match written.recv() {
            Ok(Ok(())) => {
                info!(target: FOUND, "to submit it by hand: {}", by_hand(&path));
                news.file = Some(path);
            }
            Ok(Err(error)) => {
                error!(
                    "block {height} could not be written to {path}: {error}; it is being submitted, \
                     and is written again while the node does not answer"
                );
                self.unwritten.insert(hash, hex);
            }
            // The journal's thread ends only after it has said how each block went.
            Err(_) => {}
        }
        self.ledger.tell(Entry::Block(record));
        self.publish(News::BlockFound(news));
    }

    fn log_answer(
        &self,
        height: u32,
        hash: BlockHash,
        finder: Option<&WorkerId>,
        answer: &SubmitAnswer,
        attempts: u32,
    ) {
        let node = &self.node_name;
        let what = match finder {
            Some(finder) => format!("block {height} found by {}", finder.user()),
            None => format!("block {height} found before the start"),
        };
        match answer {
            SubmitAnswer::Accepted => info!("{what} and accepted by {node}"),
            SubmitAnswer::AlreadyKnown => info!("{what} is known to {node}"),
            SubmitAnswer::Inconclusive => info!("{what} is valid but not on the best chain (yet)"),
            SubmitAnswer::Refused(reason) => {
                error!("{what} was refused by {node}: {reason} ({hash})");
            }
            SubmitAnswer::Retry(reason) if attempts == 1 => {
                warn!("{what} is not delivered yet ({reason}); it is tried again every second");
            }
            SubmitAnswer::Retry(_) => {}
        }
    }

    fn tell_answer(
        &mut self,
        height: u32,
        hash: BlockHash,
        answer: SubmitAnswer,
        attempts: u32,
        at: UnixTime,
    ) {
        self.ledger.tell(Entry::BlockUpdate(
            hash,
            BlockUpdate::Answer {
                node: Text::clip(&self.node_name),
                answer: Text::clip(&words(&answer)),
                at,
            },
        ));
        let (fate, trouble) = match answer {
            SubmitAnswer::Accepted | SubmitAnswer::AlreadyKnown => (BlockFate::Accepted, None),
            SubmitAnswer::Inconclusive => (BlockFate::Submitted, None),
            SubmitAnswer::Refused(ref reason) => {
                let reason = Text::clip(reason);
                (BlockFate::Refused { reason }, None)
            }
            SubmitAnswer::Retry(ref reason) => (BlockFate::Submitted, Some(reason.clone())),
        };
        match answer.is_final() {
            true => self.settle(height, hash, &words(&answer)),
            false => self.write_again(height, hash),
        }
        self.tell_fate(hash, fate, attempts, trouble);
    }

    fn tell_fate(&self, hash: BlockHash, fate: BlockFate, attempts: u32, trouble: Option<String>) {
        let update = BlockUpdate::Fate(fate.clone());
        self.ledger.tell(Entry::BlockUpdate(hash, update));
        self.publish(News::BlockFate {
            hash,
            fate,
            attempts,
            trouble,
        });
    }

    /// The node has had its last word.
    fn settle(&mut self, height: u32, hash: BlockHash, answer: &str) {
        self.unwritten.remove(&hash);
        if let Err(error) = self.journal.settle(height, hash, answer) {
            warn!("the answer for block {height} could not be written: {error}");
        }
    }

    /// A block that is not on disk is written while the node does not have it.
    fn write_again(&mut self, height: u32, hash: BlockHash) {
        let Some(hex) = self.unwritten.get(&hash) else {
            return;
        };
        if self.journal.write(height, hash, hex).is_ok() {
            info!("block {height} is on disk now");
            self.unwritten.remove(&hash);
        }
    }

    fn publish(&self, news: News) {
        // The board outlives its miners; at shutdown nobody looks at it.
        let _ = self.news.blocking_send(news);
    }
}

fn words(answer: &SubmitAnswer) -> String {
    match answer {
        SubmitAnswer::Accepted => "accepted".to_owned(),
        SubmitAnswer::AlreadyKnown => "known".to_owned(),
        SubmitAnswer::Inconclusive => INCONCLUSIVE.to_owned(),
        SubmitAnswer::Refused(reason) => format!("refused: {reason}"),
        SubmitAnswer::Retry(reason) => format!("no answer: {reason}"),
    }
}
