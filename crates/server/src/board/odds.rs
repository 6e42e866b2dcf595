//! How long a block takes at a hashrate, and how much of its work a round has done.

use headframe_api::{HashrateWindows, Odds};
use headframe_work::{Network, Work};

use super::blocks::RoundStart;
use super::convert;

/// The time between two blocks that difficulty aims at.
const BLOCK_SECONDS: f64 = 600.0;
const DAY_SECONDS: f64 = 86_400.0;

/// What the odds depend on.
#[derive(Debug)]
pub(super) struct Stakes<'a> {
    /// The difficulty of the block that is worked on, a positive number.
    pub(super) network_difficulty: Option<f64>,
    /// The network, if it is one that others mine on.
    pub(super) network: Option<Network>,
    pub(super) rates: &'a HashrateWindows,
    pub(super) round: RoundStart,
    /// What the pool has done in all.
    pub(super) work: Work,
}

impl Stakes<'_> {
    pub(super) fn odds(&self) -> Odds {
        let round = less(self.work, self.round.work_before);
        let expected = self.expected_seconds();
        Odds {
            network_difficulty: self.network_difficulty,
            network_hashes_per_second: self.network_rate(),
            expected_seconds_to_block: expected,
            chance_per_day_percent: expected.map(chance_per_day_percent),
            round_started_at: self.round.at.map(convert::unix),
            round_work: round.difficulty_sum(),
            round_effort_percent: self
                .network_difficulty
                .map_or(0.0, |difficulty| effort_percent(round, difficulty)),
        }
    }

    /// The hashrate of the last hour counts, or that of the last day when there was none.
    fn expected_seconds(&self) -> Option<f64> {
        let rates = [self.rates.one_hour, self.rates.one_day];
        let rate = rates.into_iter().find(|rate| *rate > 0.0)?;
        let seconds = expected_hashes(self.network_difficulty?) / rate;
        seconds.is_finite().then_some(seconds)
    }

    /// Where difficulty follows the hashrate, it tells it. On the fourth test network most blocks
    /// have the smallest difficulty there is, and it tells nothing.
    fn network_rate(&self) -> Option<f64> {
        let rate = expected_hashes(self.network_difficulty?) / BLOCK_SECONDS;
        match self.network? {
            Network::Mainnet | Network::Signet => rate.is_finite().then_some(rate),
            Network::Testnet4 | Network::Regtest => None,
        }
    }
}

/// A difficulty that can be divided by.
pub(super) fn difficulty(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

/// What `work` is of the work that a block takes on average.
pub(super) fn effort_percent(work: Work, network_difficulty: f64) -> f64 {
    percent(work.difficulty_sum(), network_difficulty)
}

pub(super) fn percent(part: f64, whole: f64) -> f64 {
    convert::finite(100.0 * part / whole)
}

/// What is left of `work` without `part`.
pub(super) fn less(work: Work, part: Work) -> Work {
    Work::from_units(work.units().saturating_sub(part.units()))
}

fn expected_hashes(difficulty: f64) -> f64 {
    difficulty * 2f64.powi(32) * (65536.0 / 65535.0)
}

/// Blocks come as a Poisson process.
fn chance_per_day_percent(expected_seconds: f64) -> f64 {
    convert::finite(-100.0 * (-DAY_SECONDS / expected_seconds).exp_m1())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odds(network: Option<Network>, difficulty: Option<f64>, rates: HashrateWindows) -> Odds {
        let round = RoundStart {
            at: None,
            work_before: Work::from_units(1 << 32),
        };
        Stakes {
            network_difficulty: difficulty,
            network,
            rates: &rates,
            round,
            work: Work::from_units(51 << 32),
        }
        .odds()
    }

    /// As of height 840,000: difficulty 86,388,558,925,171 and about 618 EH/s; a machine of
    /// 1 PH/s waits 11.8 years.
    #[test]
    fn known_answers_of_mainnet() {
        let rates = HashrateWindows {
            one_hour: 1e15,
            ..HashrateWindows::default()
        };
        let odds = odds(Some(Network::Mainnet), Some(86_388_558_925_171.02), rates);
        let exahashes = odds.network_hashes_per_second.unwrap() / 1e18;
        assert!((exahashes - 618.4).abs() < 0.1, "{exahashes}");
        let years = odds.expected_seconds_to_block.unwrap() / 86_400.0 / 365.25;
        assert!((years - 11.76).abs() < 0.01, "{years}");
        let chance = odds.chance_per_day_percent.unwrap();
        assert!((chance - 0.02328).abs() < 0.0001, "{chance}");
    }

    #[test]
    fn a_round_is_measured_from_its_start() {
        let odds = odds(None, Some(200.0), HashrateWindows::default());
        assert_eq!((odds.round_work, odds.round_effort_percent), (50.0, 25.0));
        assert_eq!(odds.expected_seconds_to_block, None, "no hashrate");
        assert_eq!(odds.network_hashes_per_second, None, "nobody else mines");
    }
}
