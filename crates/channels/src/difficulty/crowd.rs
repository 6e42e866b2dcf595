//! How many miners find the shares of one channel (EX-42).
//!
//! A proxy has a crowd behind one channel and names each of them (extension 0x0002). Were the channel
//! kept at one miner's rate of shares, most of them would hardly be seen. So each share counts as
//! the part of one that a single miner's would: rates, waits and evidence are those of one miner of
//! the crowd, and what makes one look faster or silent has to be true of all. Numbers are rounded
//! to powers of two, as rungs are.

/// Shares a minute that the miners of one channel are to find together, at most: what 1,024 find at
/// the usual 12. In the two minutes that a job is remembered those are not half of what a channel
/// remembers; they cost less than a hundredth of a core.
const MOST_PER_MINUTE: f64 = 12_288.0;
/// A crowd has to be off by more than this, in powers of two, so that one who comes and goes changes
/// nothing.
const KEPT: f64 = 0.75;

/// The binary logarithm of how many miners there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Crowd(i32);

impl Crowd {
    /// The crowd of so many `miners`, each of which is to find `per_minute` shares, when it was this
    /// one before.
    pub(super) fn changed(self, miners: usize, per_minute: f64) -> Self {
        let most = (MOST_PER_MINUTE / per_minute).log2().floor().max(0.0);
        let wanted = (miners.max(1) as f64).log2().min(most);
        match (wanted - f64::from(self.0)).abs() <= KEPT {
            true => self,
            false => Self(wanted.round() as i32),
        }
    }

    /// Whether there are several.
    pub(super) fn is_several(self) -> bool {
        self.0 > 0
    }

    /// How many rungs easier the shares of the crowd are than those of one miner of its hashrate.
    pub(super) fn steps(self) -> i32 {
        self.0
    }

    /// What one share counts.
    pub(super) fn share(self) -> f64 {
        0.5f64.powi(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rounded_bounded_and_not_changed_by_one_who_comes_and_goes() {
        let from = |before, miners| Crowd(before).changed(miners, 12.0).steps();
        for (miners, steps) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (6, 3),
            (100, 7),
            (1_000, 10),
        ] {
            assert_eq!(from(0, miners), steps, "{miners}");
        }
        assert_eq!(from(0, 1_000_000), 10);
        for (before, miners) in [(7, 77), (7, 210), (1, 3), (0, 1)] {
            assert_eq!(from(before, miners), before, "{miners}");
        }
        assert_eq!((from(7, 75), from(7, 220)), (6, 8));
        // Another rate has another bound, and none leads below one miner.
        for (per_minute, most) in [(1.0, 13), (60.0, 7), (1e6, 0), (f64::NAN, 0)] {
            let most_of_all = Crowd::default().changed(usize::MAX, per_minute);
            assert_eq!(most_of_all.steps(), most, "{per_minute}");
        }
    }
}
