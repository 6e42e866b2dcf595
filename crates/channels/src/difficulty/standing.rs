//! Where a miner stands: its rung, and what speaks for another one so far. It outlives the connection
//! on which it was found.

use std::time::{Duration, Instant};

use headframe_work::Rung;

use super::evidence::Evidence;
use super::speed::Speed;

/// So many connections on which a miner that is known was nothing but silent are believed: it is
/// another device.
const BELIEVED_AFTER: u8 = 2;

/// What is known of a miner by what it found and did not find.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) rung: Rung,
    /// The rung on which its last share was found.
    pub(super) found_on: Rung,
    /// Whether its rung stands on shares. If not it is a guess yet.
    pub(super) is_seen: bool,
    /// When the rung was looked at last.
    pub(super) since: Instant,
    pub(super) evidence: Evidence,
    pub(super) speed: Speed,
    /// Whether it was eased because it was silent, since its last share.
    pub(super) is_silent: bool,
    /// Connections since its last share on which it was nothing but silent.
    pub(super) absences: u8,
    /// How often it was eased since its last share.
    pub(super) eased: u32,
    /// How often the shares on this rung will be looked at, because it is a guess.
    pub(super) trials: u32,
    /// When these shares began to be counted, and how many there were.
    pub(super) trial: (Instant, f64),
    /// Shares on this rung.
    pub(super) shares: f64,
}

/// What is remembered of a miner that goes, for when it comes back: all that was found out, to the
/// silence since its last share. So a hundred connections of a few seconds each teach as much as
/// one that is as long as all of them.
#[derive(Debug, Clone)]
pub struct Past {
    /// The rung that its own word stands for: the hashrate that it declared or the difficulty that
    /// it suggested; `None` if it said nothing. A device that says something else is another one.
    pub(super) word: Option<Rung>,
    pub(super) standing: Standing,
    /// When it was there last.
    pub(super) at: Instant,
}

impl Standing {
    /// As if all had happened `wait` later: time in which there was no connection tells nothing.
    pub(super) fn later(self, wait: Duration) -> Self {
        let (since, shares) = self.trial;
        Self {
            since: self.since + wait,
            evidence: self.evidence.later(wait),
            speed: self.speed.later(wait),
            trial: (since + wait, shares),
            ..self
        }
    }

    /// Whether a miner that did mine was silent for so long that it was eased: it is gone or switched
    /// off, or its connection was dead, rather than slower.
    pub(super) fn is_gone(&self) -> bool {
        self.is_seen && self.is_silent
    }

    /// What stays of it when the connection is gone, on which the miner was heard or not. A dead
    /// connection is silent until that is noticed; one that is silent from its beginning after another
    /// one that was is believed.
    pub(super) fn at_end(mut self, was_heard: bool) -> Self {
        if self.is_gone() && !was_heard {
            self.absences = self.absences.saturating_add(1);
            self.is_seen = self.absences < BELIEVED_AFTER;
        }
        self
    }
}

impl Past {
    /// The rung that the miner will begin with.
    pub fn rung(&self) -> Rung {
        match self.standing.is_gone() {
            true => self.standing.found_on,
            false => self.standing.rung,
        }
    }

    /// When the miner was there last.
    pub fn at(&self) -> Instant {
        self.at
    }
}
