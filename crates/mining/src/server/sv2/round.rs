//! What all audiences of a connection are sent, a few at a time. Not here: what that is.
//!
//! Tips go to all at once, and jobs in rounds. A job costs twenty times what a tip does, and there may be
//! thousands of channels: the tips of other connections, and the answers to shares, would wait for them.

use std::time::Instant;

use super::groups::{Audience, Groups, Place};

/// Audiences that are served in one go. With a merkle root for each that is some 300 µs.
const AT_ONCE: usize = 64;

/// One such round, or none.
#[derive(Debug)]
pub(super) struct Round {
    due: Option<Instant>,
    /// Who is next.
    from: Place,
    /// When the next round begins, if one was asked for during this.
    again: Option<Instant>,
}

impl Round {
    /// There is nothing to be sent.
    pub(super) const NONE: Self = Self {
        due: None,
        from: Place::FIRST,
        again: None,
    };

    /// All are to be served from `at` on. A round that is planned already does not wait for that, and one
    /// that has begun goes on to its end before: channels may come without end.
    pub(super) fn plan(&mut self, at: Instant) {
        match self.from == Place::FIRST {
            true => self.due.get_or_insert(at),
            false => self.again.get_or_insert(at),
        };
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// Who is served now, if there is a round; it is over with the last. `singly` as in [`Groups::audiences`].
    pub(super) fn next(&mut self, groups: &Groups, singly: bool) -> Vec<Audience> {
        let (audiences, next) = groups.audiences(self.from, AT_ONCE, singly);
        *self = match next {
            Some(from) => Self { from, ..*self },
            None => Self {
                due: self.again,
                ..Self::NONE
            },
        };
        audiences
    }
}
