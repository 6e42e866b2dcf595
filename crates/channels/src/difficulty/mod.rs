//! Difficulty control: how hard a miner's shares are made.
//!
//! By share and by timer, on the ladder of [`Rung`]s: the rung is chosen first, and the shares of a
//! job are judged by exactly that. What it does for whom is told in `docs/difficulty.md`. It knows
//! no message and no job: when the rung changes, whoever owns it sends the target and a job.

mod crowd;
mod evidence;
mod memory;
mod settings;
mod speed;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use headframe_work::{Hashrate, Rung, Target, Work};

pub use self::memory::{DifficultyMemory, Settled};
pub use self::settings::DifficultySettings;

use self::crowd::Crowd;
use self::evidence::{Evidence, Finding};
use self::speed::Speed;
use crate::Credit;

/// A miner that never sent a share is eased by 2^4 per three intervals, but at least every 30 s
/// ESP-Miner declares 1 TH/s whatever it is.
const UNSEEN_STEPS: i32 = 4;
const UNSEEN_INTERVALS: u32 = 3;
const UNSEEN_AT_MOST: Duration = Duration::from_secs(30);
/// It is eased so often before each further wait is twice as long: from 1 TH/s that is below
/// 50 kH/s, slower than which no device is. What is silent still is not mining yet, perhaps an ASIC
/// that warms up, and would flood the pool if it were eased for ever.
const UNSEEN_QUICKLY: u32 = 6;
/// A miner that did send shares, and sends none, is eased by 2^2, each time after a wait that is
/// twice as long.
const SILENT_STEPS: i32 = 2;
/// The rung moves by at most 2^4 at once: shares that the network held back arrive together, and
/// look like a faster miner.
const MOST_STEPS: i32 = 4;
/// What a balance says of a rate is the more exaggerated the less it has seen, so that steps are
/// rounded down, with this much added where the step is to a harder rung.
const HARDER_ROUNDING: f64 = 0.25;
/// No wait is doubled more often.
const MOST_DOUBLINGS: u32 = 10;
/// A rate that a miner declares, or a client's own control, moves the rung only if the present one
/// is off by more than this factor.
const DECLARED_WITHIN: f64 = 2.0;
/// The rung of a new miner is a guess, and so is one that is more than a step away from the last.
/// What is found at first corrects it, sooner than evidence would: after so many shares, and again
/// after as many, if the rate is off by so much.
const TRIAL_SHARES: f64 = 12.0;
const TRIALS: u32 = 2;
const TRIAL_FITS: core::ops::RangeInclusive<f64> = 0.6..=2.0;
/// A rung is settled when the miner has found this many shares on it.
const SETTLED_AFTER: f64 = 24.0;

/// The difficulty control of one channel.
#[derive(Debug)]
pub struct DifficultyControl {
    settings: DifficultySettings,
    /// The time between two shares that is aimed for.
    interval: Duration,
    /// The easiest rung that the miner accepts, from its `max_target`.
    floor: Rung,
    /// The easiest rung that it would have, which is the pool's to grant.
    least: Rung,
    rung: Rung,
    declared: Hashrate,
    /// How many miners find the shares.
    crowd: Crowd,
    /// What the miner's own word stands for; `None` if it said nothing.
    word: Option<Rung>,
    /// What it had when it was here before.
    past: Option<Settled>,
    is_resumed: bool,
    /// When the rung was looked at last.
    since: Instant,
    evidence: Evidence,
    speed: Speed,
    has_shares: bool,
    /// How often it was eased since its last share.
    eased: u32,
    /// How often the shares on this rung will be looked at, because it is a guess.
    trials: u32,
    /// When these shares began to be counted, and how many there were.
    trial: (Instant, f64),
    /// Shares on this rung, and whether the last of them settled it.
    shares: f64,
    is_newly_settled: bool,
}

impl DifficultyControl {
    /// The control of a miner that declares `nominal` (zero: nothing is known) and takes no rung
    /// easier than `floor`.
    pub fn new(settings: DifficultySettings, nominal: Hashrate, floor: Rung, now: Instant) -> Self {
        let interval = settings.interval();
        let mut control = Self {
            settings,
            interval,
            floor,
            least: Rung::EASIEST,
            rung: settings.start,
            declared: Hashrate::ZERO,
            crowd: Crowd::default(),
            word: None,
            past: None,
            is_resumed: false,
            since: now,
            evidence: Evidence::new(now, interval, 1.0, 1.0),
            speed: Speed::new(now),
            has_shares: false,
            eased: 0,
            trials: TRIALS,
            trial: (now, 0.0),
            shares: 0.0,
            is_newly_settled: false,
        };
        control.move_to(now, settings.start);
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

    /// The hashrate that the miner declared last; zero when it said nothing.
    pub fn declared(&self) -> Hashrate {
        self.declared
    }

    /// The easiest rung that the miner accepts.
    pub fn floor(&self) -> Rung {
        self.floor
    }

    /// A rate that a miner for which the rung fits does not exceed.
    pub fn hashrate_at_most(&self) -> Hashrate {
        let half = self.interval.as_secs_f64() / 2.0;
        Hashrate::of_work(Work::of_rung(self.rung_of_one()), half)
    }

    /// The miner declares a hashrate or another easiest rung. The same hashrate again, or nearly
    /// the one that the rung is for, changes nothing.
    pub fn handle_declared(&mut self, now: Instant, nominal: Hashrate, floor: Rung) {
        let is_released = floor < self.floor && self.rung == self.floor;
        self.floor = floor;
        let is_new = nominal != Hashrate::ZERO && (nominal != self.declared || is_released);
        let is_first = self.declared == Hashrate::ZERO;
        self.declared = nominal;
        if !is_new {
            return self.move_to(now, self.rung);
        }
        let wanted = self.settings.rung_for(nominal);
        self.word = Some(wanted);
        let found = Hashrate::of_work(
            Work::of_rung(self.rung_of_one()),
            self.interval.as_secs_f64(),
        );
        let ratio = nominal.as_f64() / found.as_f64();
        let fits = (1.0 / DECLARED_WITHIN..=DECLARED_WITHIN).contains(&ratio);
        match fits && !is_first && !is_released {
            true => self.move_to(now, self.rung),
            false => self.move_to(now, wanted.easier(self.crowd.steps())),
        }
    }

    /// So many miners were heard of on the channel lately: each is to be seen as if it were alone
    /// (EX-42), as far as the bound on all of them together lets it.
    pub fn handle_miners(&mut self, now: Instant, miners: usize) {
        let crowd = self.crowd.changed(miners, self.settings.shares_per_minute);
        let steps = crowd.steps() - self.crowd.steps();
        if steps != 0 {
            self.crowd = crowd;
            self.move_to(now, self.rung.easier(steps));
            self.restart(now);
        }
    }

    /// The miner asks for a rung of its own (SV1's `suggest_difficulty`). The same one again is a
    /// keep-alive and changes nothing.
    pub fn handle_suggestion(&mut self, now: Instant, rung: Rung) {
        if self.word.replace(rung) == Some(rung) {
            return;
        }
        if !self.take_up_past(now) {
            self.move_to(now, rung);
        }
    }

    /// The miner would have no rung easier than `least` (BIP310's `minimum-difficulty`), or is known
    /// to bear none. Unlike [`Self::floor`] that is a wish: the operator's hardest rung and the
    /// network's are before it, so that no block is kept back.
    pub fn handle_least(&mut self, now: Instant, least: Rung) {
        self.least = least;
        self.move_to(now, self.rung);
    }

    /// What the miner had when it was here before. It is used if the miner says of itself what it
    /// said then, and has not found a share yet.
    pub fn handle_past(&mut self, now: Instant, past: Settled) {
        self.past = Some(past);
        self.take_up_past(now);
    }

    /// What is to be remembered of the miner, when the share that was just taken settled it. Of
    /// several miners on one channel nothing is: it would be none's.
    pub fn newly_settled(&self) -> Option<Settled> {
        let (rung, word) = (self.rung, self.word);
        let is_one = !self.crowd.is_several();
        (self.is_newly_settled && is_one).then_some(Settled { rung, word })
    }

    /// The miner begins only now: what it did not find before tells nothing.
    pub fn handle_first_job(&mut self, now: Instant) {
        self.restart(now);
    }

    /// A share was accepted.
    pub fn handle_share(&mut self, now: Instant, credit: &Credit) {
        // A share of a harder job that was on its way counts as one: one was found.
        let steps = self.rung.exponent() - credit.rung.exponent();
        let share = 0.5f64.powi(steps.max(0)) * self.crowd.share();
        let was_settled = self.shares >= SETTLED_AFTER;
        self.shares += share;
        self.is_newly_settled = !was_settled && self.shares >= SETTLED_AFTER;
        self.has_shares = true;
        if core::mem::take(&mut self.eased) > 0 {
            // How long it was silent tells nothing about what it does now.
            self.restart(now);
        }
        self.trial.1 += share;
        self.evidence.handle_share(now, share);
        self.follow(now);
        self.try_guess(now);
        let crowd = self.crowd.share();
        if self.speed.handle_share(now, credit, self.interval, crowd) {
            self.move_to(now, self.rung);
            self.restart(now);
        }
    }

    /// Does what is due. To be called at [`Self::poll_timeout`] or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.evidence.handle_time(now);
        match self.is_unseen() && now >= self.ease_at() {
            true => self.ease(now, UNSEEN_STEPS),
            false => self.follow(now),
        }
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Instant {
        self.ease_at()
    }

    /// Whether the miner's rung is a guess yet.
    fn is_unseen(&self) -> bool {
        !(self.has_shares || self.is_resumed && self.eased == 0)
    }

    /// When the miner is to be eased if it finds nothing.
    fn ease_at(&self) -> Instant {
        let doublings = |number: u32| 1 << number.min(MOST_DOUBLINGS);
        if !self.is_unseen() {
            return self.evidence.too_few_at(f64::from(doublings(self.eased)));
        }
        let wait = (self.interval * UNSEEN_INTERVALS).min(UNSEEN_AT_MOST);
        let slow = self.eased.saturating_sub(UNSEEN_QUICKLY - 1);
        self.since + wait * doublings(slow)
    }

    fn ease(&mut self, now: Instant, steps: i32) {
        self.move_to(now, self.rung.easier(steps));
        self.restart(now);
        self.eased = self.eased.saturating_add(1);
        self.note_steps(steps);
    }

    /// A far step is a guess.
    fn note_steps(&mut self, steps: i32) {
        self.trials = if steps > 1 { TRIALS } else { 0 };
    }

    fn try_guess(&mut self, now: Instant) {
        let (since, shares) = self.trial;
        if self.trials == 0 || shares < TRIAL_SHARES {
            return;
        }
        let elapsed = now.saturating_duration_since(since);
        let intervals = elapsed.div_duration_f64(self.interval);
        // The first share began the trial, or came with it.
        let first = self.crowd.share();
        let rate = (shares - first) / intervals.max(1e-3);
        self.trials -= 1;
        self.trial = (now, first);
        if !TRIAL_FITS.contains(&rate) {
            let steps = rate.log2().round() as i32;
            let steps = steps.clamp(-MOST_STEPS, MOST_STEPS);
            self.move_to(now, self.rung.harder(steps));
            self.restart(now);
        }
    }

    /// Goes where the evidence leads, if it leads anywhere.
    fn follow(&mut self, now: Instant) {
        let patience = f64::from(1u32 << self.eased.min(MOST_DOUBLINGS));
        match self.evidence.finding(patience) {
            None => {}
            Some(Finding::Silent) => {
                // One long wait is chance for a slow device that is held at its floor.
                if self.eased > 0 {
                    self.speed.handle_silent(now);
                }
                self.ease(now, SILENT_STEPS);
            }
            Some(Finding::TooMany(rate)) => {
                let steps = (rate.log2() + HARDER_ROUNDING).floor() as i32;
                let steps = steps.clamp(1, MOST_STEPS);
                self.move_to(now, self.rung.harder(steps));
                self.restart(now);
                self.note_steps(steps);
            }
            Some(Finding::TooFew(rate)) => {
                let work = Work::of_rung(self.rung).expected_hashes();
                let seconds = self.interval.as_secs_f64();
                self.speed.handle_slower(now, rate * work / seconds);
                let steps = -rate.log2().ceil() as i32;
                self.ease(now, steps.clamp(1, MOST_STEPS));
            }
        }
    }

    /// Returns whether the miner's past has told the rung.
    fn take_up_past(&mut self, now: Instant) -> bool {
        let Some(past) = self.past.filter(|past| past.word == self.word) else {
            return false;
        };
        if !self.has_shares {
            self.is_resumed = true;
            self.trials = 0;
            self.move_to(now, past.rung);
        }
        true
    }

    /// The rung on which one miner of the hashrate of all would find as many shares as one of them.
    fn rung_of_one(&self) -> Rung {
        self.rung.harder(self.crowd.steps())
    }

    fn move_to(&mut self, now: Instant, wanted: Rung) {
        let easiest = self.settings.min.max(self.speed.floor()).max(self.least);
        let easiest = easiest.min(self.settings.max).max(self.floor);
        let rung = wanted.min(self.settings.max).max(easiest);
        if rung != self.rung {
            self.rung = rung;
            self.shares = 0.0;
            self.restart(now);
        }
    }

    fn restart(&mut self, now: Instant) {
        self.since = now;
        self.trial = (now, 0.0);
        let expected = self.speed.expected(self.rung, self.interval);
        self.evidence = Evidence::new(now, self.interval, expected, self.crowd.share());
    }
}
