//! The bits of the embedded chain's blocks.
//!
//! Difficulty is counted as the number of hashes that a block takes on average, a whole number:
//! all arithmetic is on integers, so that every reading of the chain gives the same bits.

use std::time::Duration;

use bitcoin::{CompactTarget, Target};
use headframe_work::UnixTime;

/// Bits of every block of Bitcoin's regtest: two hashes on average.
pub(super) const REGTEST_BITS: u32 = 0x207f_ffff;
/// The blocks that a retarget looks at.
const WINDOW: usize = 8;
/// The most that a retarget may change the work, up or down.
const MAX_CHANGE: u64 = 4;
/// After this many intervals without a block the work begins to halve.
const PATIENCE: u32 = 8;
/// The most work that a block may need; far beyond every hashrate that visits a demo.
const HARDEST: u64 = 1 << 62;

/// How hard it is to find a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difficulty {
    /// Bitcoin's regtest: two hashes for every block, for ever. Such blocks can be replayed into a
    /// real `bitcoind -regtest`.
    Regtest,
    /// Blocks take about an interval at the hashrate that is there.
    Retarget {
        /// The time that a block should take, whole seconds, at least one.
        block_interval: Duration,
        /// The hashes that the easiest block takes on average, where the chain starts; at least
        /// two. A slow miner alone waits for that many hashes.
        easiest: u64,
    },
}

impl Default for Difficulty {
    /// A block every five seconds, from 2^20 hashes upwards.
    fn default() -> Self {
        Self::Retarget {
            block_interval: Duration::from_secs(5),
            easiest: 1 << 20,
        }
    }
}

/// What a retarget needs to know of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) time: UnixTime,
    pub(super) bits: CompactTarget,
}

impl Difficulty {
    /// The settings as the store's header holds them: interval in seconds (0 for regtest) and
    /// easiest work.
    pub(super) fn to_numbers(self) -> (u32, u64) {
        match self {
            Self::Regtest => (0, 2),
            Self::Retarget { easiest, .. } => (self.interval_seconds(), easiest_in_range(easiest)),
        }
    }

    /// The bits that a template for a header at `time` should have. `recent` are the blocks after
    /// the premine, oldest first, ending with the parent; `parent_time` is the parent's.
    pub(super) fn bits(
        self,
        recent: &[Pace],
        parent_time: UnixTime,
        time: UnixTime,
    ) -> CompactTarget {
        match self {
            Self::Regtest => CompactTarget::from_consensus(REGTEST_BITS),
            Self::Retarget { easiest, .. } => {
                let easiest = easiest_in_range(easiest);
                let work = self.retarget(recent, easiest);
                eased(work, self.steps(parent_time, time), easiest)
            }
        }
    }

    /// Whether a header at `time` may carry `bits`: those of its own step or of a harder one.
    pub(super) fn allows(
        self,
        bits: CompactTarget,
        recent: &[Pace],
        parent_time: UnixTime,
        time: UnixTime,
    ) -> bool {
        match self {
            Self::Regtest => bits == CompactTarget::from_consensus(REGTEST_BITS),
            Self::Retarget { easiest, .. } => {
                let easiest = easiest_in_range(easiest);
                let work = self.retarget(recent, easiest);
                (0..=self.steps(parent_time, time).min(u64::BITS))
                    .any(|step| bits == eased(work, step, easiest))
            }
        }
    }

    /// The first header time that the bits of a header at `time` are valid for, where they are
    /// easier than those right after the parent.
    pub(super) fn valid_from(
        self,
        recent: &[Pace],
        parent_time: UnixTime,
        time: UnixTime,
    ) -> Option<UnixTime> {
        let Self::Retarget { easiest, .. } = self else {
            return None;
        };
        let easiest = easiest_in_range(easiest);
        let work = self.retarget(recent, easiest);
        let bits = eased(work, self.steps(parent_time, time), easiest);
        let first = (0..=u64::BITS).find(|step| bits == eased(work, *step, easiest))?;
        let steps_before = first.checked_sub(1)?;
        Some(self.step_start(parent_time, steps_before))
    }

    /// How long until the bits are easier than those of a header at `now`.
    pub(super) fn until_easier(
        self,
        recent: &[Pace],
        parent_time: UnixTime,
        now: UnixTime,
    ) -> Option<Duration> {
        let Self::Retarget { easiest, .. } = self else {
            return None;
        };
        let easiest = easiest_in_range(easiest);
        let steps = self.steps(parent_time, now);
        let is_easiest = self.bits(recent, parent_time, now) == eased(0, 0, easiest);
        let next = self.step_start(parent_time, steps);
        let seconds = next.as_secs().saturating_sub(now.as_secs());
        (!is_easiest).then(|| Duration::from_secs(seconds.into()))
    }

    /// The first header time after `steps_before` halvings and one more.
    fn step_start(self, parent_time: UnixTime, steps_before: u32) -> UnixTime {
        let intervals = PATIENCE.saturating_add(steps_before);
        let since_parent = self
            .interval_seconds()
            .saturating_mul(intervals)
            .saturating_add(1);
        parent_time.saturating_add(Duration::from_secs(since_parent.into()))
    }

    /// How often the work has halved for a header at `time`.
    fn steps(self, parent_time: UnixTime, time: UnixTime) -> u32 {
        let interval = self.interval_seconds();
        let elapsed = time.as_secs().saturating_sub(parent_time.as_secs());
        let patience = interval.saturating_mul(PATIENCE);
        match elapsed.checked_sub(patience) {
            Some(late @ 1..) if interval > 0 => (late - 1) / interval + 1,
            _ => 0,
        }
    }

    /// The work of the block after `recent`, before easing.
    fn retarget(self, recent: &[Pace], easiest: u64) -> u64 {
        let window = recent
            .get(recent.len().saturating_sub(WINDOW + 1)..)
            .unwrap_or(recent);
        match window {
            [] => easiest,
            [only] => work_of(only.bits).clamp(easiest, HARDEST),
            [first, rest @ .., last] => {
                let before = work_of(last.bits);
                let interval = u64::from(self.interval_seconds());
                // A young chain's missing blocks count as well paced ones, so that the first few,
                // which chance spreads widely, do not throw the work about.
                let missing = WINDOW.saturating_sub(rest.len() + 1) as u64;
                let done = rest.iter().chain([last]).map(|block| work_of(block.bits));
                let work: u128 = done
                    .chain((0..missing).map(|_| before))
                    .map(u128::from)
                    .sum();
                let passed = last.time.as_secs().saturating_sub(first.time.as_secs());
                let seconds = (u64::from(passed) + missing * interval).max(1);
                let wanted = work * u128::from(interval) / u128::from(seconds);
                u64::try_from(wanted)
                    .unwrap_or(HARDEST)
                    .clamp(before / MAX_CHANGE, before.saturating_mul(MAX_CHANGE))
                    .clamp(easiest, HARDEST)
            }
        }
    }

    fn interval_seconds(self) -> u32 {
        match self {
            Self::Regtest => 0,
            Self::Retarget { block_interval, .. } => u32::try_from(block_interval.as_secs())
                .unwrap_or(u32::MAX)
                .max(1),
        }
    }
}

fn easiest_in_range(easiest: u64) -> u64 {
    easiest.clamp(2, HARDEST)
}

fn eased(work: u64, steps: u32, easiest: u64) -> CompactTarget {
    let work = work.checked_shr(steps).unwrap_or(0).max(easiest);
    target_of(work).to_compact_lossy()
}

/// The target that takes `work` hashes on average: (2^256 − 1) / `work`, rounded down.
fn target_of(work: u64) -> Target {
    let divisor = u128::from(work.max(1));
    let mut remainder = 0u128;
    let quotient = [0xffu8; 32].map(|byte| {
        let dividend = (remainder << 8) | u128::from(byte);
        remainder = dividend % divisor;
        (dividend / divisor) as u8
    });
    Target::from_be_bytes(quotient)
}

/// The hashes that a block with these bits takes on average.
pub(super) fn work_of(bits: CompactTarget) -> u64 {
    let work = Target::from_compact(bits).to_work().to_be_bytes();
    let (high, low) = work.split_at(24);
    if high.iter().any(|byte| *byte != 0) {
        return HARDEST;
    }
    low.iter()
        .fold(0, |work, byte| (work << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: u32 = 5;
    const EASIEST: u64 = 1 << 20;

    fn five_seconds() -> Difficulty {
        Difficulty::default()
    }

    fn at(seconds: u32) -> UnixTime {
        UnixTime::from_secs(1_700_000_000 + seconds)
    }

    /// A chain mined by a hashrate that finds each block after exactly its expected time.
    fn mine(difficulty: Difficulty, hashrate: u64, chain: &mut Vec<Pace>, blocks: usize) {
        for _ in 0..blocks {
            let parent = chain.last().map_or_else(|| at(0), |block| block.time);
            let bits = difficulty.bits(chain, parent, parent);
            let seconds = u32::try_from(work_of(bits) / hashrate).expect("a test's time");
            let time = UnixTime::from_secs(parent.as_secs() + seconds);
            chain.push(Pace { time, bits });
        }
    }

    #[test]
    fn blocks_come_to_take_the_interval() {
        for hashrate in [1 << 20, 1 << 26, 1 << 40] {
            let mut chain = Vec::new();
            mine(five_seconds(), hashrate, &mut chain, 60);
            let last_20 = chain[59].time.as_secs() - chain[39].time.as_secs();
            assert!(
                (60..=140).contains(&last_20),
                "{hashrate} H/s: 20 blocks in {last_20} s"
            );
        }
    }

    #[test]
    fn one_block_changes_the_work_by_four_at_most() {
        let mut chain = Vec::new();
        mine(five_seconds(), 1 << 50, &mut chain, 30);
        for pair in chain.windows(2) {
            let ratio = work_of(pair[1].bits) as f64 / work_of(pair[0].bits) as f64;
            assert!((0.249..4.01).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn work_that_nobody_can_do_halves_until_somebody_can() {
        let mut chain = Vec::new();
        mine(five_seconds(), 1 << 40, &mut chain, 40);
        let parent = chain[39].time;
        let now = |seconds| UnixTime::from_secs(parent.as_secs() + seconds);
        let work = |seconds| work_of(five_seconds().bits(&chain, parent, now(seconds)));
        assert_eq!(work(0), work(8 * INTERVAL));
        assert!(work(8 * INTERVAL + 1) <= work(0) / 2 + work(0) / 1000);
        assert!(work(9 * INTERVAL + 1) <= work(0) / 4 + work(0) / 1000);
        assert_eq!(
            target_of(EASIEST).to_compact_lossy(),
            five_seconds().bits(&chain, parent, now(3_600))
        );
    }

    #[test]
    fn a_harder_step_stays_valid_and_an_easier_one_is_not_valid_early() {
        let chain = [];
        let mut blocks = chain.to_vec();
        mine(five_seconds(), 1 << 40, &mut blocks, 40);
        let parent = blocks[39].time;
        let late = UnixTime::from_secs(parent.as_secs() + 60);
        let early_bits = five_seconds().bits(&blocks, parent, parent);
        let late_bits = five_seconds().bits(&blocks, parent, late);
        assert_ne!(early_bits, late_bits);
        assert!(five_seconds().allows(early_bits, &blocks, parent, late));
        assert!(!five_seconds().allows(late_bits, &blocks, parent, parent));
        let start = five_seconds()
            .valid_from(&blocks, parent, late)
            .expect("late is eased");
        assert!(five_seconds().allows(late_bits, &blocks, parent, start));
        let before = UnixTime::from_secs(start.as_secs() - 1);
        assert!(!five_seconds().allows(late_bits, &blocks, parent, before));
    }

    #[test]
    fn the_easiest_bits_wait_for_nothing() {
        let long_ago = at(0);
        let now = UnixTime::from_secs(long_ago.as_secs() + 500_000_000);
        assert_eq!(five_seconds().valid_from(&[], long_ago, now), None);
        assert_eq!(five_seconds().until_easier(&[], long_ago, now), None);
    }

    #[test]
    fn the_next_step_is_announced_to_the_second() {
        let mut chain = Vec::new();
        mine(five_seconds(), 1 << 40, &mut chain, 40);
        let parent = chain[39].time;
        for elapsed in 0..100 {
            let now = UnixTime::from_secs(parent.as_secs() + elapsed);
            let wait = five_seconds()
                .until_easier(&chain, parent, now)
                .expect("far from the easiest");
            let bits = |time| five_seconds().bits(&chain, parent, time);
            let change = now.saturating_add(wait);
            assert_eq!(
                bits(now),
                bits(change.saturating_sub(Duration::from_secs(1)))
            );
            assert_ne!(bits(now), bits(change));
        }
    }

    #[test]
    fn regtest_bits_never_change() {
        let mut chain = vec![
            Pace {
                time: at(0),
                bits: CompactTarget::from_consensus(REGTEST_BITS)
            };
            20
        ];
        chain.push(Pace {
            time: at(1),
            bits: CompactTarget::from_consensus(REGTEST_BITS),
        });
        let bits = Difficulty::Regtest.bits(&chain, at(1), at(10_000));
        assert_eq!(bits.to_consensus(), REGTEST_BITS);
        assert_eq!(
            Difficulty::Regtest.valid_from(&chain, at(1), at(10_000)),
            None
        );
        assert_eq!(
            Difficulty::Regtest.until_easier(&chain, at(1), at(10_000)),
            None
        );
    }

    proptest! {
        #[test]
        fn work_and_target_agree(work in 2u64..HARDEST) {
            let target = target_of(work);
            let bits = target.to_compact_lossy();
            let back = work_of(bits);
            prop_assert!(back >= work, "compact form rounds the target down");
            prop_assert!(back - work <= work >> 14);
        }

        #[test]
        fn no_bits_of_a_stranger_do_harm(bits: u32) {
            work_of(CompactTarget::from_consensus(bits));
        }

        #[test]
        fn a_template_is_always_allowed(
            times in proptest::collection::vec(0u32..1_000, 0..20),
            exponents in proptest::collection::vec(20u32..60, 20),
            late in 0u32..2_000,
        ) {
            let chain: Vec<Pace> = times.iter().zip(exponents).map(|(time, exponent)| Pace {
                time: at(*time),
                bits: target_of(1 << exponent).to_compact_lossy(),
            }).collect();
            let parent = chain.last().map_or_else(|| at(0), |block| block.time);
            let time = UnixTime::from_secs(parent.as_secs() + late);
            let bits = five_seconds().bits(&chain, parent, time);
            prop_assert!(five_seconds().allows(bits, &chain, parent, time));
            prop_assert!(work_of(bits) >= EASIEST);
        }
    }
}
