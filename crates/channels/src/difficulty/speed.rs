//! Whether a device is to have nothing below difficulty 256.
//!
//! The chips of most ASICs report no easier hash, whatever they are told. On an easier rung each of
//! their shares would count too little, the rate would seem too low, and easing would go on for
//! ever.

use std::time::{Duration, Instant};

use headframe_work::{Hashrate, Rung, Work};

use crate::Credit;

/// The exponent of difficulty 256.
const FLOOR: i32 = 8;
/// A device is fast from this measured rate on, in hashes per second, and until it is
/// measured below the other one. Between them lies more than what chance does to a measurement, so
/// that no device goes to and fro.
const FAST: f64 = 100e9;
const NO_LONGER_FAST: f64 = 70e9;
/// How long a device of [`FAST`] takes for a share of difficulty 256.
const FLOOR_INTERVAL: Duration = Duration::from_secs(11);
/// A device all of whose shares on easier rungs reach 256 leaves the others out. So many bits of luck
/// no other device has.
const MASK_BITS: u32 = 40;
/// The shortest time to measure over, in intervals between shares: chance errs by 1/16 then.
const MEASURED_OVER: u32 = 240;

/// The measured speed of a device, as far as it decides on its easiest rung.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    is_fast: bool,
    /// The bits of luck of the shares on rungs below 256, as far as all of them reached it.
    luck: u32,
    since: Instant,
    /// The work of the shares that a chip which leaves out easier ones would report too.
    work: Work,
}

impl Speed {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            is_fast: false,
            luck: 0,
            since: now,
            work: Work::ZERO,
        }
    }

    /// As if all had been measured `wait` later.
    pub(super) fn later(self, wait: Duration) -> Self {
        Self {
            since: self.since + wait,
            ..self
        }
    }

    /// The easiest rung for such a device.
    pub(super) fn floor(&self) -> Rung {
        match self.has_floor() {
            true => Rung::from_exponent(FLOOR),
            false => Rung::EASIEST,
        }
    }

    /// The part of the `wanted` rate of shares to expect on `rung`: the few shares of a fast device
    /// that is held at the floor are no reason to call it slow.
    pub(super) fn expected(&self, rung: Rung, wanted: Duration) -> f64 {
        match self.is_fast && rung == Rung::from_exponent(FLOOR) {
            true => wanted.div_duration_f64(FLOOR_INTERVAL).min(1.0),
            false => 1.0,
        }
    }

    /// Counts a share. True when that gives the device its floor, or takes it away.
    /// `part` is the part of the channel's work that is one device's.
    pub(super) fn handle_share(
        &mut self,
        now: Instant,
        credit: &Credit,
        wanted: Duration,
        part: f64,
    ) -> bool {
        let had_floor = self.has_floor();
        let floor = Rung::from_exponent(FLOOR);
        let counted = credit.rung.max(floor);
        match counted == credit.rung || counted.target().is_met_by(&credit.hash) {
            true => {
                self.work += Work::of_rung(counted);
                let bits = counted.exponent().abs_diff(credit.rung.exponent());
                self.luck = self.luck.saturating_add(bits);
            }
            false => self.luck = 0,
        }
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= wanted * MEASURED_OVER {
            let rate = Hashrate::of_work(self.work, elapsed.as_secs_f64()).as_f64() * part;
            (self.since, self.work) = (now, Work::ZERO);
            self.is_fast = match self.is_fast {
                true => rate >= NO_LONGER_FAST,
                false => rate >= FAST,
            };
        }
        self.has_floor() != had_floor
    }

    /// The device slowed down to `rate`, in hashes per second.
    pub(super) fn handle_slower(&mut self, now: Instant, rate: f64) {
        (self.since, self.work) = (now, Work::ZERO);
        self.is_fast &= rate >= NO_LONGER_FAST;
    }

    /// The device is silent at its floor: it may be another one.
    pub(super) fn handle_silent(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    fn has_floor(&self) -> bool {
        self.is_fast || self.luck >= MASK_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_s_interval_is_that_of_the_slowest_fast_device() {
        let work = Work::of_rung(Rung::from_exponent(FLOOR));
        let rate = Hashrate::of_work(work, FLOOR_INTERVAL.as_secs_f64());
        assert!((0.99..1.01).contains(&(rate.as_f64() / FAST)), "{rate}");
    }
}
