//! Each share of a connection is answered once, and said to be durable only when it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use headframe_mining::server::{REPLY_WITHIN, ShareEvent};
use headframe_work::Work;

use super::{Heard, Violation, Witness, ensure};

/// Replies that may wait: 4,096, and the one that makes them too many.
const MOST_WAITING: usize = 4_097;

/// Accepted shares that are not answered.
#[derive(Debug, Default)]
pub(in crate::simulator) struct Account {
    waiting: VecDeque<Waiting>,
    /// What is left of each channel's work after its last whole sum.
    carried: BTreeMap<u32, Work>,
    /// The ledger has all up to this number, as the session was told.
    pub(in crate::simulator) committed: u64,
    last_sequence: u64,
    /// Shares that were answered in this step though the ledger does not have them.
    not_durable: u32,
}

#[derive(Debug)]
struct Waiting {
    channel: u32,
    /// The share's name on the wire.
    number: u64,
    sequence: u64,
    work: Work,
    since: Instant,
}

impl Account {
    /// A share was accepted.
    pub(super) fn push(
        &mut self,
        now: Instant,
        (channel, number): (u32, u64),
        share: &ShareEvent,
    ) -> Result<(), Violation> {
        let Ok(credit) = share.outcome else {
            return Ok(());
        };
        ensure(share.sequence == self.last_sequence + 1, || {
            format!(
                "R-19: share {} comes after {}",
                share.sequence, self.last_sequence
            )
        })?;
        self.last_sequence = share.sequence;
        self.waiting.push_back(Waiting {
            channel,
            number,
            sequence: share.sequence,
            work: credit.work(),
            since: now,
        });
        Ok(())
    }

    /// `count` shares of `channel` were acknowledged, the last of them `number`; says what they are
    /// worth.
    pub(super) fn acknowledge(
        &mut self,
        witness: &mut Witness,
        channel: u32,
        count: u32,
        number: u64,
    ) -> Result<Work, Violation> {
        let mut work = Work::ZERO;
        for left in (0..count).rev() {
            let mut waiting = self.waiting.iter();
            let first = waiting.position(|share| share.channel == channel);
            let share = first.and_then(|index| self.waiting.remove(index));
            let share = share.ok_or("MP-80: more shares are acknowledged than were accepted")?;
            ensure(left > 0 || share.number == number, || {
                format!("MP-80: share {} is acknowledged as {number}", share.number)
            })?;
            work += share.work;
            self.not_durable += u32::from(share.sequence > self.committed);
            witness.acknowledged += 1;
        }
        Ok(work)
    }

    /// The whole part of what the channel's acknowledged shares are worth, after `work` more.
    pub(super) fn whole_sum(&mut self, channel: u32, work: Work) -> u64 {
        let carried = self.carried.entry(channel).or_default();
        let (whole, rest) = (*carried + work).split_whole_difficulty();
        *carried = rest;
        whole
    }

    /// The channel is closed: nothing is said of its shares any more.
    pub(super) fn forget(&mut self, witness: &mut Witness, channel: u32) {
        let before = self.waiting.len();
        self.waiting.retain(|share| share.channel != channel);
        witness.unanswered += (before - self.waiting.len()) as u64;
        self.carried.remove(&channel);
    }

    /// The connection is gone.
    pub(super) fn forget_all(&mut self, witness: &mut Witness) {
        witness.unanswered += self.waiting.len() as u64;
        self.waiting.clear();
    }

    /// At the end of a step: what was said to be durable is, the rest was told, and nobody waits for
    /// too long.
    pub(super) fn check(
        &mut self,
        now: Instant,
        witness: &mut Witness,
        heard: &Heard<'_>,
    ) -> Result<(), Violation> {
        let not_durable = core::mem::take(&mut self.not_durable);
        ensure(not_durable == heard.not_durable, || {
            format!(
                "R-19: {not_durable} shares were acknowledged that the ledger does not have, and {} were \
                 told of",
                heard.not_durable
            )
        })?;
        witness.not_durable += u64::from(not_durable);
        let is_late = |share: &Waiting| now > share.since + REPLY_WITHIN;
        ensure(!self.waiting.front().is_some_and(is_late), || {
            "R-19: a share waits for its answer for more than 100 ms".to_owned()
        })?;
        ensure(self.waiting.len() < MOST_WAITING, || {
            "memory: too many replies wait".to_owned()
        })
    }

    pub(in crate::simulator) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
