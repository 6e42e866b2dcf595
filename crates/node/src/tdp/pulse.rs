//! Whether a provider that says nothing is there (TD-49). It may have nothing to say for an hour, and one that is
//! frozen breaks no connection: its computer goes on to answer for it.
//!
//! The one question that the protocol has an answer to is the one for a template's transactions. After a time of
//! silence a template is asked for that no provider gave, whose answer is short; where none comes, the present one,
//! which a provider has to have. Whatever is heard is a sign of life, a refusal too. Not here: the clock, and what is
//! said of a provider that is not there.

use std::time::{Duration, Instant};

/// Number of a template that nobody was given: those that are known number from 1, or from far above.
pub(super) const UNKNOWN: u64 = 0;

/// How long a Template Provider may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After so long without a word it is asked whether it is there.
    pub quiet: Duration,
    /// How long an answer may take. Two questions in a row that have none are the end of the connection.
    pub answer: Duration,
    /// For so long it may send none of the transactions that it was asked for.
    pub transactions: Duration,
}

impl Default for Patience {
    /// A provider that freezes costs its miners half a minute. One that makes a large template, and answers nobody
    /// meanwhile, needs a few seconds for it.
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            transactions: Duration::from_secs(30),
        }
    }
}

/// One connection's.
#[derive(Debug)]
pub(super) struct Pulse {
    patience: Patience,
    heard: Instant,
    asked: Option<(Question, Instant)>,
    /// The first question is left out.
    asks_known: bool,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Unknown,
    Known,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for the transactions of this template.
    Ask(u64),
    /// It is not there. It has been silent for so long.
    Dead(Duration),
}

impl Pulse {
    /// `asks_known`: nothing is asked for that the provider does not know.
    pub(super) const fn new(now: Instant, patience: Patience, asks_known: bool) -> Self {
        Self {
            patience,
            heard: now,
            asked: None,
            asks_known,
        }
    }

    /// Something came. True where it had been asked for.
    pub(super) fn handle_sign(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.asked.take().is_some()
    }

    /// Whether it was asked for what it does not know, and has not answered: one that hangs up now does not bear it.
    pub(super) fn awaits_refusal(&self) -> bool {
        matches!(self.asked, Some((Question::Unknown, _)))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(super) fn poll_timeout(&self) -> Instant {
        match self.asked {
            None => self.heard + self.patience.quiet,
            Some((_, at)) => at + self.patience.answer,
        }
    }

    /// What is due at `now`, if anything is; `present` is the template that is mined.
    pub(super) fn handle_timeout(&mut self, now: Instant, present: u64) -> Option<Due> {
        if now < self.poll_timeout() {
            return None;
        }
        let (question, template) = match self.asked {
            None if !self.asks_known => (Question::Unknown, UNKNOWN),
            None | Some((Question::Unknown, _)) => (Question::Known, present),
            Some((Question::Known, _)) => {
                return Some(Due::Dead(now.saturating_duration_since(self.heard)));
            }
        };
        self.asked = Some((question, now));
        Some(Due::Ask(template))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Patience = Patience {
        quiet: Duration::from_secs(10),
        answer: Duration::from_secs(5),
        transactions: Duration::from_secs(30),
    };

    /// What comes of a pulse that is looked at each second, by the second.
    fn dues(mut pulse: Pulse, start: Instant, signs: &[u32]) -> Vec<(u32, Due)> {
        let mut dues = Vec::new();
        for second in 0..40 {
            let now = start + second * SECOND;
            if signs.contains(&second) {
                pulse.handle_sign(now);
            }
            if let Some(due) = pulse.handle_timeout(now, 7) {
                dues.push((second, due));
                if matches!(due, Due::Dead(_)) {
                    break;
                }
            }
        }
        dues
    }

    #[test]
    fn who_leaves_two_questions_unanswered_is_not_there() {
        let start = Instant::now();
        let pulse = || Pulse::new(start, PATIENCE, false);
        let dead = Due::Dead(20 * SECOND);
        let silent = [(10, Due::Ask(UNKNOWN)), (15, Due::Ask(7)), (20, dead)];
        assert_eq!(dues(pulse(), start, &[]), silent);
        // Any word will do, to either question.
        let alive = [
            (10, Due::Ask(UNKNOWN)),
            (15, Due::Ask(7)),
            (29, Due::Ask(UNKNOWN)),
        ];
        assert_eq!(dues(pulse(), start, &[19, 32, 39]), alive);
        // Who speaks is asked nothing.
        assert_eq!(dues(pulse(), start, &[9, 18, 27, 36]), []);
    }

    #[test]
    fn who_does_not_bear_it_is_asked_for_what_it_knows() {
        let start = Instant::now();
        let pulse = Pulse::new(start, PATIENCE, true);
        let silent = [(10, Due::Ask(7)), (15, Due::Dead(15 * SECOND))];
        assert_eq!(dues(pulse, start, &[]), silent);
        let mut pulse = Pulse::new(start, PATIENCE, false);
        assert!(!pulse.awaits_refusal());
        assert!(!pulse.handle_sign(start), "nothing was asked");
        pulse.handle_timeout(start + 10 * SECOND, 7);
        assert!(pulse.awaits_refusal());
        assert!(pulse.handle_sign(start + 11 * SECOND), "it answered");
        assert!(!pulse.awaits_refusal());
    }
}
