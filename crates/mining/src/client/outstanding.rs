//! Shares that were sent and not yet answered.

use std::collections::VecDeque;
use std::time::Instant;

/// Shares that may wait for an answer. Of more the oldest are forgotten: an answer to them is
/// no longer counted.
pub const MAX_OUTSTANDING: usize = 65_536;

/// The sequence numbers of a channel's shares, unique, rising by one, wrapping to 0 (MP-61), and when
/// each share was sent.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    next: u32,
    waiting: VecDeque<(u32, Instant)>,
}

impl Outstanding {
    /// The numbers from `first` on.
    pub(super) const fn starting_at(first: u32) -> Self {
        Self {
            next: first,
            waiting: VecDeque::new(),
        }
    }

    /// The number of one more share.
    pub(super) fn send(&mut self, now: Instant) -> u32 {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        if self.waiting.len() == MAX_OUTSTANDING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((sequence, now));
        sequence
    }

    /// Takes all that wait up to and with `last`, and says when each was sent, oldest first. Nothing
    /// when `last` is older than all that wait, or was never sent (MP-85).
    pub(super) fn accept_through(&mut self, last: u32) -> Vec<Instant> {
        // Distances are counted back from the next number, so that the wrap is no edge.
        let age = |sequence: u32| self.next.wrapping_sub(sequence).wrapping_sub(1);
        if age(last) >= u32::MAX / 2 {
            return Vec::new();
        }
        let count = self
            .waiting
            .iter()
            .take_while(|(waiting, _)| age(*waiting) >= age(last))
            .count();
        self.waiting.drain(..count).map(|(_, sent)| sent).collect()
    }

    /// Takes one that was answered by itself, and says when it was sent; `None` when it does not wait.
    pub(super) fn answer(&mut self, sequence: u32) -> Option<Instant> {
        let mut waiting = self.waiting.iter();
        let index = waiting.position(|(waiting, _)| *waiting == sequence)?;
        self.waiting.remove(index).map(|(_, sent)| sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(shares: &mut Outstanding, last: u32) -> usize {
        shares.accept_through(last).len()
    }

    /// MP-85: nine good shares and a bad one are one error and a batch of nine.
    #[test]
    fn what_was_answered_alone_is_not_counted_again() {
        let mut shares = Outstanding::default();
        let sent: Vec<u32> = (0..10).map(|_| shares.send(Instant::now())).collect();
        assert_eq!(sent, (0..10).collect::<Vec<_>>());
        assert!(shares.answer(4).is_some());
        assert!(shares.answer(4).is_none());
        assert_eq!(accepted(&mut shares, 9), 9);
        assert_eq!(accepted(&mut shares, 9), 0);
    }

    /// MP-85: an older answer, and one to a share that was never sent, count nothing.
    #[test]
    fn old_and_impossible_answers_count_nothing() {
        let mut shares = Outstanding::default();
        for _ in 0..6 {
            shares.send(Instant::now());
        }
        assert_eq!(accepted(&mut shares, 3), 4);
        assert_eq!(accepted(&mut shares, 2), 0);
        assert_eq!(accepted(&mut shares, 6), 0);
        assert_eq!(accepted(&mut shares, u32::MAX), 0);
        assert_eq!(accepted(&mut shares, 5), 2);
    }

    /// Every answer tells the time of its own share, whatever was answered in between.
    #[test]
    fn each_share_keeps_its_time() {
        let start = Instant::now();
        let at = |second| start + core::time::Duration::from_secs(second);
        let mut shares = Outstanding::default();
        for second in 0..5 {
            shares.send(at(second));
        }
        assert_eq!(shares.answer(2), Some(at(2)));
        assert_eq!(shares.accept_through(3), [at(0), at(1), at(3)]);
        assert_eq!(shares.answer(4), Some(at(4)));
    }

    /// MP-61: the sequence goes on at 0 after the last number.
    #[test]
    fn the_sequence_wraps() {
        let mut shares = Outstanding::starting_at(u32::MAX - 1);
        let sent: Vec<u32> = (0..4).map(|_| shares.send(Instant::now())).collect();
        assert_eq!(sent, [u32::MAX - 1, u32::MAX, 0, 1]);
        assert_eq!(accepted(&mut shares, u32::MAX), 2);
        assert_eq!(accepted(&mut shares, 1), 2);
    }

    #[test]
    fn a_pool_that_never_answers_costs_a_bounded_memory() {
        let mut shares = Outstanding::default();
        for _ in 0..MAX_OUTSTANDING + 10 {
            shares.send(Instant::now());
        }
        assert!(shares.answer(9).is_none());
        assert_eq!(accepted(&mut shares, 10), 1);
        assert_eq!(shares.waiting.len(), MAX_OUTSTANDING - 1);
    }
}
