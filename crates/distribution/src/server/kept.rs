//! The templates that a client was given (TD-8).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::FittedTemplate;

/// Templates of the present tip that are kept: where fees rise all the time, five minutes of them from a node that
/// gives one every ten seconds. Those that were made of one and the same template of the node share its transactions.
pub const KEPT_OF_TIP: usize = 32;
/// Templates of the tip before that are kept, for solutions that cross the new tip on their way.
pub const KEPT_OF_LAST_TIP: usize = 8;

/// What a client was given, oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept {
    present: VecDeque<(u64, Arc<FittedTemplate>)>,
    last: VecDeque<(u64, Arc<FittedTemplate>)>,
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

    pub(super) fn keep(&mut self, id: u64, template: Arc<FittedTemplate>) {
        self.present.push_back((id, template));
        if self.present.len() > KEPT_OF_TIP {
            self.present.pop_front();
        }
    }

    pub(super) fn find(&self, id: u64) -> Found<'_> {
        if let Some((_, template)) = self.present.iter().find(|(kept, _)| *kept == id) {
            return Found::Present(template);
        }
        match self.last.iter().find(|(kept, _)| *kept == id) {
            Some((_, template)) => Found::Last(template),
            None => Found::Unknown,
        }
    }
}
