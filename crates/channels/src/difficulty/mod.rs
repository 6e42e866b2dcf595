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
mod standing;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use headframe_work::{Hashrate, Rung, Target, Work};

pub use self::memory::DifficultyMemory;
pub use self::settings::DifficultySettings;
pub use self::standing::Past;

use self::crowd::Crowd;
use self::evidence::{Evidence, Finding};
use self::speed::Speed;
use self::standing::Standing;
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
    /// The easiest rung that the miner accepts, from its `max_target`.
    floor: Rung,
    /// The easiest rung that it would have, which is the pool's to grant.
    least: Rung,
    declared: Hashrate,
    /// How many miners find the shares.
    crowd: Crowd,
    /// What the miner's own word stands for; `None` if it said nothing.
    word: Option<Rung>,
    /// What was known of it when it went, until it finds a share; and when that was taken up.
    past: Option<Box<Past>>,
    resumed_at: Option<Instant>,
    /// Whether it found a share since it came.
    has_shares: bool,
    standing: Standing,
    /// Whether something was found out that is to be remembered at once.
    has_news: bool,
}

impl DifficultyControl {
    /// The control of a miner that declares `nominal` (zero: nothing is known) and takes no rung
    /// easier than `floor`.
    pub fn new(settings: DifficultySettings, nominal: Hashrate, floor: Rung, now: Instant) -> Self {
        let interval = settings.interval();
        let standing = Standing {
            rung: settings.start,
            found_on: settings.start,
            is_seen: false,
            since: now,
            evidence: Evidence::new(now, interval, 1.0, 1.0),
            speed: Speed::new(now),
            is_silent: false,
            absences: 0,
            eased: 0,
            trials: TRIALS,
            trial: (now, 0.0),
            shares: 0.0,
        };
        let mut control = Self {
            settings,
            floor,
            least: Rung::EASIEST,
            declared: Hashrate::ZERO,
            crowd: Crowd::default(),
            word: None,
            past: None,
            resumed_at: None,
            has_shares: false,
            standing,
            has_news: false,
        };
        control.move_to(now, settings.start);
        control.handle_declared(now, nominal, floor);
        control.has_news = false;
        control
    }

    /// The rung that fits the miner.
    pub fn rung(&self) -> Rung {
        self.standing.rung
    }

    /// The rung that the miner's next job is to have, where a hash that meets `network` is a block.
    ///
    /// It is not harder than the network's difficulty, or the device would keep a block to itself;
    /// but the miner's own word wins: its target is never above the `max_target` that it announced
    /// (MP-38, MP-126). Such a miner throws those blocks away whatever it is told.
    pub fn rung_for(&self, network: Target) -> Rung {
        self.standing.rung.no_harder_than(network).max(self.floor)
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
        let half = self.interval().as_secs_f64() / 2.0;
        Hashrate::of_work(Work::of_rung(self.rung_of_one()), half)
    }

    /// The miner declares a hashrate or another easiest rung. The same hashrate again, or nearly
    /// the one that the rung is for, changes nothing.
    pub fn handle_declared(&mut self, now: Instant, nominal: Hashrate, floor: Rung) {
        let is_released = floor < self.floor && self.standing.rung == self.floor;
        self.floor = floor;
        let is_new = nominal != Hashrate::ZERO && (nominal != self.declared || is_released);
        let is_first = self.declared == Hashrate::ZERO;
        self.declared = nominal;
        if !is_new {
            return self.move_to(now, self.standing.rung);
        }
        let wanted = self.settings.rung_for(nominal);
        self.word = Some(wanted);
        let found = Hashrate::of_work(
            Work::of_rung(self.rung_of_one()),
            self.interval().as_secs_f64(),
        );
        let ratio = nominal.as_f64() / found.as_f64();
        let fits = (1.0 / DECLARED_WITHIN..=DECLARED_WITHIN).contains(&ratio);
        match fits && !is_first && !is_released {
            true => self.move_to(now, self.standing.rung),
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
            self.move_to(now, self.standing.rung.easier(steps));
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
        self.move_to(now, self.standing.rung);
    }

    /// What was known of the miner when it was here before. It is used if the miner says of itself
    /// what it said then, and has not found a share yet.
    pub fn handle_past(&mut self, now: Instant, past: Box<Past>) {
        if !self.has_shares {
            self.past = Some(past);
            self.take_up_past(now);
        }
    }

    /// What is to be remembered of the miner if it goes now. Of several miners on one channel nothing
    /// is: it would be none's. Nor is what the long silence of one that was never seen led to: it
    /// does not mine yet.
    pub fn past(&self, now: Instant) -> Option<Box<Past>> {
        let standing = self.standing.at_end(self.has_shares);
        let word = self.word;
        let is_idle = !standing.is_seen && standing.eased > UNSEEN_QUICKLY;
        (!self.crowd.is_several() && !is_idle).then(|| {
            let at = now;
            Box::new(Past { word, standing, at })
        })
    }

    /// What is to be remembered of the miner at once, since its end may be noticed late: another rung,
    /// or that the present one has shown to be right.
    pub fn poll_past(&mut self, now: Instant) -> Option<Box<Past>> {
        match core::mem::take(&mut self.has_news) {
            true => self.past(now),
            false => None,
        }
    }

    /// The miner begins only now: what it did not find before tells nothing.
    pub fn handle_first_job(&mut self, now: Instant) {
        match self.resumed_at.replace(now) {
            Some(at) => {
                let wait = now.saturating_duration_since(at);
                self.standing = self.standing.later(wait);
            }
            None => self.restart(now),
        }
    }

    /// A share was accepted.
    pub fn handle_share(&mut self, now: Instant, credit: &Credit) {
        // A share of a harder job that was on its way counts as one: one was found.
        let steps = self.standing.rung.exponent() - credit.rung.exponent();
        let share = 0.5f64.powi(steps.max(0)) * self.crowd.share();
        let was_settled = self.standing.shares >= SETTLED_AFTER;
        self.standing.shares += share;
        self.has_news |= !was_settled && self.standing.shares >= SETTLED_AFTER;
        (self.has_shares, self.past) = (true, None);
        (self.standing.is_seen, self.standing.is_silent) = (true, false);
        self.standing.absences = 0;
        if core::mem::take(&mut self.standing.eased) > 0 {
            // How long it was silent tells nothing about what it does now.
            self.restart(now);
        }
        self.standing.trial.1 += share;
        self.standing.evidence.handle_share(now, share);
        self.follow(now);
        self.try_guess(now);
        let (interval, crowd) = (self.interval(), self.crowd.share());
        if self
            .standing
            .speed
            .handle_share(now, credit, interval, crowd)
        {
            self.move_to(now, self.standing.rung);
            self.restart(now);
        }
        self.standing.found_on = self.standing.rung;
    }

    /// Does what is due. To be called at [`Self::poll_timeout`] or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.standing.evidence.handle_time(now);
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
        // One that is remembered and silent may be another device.
        !self.standing.is_seen || self.standing.is_silent && !self.has_shares
    }

    /// When the miner is to be eased if it finds nothing.
    fn ease_at(&self) -> Instant {
        let doublings = |number: u32| 1 << number.min(MOST_DOUBLINGS);
        if !self.is_unseen() {
            return self
                .standing
                .evidence
                .too_few_at(f64::from(doublings(self.standing.eased)));
        }
        let wait = (self.interval() * UNSEEN_INTERVALS).min(UNSEEN_AT_MOST);
        let slow = self.standing.eased.saturating_sub(UNSEEN_QUICKLY - 1);
        self.standing.since + wait * doublings(slow)
    }

    fn ease(&mut self, now: Instant, steps: i32) {
        self.move_to(now, self.standing.rung.easier(steps));
        self.restart(now);
        self.standing.eased = self.standing.eased.saturating_add(1);
        self.note_steps(steps);
    }

    /// A far step is a guess.
    fn note_steps(&mut self, steps: i32) {
        self.standing.trials = if steps > 1 { TRIALS } else { 0 };
    }

    fn try_guess(&mut self, now: Instant) {
        let (since, shares) = self.standing.trial;
        if self.standing.trials == 0 || shares < TRIAL_SHARES {
            return;
        }
        let elapsed = now.saturating_duration_since(since);
        let intervals = elapsed.div_duration_f64(self.interval());
        // The first share began the trial, or came with it.
        let first = self.crowd.share();
        let rate = (shares - first) / intervals.max(1e-3);
        self.standing.trials -= 1;
        self.standing.trial = (now, first);
        if !TRIAL_FITS.contains(&rate) {
            let steps = rate.log2().round() as i32;
            let steps = steps.clamp(-MOST_STEPS, MOST_STEPS);
            self.move_to(now, self.standing.rung.harder(steps));
            self.restart(now);
        }
    }

    /// Goes where the evidence leads, if it leads anywhere.
    fn follow(&mut self, now: Instant) {
        let patience = f64::from(1u32 << self.standing.eased.min(MOST_DOUBLINGS));
        match self.standing.evidence.finding(patience) {
            None => {}
            Some(Finding::Silent) => {
                // One long wait is chance for a slow device that is held at its floor.
                if self.standing.eased > 0 {
                    self.standing.speed.handle_silent(now);
                }
                self.ease(now, SILENT_STEPS);
                self.standing.is_silent = true;
            }
            Some(Finding::TooMany(rate)) => {
                let steps = (rate.log2() + HARDER_ROUNDING).floor() as i32;
                let steps = steps.clamp(1, MOST_STEPS);
                self.move_to(now, self.standing.rung.harder(steps));
                self.restart(now);
                self.note_steps(steps);
            }
            Some(Finding::TooFew(rate)) => {
                let work = Work::of_rung(self.standing.rung).expected_hashes();
                let seconds = self.interval().as_secs_f64();
                self.standing
                    .speed
                    .handle_slower(now, rate * work / seconds);
                let steps = -rate.log2().ceil() as i32;
                self.ease(now, steps.clamp(1, MOST_STEPS));
            }
        }
    }

    /// Returns whether the miner's past has told the rung.
    fn take_up_past(&mut self, now: Instant) -> bool {
        let past = self.past.as_deref().filter(|past| past.word == self.word);
        let Some(past) = past else { return false };
        let away = now.saturating_duration_since(past.at);
        self.standing = past.standing.later(away);
        self.resumed_at = Some(now);
        let is_alike = self.interval() == self.settings.interval();
        if self.standing.is_gone() || !is_alike || self.crowd.is_several() {
            self.standing.rung = past.rung();
            (self.standing.eased, self.standing.trials) = (0, 0);
            self.standing.is_silent = false;
            self.restart(now);
        }
        self.move_to(now, self.standing.rung);
        self.has_news = false;
        true
    }

    /// The rung on which one miner of the hashrate of all would find as many shares as one of them.
    fn rung_of_one(&self) -> Rung {
        self.standing.rung.harder(self.crowd.steps())
    }

    /// The time between two shares that is aimed for.
    fn interval(&self) -> Duration {
        self.standing.evidence.interval()
    }

    fn move_to(&mut self, now: Instant, wanted: Rung) {
        let easiest = self
            .settings
            .min
            .max(self.standing.speed.floor())
            .max(self.least);
        let easiest = easiest.min(self.settings.max).max(self.floor);
        let rung = wanted.min(self.settings.max).max(easiest);
        if rung != self.standing.rung {
            self.standing.rung = rung;
            self.standing.shares = 0.0;
            self.has_news = true;
            self.restart(now);
        }
    }

    fn restart(&mut self, now: Instant) {
        let interval = self.settings.interval();
        self.standing.since = now;
        self.standing.trial = (now, 0.0);
        let expected = self.standing.speed.expected(self.standing.rung, interval);
        self.standing.evidence = Evidence::new(now, interval, expected, self.crowd.share());
    }
}
