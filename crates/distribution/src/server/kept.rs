//! The templates that a client was given (TD-8).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::FittedTemplate;

/// Templates of the present tip that are kept, however old.
pub const KEPT_OF_TIP: usize = 32;
/// For so long a template of the present tip is kept when it has been followed by another. A pool may go on to make jobs
/// of it for half a minute, whose shares count for two minutes after the next job.
pub const KEPT_FOR: Duration = Duration::from_secs(300);
/// Templates of the present tip that are kept at the most: five minutes of as many as fees alone bring. Those that
/// were made of one and the same template of the node share its transactions.
pub const MOST_OF_TIP: usize = 128;
/// Templates of the tip before that are kept, for solutions that cross the new tip on their way.
pub const KEPT_OF_LAST_TIP: usize = 8;

/// What a client was given, oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept {
    present: VecDeque<Given>,
    last: VecDeque<Given>,
}

#[derive(Debug)]
struct Given {
    id: u64,
    template: Arc<FittedTemplate>,
    at: Instant,
}

/// A template by its id.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// On the present tip.
    Present(&'a Arc<FittedTemplate>),
    /// On the tip before.
    Last(&'a Arc<FittedTemplate>),
    /// Not kept, or never given.
    Unknown,
}

impl Kept {
    /// The tip has changed: what was of the present one is of the last.
    pub(super) fn begin_tip(&mut self) {
        self.last = std::mem::take(&mut self.present);
        let surplus = self.last.len().saturating_sub(KEPT_OF_LAST_TIP);
        self.last.drain(..surplus);
    }

    pub(super) fn keep(&mut self, now: Instant, id: u64, template: Arc<FittedTemplate>) {
        let at = now;
        self.present.push_back(Given { id, template, at });
        while self.has_one_too_many(now) {
            self.present.pop_front();
        }
    }

    fn has_one_too_many(&self, now: Instant) -> bool {
        let second = self.present.get(1);
        let is_old = second.is_some_and(|second| now.duration_since(second.at) >= KEPT_FOR);
        let count = self.present.len();
        count > MOST_OF_TIP || (count > KEPT_OF_TIP && is_old)
    }

    pub(super) fn find(&self, id: u64) -> Found<'_> {
        if let Some(given) = self.present.iter().find(|given| given.id == id) {
            return Found::Present(&given.template);
        }
        match self.last.iter().find(|given| given.id == id) {
            Some(given) => Found::Last(&given.template),
            None => Found::Unknown,
        }
    }
}
