//! The reference implementation's vardiff: `VardiffState` of `channels_sv2`, as `pool_sv2` runs it.
//!
//! It is asked every 60 s. A new target goes out alone; the job that makes it hold comes with the
//! next template. Its clock is the wall's, so that the time since its last change is set instead.

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::Target;
use channels_sv2::target::hash_rate_to_target;
use channels_sv2::vardiff::Vardiff;
use channels_sv2::vardiff::classic::VardiffState;

use crate::simulation::Control;

const ASKED_EVERY: f64 = 60.0;

/// A channel of `pool_sv2`, as far as difficulty goes.
pub(crate) struct Reference {
    per_minute: f64,
    declared: f32,
    state: VardiffState,
    hashrate: f32,
    target: Target,
    changed: f64,
    ask_at: f64,
}

impl Reference {
    /// For a miner that declares so many hashes per second.
    pub(crate) fn new(per_minute: f64, declared: f64) -> Self {
        let declared = declared as f32;
        Self {
            per_minute,
            declared,
            state: VardiffState::new().expect("a clock after 1970"),
            hashrate: declared,
            target: target(declared, per_minute),
            changed: 0.0,
            ask_at: ASKED_EVERY,
        }
    }
}

impl Control for Reference {
    fn difficulty(&self) -> f64 {
        self.target.difficulty_float()
    }

    fn handle_share(&mut self, _now: f64, _difficulty: f64, _reached: f64) {
        self.state.increment_shares_since_last_update();
    }

    fn poll_timeout(&self) -> f64 {
        self.ask_at
    }

    fn handle_timeout(&mut self, now: f64) {
        self.ask_at += ASKED_EVERY;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = wall.expect("a clock after 1970").as_secs();
        let elapsed = (now - self.changed).round() as u64;
        self.state.set_timestamp_of_last_update(wall - elapsed);
        let rate = self
            .state
            .try_vardiff(self.hashrate, &self.target, self.per_minute as f32)
            .expect("a clock after 1970");
        if let Some(rate) = rate {
            self.hashrate = rate;
            self.target = target(rate, self.per_minute);
            self.changed = now;
        }
    }

    fn sends_job(&self) -> bool {
        false
    }

    fn reconnect(&mut self, now: f64) {
        *self = Self {
            changed: now,
            ask_at: now + ASKED_EVERY,
            ..Self::new(self.per_minute, self.declared.into())
        };
    }
}

fn target(rate: f32, per_minute: f64) -> Target {
    hash_rate_to_target(rate.into(), per_minute).expect("a finite rate")
}
