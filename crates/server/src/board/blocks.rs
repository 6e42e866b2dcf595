//! Found blocks, their fate, and the rounds between them.
//!
//! A round ends with a block that counts: one that was neither refused nor orphaned. Each block
//! notes how much work the pool had done by then, so that a round is a difference, and a block that
//! turns out not to count needs no repair.

use std::collections::VecDeque;
use std::time::Duration;

use bitcoin::BlockHash;
use headframe_api::{Block, BlockCounts, NodeAnswer};
use headframe_ledger::{BestShare, BlockFate, FoundBlock};
use headframe_work::{Difficulty, Target, UnixTime, Work};

use super::{convert, odds};
use crate::news::BlockNews;

/// Blocks that are listed; older ones are counted.
pub(super) const LISTED: usize = 1_000;
/// News of blocks that nobody has announced yet: the node can be faster than the disk.
const MAX_EARLY: usize = 64;
/// A block of this run is announced when it is on the disk, which takes no longer.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(10);

/// The blocks of the pool, the newest last.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    listed: VecDeque<Found>,
    /// Those that are not listed any more, by their last known fate.
    older: BlockCounts,
    /// Where the round of the first listed block began; `None` when that is not known.
    start: Option<Work>,
    early: VecDeque<Word>,
}

/// A block as the board knows it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) height: u32,
    pub(super) hash: BlockHash,
    pub(super) found_at: UnixTime,
    pub(super) worker: String,
    pub(super) protocol: headframe_api::Protocol,
    pub(super) address: String,
    pub(super) value_sats: u64,
    pub(super) fee_sats: u64,
    /// `None` where the ledger does not say, of blocks that an earlier version found.
    pub(super) network_difficulty: Option<f64>,
    pub(super) file: Option<String>,
    /// What the pool had done when it was found.
    pub(super) work_before: Work,
    pub(super) fate: BlockFate,
    pub(super) attempts: u32,
    /// Why the last attempt settled nothing.
    pub(super) trouble: Option<String>,
    /// Whether a node holds it valid, without having it in its best chain.
    pub(super) is_waiting: bool,
    /// What each node last said, by what it is called.
    pub(super) answers: Vec<(String, String)>,
}

/// News of a block.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) hash: BlockHash,
    pub(super) fate: BlockFate,
    pub(super) attempts: u32,
    pub(super) trouble: Option<String>,
    /// What each node last said; empty: nothing new.
    pub(super) answers: Vec<(String, String)>,
    pub(super) at: UnixTime,
}

/// Where a round began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RoundStart {
    pub(super) at: Option<UnixTime>,
    pub(super) work_before: Work,
}

impl Blocks {
    /// The blocks of earlier runs: those to list, the newest last, how many there were besides, and
    /// where the last round of these ended, if that is known.
    pub(super) fn remembered(listed: Vec<Found>, older: BlockCounts, end: Option<Work>) -> Self {
        Self {
            listed: listed.into(),
            start: end.or_else(|| (older.found == 0).then_some(Work::ZERO)),
            older,
            early: VecDeque::new(),
        }
    }

    /// Lists a block; `work` is what the pool has done by now, in case the block does not say.
    pub(super) fn handle_found(&mut self, news: BlockNews, work: Work) {
        let BlockNews { record, file } = news;
        if self.knows(&record.hash) {
            return;
        }
        let mut found = Found::new(&record, headframe_api::Protocol::Sv1, work, file);
        let early = self.early.iter().position(|word| word.hash == found.hash);
        if let Some(word) = early.and_then(|place| self.early.remove(place)) {
            found.handle_word(word);
        }
        self.listed.push_back(found);
        if self.listed.len() > LISTED
            && let Some(oldest) = self.listed.pop_front()
        {
            count(&mut self.older, &oldest.fate);
            if oldest.counts() {
                self.start = Some(oldest.work_before);
            }
        }
    }

    /// Takes in news of a block; true when it changes what is shown.
    pub(super) fn handle_word(&mut self, word: Word) -> bool {
        let known = self.listed.iter_mut().rev();
        if let Some(found) = known.into_iter().find(|found| found.hash == word.hash) {
            return found.handle_word(word);
        }
        if let Some(early) = self.early.iter_mut().find(|early| early.hash == word.hash) {
            return early.append(word);
        }
        self.early.push_back(word);
        if self.early.len() > MAX_EARLY {
            self.early.pop_front();
        }
        true
    }

    pub(super) fn knows(&self, hash: &BlockHash) -> bool {
        self.listed.iter().rev().any(|found| found.hash == *hash)
    }

    /// Whether a share is known to be a block, and the difficulty that it had to meet.
    pub(super) fn network_difficulty_of(&self, share: &BestShare) -> Option<f64> {
        let found = self
            .listed
            .iter()
            .rev()
            .find(|found| found.hash == share.hash)?;
        found.network_difficulty
    }

    /// Where the present round began, as far as blocks began it.
    pub(super) fn round(&self) -> Option<RoundStart> {
        let last = self.listed.iter().rev().find(|found| found.counts())?;
        Some(RoundStart {
            at: Some(last.found_at),
            work_before: last.work_before,
        })
    }

    /// The last block that was refused.
    pub(super) fn refused(&self) -> Option<(&Found, &str)> {
        self.listed
            .iter()
            .rev()
            .find_map(|found| match &found.fate {
                BlockFate::Refused { reason } => Some((found, reason.as_str())),
                _ => None,
            })
    }

    /// A refusal of a block that nobody has announced for long: one of an earlier run that the
    /// ledger does not know, submitted again.
    pub(super) fn refused_stranger(&self, wall: UnixTime) -> Option<(BlockHash, &str, UnixTime)> {
        let announced_by = wall.saturating_sub(ANNOUNCED_WITHIN);
        let mut strangers = self
            .early
            .iter()
            .rev()
            .filter(|word| word.at < announced_by);
        strangers.find_map(|word| match &word.fate {
            BlockFate::Refused { reason } => Some((word.hash, reason.as_str(), word.at)),
            _ => None,
        })
    }

    /// Blocks that no node has taken, though it was tried: how many, and the first.
    pub(super) fn undelivered(&self) -> Option<(usize, &Found)> {
        let mut undelivered = self.listed.iter().filter(|found| found.trouble.is_some());
        let first = undelivered.next()?;
        Some((1 + undelivered.count(), first))
    }

    /// The list, the newest first, and how many there are of each fate. `tip` is the height of the
    /// best chain.
    pub(super) fn shown(&self, tip: Option<u32>) -> (Vec<Block>, BlockCounts) {
        let mut counts = self.older.clone();
        let mut round_start = self.start;
        let mut list = Vec::with_capacity(self.listed.len());
        for found in &self.listed {
            count(&mut counts, &found.fate);
            list.push(found.shown(round_start, tip));
            if found.counts() {
                round_start = Some(found.work_before);
            }
        }
        list.reverse();
        (list, counts)
    }
}

impl Word {
    /// Takes in later news of the same block; true when they say something new.
    fn append(&mut self, later: Self) -> bool {
        let before = self.fate.clone();
        self.fate = before.clone().after(later.fate);
        self.attempts = self.attempts.max(later.attempts);
        self.trouble = later.trouble;
        if !later.answers.is_empty() {
            self.answers = later.answers;
        }
        self.fate != before
    }
}

impl Found {
    /// A block as the ledger keeps it. Protocol and work are used where it does not say.
    pub(super) fn new(
        record: &FoundBlock,
        protocol: headframe_api::Protocol,
        work: Work,
        file: Option<String>,
    ) -> Self {
        let fee_sats = record.fee.unwrap_or_default().to_sat();
        let difficulty = |bits| Difficulty::of_target(Target::from_compact(bits)).as_f64();
        Self {
            height: record.height,
            hash: record.hash,
            found_at: record.found_at,
            worker: record.worker.user().to_owned(),
            protocol: record.protocol.map_or(protocol, convert::protocol),
            address: record.worker.payout().to_owned(),
            value_sats: record.paid.to_sat().saturating_add(fee_sats),
            fee_sats,
            network_difficulty: record.bits.map(difficulty).and_then(odds::difficulty),
            file,
            work_before: record.work_before.unwrap_or(work),
            fate: BlockFate::Found,
            attempts: 0,
            trouble: None,
            is_waiting: false,
            answers: Vec::new(),
        }
    }

    fn handle_word(&mut self, word: Word) -> bool {
        let before = (self.fate.clone(), self.attempts, self.trouble.clone());
        let is_sent = word.fate == BlockFate::Submitted;
        self.fate = self.fate.clone().after(word.fate);
        self.attempts = self.attempts.max(word.attempts);
        let is_open = matches!(self.fate, BlockFate::Found | BlockFate::Submitted);
        self.is_waiting = is_open && is_sent && word.trouble.is_none();
        self.trouble = word
            .trouble
            .filter(|_| is_open)
            .map(|text| convert::clipped(&text));
        let says_more = !word.answers.is_empty() && self.answers != word.answers;
        if says_more {
            self.answers = word.answers;
        }
        says_more || before != (self.fate.clone(), self.attempts, self.trouble.clone())
    }

    /// Whether it ended its round.
    pub(super) fn counts(&self) -> bool {
        match self.fate {
            BlockFate::Found
            | BlockFate::Submitted
            | BlockFate::Accepted
            | BlockFate::Confirmed { .. } => true,
            BlockFate::Orphaned | BlockFate::Refused { .. } => false,
        }
    }

    fn shown(&self, round_start: Option<Work>, tip: Option<u32>) -> Block {
        let round = round_start.map(|start| odds::less(self.work_before, start));
        let difficulty = BestShare {
            hash: self.hash,
            at: self.found_at,
        }
        .difficulty();
        Block {
            height: self.height.into(),
            hash: self.hash.to_string(),
            found_at: convert::unix(self.found_at),
            worker: self.worker.clone(),
            protocol: self.protocol,
            payout_address: Some(self.address.clone()),
            value_sats: self.value_sats,
            fee_sats: self.fee_sats,
            difficulty: convert::finite(difficulty.as_f64()),
            network_difficulty: self.network_difficulty.unwrap_or_default(),
            effort_percent: round
                .zip(self.network_difficulty)
                .map(|(work, difficulty)| odds::effort_percent(work, difficulty)),
            fate: self.fate_shown(tip),
            answers: self.answers.iter().map(shown_answer).collect(),
        }
    }

    fn fate_shown(&self, tip: Option<u32>) -> headframe_api::BlockFate {
        // Nodes are asked about the first confirmations only; the tip tells the others.
        let by_tip = tip.map_or(0, |tip| tip.saturating_add(1).saturating_sub(self.height));
        match &self.fate {
            BlockFate::Found | BlockFate::Submitted if self.is_waiting => {
                headframe_api::BlockFate::Waiting
            }
            BlockFate::Found | BlockFate::Submitted => headframe_api::BlockFate::Submitting {
                attempts: self.attempts.into(),
                last_trouble: self.trouble.clone(),
            },
            BlockFate::Accepted => headframe_api::BlockFate::Accepted {
                confirmations: by_tip.max(1).into(),
            },
            BlockFate::Confirmed { confirmations } => headframe_api::BlockFate::Accepted {
                confirmations: by_tip.max(*confirmations).into(),
            },
            BlockFate::Orphaned => headframe_api::BlockFate::Orphaned,
            BlockFate::Refused { reason } => headframe_api::BlockFate::Refused {
                reason: reason.as_str().to_owned(),
                file: self.file.clone(),
            },
        }
    }
}

fn shown_answer((node, answer): &(String, String)) -> NodeAnswer {
    NodeAnswer {
        node: node.clone(),
        answer: convert::clipped(answer),
    }
}

pub(super) fn count(counts: &mut BlockCounts, fate: &BlockFate) {
    counts.found += 1;
    *match fate {
        BlockFate::Found | BlockFate::Submitted => &mut counts.pending,
        BlockFate::Accepted | BlockFate::Confirmed { .. } => &mut counts.accepted,
        BlockFate::Orphaned => &mut counts.orphaned,
        BlockFate::Refused { .. } => &mut counts.refused,
    } += 1;
}
