//! Difficulty control: how hard a miner's shares are made.
//!
//! Timer-driven, on the ladder of [`Rung`]s. What a device remembers of its past and per-listener
//! rates are not here yet.

use std::time::{Duration, Instant};

use headframe_work::{Hashrate, Rung, Target, Work};

/// The longest and the shortest time between two shares that may be aimed for, in seconds, so that
/// no setting makes a timer that never comes or always does.
const INTERVAL_SECONDS: core::ops::RangeInclusive<f64> = 0.1..=600.0;
/// Before this many intervals of a window have passed, only a flood of shares moves the rung: with
/// fewer shares to expect, chance would move it.
const JUDGED_AFTER: u32 = 24;
/// A window that taught nothing new is closed after this many intervals, so that the rate that is
/// measured is a recent one.
const WINDOW: u32 = 60;
/// A flood: this many shares, at [`FLOOD_RATIO`] times the rate that was asked for. Chance gives
/// it to a well-judged miner once in two hundred thousand windows.
const FLOOD_SHARES: f64 = 24.0;
const FLOOD_RATIO: f64 = 6.0;
/// The band in which a rung is kept. The rung is rounded down, so that a miner has one to two
/// times the rate that was asked for; the band is wider by what chance does in a window.
const TOO_FEW: f64 = 0.4;
const TOO_MANY: f64 = 3.0;
/// A miner that never sent a share is eased by 2^4 per three intervals, but at least every 30 s
/// ESP-Miner declares 1 TH/s whatever it is.
const UNSEEN_STEPS: i32 = 4;
const UNSEEN_INTERVALS: u32 = 3;
const UNSEEN_AT_MOST: Duration = Duration::from_secs(30);
/// A miner that did send shares is eased after fourteen intervals of silence: chance makes one in
/// a million intervals so long.
const SILENT_STEPS: i32 = 2;
const SILENT_INTERVALS: u32 = 14;
/// The easiest rung of a device that was seen to be fast: difficulty 256.
const FAST_FLOOR: i32 = 8;
/// A device is fast from this measured rate on, in hashes per second, and until it is measured at
/// half of it: what chance does to a measurement is less, so that no device goes to and fro.
const FAST: f64 = 100e9;
const NO_LONGER_FAST: f64 = FAST / 2.0;
/// How long a device of [`FAST`] takes for a share of [`FAST_FLOOR`].
const FAST_FLOOR_INTERVAL: Duration = Duration::from_secs(11);

/// What the operator wants of difficulty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifficultySettings {
    /// The rate of shares to aim for, per minute and channel. The rate that a miner settles at is
    /// one to two times it.
    pub shares_per_minute: f64,
    /// The rung of a miner that declares no hashrate.
    pub start: Rung,
    /// The easiest rung.
    pub min: Rung,
    /// The hardest rung.
    pub max: Rung,
}

impl Default for DifficultySettings {
    fn default() -> Self {
        Self {
            shares_per_minute: 12.0,
            start: Rung::from_exponent(10),
            min: Rung::EASIEST,
            max: Rung::HARDEST,
        }
    }
}

/// The difficulty control of one channel.
#[derive(Debug)]
pub struct DifficultyControl {
    settings: DifficultySettings,
    /// The easiest rung that the miner accepts, from its `max_target`.
    floor: Rung,
    rung: Rung,
    window: Window,
    seen_share: bool,
    /// Whether the last measured rate was that of a fast device.
    is_fast: bool,
}

/// What was found since the rung was last looked at.
#[derive(Debug)]
struct Window {
    since: Instant,
    next_look: Instant,
    work: Work,
    last_share: Option<Instant>,
}

impl DifficultyControl {
    /// The control of a miner that declares `nominal` (zero: nothing is known) and takes no rung
    /// easier than `floor`.
    pub fn new(settings: DifficultySettings, nominal: Hashrate, floor: Rung, now: Instant) -> Self {
        let mut control = Self {
            settings,
            floor,
            rung: settings.start,
            window: Window::new(now, interval(settings)),
            seen_share: false,
            is_fast: false,
        };
        control.handle_declared(now, nominal, floor);
        control
    }

    /// The rung that fits the miner.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// The rung that the miner's next job is to have, where a hash that meets `network` is a block.
    ///
    /// It is not harder than the network's difficulty, or the device would keep a block to itself;
    /// but the miner's own word wins: its target is never above the `max_target` that it announced
    /// (MP-38, MP-126). Such a miner throws those blocks away whatever it is told.
    pub fn rung_for(&self, network: Target) -> Rung {
        self.rung.no_harder_than(network).max(self.floor)
    }

    /// A rate that a miner for which the rung fits does not exceed.
    pub fn hashrate_at_most(&self) -> Hashrate {
        let half = interval(self.settings).as_secs_f64() / 2.0;
        Hashrate::of_work(Work::of_rung(self.rung), half)
    }

    /// The miner declares another hashrate or another easiest rung.
    pub fn handle_declared(&mut self, now: Instant, nominal: Hashrate, floor: Rung) {
        self.floor = floor;
        let wanted = match nominal {
            Hashrate::ZERO => self.rung,
            rate => Rung::for_hashrate(rate, self.settings.shares_per_minute),
        };
        self.move_to(now, wanted);
    }

    /// The miner asks for a rung of its own (SV1's `suggest_difficulty`).
    pub fn handle_suggestion(&mut self, now: Instant, rung: Rung) {
        self.move_to(now, rung);
    }

    /// The miner begins only now: what it did not find before tells nothing.
    pub fn handle_first_job(&mut self, now: Instant) {
        self.restart(now);
    }

    /// A share worth `work` was accepted.
    pub fn handle_share(&mut self, now: Instant, work: Work) {
        self.seen_share = true;
        self.window.work += work;
        self.window.last_share = Some(now);
        let ratio = self.ratio(now);
        if self.shares() >= FLOOD_SHARES && ratio >= FLOOD_RATIO {
            self.follow_measured(now);
        }
    }

    /// Looks at the window. To be called at [`Self::poll_timeout`] or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.silent_at() {
            let steps = if self.seen_share {
                SILENT_STEPS
            } else {
                UNSEEN_STEPS
            };
            self.measure(now);
            self.move_to(now, self.rung.easier(steps));
            self.restart(now);
        } else if now >= self.window.next_look {
            self.look(now);
        }
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Instant {
        self.window.next_look.min(self.silent_at())
    }

    /// When the miner has been silent for too long.
    fn silent_at(&self) -> Instant {
        let interval = self.interval();
        let wait = match self.seen_share {
            true => interval * SILENT_INTERVALS,
            false => (interval * UNSEEN_INTERVALS).min(UNSEEN_AT_MOST),
        };
        self.window.last_share.unwrap_or(self.window.since) + wait
    }

    fn look(&mut self, now: Instant) {
        let end = self.window.since + self.interval() * WINDOW;
        let too_few = TOO_FEW * interval(self.settings).div_duration_f64(self.interval());
        if !(too_few..TOO_MANY).contains(&self.ratio(now)) {
            self.follow_measured(now);
        } else if now < end {
            self.window.next_look = end;
        } else {
            self.measure(now);
            self.move_to(now, self.rung);
            self.restart(now);
        }
    }

    fn follow_measured(&mut self, now: Instant) {
        let rate = self.measure(now);
        let measured = Rung::for_hashrate(rate, self.settings.shares_per_minute);
        self.move_to(now, measured);
        self.restart(now);
    }

    /// The rate of the window, and whether it is that of a fast device.
    fn measure(&mut self, now: Instant) -> Hashrate {
        let rate = Hashrate::of_work(self.window.work, self.window.seconds(now));
        self.is_fast = match self.is_fast {
            true => rate.as_f64() >= NO_LONGER_FAST,
            false => rate.as_f64() >= FAST,
        };
        rate
    }

    fn restart(&mut self, now: Instant) {
        self.window = Window::new(now, self.interval());
    }

    fn move_to(&mut self, now: Instant, wanted: Rung) {
        let device = match self.is_fast {
            true => Rung::from_exponent(FAST_FLOOR),
            false => Rung::EASIEST,
        };
        let easiest = self.settings.min.max(device).min(self.settings.max);
        let easiest = easiest.max(self.floor);
        let rung = wanted.min(self.settings.max).max(easiest);
        if rung != self.rung {
            self.rung = rung;
            self.restart(now);
        }
    }

    /// Shares of the present rung in the window.
    fn shares(&self) -> f64 {
        self.window.work.units() as f64 / Work::of_rung(self.rung).units() as f64
    }

    /// How many times the wanted rate of shares was found in the window.
    fn ratio(&self, now: Instant) -> f64 {
        let expected = self.window.seconds(now) / interval(self.settings).as_secs_f64();
        self.shares() / expected
    }

    /// The time between two shares that is expected: what is aimed for, or what a device that is
    /// held at the floor takes, whose few shares are no reason to ease it.
    fn interval(&self) -> Duration {
        let wanted = interval(self.settings);
        match self.is_fast && self.rung == Rung::from_exponent(FAST_FLOOR) {
            true => wanted.max(FAST_FLOOR_INTERVAL),
            false => wanted,
        }
    }
}

/// The time between two shares that is aimed for.
fn interval(settings: DifficultySettings) -> Duration {
    let seconds = 60.0 / settings.shares_per_minute;
    // `max` takes the other number where this one is none.
    let seconds = seconds.max(*INTERVAL_SECONDS.start());
    Duration::from_secs_f64(seconds.min(*INTERVAL_SECONDS.end()))
}

impl Window {
    fn new(since: Instant, interval: Duration) -> Self {
        Self {
            since,
            next_look: since + interval * JUDGED_AFTER,
            work: Work::ZERO,
            last_share: None,
        }
    }

    fn seconds(&self, now: Instant) -> f64 {
        // A first share in the very instant of the window's start is no infinite rate.
        now.saturating_duration_since(self.since)
            .as_secs_f64()
            .max(0.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: DifficultySettings = DifficultySettings {
        shares_per_minute: 12.0,
        start: Rung::ONE,
        min: Rung::EASIEST,
        max: Rung::HARDEST,
    };

    /// A miner that finds shares by chance, and a control that follows it: simulated time.
    struct Simulation {
        control: DifficultyControl,
        now: Instant,
        rate: Hashrate,
        chance: u64,
        changes: u32,
        shares: u32,
    }

    impl Simulation {
        fn new(declared: f64, real: f64, seed: u64) -> Self {
            let now = Instant::now();
            let rate = |rate| Hashrate::from_hashes_per_second(rate).unwrap();
            Self {
                control: DifficultyControl::new(SETTINGS, rate(declared), Rung::EASIEST, now),
                now,
                rate: rate(real),
                chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
                changes: 0,
                shares: 0,
            }
        }

        /// An exponentially distributed number with mean 1 (xorshift64*).
        fn exponential(&mut self) -> f64 {
            self.chance ^= self.chance >> 12;
            self.chance ^= self.chance << 25;
            self.chance ^= self.chance >> 27;
            let bits = self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
            -((bits + 1) as f64 / (1u64 << 53) as f64).ln()
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            (self.changes, self.shares) = (0, 0);
            while self.now < end {
                let rung = self.control.rung();
                let hashes = Work::of_rung(rung).expected_hashes();
                let wait = hashes / self.rate.as_f64() * self.exponential();
                let found = self.now + Duration::from_secs_f64(wait.min(1e6));
                let timeout = self.control.poll_timeout();
                // Waiting has no memory: a share that would come after the timer is drawn anew.
                if found < timeout {
                    self.now = found;
                    self.shares += 1;
                    self.control.handle_share(found, Work::of_rung(rung));
                } else {
                    assert!(
                        timeout > self.now || timeout <= found,
                        "the timer does not advance"
                    );
                    self.now = timeout;
                    self.control.handle_timeout(timeout);
                }
                self.changes += u32::from(self.control.rung() != rung);
            }
        }
    }

    #[test]
    fn every_miner_settles_and_stays() {
        for exponent in 4..=18 {
            for seed in 1..=8 {
                let mut miner = Simulation::new(1e12, 10f64.powi(exponent), seed);
                miner.run(Duration::from_secs(300));
                miner.run(Duration::from_secs(12 * 3600));
                let per_minute = f64::from(miner.shares) / (12.0 * 60.0);
                // 100 GH/s find five shares of difficulty 256 a minute.
                let at_least = if exponent == 11 { 5.0 } else { 7.2 };
                assert!(
                    (at_least..=36.0).contains(&per_minute),
                    "1e{exponent} H/s, seed {seed}: {per_minute} shares a minute"
                );
                assert!(
                    miner.changes <= 6,
                    "1e{exponent}, seed {seed}: {}",
                    miner.changes
                );
            }
        }
    }

    /// 1e12 declared, 10 MH/s real, in under five minutes.
    #[test]
    fn a_boasting_device_converges_in_five_minutes() {
        for seed in 1..=50 {
            let mut miner = Simulation::new(1e12, 1e7, seed);
            miner.run(Duration::from_secs(300));
            let wanted = Rung::for_hashrate(miner.rate, SETTINGS.shares_per_minute);
            let off = (miner.control.rung().exponent() - wanted.exponent()).abs();
            assert!(off <= 2, "seed {seed}: {off} rungs off");
        }
    }

    #[test]
    fn a_miner_that_slows_down_is_followed() {
        let mut miner = Simulation::new(1e12, 1e12, 3);
        miner.run(Duration::from_secs(600));
        miner.rate = Hashrate::from_hashes_per_second(1e10).unwrap();
        miner.run(Duration::from_secs(600));
        let wanted = Rung::for_hashrate(miner.rate, SETTINGS.shares_per_minute);
        assert!((miner.control.rung().exponent() - wanted.exponent()).abs() <= 1);
    }

    #[test]
    fn the_rung_stays_within_the_bounds() {
        let settings = DifficultySettings {
            min: Rung::from_exponent(8),
            max: Rung::from_exponent(20),
            ..SETTINGS
        };
        let now = Instant::now();
        let rate = Hashrate::from_hashes_per_second(1e30).unwrap();
        let mut control = DifficultyControl::new(settings, rate, Rung::EASIEST, now);
        assert_eq!(control.rung(), Rung::from_exponent(20));
        for minute in 1..60 {
            control.handle_timeout(now + Duration::from_secs(60 * minute));
        }
        assert_eq!(control.rung(), Rung::from_exponent(8));
        control.handle_declared(now, Hashrate::ZERO, Rung::from_exponent(12));
        assert_eq!(control.rung(), Rung::from_exponent(12));
    }

    fn floor() -> Rung {
        Rung::from_exponent(FAST_FLOOR)
    }

    fn settled(rate: f64, seed: u64) -> Simulation {
        let mut miner = Simulation::new(1e12, rate, seed);
        miner.run(Duration::from_secs(1800));
        miner
    }

    /// what is measured counts, not what is declared; half of what makes a device fast leaves
    /// it alone.
    #[test]
    fn a_fast_device_has_a_floor_of_256() {
        for seed in 1..=8 {
            for rate in [1.3e11, 2e11, 4e11] {
                assert!(settled(rate, seed).control.rung() >= floor(), "{rate}");
            }
            for rate in [1e6, 1e9, 4e10, 5e10] {
                assert!(settled(rate, seed).control.rung() < floor(), "{rate}");
            }
        }
        let rate = Hashrate::from_hashes_per_second(1.5e11).unwrap();
        let control = DifficultyControl::new(SETTINGS, rate, Rung::EASIEST, Instant::now());
        assert!(control.rung() < floor(), "declared only");
    }

    /// at whatever rate about the limit, chance does not move a device to and fro.
    #[test]
    fn a_device_at_the_limit_stays_where_it_is() {
        for rate in [0.6e11, 0.8e11, 1e11, 1.2e11, 2e11, 4e11] {
            for seed in 1..=8 {
                let mut miner = settled(rate, seed);
                miner.run(Duration::from_secs(12 * 3600));
                assert!(miner.changes <= 6, "{rate}, {seed}: {}", miner.changes);
            }
        }
    }

    /// a device that slows down, or falls silent, loses the floor.
    #[test]
    fn a_device_that_slows_down_loses_its_floor() {
        for (rate, time) in [(1e10, 1200), (1e7, 1200), (1e-9, 3600)] {
            for seed in 1..=8 {
                let mut miner = settled(2e11, seed);
                assert_eq!(miner.control.rung(), floor());
                miner.rate = Hashrate::from_hashes_per_second(rate).unwrap();
                miner.run(Duration::from_secs(time));
                let wanted = Rung::for_hashrate(miner.rate, SETTINGS.shares_per_minute);
                let rung = miner.control.rung();
                assert!(rung < floor() && rung <= wanted.harder(4), "{rate}: {rung}");
            }
        }
    }

    /// A suggestion or another hashrate does not undercut the floor; the operator's hardest rung
    /// does, and the client's easiest one is above it if it is harder.
    #[test]
    fn the_floor_is_the_device_s_easiest_rung() {
        let mut miner = settled(2e11, 1);
        let now = miner.now;
        miner.control.handle_suggestion(now, Rung::ONE);
        assert_eq!(miner.control.rung(), floor());
        let slow = Hashrate::from_hashes_per_second(1e6).unwrap();
        let choosy = Rung::from_exponent(12);
        miner.control.handle_declared(now, slow, choosy);
        assert_eq!(miner.control.rung(), choosy);
        miner.control.handle_declared(now, slow, Rung::EASIEST);
        assert_eq!(miner.control.rung(), floor());
        miner.control.settings.max = Rung::from_exponent(4);
        miner.control.handle_declared(now, slow, Rung::EASIEST);
        assert_eq!(miner.control.rung(), Rung::from_exponent(4));
    }

    #[test]
    fn the_floor_s_interval_is_that_of_the_slowest_fast_device() {
        let found = Hashrate::of_work(Work::of_rung(floor()), FAST_FLOOR_INTERVAL.as_secs_f64());
        assert!((0.99..1.01).contains(&(found.as_f64() / FAST)), "{found}");
    }
}
