//! When a block is asked for, and when it is shown to the node. A state machine: tips, answers and time
//! in.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use super::Layouts;

/// After the full job of a tip; a layout that appears does not wait for it.
const EVERY: Duration = Duration::from_secs(60);
/// A tip is with the miners, and the node with its peers, before it is asked anything.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// The least time between two questions.
const REST: Duration = Duration::from_secs(1);
/// Of the node's time a question may take this part: a node that needs three seconds for it is asked
/// every five minutes.
const SHARE: u32 = 100;

#[derive(Debug)]
pub(super) struct Pace {
    /// The tip of the newest full job, and when there was the first for it.
    tip: Option<(BlockHash, Instant)>,
    ask_at: Option<Instant>,
    /// Layouts without an acceptance, which are asked for before any other.
    again: Layouts,
    /// When the node was last asked.
    asked: Option<Instant>,
    rests_until: Instant,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            tip: None,
            ask_at: None,
            again: Layouts::NONE,
            asked: None,
            rests_until: now,
        }
    }

    /// Miners have a full job that builds on `tip`.
    pub(super) fn handle_full_job(&mut self, now: Instant, tip: BlockHash) {
        if self.tip.is_some_and(|(known, _)| known == tip) {
            return;
        }
        self.tip = Some((tip, now));
        self.ask_by(now + SETTLED_AFTER);
    }

    /// When [`Self::take_asked`] is due.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// The layouts of which a block is to be asked for now.
    pub(super) fn take_asked(&mut self) -> Layouts {
        self.ask_at = None;
        match core::mem::take(&mut self.again) {
            Layouts::NONE => Layouts::ANY,
            again => again,
        }
    }

    /// The earliest time at which the node may be shown a block.
    pub(super) fn may_ask_at(&self) -> Instant {
        let settled = self.tip.map(|(_, since)| since + SETTLED_AFTER);
        settled.map_or(self.rests_until, |at| at.max(self.rests_until))
    }

    /// Whether the node is left alone for longer than a block waits.
    pub(super) fn rests_long(&self, now: Instant) -> bool {
        self.may_ask_at() > now + EVERY
    }

    /// The node took from `began` to `now` over a block, and has not accepted the layouts `open`.
    pub(super) fn handle_answer(&mut self, began: Instant, now: Instant, open: Layouts) {
        let took = now.saturating_duration_since(began);
        self.asked = Some(began);
        self.rests_until = now + (took * SHARE).max(REST);
        if open != Layouts::NONE {
            self.pass_over(now, open);
        }
    }

    /// A block of these layouts could not be shown to the node.
    pub(super) fn pass_over(&mut self, now: Instant, open: Layouts) {
        self.again = self.again.and(open);
        self.ask_by(now + EVERY);
    }

    /// A block of these layouts was of an older job, so that another is asked for at once.
    pub(super) fn replace(&mut self, now: Instant, open: Layouts) {
        self.again = self.again.and(open);
        self.ask_at = Some(now + REST);
    }

    /// At most once a minute.
    fn ask_by(&mut self, at: Instant) {
        let minute = self.asked.map_or(at, |asked| at.max(asked + EVERY));
        let at = minute.max(self.rests_until);
        self.ask_at = Some(self.ask_at.map_or(at, |before| before.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;

    fn tip(number: u8) -> BlockHash {
        BlockHash::from_byte_array([number; 32])
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn once_a_tip_and_not_on_its_way() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.poll_timeout(), None);
        pace.handle_full_job(start, tip(1));
        assert_eq!(pace.poll_timeout(), Some(start + SETTLED_AFTER));
        assert_eq!(pace.may_ask_at(), start + SETTLED_AFTER);
        assert_eq!(pace.take_asked(), Layouts::ANY);
        // Fresher jobs of the same tip change nothing.
        pace.handle_full_job(start + SECOND, tip(1));
        assert_eq!(pace.poll_timeout(), None);
    }

    #[test]
    fn not_more_than_once_a_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.handle_full_job(start, tip(1));
        pace.take_asked();
        let asked = start + SECOND;
        pace.handle_answer(asked, asked, Layouts::NONE);
        for seconds in 2..30 {
            pace.handle_full_job(start + SECOND * seconds, tip(seconds as u8));
        }
        assert_eq!(pace.poll_timeout(), Some(asked + EVERY));
        pace.take_asked();
        let late = start + 10 * EVERY;
        pace.handle_full_job(late, tip(99));
        assert_eq!(pace.poll_timeout(), Some(late + SETTLED_AFTER));
    }

    /// Else a small computer would do nothing but judge our blocks.
    #[test]
    fn a_slow_node_is_asked_seldom() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.handle_full_job(start, tip(1));
        pace.take_asked();
        let answered = start + 10 * SECOND;
        pace.handle_answer(start + 2 * SECOND, answered, Layouts::NONE);
        let rested = answered + 800 * SECOND;
        assert_eq!(pace.may_ask_at(), rested);
        assert!(pace.rests_long(answered));
        assert!(!pace.rests_long(rested - EVERY));
        pace.handle_full_job(answered, tip(2));
        assert_eq!(pace.poll_timeout(), Some(rested));
    }

    #[test]
    fn what_was_not_accepted_is_shown_again_first() {
        let start = Instant::now();
        let (one, other) = (Layouts::from_bits(1), Layouts::from_bits(2));
        let mut pace = Pace::new(start);
        pace.handle_answer(start, start, one);
        pace.pass_over(start, other);
        assert_eq!(pace.poll_timeout(), Some(start + EVERY));
        assert_eq!(pace.take_asked(), one.and(other));
        assert_eq!(pace.take_asked(), Layouts::ANY);
        pace.replace(start, one);
        assert_eq!(pace.poll_timeout(), Some(start + REST));
    }
}
