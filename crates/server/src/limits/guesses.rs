//! The wrong passwords that an address has said.
//!
//! Who guesses says many. A farm whose operator mistyped one says the same again and again, from all its
//! devices, and is no guesser: what was said before does not count.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headframe_mining::server::Guess;

use super::pace::{Pace, Rate};

/// Different wrong passwords of an address: some, for a farm may have one for each of its devices. A day has
/// room for two hundred, which find only a password that is none.
const GUESSES: Rate = Rate {
    burst: 64,
    interval: Duration::from_secs(10 * 60),
};
/// Wrong passwords that are kept in mind, the latest.
const KEPT: usize = GUESSES.burst as usize;

/// What an address has guessed.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    known: VecDeque<Guess>,
    pace: Pace,
}

impl Guesses {
    /// Somebody said a wrong password. True if that is one too many.
    pub(super) fn take(&mut self, now: Instant, guess: Guess) -> bool {
        if self.known.contains(&guess) {
            return false;
        }
        if self.known.len() == KEPT {
            self.known.pop_front();
        }
        self.known.push_back(guess);
        let turn = self.pace.take_turn(now, GUESSES, Duration::ZERO);
        turn.is_none()
    }

    /// Whether half of those that are too many were said.
    pub(super) fn is_half_spent(&self, now: Instant) -> bool {
        self.pace.is_half_spent(now, GUESSES)
    }
}

#[cfg(test)]
mod tests {
    use headframe_mining::server::Password;

    use super::*;

    fn guess(number: u32) -> Guess {
        Password::new("open-sesame").guess(&number.to_string())
    }

    #[test]
    fn the_same_again_is_no_guess() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..10_000 {
            assert!(!guesses.take(now, guess(1)));
        }
        for number in 2..=64 {
            assert!(!guesses.take(now, guess(number)), "{number}");
        }
        assert!(!guesses.take(now, guess(1)));
        assert!(guesses.take(now, guess(65)));
        assert_eq!(guesses.known.len(), KEPT);
    }

    #[test]
    fn a_day_has_room_for_few() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        let seconds = 0..24 * 60 * 60;
        let tried = seconds.filter(|second| {
            let now = start + Duration::from_secs(u64::from(*second));
            !guesses.take(now, guess(*second))
        });
        assert_eq!(tried.count(), 64 + 24 * 6 - 1);
    }
}
