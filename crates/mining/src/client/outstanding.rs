//! Shares that were sent and not yet answered.

use std::collections::VecDeque;

/// Shares that may wait for an answer. Of more the oldest are forgotten: an answer to them is
/// no longer counted.
pub const MAX_OUTSTANDING: usize = 65_536;

/// The sequence numbers of a channel's shares: unique, rising by one, wrapping to 0 (MP-61).
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    next: u32,
    waiting: VecDeque<u32>,
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
    pub(super) fn send(&mut self) -> u32 {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        if self.waiting.len() == MAX_OUTSTANDING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(sequence);
        sequence
    }

    /// Takes all that wait up to and with `last`, and says how many they were. Nothing when `last` is
    /// older than all that wait, or was never sent (MP-85).
    pub(super) fn accept_through(&mut self, last: u32) -> u32 {
        // Distances are counted back from the next number, so that the wrap is no edge.
        let age = |sequence: u32| self.next.wrapping_sub(sequence).wrapping_sub(1);
        if age(last) >= u32::MAX / 2 {
            return 0;
        }
        let count = self
            .waiting
            .iter()
            .take_while(|waiting| age(**waiting) >= age(last))
            .count();
        self.waiting.drain(..count);
        u32::try_from(count).expect("bounded by MAX_OUTSTANDING")
    }

    /// Takes one that was answered by itself; false when it does not wait.
    pub(super) fn answer(&mut self, sequence: u32) -> bool {
        match self.waiting.iter().position(|waiting| *waiting == sequence) {
            Some(index) => self.waiting.remove(index).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MP-85: nine good shares and a bad one are one error and a batch of nine.
    #[test]
    fn what_was_answered_alone_is_not_counted_again() {
        let mut shares = Outstanding::default();
        let sent: Vec<u32> = (0..10).map(|_| shares.send()).collect();
        assert_eq!(sent, (0..10).collect::<Vec<_>>());
        assert!(shares.answer(4));
        assert!(!shares.answer(4));
        assert_eq!(shares.accept_through(9), 9);
        assert_eq!(shares.accept_through(9), 0);
    }

    /// MP-85: an older answer, and one to a share that was never sent, count nothing.
    #[test]
    fn old_and_impossible_answers_count_nothing() {
        let mut shares = Outstanding::default();
        for _ in 0..6 {
            shares.send();
        }
        assert_eq!(shares.accept_through(3), 4);
        assert_eq!(shares.accept_through(2), 0);
        assert_eq!(shares.accept_through(6), 0);
        assert_eq!(shares.accept_through(u32::MAX), 0);
        assert_eq!(shares.accept_through(5), 2);
    }

    /// MP-61: the sequence goes on at 0 after the last number.
    #[test]
    fn the_sequence_wraps() {
        let mut shares = Outstanding::starting_at(u32::MAX - 1);
        let sent: Vec<u32> = (0..4).map(|_| shares.send()).collect();
        assert_eq!(sent, [u32::MAX - 1, u32::MAX, 0, 1]);
        assert_eq!(shares.accept_through(u32::MAX), 2);
        assert_eq!(shares.accept_through(1), 2);
    }

    #[test]
    fn a_pool_that_never_answers_costs_a_bounded_memory() {
        let mut shares = Outstanding::default();
        for _ in 0..MAX_OUTSTANDING + 10 {
            shares.send();
        }
        assert!(!shares.answer(9));
        assert_eq!(shares.accept_through(10), 1);
        assert_eq!(shares.waiting.len(), MAX_OUTSTANDING - 1);
    }
}
