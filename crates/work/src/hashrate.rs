//! Hashes per second.

use core::fmt;

use crate::{Difficulty, Rung, Work};

/// A rate of hashing, in hashes per second: finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Hashrate(f64);

impl Hashrate {
    /// No hashing, or none that is known.
    pub const ZERO: Self = Self(0.0);

    /// A rate that a peer declared; `None` when it is no finite number or negative (MP-34).
    pub fn from_hashes_per_second(rate: f64) -> Option<Self> {
        (rate.is_finite() && rate >= 0.0).then_some(Self(rate))
    }

    /// The rate that does `work` in `seconds`; zero when no time has passed.
    pub fn of_work(work: Work, seconds: f64) -> Self {
        let rate = work.expected_hashes() / seconds;
        Self::from_hashes_per_second(rate).unwrap_or_default()
    }

    /// Hashes per second.
    pub const fn as_f64(self) -> f64 {
        self.0
    }

    /// The difficulty at which this rate finds `shares_per_minute` shares a minute, within those of
    /// the easiest and the hardest rung, so that a rate of zero has an answer.
    pub fn difficulty_for(self, shares_per_minute: f64) -> Difficulty {
        let [easiest, hardest] = [Rung::EASIEST, Rung::HARDEST].map(Rung::difficulty);
        let hashes_per_share = self.0 * 60.0 / shares_per_minute;
        let difficulty = hashes_per_share * (65535.0 / 65536.0) / 2f64.powi(32);
        let within = difficulty.clamp(easiest.as_f64(), hardest.as_f64());
        // Only zero divided by zero is no number: nothing is known, and nothing is asked for.
        Difficulty::from_f64(within).unwrap_or(easiest)
    }
}

impl fmt::Display for Hashrate {
    /// Writes three significant digits and a unit that people use, as in `1.23 TH/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 8] = [
            "H/s", "kH/s", "MH/s", "GH/s", "TH/s", "PH/s", "EH/s", "ZH/s",
        ];
        let mut rate = self.0;
        let mut units = UNITS.iter();
        let mut unit = units.next().expect("the table is not empty");
        while rate >= 999.5 {
            let Some(larger) = units.next() else { break };
            (rate, unit) = (rate / 1000.0, larger);
        }
        let decimals = match rate {
            rate if rate < 9.995 => 2,
            rate if rate < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{rate:.decimals$} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_share_per_second_at_difficulty_1_is_4_3_gigahashes() {
        let rate = Hashrate::of_work(Work::of_rung(Rung::ONE), 1.0);
        assert_eq!(rate.to_string(), "4.30 GH/s");
        assert_eq!(Rung::for_hashrate(rate, 60.0), Rung::ONE);
    }

    #[test]
    fn is_shown_with_three_digits() {
        let shown = |rate| Hashrate(rate).to_string();
        assert_eq!(shown(0.0), "0.00 H/s");
        assert_eq!(shown(999.4), "999 H/s");
        assert_eq!(shown(999.6), "1.00 kH/s");
        assert_eq!(shown(12_345.0), "12.3 kH/s");
        assert_eq!(shown(1.2e12), "1.20 TH/s");
        assert_eq!(shown(1e30), "1000000000 ZH/s");
    }

    #[test]
    fn nonsense_is_refused() {
        for rate in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Hashrate::from_hashes_per_second(rate), None);
        }
        assert_eq!(Rung::for_hashrate(Hashrate::ZERO, 20.0), Rung::EASIEST);
        assert_eq!(Rung::for_hashrate(Hashrate::ZERO, 0.0), Rung::EASIEST);
        assert_eq!(Rung::for_hashrate(Hashrate(1.0), 0.0), Rung::HARDEST);
        assert_eq!(Rung::for_hashrate(Hashrate(f64::MAX), 20.0), Rung::HARDEST);
        assert_eq!(
            Hashrate::of_work(Work::of_rung(Rung::ONE), 0.0),
            Hashrate::ZERO
        );
    }

    proptest! {
        /// A machine on the rung that its rate stands for finds as many shares as were asked for,
        /// and less than twice as many.
        #[test]
        fn the_rung_of_a_rate_finds_the_shares(exponent in 1.0f64..24.0, shares_per_minute in 1.0f64..60.0) {
            let rate = Hashrate(10f64.powf(exponent));
            let rung = Rung::for_hashrate(rate, shares_per_minute);
            let found = 60.0 * rate.as_f64() / Work::of_rung(rung).expected_hashes();
            prop_assume!(rung > Rung::EASIEST && rung < Rung::HARDEST);
            let ratio = found / shares_per_minute;
            prop_assert!((1.0 - 1e-12..2.0).contains(&ratio), "{} {}", rung, ratio);
        }
    }
}
