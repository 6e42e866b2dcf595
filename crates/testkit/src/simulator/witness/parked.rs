//! The Stratum V1 sessions that may be gone on with, as the rules have it: one client at a time, for
//! two minutes, no more than 1,024 of them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use headframe_channels::ExtranoncePrefix;

use super::sv1::Past;

const KEPT_FOR: Duration = Duration::from_secs(120);
const MOST: usize = 1_024;

/// Sessions without a connection, the oldest first, and what those that were taken up hold of old tips.
#[derive(Debug, Default)]
pub(super) struct Parked {
    left: VecDeque<Left>,
    /// Hashes of tips, by connection.
    taken: HashMap<u64, Vec<[u8; 32]>>,
    /// How many were taken up.
    pub(super) resumed: u64,
}

#[derive(Debug)]
struct Left {
    since: Instant,
    prefix: ExtranoncePrefix,
    past: Past,
}

impl Parked {
    pub(super) fn leave(&mut self, since: Instant, prefix: ExtranoncePrefix, past: Past) {
        self.left.push_back(Left {
            since,
            prefix,
            past,
        });
    }

    pub(super) fn take(&mut self, prefix: ExtranoncePrefix, connection: u64) -> Option<Past> {
        let at = self.left.iter().position(|left| left.prefix == prefix)?;
        let past = self.left.remove(at)?.past;
        self.resumed += 1;
        self.holds(connection, past.tips());
        Some(past)
    }

    /// The prefixes of sessions that nobody can go on with any more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<ExtranoncePrefix> {
        let is_over = |left: &&Left| now.saturating_duration_since(left.since) >= KEPT_FOR;
        let over = self.left.iter().take_while(is_over).count();
        let too_many = self.left.len().saturating_sub(MOST);
        let gone = self.left.drain(..over.max(too_many));
        gone.map(|left| left.prefix).collect()
    }

    /// What a connection that took a session up holds now; nothing when it is gone.
    pub(super) fn holds(&mut self, connection: u64, tips: Vec<[u8; 32]>) {
        match tips.is_empty() {
            true => self.taken.remove(&connection),
            false => self.taken.insert(connection, tips),
        };
    }

    /// Whether jobs on a tip are held by somebody who was away when it went.
    pub(super) fn hold(&self, tip: [u8; 32]) -> bool {
        let mut left = self.left.iter().map(|left| left.past.tips());
        left.any(|tips| tips.contains(&tip)) || self.taken.values().any(|tips| tips.contains(&tip))
    }
}
