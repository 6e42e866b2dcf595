//! So many at once, and so many in a time.

use std::time::{Duration, Instant};

/// How fast something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// At once, after a rest.
    pub(crate) burst: u32,
    /// Between two of those that follow.
    pub(crate) interval: Duration,
}

/// How far something is ahead of its rate: one time says it all (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pace {
    /// By then all that has happened would have been paid off at the rate's interval.
    paid_off_at: Option<Instant>,
}

impl Pace {
    /// Takes the next turn: when it is. `None`, and nothing is taken, if that is later than `patience`
    /// from now.
    pub(crate) fn take_turn(
        &mut self,
        now: Instant,
        rate: Rate,
        patience: Duration,
    ) -> Option<Instant> {
        let (turn, paid_off_at) = self.after(now, rate, 1);
        (turn <= now + patience).then(|| {
            self.paid_off_at = Some(paid_off_at);
            turn
        })
    }

    /// Something happens that counts as `cost`: when it was in order to happen, at the earliest now.
    pub(crate) fn spend(&mut self, now: Instant, rate: Rate, cost: u32) -> Instant {
        let (turn, paid_off_at) = self.after(now, rate, cost);
        self.paid_off_at = Some(paid_off_at);
        turn
    }

    /// Whether half of what may happen at once has happened, and is not paid off. What is paid in part counts.
    pub(crate) fn is_half_spent(&self, now: Instant, rate: Rate) -> bool {
        let ahead = self.paid_off_at.map(|at| at.saturating_duration_since(now));
        let fewer = rate.interval * (rate.burst / 2).saturating_sub(1);
        ahead.is_some_and(|ahead| ahead > fewer)
    }

    fn after(&self, now: Instant, rate: Rate, cost: u32) -> (Instant, Instant) {
        let from = self.paid_off_at.map_or(now, |at| at.max(now));
        let paid_off_at = from + rate.interval * cost;
        let turn = paid_off_at.checked_sub(rate.interval * rate.burst);
        (turn.map_or(now, |turn| turn.max(now)), paid_off_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        burst: 4,
        interval: Duration::from_secs(1),
    };

    #[test]
    fn a_burst_is_free_and_the_rest_waits_its_turn() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let turns: Vec<_> = (0..8)
            .map(|_| pace.take_turn(start, RATE, Duration::from_secs(3)))
            .map(|turn| turn.map(|turn| (turn - start).as_secs()))
            .collect();
        let expected = [
            Some(0),
            Some(0),
            Some(0),
            Some(0),
            Some(1),
            Some(2),
            Some(3),
            None,
        ];
        assert_eq!(turns, expected);
        // Who was sent away has taken no turn.
        let next = pace.take_turn(start, RATE, Duration::from_secs(4));
        assert_eq!(next, Some(start + Duration::from_secs(4)));
        let rested = start + Duration::from_secs(100);
        let free = (0..8).filter(|_| pace.take_turn(rested, RATE, Duration::ZERO).is_some());
        assert_eq!(free.count(), 4);
    }

    #[test]
    fn half_of_a_burst_is_half_of_it_until_some_is_paid_off() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let mut takes = || {
            pace.take_turn(start, RATE, Duration::ZERO).unwrap();
            pace.is_half_spent(start, RATE)
        };
        assert_eq!([takes(), takes(), takes()], [false, true, true]);
        assert!(pace.is_half_spent(start + Duration::from_millis(1_999), RATE));
        assert!(!pace.is_half_spent(start + Duration::from_secs(2), RATE));
    }

    proptest! {
        /// Whatever the order of events, no more have their turn in a span than the rate has room for.
        #[test]
        fn turns_keep_to_the_rate(steps in prop::collection::vec((0..3_000_u64, 0..10_u64), 1..200)) {
            let (mut now, mut pace, mut turns) = (Instant::now(), Pace::default(), Vec::new());
            for (step, patience) in steps {
                now += Duration::from_millis(step);
                turns.extend(pace.take_turn(now, RATE, Duration::from_secs(patience)));
            }
            prop_assert!(turns.is_sorted());
            for (number, turn) in turns.iter().enumerate() {
                let in_span = turns[number..].iter().take_while(|it| **it - *turn < Duration::from_secs(10));
                prop_assert!(in_span.count() <= 4 + 10);
            }
        }
    }
}
