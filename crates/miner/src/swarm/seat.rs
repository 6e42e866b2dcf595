//! A channel of a swarm: its work, and shares for it.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::BlockHash;
use headframe_mining::client::{MiningWork, Solution};

use super::Quality;
use super::shares::{Effort, ShareMaker};

/// Shares that are found beforehand where each takes considerable work.
const STOCK: usize = 32;

/// Hashes that are tried for a share that takes slight work. One in e^64 is not found by then.
const SLIGHT_HASHES: u32 = 4_096;

/// Hashes after which whoever finds shares beforehand makes room for another channel.
const TURN: u32 = 1 << 22;

/// A channel.
#[derive(Debug, Default)]
pub(super) struct Seat {
    work: Option<Arc<MiningWork>>,
    effort: Option<Effort>,
    maker: Option<Box<ShareMaker>>,
    /// Whether shares are being found elsewhere.
    is_away: bool,
    stock: VecDeque<Solution>,
    /// Whether a share was wanted and there was none.
    is_hungry: bool,
    /// The tip of the newest work.
    pub(super) tip: Option<BlockHash>,
    /// Shares that wait for an answer.
    pub(super) waiting: usize,
    /// Whether the pool refused or closed the channel.
    pub(super) is_closed: bool,
}

/// Shares that were found beforehand, and who found them.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) number: usize,
    maker: Box<ShareMaker>,
    shares: Vec<Solution>,
}

impl Seat {
    /// Takes new work; says what a share of it takes.
    pub(super) fn handle_work(&mut self, work: Arc<MiningWork>, quality: Quality) -> Effort {
        if work.clean {
            self.stock.clear();
        }
        let effort = Effort::of(quality, &work);
        (self.effort, self.work, self.maker) = (Some(effort), Some(work), None);
        effort
    }

    /// All work is void.
    pub(super) fn handle_no_work(&mut self) {
        self.stock.clear();
        (self.effort, self.work, self.maker) = (None, None, None);
    }

    /// A share was not taken: its job is void. If it is the present one, there is no work.
    pub(super) fn handle_void(&mut self, share: &Solution) {
        if self.work.as_ref().is_some_and(|it| it.job == share.job) {
            self.handle_no_work();
        }
    }

    pub(super) const fn has_work(&self) -> bool {
        self.work.is_some()
    }

    /// Whether the first share could be sent at once.
    pub(super) fn is_prepared(&self) -> bool {
        match self.effort {
            Some(Effort::Considerable) => self.stock.len() >= STOCK / 2 || self.is_closed,
            Some(Effort::Slight | Effort::TooMuch) | None => true,
        }
    }

    /// The next share. Where there is none, `is_late` is called, once until there are some.
    pub(super) fn share(&mut self, quality: Quality, is_late: impl FnOnce()) -> Option<Solution> {
        let share = self.stock.pop_front().or_else(|| match self.effort? {
            Effort::Slight => self.maker(quality)?.find(SLIGHT_HASHES),
            Effort::Considerable | Effort::TooMuch => None,
        });
        match share {
            Some(_) => self.is_hungry = false,
            None if self.is_hungry || self.work.is_none() => {}
            None => {
                self.is_hungry = true;
                is_late();
            }
        }
        share
    }

    /// Puts a share back that was not sent.
    pub(super) fn keep(&mut self, share: Solution) {
        self.stock.push_front(share);
    }

    /// Whoever is to find shares for this seat elsewhere, if it needs any.
    pub(super) fn wanting(&mut self, quality: Quality) -> Option<Box<ShareMaker>> {
        let wants = self.effort == Some(Effort::Considerable)
            && self.stock.len() < STOCK / 2
            && !self.is_away
            && !self.is_closed;
        if !wants {
            return None;
        }
        self.maker(quality)?;
        self.is_away = true;
        self.maker.take()
    }

    /// Takes what was found. What belongs to work that is void by now is found void when it is sent.
    pub(super) fn handle_prepared(&mut self, prepared: Prepared) {
        self.is_away = false;
        let present = self.work.as_ref().map(|work| work.job);
        if present == Some(prepared.maker.job()) {
            self.stock.extend(prepared.shares);
            self.maker = Some(prepared.maker);
        }
    }

    fn maker(&mut self, quality: Quality) -> Option<&mut ShareMaker> {
        if self.maker.is_none() {
            let work = Arc::clone(self.work.as_ref()?);
            self.maker = Some(Box::new(ShareMaker::new(work, quality)));
        }
        self.maker.as_deref_mut()
    }
}

/// Finds as many shares as a seat keeps, or as a turn allows.
pub(super) fn prepare(number: usize, mut maker: Box<ShareMaker>) -> Prepared {
    let mut shares = Vec::new();
    let end = maker.tried() + u64::from(TURN);
    while shares.len() < STOCK && maker.tried() < end {
        let left = u32::try_from(end - maker.tried()).unwrap_or(TURN);
        let before = maker.tried();
        shares.extend(maker.find(left));
        if maker.tried() == before {
            break;
        }
    }
    Prepared {
        number,
        maker,
        shares,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;

    use crate::swarm::shares::tests::work;

    const VALID: Quality = Quality::Valid;

    #[test]
    fn easy_shares_are_found_when_they_are_wanted() {
        let mut seat = Seat::default();
        assert_eq!(
            seat.share(VALID, || panic!("no work is nobody's delay")),
            None
        );
        seat.handle_work(work(-32, 8), VALID);
        assert!(seat.is_prepared() && seat.wanting(VALID).is_none());
        let share = seat.share(VALID, || panic!("late")).unwrap();
        // The pool did not take it: its work is void.
        seat.handle_void(&share);
        assert!(!seat.has_work());
        assert_eq!(seat.share(VALID, || panic!("late")), None);
    }

    #[test]
    fn hard_shares_are_found_elsewhere_and_a_delay_is_counted_once() {
        let mut seat = Seat::default();
        let late = Cell::new(0);
        let is_late = || late.set(late.get() + 1);
        seat.handle_work(work(-24, 8), VALID);
        assert!(!seat.is_prepared());
        assert_eq!(seat.share(VALID, is_late), None);
        assert_eq!(seat.share(VALID, is_late), None);
        assert_eq!(late.get(), 1);

        let maker = seat.wanting(VALID).unwrap();
        assert!(seat.wanting(VALID).is_none(), "one at a time");
        seat.handle_prepared(prepare(0, maker));
        assert!(seat.is_prepared());
        let first = seat.share(VALID, is_late).unwrap();
        seat.keep(first);
        for number in 0..STOCK {
            let share = seat.share(VALID, is_late).unwrap();
            assert!(number > 0 || share == first);
        }
        assert_eq!(late.get(), 1);
        assert_eq!(seat.share(VALID, is_late), None);
        assert_eq!(late.get(), 2);
        assert!(seat.wanting(VALID).is_some());
    }

    #[test]
    fn shares_of_void_work_are_dropped_and_so_are_those_that_come_for_it() {
        let mut seat = Seat::default();
        seat.handle_work(work(-24, 8), VALID);
        let maker = seat.wanting(VALID).unwrap();
        seat.handle_prepared(prepare(0, maker));
        // Clean work, and shares of the work before that are still being found.
        seat.stock.truncate(1);
        let maker = seat.wanting(VALID).unwrap();
        seat.handle_no_work();
        seat.handle_prepared(prepare(0, maker));
        assert_eq!(seat.share(VALID, || ()), None);
    }

    #[test]
    fn a_turn_is_bounded() {
        let mut seat = Seat::default();
        seat.handle_work(work(-9, 8), VALID);
        let maker = seat.wanting(VALID).unwrap();
        let before = maker.tried();
        let prepared = prepare(0, maker);
        assert!(prepared.maker.tried() - before <= u64::from(TURN));
        assert!(prepared.shares.len() < STOCK);
    }
}
