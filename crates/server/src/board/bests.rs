//! The shares that came closest to a block: ever, and in a round.

use headframe_ledger::BestShare;
use headframe_work::Work;

use super::blocks::RoundStart;
use super::{convert, odds};

/// Of the shares of a round only those can be its best that none after them beats. Of shares that
/// come at random, there are about as many as the logarithm of their number.
const MAX_RECORDS: usize = 64;

/// Best shares.
#[derive(Debug, Default)]
pub(super) struct Bests {
    ever: Option<Near>,
    /// By time; each is worse than the one before it.
    records: Vec<Near>,
}

/// A share that came close.
#[derive(Debug, Clone)]
pub(super) struct Near {
    pub(super) share: BestShare,
    pub(super) worker: String,
    /// The network's difficulty at that time; `None` for shares of an earlier run.
    pub(super) network_difficulty: Option<f64>,
    /// What the pool had done by then, this share included.
    pub(super) work: Work,
}

impl Bests {
    /// Takes in a share that is no block.
    pub(super) fn offer(&mut self, near: Near) {
        self.offer_ever(near.clone());
        while self
            .records
            .last()
            .is_some_and(|last| near.share.beats(&last.share))
        {
            self.records.pop();
        }
        if self.records.len() == MAX_RECORDS {
            self.records.pop();
        }
        self.records.push(near);
    }

    /// Takes in a share that is a block. It ends its round, and is not of the next.
    pub(super) fn offer_ever(&mut self, near: Near) {
        let best = self.ever.as_ref();
        if best.is_none_or(|best| near.share.beats(&best.share)) {
            self.ever = Some(near);
        }
    }

    pub(super) fn ever(&self) -> Option<&Near> {
        self.ever.as_ref()
    }

    /// The best share since a round began.
    pub(super) fn since(&self, round: Option<RoundStart>) -> Option<&Near> {
        let is_of_round = |near: &&Near| round.is_none_or(|round| near.work > round.work_before);
        self.records.iter().find(is_of_round)
    }
}

impl Near {
    /// As people see it; `network_difficulty` stands in where the one of its time is not known.
    pub(super) fn shown(&self, network_difficulty: Option<f64>) -> headframe_api::BestShare {
        let difficulty = convert::finite(self.share.difficulty().as_f64());
        let asked = self.network_difficulty.or(network_difficulty);
        headframe_api::BestShare {
            difficulty,
            percent_of_block: asked.map_or(0.0, |asked| odds::percent(difficulty, asked)),
            worker: self.worker.clone(),
            at: convert::unix(self.share.at),
        }
    }
}
