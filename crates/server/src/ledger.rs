//! The ledger's thread: shares come in by a bounded queue, are committed together, and those who
//! wait for them are told.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_ledger::{
    BlockUpdate, COMMIT_INTERVAL, FoundBlock, Ledger, LedgerError, ShareBatch, Upkeep,
};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::clock::wall_clock;
use crate::news::News;
use crate::vital::VitalGuard;

/// Entries that wait for the ledger. A connection whose entry does not fit keeps it, and merges
/// more into it, so that no share is lost and nobody waits.
const QUEUE: usize = 4_096;
/// How long the ledger rests after it failed, before it tries again.
const REST: Duration = Duration::from_secs(1);
/// How often a failing ledger is tried when the pool stops.
const LAST_TRIES: u32 = 5;
/// News of blocks that wait for a failing ledger; the oldest are forgotten then, the blocks
/// themselves are safe in the journal.
const MAX_BLOCK_NEWS: usize = 4_096;
/// How often old sums are merged into coarser ones.
const UPKEEP: Duration = Duration::from_secs(60);

/// What the ledger is told.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Shares of one connection.
    Shares {
        batch: ShareBatch,
        /// Told when they are on disk.
        commit: Commit,
    },
    /// A block was found.
    Block(Box<FoundBlock>),
    /// There is news of a block.
    BlockUpdate(BlockHash, BlockUpdate),
}

/// Who is to be told of a commit, and what.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) sequence: u64,
    pub(crate) committed: watch::Sender<u64>,
}

/// The way to the ledger.
#[derive(Debug, Clone)]
pub(crate) struct LedgerHandle(SyncSender<Entry>);

impl LedgerHandle {
    /// The way to a ledger that is not there.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self(sync_channel(1).0)
    }

    /// Gives the ledger an entry, or gives it back when the queue is full.
    pub(crate) fn offer(&self, entry: Entry) -> Result<(), Entry> {
        match self.0.try_send(entry) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(entry)) => Err(entry),
            Err(TrySendError::Disconnected(_)) => {
                warn!("the ledger has stopped; shares are not recorded");
                Ok(())
            }
        }
    }

    /// Gives the ledger an entry, however long the queue is full.
    pub(crate) async fn insist(&self, mut entry: Entry) {
        while let Err(refused) = self.offer(entry) {
            entry = refused;
            tokio::time::sleep(COMMIT_INTERVAL).await;
        }
    }

    /// Gives the ledger an entry and waits for room. Only for threads.
    pub(crate) fn tell(&self, entry: Entry) {
        if self.0.send(entry).is_err() {
            warn!("the ledger has stopped; news of a block is not recorded");
        }
    }
}

/// Starts the thread. It ends, everything committed, when all handles are gone.
pub(crate) fn start(
    ledger: Box<dyn Ledger>,
    news: mpsc::Sender<News>,
    guard: VitalGuard,
) -> io::Result<(LedgerHandle, JoinHandle<()>)> {
    let (sender, entries) = sync_channel(QUEUE);
    let writer = Writer {
        ledger,
        news,
        batch: ShareBatch::default(),
        commits: Vec::new(),
        blocks: VecDeque::new(),
        due: None,
        is_in_trouble: false,
        upkeep_at: Instant::now() + UPKEEP,
    };
    let thread = thread::Builder::new().name("ledger".to_owned());
    let thread = thread.spawn(move || {
        let _guard = guard;
        writer.run(&entries);
    })?;
    Ok((LedgerHandle(sender), thread))
}

struct Writer {
    ledger: Box<dyn Ledger>,
    news: mpsc::Sender<News>,
    /// What is to be committed next: all shares since the last commit, also those of commits that
    /// failed, so that a commit makes everything before it durable.
    batch: ShareBatch,
    commits: Vec<Commit>,
    /// News of blocks that are not in the ledger yet, oldest first.
    blocks: VecDeque<Entry>,
    /// When there is something to write: when it is due.
    due: Option<Instant>,
    is_in_trouble: bool,
    upkeep_at: Instant,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            let wait = self.due.unwrap_or(self.upkeep_at);
            match entries.recv_timeout(wait.saturating_duration_since(Instant::now())) {
                Ok(entry) => self.take(entry),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            if self.is_due() {
                self.write();
            }
            // A small piece between two commits, so that neither waits for the other.
            if self.due.is_none() && Instant::now() >= self.upkeep_at {
                self.tidy_up();
            }
        }
    }

    fn take(&mut self, entry: Entry) {
        let due = Instant::now() + COMMIT_INTERVAL;
        self.due.get_or_insert(due);
        match entry {
            Entry::Shares { batch, commit } => {
                self.batch.append(batch);
                self.commits.push(commit);
            }
            news @ (Entry::Block(_) | Entry::BlockUpdate(..)) => {
                self.blocks.push_back(news);
                if self.blocks.len() > MAX_BLOCK_NEWS {
                    self.blocks.pop_front();
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let is_full = self.batch.is_full() && !self.is_in_trouble;
        is_full || self.due.is_some_and(|due| Instant::now() >= due)
    }

    /// Writes all there is, or keeps it for another try.
    fn write(&mut self) {
        let written = self.write_blocks().and_then(|()| self.commit());
        self.due = written.is_err().then(|| Instant::now() + REST);
        if written.is_err() {
            // Those who wait are answered by then, as not durable; those who come later are told.
            self.commits.clear();
        }
        self.note(written);
    }

    fn write_blocks(&mut self) -> Result<(), LedgerError> {
        while let Some(news) = self.blocks.front() {
            let written = match news {
                Entry::Block(block) => self.ledger.record_block(block).map(drop),
                Entry::BlockUpdate(hash, update) => self.ledger.update_block(*hash, update),
                Entry::Shares { .. } => Ok(()),
            };
            match written {
                // Trying again is no use, and shares are not to wait for it.
                Err(error) if !error.is_transient() => warn!("news of a block is lost: {error}"),
                written => written?,
            }
            self.blocks.pop_front();
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        if !self.batch.is_empty() {
            self.ledger.record(&self.batch)?;
            self.batch.clear();
        }
        for Commit {
            sequence,
            committed,
        } in self.commits.drain(..)
        {
            committed.send_replace(sequence);
        }
        Ok(())
    }

    fn tidy_up(&mut self) {
        let tidied = self.ledger.upkeep(wall_clock());
        if !matches!(tidied, Ok(Upkeep::More)) {
            self.upkeep_at = Instant::now() + UPKEEP;
        }
        if let Err(error) = tidied {
            warn!("the ledger's old sums are not merged: {error}");
        }
    }

    /// All handles are gone, and nobody waits for an answer any more.
    fn finish(mut self) {
        for _ in 0..LAST_TRIES {
            self.write();
            if self.due.is_none() {
                return;
            }
            thread::sleep(REST);
        }
        error!(
            "{} shares could not be committed and are lost",
            self.batch.shares()
        );
    }

    /// Tells the board when the ledger begins to fail, and when it is well again.
    fn note(&mut self, result: Result<(), LedgerError>) {
        let trouble = result.err().map(|error| error.to_string());
        if self.is_in_trouble == trouble.is_some() {
            return;
        }
        self.is_in_trouble = trouble.is_some();
        match &trouble {
            Some(reason) => warn!("the ledger does not take shares: {reason}"),
            None => info!("the ledger takes shares again"),
        }
        // The board is not waited for: it would hear the next change all the same.
        let _ = self.news.try_send(News::LedgerTrouble(trouble));
    }
}
