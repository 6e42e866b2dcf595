//! A control with goPool's published constants (v0.3.1), written from them: 15 shares a minute,
//! difficulty 256 or more, windows of a minute, steps of 2^(1/10).
//!
//! Where they leave open how they act together, the reading is the kinder one. Left out: stale
//! shares, which there are none of here, and the slow-notify correction of 7 %.

use crate::simulation::Control;

/// Shares a minute.
pub(crate) const PER_MINUTE: f64 = 15.0;
const LEAST: f64 = 256.0;
const WINDOW: f64 = 60.0;
const RETARGET_DELAY: f64 = 30.0;
const DAMPING: f64 = 0.7;
const JUMP_COOLDOWN: f64 = 120.0;
const RAILS: core::ops::RangeInclusive<f64> = 2.0..=30.0;
const IDLE: f64 = 180.0;
const IDLE_AT_FIRST: f64 = 90.0;

/// A connection of goPool, as far as difficulty goes.
pub(crate) struct GoPool {
    difficulty: f64,
    previous: f64,
    changed: f64,
    window: f64,
    shares: f64,
    accepted: u64,
    adjustments: u32,
    /// Windows in a row that asked for the same direction.
    streak: i32,
    no_jump_before: f64,
    last_share: f64,
    guarded: i32,
    check_at: f64,
}

impl GoPool {
    /// What a miner declares is not looked at.
    pub(crate) fn new(now: f64) -> Self {
        Self {
            difficulty: LEAST,
            previous: LEAST,
            changed: now,
            window: now,
            shares: 0.0,
            accepted: 0,
            adjustments: 0,
            streak: 0,
            no_jump_before: now,
            last_share: now,
            guarded: 0,
            check_at: now + 1.0,
        }
    }

    fn idle(&self) -> f64 {
        match self.accepted {
            0..3 => IDLE_AT_FIRST,
            _ => IDLE,
        }
    }

    fn look(&mut self, now: f64) {
        let elapsed = now - self.window;
        if elapsed < WINDOW || now - self.changed < RETARGET_DELAY {
            return;
        }
        let (shares, expected) = (self.shares, PER_MINUTE * elapsed / 60.0);
        if expected < 8.0 && shares < 3.0 {
            return;
        }
        (self.window, self.shares) = (now, 0.0);
        let ratio = shares.max(0.5) / expected;
        let band = 0.2f64.max(2.0 / shares.max(1.0).sqrt()).min(0.6);
        let direction = match ratio {
            ratio if ratio > 1.0 + band => 1,
            ratio if ratio < 1.0 - band => -1,
            _ => 0,
        };
        self.streak = match direction * self.streak {
            1.. => self.streak + direction,
            _ => direction,
        };
        let is_off_rails = !RAILS.contains(&(ratio * PER_MINUTE));
        let is_far = self.adjustments < 2 || !(0.25..4.0).contains(&ratio);
        let needed = if is_off_rails || is_far { 1 } else { 2 };
        if direction != 0 && self.streak.abs() >= needed {
            self.adjust(now, ratio, shares, is_far);
        }
    }

    fn adjust(&mut self, now: f64, ratio: f64, shares: f64, is_far: bool) {
        let cap: f64 = match self.adjustments {
            _ if shares < 4.0 => 2.0,
            0 => 8.0,
            1 => 4.0,
            _ if is_far => 4.0,
            _ => 2.0,
        };
        let mut factor = ratio.powf(DAMPING).clamp(1.0 / cap, cap);
        if factor >= 4.0 {
            if now < self.no_jump_before {
                factor = 2.0;
            } else {
                self.no_jump_before = now + JUMP_COOLDOWN;
            }
        }
        self.adjustments += 1;
        self.set(now, self.difficulty * factor);
    }

    fn set(&mut self, now: f64, difficulty: f64) {
        let step = (difficulty.log2() * 10.0).round() / 10.0;
        let difficulty = step.exp2().max(LEAST);
        if difficulty != self.difficulty {
            self.previous = self.difficulty;
            self.difficulty = difficulty;
            self.changed = now;
            (self.window, self.shares, self.streak) = (now, 0.0, 0);
        }
    }

    /// A quiet miner is eased before its connection would be ended for it.
    fn guard(&mut self, now: f64) {
        let quiet = now - self.last_share;
        let begins = (0.7 * self.idle()).max(20.0).min(self.idle() - 5.0);
        let unlikely = (-PER_MINUTE * quiet / 60.0).exp() <= 0.01;
        let stage = ((quiet - begins) / 10.0).floor() as i32 + 1;
        if quiet >= begins && unlikely && stage > self.guarded {
            let factor = [0.75, 0.65, 0.5][self.guarded.min(2) as usize];
            self.guarded = stage;
            self.set(now, self.difficulty * factor);
        }
    }
}

impl Control for GoPool {
    fn difficulty(&self) -> f64 {
        self.difficulty
    }

    fn handle_share(&mut self, now: f64, _difficulty: f64, _reached: f64) {
        self.shares += 1.0;
        self.accepted += 1;
        (self.last_share, self.guarded) = (now, 0);
        self.look(now);
    }

    fn poll_timeout(&self) -> f64 {
        self.check_at
    }

    fn handle_timeout(&mut self, now: f64) {
        self.check_at = now + 1.0;
        self.guard(now);
        self.look(now);
    }

    fn accepts(&self, now: f64, _difficulty: f64, reached: f64) -> bool {
        let is_recent = now - self.changed <= 60.0;
        reached >= 0.98 * self.difficulty || is_recent && reached >= 0.98 * self.previous
    }

    fn has_hung_up(&self) -> bool {
        self.check_at - 1.0 - self.last_share >= self.idle()
    }

    fn reconnect(&mut self, now: f64) {
        *self = Self::new(now);
    }
}
