//! This pool's difficulty control.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use headframe_channels::{Credit, DifficultyControl, DifficultyMemory, DifficultySettings};
use headframe_work::{Difficulty, Hashrate, Rung};

use crate::simulation::Control;

/// The control, with the pool's memory of the miner.
pub(crate) struct Ours {
    settings: DifficultySettings,
    declared: Hashrate,
    began: Instant,
    control: DifficultyControl,
    memory: DifficultyMemory,
}

impl Ours {
    /// For a miner that declares so many hashes per second.
    pub(crate) fn new(settings: DifficultySettings, declared: f64) -> Self {
        let began = Instant::now();
        let declared = Hashrate::from_hashes_per_second(declared).expect("a finite rate");
        Self {
            settings,
            declared,
            began,
            control: DifficultyControl::new(settings, declared, Rung::EASIEST, began),
            memory: DifficultyMemory::default(),
        }
    }

    fn remember(&mut self, now: Instant) {
        if let Some(past) = self.control.poll_past(now) {
            self.memory.remember("worker", past);
        }
    }

    fn at(&self, now: f64) -> Instant {
        self.began + Duration::from_secs_f64(now)
    }
}

impl Control for Ours {
    fn difficulty(&self) -> f64 {
        self.control.rung().difficulty().as_f64()
    }

    fn handle_share(&mut self, now: f64, difficulty: f64, reached: f64) {
        let now = self.at(now);
        let rung = |value| Rung::at_most(Difficulty::from_f64(value).expect("a difficulty"));
        let hash = BlockHash::from_byte_array(rung(reached).target().to_le_bytes());
        let rung = rung(difficulty);
        self.control.handle_share(now, &Credit { rung, hash });
        self.remember(now);
    }

    fn poll_timeout(&self) -> f64 {
        let wait = self
            .control
            .poll_timeout()
            .saturating_duration_since(self.began);
        // A second in doubles is coarser than a nanosecond after a month.
        wait.as_secs_f64() + 1e-6
    }

    fn handle_timeout(&mut self, now: f64) {
        let now = self.at(now);
        self.control.handle_timeout(now);
        self.remember(now);
    }

    fn disconnect(&mut self, now: f64) {
        if let Some(past) = self.control.past(self.at(now)) {
            self.memory.remember("worker", past);
        }
    }

    fn reconnect(&mut self, now: f64) {
        let now = self.at(now);
        self.control = DifficultyControl::new(self.settings, self.declared, Rung::EASIEST, now);
        if let Some(past) = self.memory.recall(now, "worker") {
            self.control.handle_past(now, Box::new(past.clone()));
        }
    }
}
