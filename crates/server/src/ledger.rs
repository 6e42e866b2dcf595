//! The ledger's thread: shares come in by a bounded queue, are committed together, and those who
//! wait for them are told.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use headframe_ledger::{
    Ban, BlockUpdate, COMMIT_INTERVAL, COMMIT_SHARES, FoundBlock, Ledger, LedgerError, ShareBatch,
    Tally, Upkeep,
};
use headframe_work::Work;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::bell::Bell;
use crate::blocks::LastWord;
use crate::clock::wall_clock;
use crate::vital::VitalGuard;

/// Entries that wait for the ledger. A connection whose entry does not fit keeps it, and merges
/// more into it, so that no share is lost and nobody waits.
const QUEUE: usize = 4_096;
/// Refused shares are committed so late at most, where no accepted one is: nobody waits for them.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// How long the ledger rests after it failed, before it tries again.
const REST: Duration = Duration::from_secs(1);
/// How often a failing ledger is tried when the pool stops.
const LAST_TRIES: u32 = 5;
/// News of blocks that wait for a failing ledger; the oldest are forgotten then, the blocks
/// themselves are safe in the journal.
const MAX_BLOCK_NEWS: usize = 4_096;
/// Blocks of which it is known that the ledger lacks something; with so many, none is trusted.
const MAX_LACKING: usize = 4_096;
/// Bans that wait for a failing ledger; the oldest are forgotten then, and end with the process.
const MAX_BAN_NEWS: usize = 256;
/// How often old sums are merged into coarser ones.
const UPKEEP: Duration = Duration::from_secs(60);

/// What the ledger is told.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Shares of one connection.
    Shares {
        batch: Box<ShareBatch>,
        /// Told when they are on disk, where an answer waits for that.
        commit: Option<Commit>,
    },
    /// There is news of a block.
    Block(BlockHash, BlockEntry),
    /// An address is banned.
    Ban(Ban),
}

impl Entry {
    /// The accepted shares in it.
    fn accepted(&self) -> i64 {
        match self {
            Self::Shares { batch, .. } => batch.accepted().count.cast_signed(),
            Self::Block(..) | Self::Ban(_) => 0,
        }
    }
}

/// What the ledger is told of a block.
#[derive(Debug)]
pub(crate) enum BlockEntry {
    /// It was found.
    Found(Box<FoundBlock>),
    /// Something became of it.
    Update(BlockUpdate),
    /// The journal is to hear the node's last word as soon as the ledger has all that it was told of
    /// the block before. Were it the other way round, a pool that is killed in between would never
    /// look at the block again, and never show it.
    LastWord(LastWord),
}

/// How the ledger is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LedgerState {
    /// The accepted work that it was given since it began.
    pub(crate) work: Work,
    /// Accepted shares that it holds since it began.
    pub(crate) committed: u64,
    /// Accepted shares of this run that it will never hold.
    pub(crate) lost: u64,
    /// Why it commits nothing.
    pub(crate) trouble: Option<String>,
}

/// Who is called when shares are committed, and the number of the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) sequence: u64,
    pub(crate) bell: Arc<Bell>,
}

/// The rest of the ledger's thread between the first share of a batch and its commit. An entry does not
/// wake it, for there are tens of thousands a second; one that fills the batch does.
#[derive(Debug, Default)]
struct Nap {
    /// Accepted shares that were given and are not committed.
    waiting: AtomicI64,
    sleeper: OnceLock<Thread>,
}

impl Nap {
    /// So many accepted shares were given.
    fn note_given(&self, shares: i64) {
        if self.is_filled_by(shares)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.unpark();
        }
    }

    /// So many accepted shares were committed.
    fn note_committed(&self, shares: i64) {
        self.waiting.fetch_sub(shares, Ordering::Relaxed);
    }

    /// Whether it takes just these to make a batch full.
    fn is_filled_by(&self, shares: i64) -> bool {
        const FULL: i64 = COMMIT_SHARES.cast_signed();
        let before = self.waiting.fetch_add(shares, Ordering::Relaxed);
        (FULL - shares..FULL).contains(&before)
    }
}

/// The way to the ledger.
#[derive(Debug, Clone)]
pub(crate) struct LedgerHandle {
    entries: SyncSender<Entry>,
    nap: Arc<Nap>,
    state: watch::Receiver<LedgerState>,
}

impl LedgerHandle {
    /// The way to a ledger that is not there.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self::heard().0
    }

    /// The way to a ledger that only listens, and has room for one entry.
    #[cfg(test)]
    pub(crate) fn heard() -> (Self, Receiver<Entry>) {
        let (entries, heard) = sync_channel(1);
        let state = watch::channel(LedgerState::default()).1;
        let nap = Arc::default();
        let handle = Self {
            entries,
            nap,
            state,
        };
        (handle, heard)
    }

    /// How the ledger is doing, told when it begins to fail and when it is well again. The other
    /// figures are right at every look.
    pub(crate) fn state(&self) -> watch::Receiver<LedgerState> {
        self.state.clone()
    }

    /// The accepted work that the pool has done so far.
    pub(crate) fn work(&self) -> Work {
        self.state.borrow().work
    }

    /// Gives the ledger an entry, or gives it back when the queue is full.
    pub(crate) fn offer(&self, entry: Entry) -> Result<(), Entry> {
        let accepted = entry.accepted();
        match self.entries.try_send(entry) {
            Ok(()) => {
                self.nap.note_given(accepted);
                Ok(())
            }
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
        if self.entries.send(entry).is_err() {
            warn!("the ledger has stopped; news of a block is not recorded");
        }
    }
}

/// Starts the thread for a ledger that holds these accepted shares already. It ends, everything
/// committed, when all handles are gone.
pub(crate) fn start(
    ledger: Box<dyn Ledger>,
    held: Tally,
    guard: VitalGuard,
) -> io::Result<(LedgerHandle, JoinHandle<()>)> {
    let (sender, entries) = sync_channel(QUEUE);
    let (writer, state) = Writer::new(ledger, held);
    let nap = Arc::new(Nap::default());
    let handle = LedgerHandle {
        entries: sender,
        nap: Arc::clone(&nap),
        state,
    };
    let thread = thread::Builder::new().name("ledger".to_owned());
    let thread = thread.spawn(move || {
        let _guard = guard;
        writer.run(&entries, &nap);
    })?;
    Ok((handle, thread))
}

struct Writer {
    ledger: Box<dyn Ledger>,
    state: watch::Sender<LedgerState>,
    /// What is to be committed next: all shares since the last commit, also those of commits that
    /// failed, so that a commit makes everything before it durable.
    batch: ShareBatch,
    commits: Vec<Commit>,
    /// News of blocks that are not in the ledger yet, oldest first.
    blocks: VecDeque<(BlockHash, BlockEntry)>,
    bans: VecDeque<Ban>,
    /// Blocks of which something was told that the ledger will never have. The journal does not
    /// hear the last word on them: the next start submits them again, and enters them.
    lacking: HashSet<BlockHash>,
    /// When there is something to write: when it is due.
    due: Option<Instant>,
    upkeep_at: Instant,
}

impl Writer {
    fn new(ledger: Box<dyn Ledger>, held: Tally) -> (Self, watch::Receiver<LedgerState>) {
        let (state, receiver) = watch::channel(LedgerState {
            work: held.work,
            committed: held.count,
            ..LedgerState::default()
        });
        let writer = Self {
            ledger,
            state,
            batch: ShareBatch::default(),
            commits: Vec::new(),
            blocks: VecDeque::new(),
            bans: VecDeque::new(),
            lacking: HashSet::new(),
            due: None,
            upkeep_at: Instant::now() + UPKEEP,
        };
        (writer, receiver)
    }

    fn run(mut self, entries: &Receiver<Entry>, nap: &Nap) {
        nap.sleeper.get_or_init(thread::current);
        loop {
            match self.next(entries) {
                Ok(entry) => self.take(entry, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            if self.is_due(Instant::now()) {
                // What has come meanwhile goes with it.
                for entry in entries.try_iter().take(QUEUE) {
                    self.take(entry, Instant::now());
                }
                let before = self.batch.accepted().count;
                self.write();
                let committed = before - self.batch.accepted().count;
                nap.note_committed(committed.cast_signed());
            }
            // A small piece between two commits, so that neither waits for the other.
            if self.due.is_none() && Instant::now() >= self.upkeep_at {
                self.tidy_up();
            }
        }
    }

    /// The next entry. While others wait for their commit it is not waited for, but only looked for when
    /// the thread has rested.
    fn next(&self, entries: &Receiver<Entry>) -> Result<Entry, RecvTimeoutError> {
        let Some(due) = self.due else {
            let idle = self.upkeep_at.saturating_duration_since(Instant::now());
            return entries.recv_timeout(idle);
        };
        entries.try_recv().map_err(|error| match error {
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            TryRecvError::Empty => {
                let rest = due.saturating_duration_since(Instant::now());
                thread::park_timeout(rest.min(COMMIT_INTERVAL));
                RecvTimeoutError::Timeout
            }
        })
    }

    fn take(&mut self, entry: Entry, now: Instant) {
        match entry {
            Entry::Shares { batch, commit } => {
                let Tally { count, work } = batch.accepted();
                self.note(|state| state.work += work);
                self.batch.append(*batch);
                self.commits.extend(commit);
                return self.write_by(match count {
                    0 => now + REFUSED_WITHIN,
                    _ => now + COMMIT_INTERVAL,
                });
            }
            Entry::Block(hash, news) => {
                self.blocks.push_back((hash, news));
                if self.blocks.len() > MAX_BLOCK_NEWS
                    && let Some((hash, _)) = self.blocks.pop_front()
                {
                    self.note_lacking(hash);
                }
            }
            Entry::Ban(ban) => {
                self.bans.push_back(ban);
                if self.bans.len() > MAX_BAN_NEWS {
                    self.bans.pop_front();
                }
            }
        }
        self.write_by(now + COMMIT_INTERVAL);
    }

    /// There is something to write. A ledger that fails is not tried the sooner for it.
    fn write_by(&mut self, at: Instant) {
        self.due = Some(match self.due {
            Some(due) if due <= at || self.is_in_trouble() => due,
            _ => at,
        });
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_full = self.batch.is_full() && !self.is_in_trouble();
        is_full || self.due.is_some_and(|due| now >= due)
    }

    fn is_in_trouble(&self) -> bool {
        self.state.borrow().trouble.is_some()
    }

    /// Writes all there is, or keeps it for another try.
    fn write(&mut self) {
        // Shares first: replies wait for them. Neither is kept back by the other's failure.
        let committed = self.commit();
        let told = self.write_blocks();
        let written = committed.and(told);
        let written = written.and_then(|()| self.write_bans());
        self.due = written.is_err().then(|| Instant::now() + REST);
        if written.is_err() {
            // Those who wait are answered by then, as not durable; those who come later are told.
            self.commits.clear();
        }
        self.tell_trouble(written.err().map(|error| error.to_string()));
    }

    fn write_blocks(&mut self) -> Result<(), LedgerError> {
        while let Some((hash, news)) = self.blocks.pop_front() {
            let written = match &news {
                BlockEntry::Found(block) => self.ledger.record_block(block).map(drop),
                BlockEntry::Update(update) => self.ledger.update_block(hash, update),
                BlockEntry::LastWord(word) => {
                    self.pass_on(hash, word);
                    Ok(())
                }
            };
            match written {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    self.blocks.push_front((hash, news));
                    return Err(error);
                }
                // Trying again is no use, and shares are not to wait for it.
                Err(error) => {
                    warn!("news of block {hash} is lost: {error}");
                    self.note_lacking(hash);
                }
            }
        }
        Ok(())
    }

    fn write_bans(&mut self) -> Result<(), LedgerError> {
        while let Some(ban) = self.bans.pop_front() {
            match self.ledger.record_ban(&ban) {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    self.bans.push_front(ban);
                    return Err(error);
                }
                Err(error) => warn!("the ban of {} is not remembered: {error}", ban.address),
            }
        }
        Ok(())
    }

    /// Lets the journal hear the node's last word, if the ledger has all of the block.
    fn pass_on(&mut self, hash: BlockHash, word: &LastWord) {
        if self.lacking.len() < MAX_LACKING && !self.lacking.remove(&hash) {
            word.write_down();
        }
    }

    fn note_lacking(&mut self, hash: BlockHash) {
        if self.lacking.len() < MAX_LACKING {
            self.lacking.insert(hash);
        }
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        if !self.batch.is_empty() {
            self.ledger.record(&self.batch)?;
            let committed = self.batch.accepted().count;
            self.note(|state| state.committed += committed);
            self.batch.clear();
        }
        for Commit { sequence, bell } in self.commits.drain(..) {
            bell.tell_committed(sequence);
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
        let lost = self.batch.accepted().count;
        self.note(|state| state.lost = lost);
        error!(
            "{} shares could not be committed and are lost",
            self.batch.shares()
        );
    }

    /// Changes a figure of the state, which nobody is woken for.
    fn note(&self, change: impl FnOnce(&mut LedgerState)) {
        self.state.send_if_modified(|state| {
            change(state);
            false
        });
    }

    /// Tells when the ledger begins to fail, and when it is well again.
    fn tell_trouble(&self, trouble: Option<String>) {
        let was_in_trouble = self.state.borrow().trouble.is_some();
        match &trouble {
            Some(reason) if !was_in_trouble => warn!("the ledger does not take shares: {reason}"),
            None if was_in_trouble => info!("the ledger takes shares again"),
            _ => {}
        }
        self.state.send_if_modified(|state| {
            let is_news = state.trouble != trouble;
            state.trouble = trouble;
            is_news
        });
    }
}

#[cfg(test)]
mod tests;
